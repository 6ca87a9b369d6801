"""Give and take roles: a kind (one of Role.Kind, or SERVER) and a domain, or None for all.

Each writes its audit row about the person in the same transaction. Who may is asked of access by the caller.
"""

from accounts import audit
from accounts.lifecycle import held, keeping_a_server_admin
from accounts.models import SERVER, Mailbox, Role
from domains.models import Domain
from mailpanel.deadlocks import retried_on_deadlock


@retried_on_deadlock
def grant(mailbox: Mailbox, kind: str, domain: Domain | None, *, by: audit.By, reason: str = "") -> bool:
    """Whether the role is new; giving it twice changes nothing. Raises ValidationError."""
    with keeping_a_server_admin():
        mailbox = held(mailbox)
        if domain is not None:
            domain = held(domain)
        if kind == SERVER:
            made = not mailbox.is_superuser
            mailbox.is_superuser = True
            mailbox.save(update_fields=["is_superuser", "modified"])
        else:
            _role, made = Role.objects.get_or_create(mailbox=mailbox, kind=kind, domain=domain)
        if made:
            _record("grant", mailbox, kind, domain, by, reason, after=True)
    return made


@retried_on_deadlock
def revoke(mailbox: Mailbox, kind: str, domain: Domain | None, *, by: audit.By, reason: str = "") -> bool:
    """Whether there was one to take. Raises ValidationError for the last server admin."""
    with keeping_a_server_admin():
        mailbox = held(mailbox)
        if kind == SERVER:
            gone = mailbox.is_superuser
            mailbox.is_superuser = False
            mailbox.save(update_fields=["is_superuser", "modified"])
        else:
            gone = Role.objects.filter(mailbox=mailbox, kind=kind, domain=domain).delete()[0] > 0
        if gone:
            _record("revoke", mailbox, kind, domain, by, reason, before=True)
    return gone


def _record(action, mailbox, kind, domain, by, reason, *, before=False, after=False) -> None:
    """In the log of the domain that the role is for, or of the person's own, so that somebody there sees it."""
    role = {"kind": kind, "domain": domain and domain.name}
    audit.record(
        by,
        action,
        "role",
        mailbox.email,
        domain=domain.name if domain else mailbox.domain_id,
        before=role if before else None,
        after=role if after else None,
        reason=reason,
    )
