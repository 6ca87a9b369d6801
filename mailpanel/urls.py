"""The table of contents."""

from django.urls import include, path

from accounts.views import own, session

urlpatterns = [
    path("", own.home, name="home"),
    path("theme/", session.theme, name="theme"),
    path("language/", session.language, name="language"),
    path("", include("accounts.urls")),
    path("", include("domains.urls")),
    path("", include("mailpanel.server.urls")),
]

handler403 = "mailpanel.errors.forbidden"
handler404 = "mailpanel.errors.not_found"
handler500 = "mailpanel.errors.server_error"
