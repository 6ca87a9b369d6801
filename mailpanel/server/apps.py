from django.apps import AppConfig


class ServerConfig(AppConfig):
    name = "mailpanel.server"
    label = "server"
