"""The pages that the catalogue of attacks speaks of, by its names, and where they are here.

None is a page that does not exist yet; the reason stands beside it, so that nobody takes a missing test for a passed one.
"""

from django.urls import reverse

ROUTES = {
    "health": "server:healthz",
    "login": "accounts:sign_in",
    "2fa": "accounts:second_step",
    "2fa_disable": "accounts:second_factor_off",
    "helpdesk_2fa_reset": "accounts:mailbox_second_factor",
    "helpdesk_unlock": "accounts:mailbox_unlock",
    "password_change": "accounts:password",
    "profile": "home",
    "mailbox_list": "accounts:mailboxes",
    "mailbox_bulk": "accounts:mailboxes_bulk",
    "export_mailboxes": "accounts:mailboxes_export",
    "mailbox_add": "domains:mailbox_new",
    "mailbox_edit": "accounts:mailbox_edit",
    "mailbox_password": "accounts:mailbox_password",
    "helpdesk_reset": "accounts:mailbox_password",
    "helpdesk_search": "accounts:search",
    "alias_add": "domains:alias_new",
    "alias_edit": "domains:alias",
    "aliasdomain_add": "domains:domain_new",  # a mirror is a domain with “Mirror of” filled in
    "domain_add": "domains:domain_new",
    "domain_edit": "domains:domain_edit",
    "admin_add": "accounts:role_give",
    "admin_edit": "accounts:role_take",  # a role is given and taken, not edited
    "dashboard": "server:status",
    "quarantine": "server:quarantine",
}
WITHOUT_A_PAGE = {
    "reset": "a forgotten password is reset by the helpdesk; recovery addresses come later",
    "setup": "there is no set-up page on purpose: the first admin is made by command",
    "forward": "forwarding by its owner comes later; an admin makes an alias",
}


def url(name: str, *args: str) -> str:
    return reverse(ROUTES[name], args=args)
