from django.urls import path

from accounts.views import (
    audit,
    bulk,
    exports,
    mailboxes,
    own,
    roles,
    search,
    second_factor,
    session,
    trash,
)
from mailpanel.server.views import filter

app_name = "accounts"
urlpatterns = [
    path("sign-in/", session.sign_in, name="sign_in"),
    path("sign-in/second-factor/", session.second_step, name="second_step"),
    path("sign-out/", session.sign_out, name="sign_out"),
    path("password/", own.password, name="password"),
    path("password/strength/", own.password_strength, name="password_strength"),
    path("second-factor/", second_factor.second_factor, name="second_factor"),
    path("second-factor/set-up/", second_factor.second_factor_set_up, name="second_factor_set_up"),
    path("second-factor/recovery-codes/", second_factor.second_factor_codes, name="second_factor_codes"),
    path("second-factor/off/", second_factor.second_factor_off, name="second_factor_off"),
    path("search/", search.search, name="search"),
    path("mailboxes/", mailboxes.mailboxes, name="mailboxes"),
    path("mailboxes/bulk/", bulk.mailboxes_bulk, name="mailboxes_bulk"),
    path("mailboxes/export/", exports.mailboxes_export, name="mailboxes_export"),
    path("mailboxes/<str:email>/", mailboxes.mailbox, name="mailbox"),
    path("mailboxes/<str:email>/edit/", mailboxes.mailbox_edit, name="mailbox_edit"),
    path("mailboxes/<str:email>/state/", mailboxes.mailbox_state, name="mailbox_state"),
    path("mailboxes/<str:email>/password/", mailboxes.mailbox_password, name="mailbox_password"),
    path(
        "mailboxes/<str:email>/second-factor/",
        second_factor.mailbox_second_factor,
        name="mailbox_second_factor",
    ),
    path("mailboxes/<str:email>/unlock/", mailboxes.mailbox_unlock, name="mailbox_unlock"),
    path("mailboxes/<str:email>/delete/", mailboxes.mailbox_delete, name="mailbox_delete"),
    path("mailboxes/<str:email>/roles/", roles.mailbox_roles, name="mailbox_roles"),
    path("mailboxes/<str:email>/roles/give/", roles.role_give, name="role_give"),
    path("mailboxes/<str:email>/roles/<str:kind>/<str:domain>/", roles.role_take, name="role_take"),
    path("mailboxes/<str:email>/filter/", filter.mailbox_filter, name="mailbox_filter"),
    path("filter/own/", filter.filter_own, name="filter_own"),
    path("roles/", roles.roles, name="roles"),
    path("log/", audit.audit, name="audit"),
    path("log/export/", audit.audit_export, name="audit_export"),
    path("log/own/", audit.audit_own, name="audit_own"),
    path("trash/", trash.trash, name="trash"),
    path("trash/<uuid:deletion>/restore/", trash.trash_restore, name="trash_restore"),
]
