"""The table of contents."""

from django.urls import include, path

from accounts import views

urlpatterns = [
    path("", views.home, name="home"),
    path("theme/", views.theme, name="theme"),
    path("", include("accounts.urls")),
    path("", include("domains.urls")),
]

handler403 = "mailpanel.errors.forbidden"
handler404 = "mailpanel.errors.not_found"
handler500 = "mailpanel.errors.server_error"
