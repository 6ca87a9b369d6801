from django.apps import AppConfig


class MailpanelConfig(AppConfig):
    name = "mailpanel"

    def ready(self):
        from mailpanel import checks  # noqa: F401  registers itself
