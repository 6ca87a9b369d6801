from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("password/", views.password, name="password"),
    path("password/strength/", views.password_strength, name="password_strength"),
    path("mailboxes/", views.mailboxes, name="mailboxes"),
    path("mailboxes/<str:email>/", views.mailbox, name="mailbox"),
    path("mailboxes/<str:email>/edit/", views.mailbox_edit, name="mailbox_edit"),
    path("mailboxes/<str:email>/state/", views.mailbox_state, name="mailbox_state"),
    path("mailboxes/<str:email>/password/", views.mailbox_password, name="mailbox_password"),
    path("mailboxes/<str:email>/delete/", views.mailbox_delete, name="mailbox_delete"),
    path("trash/", views.trash, name="trash"),
    path("trash/<uuid:deletion>/restore/", views.trash_restore, name="trash_restore"),
]
