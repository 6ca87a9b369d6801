"""Open, change and close a mailbox: database first, daemons after the commit.

Every function writes its audit row in the same transaction. Those that end with `forget` raise DaemonError when the
database holds the change but Dovecot could not be told; the caller says so, with what to do.
"""

import uuid
from collections.abc import Callable
from contextlib import contextmanager

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import audit, passwords, search, trash
from accounts.models import AppPassword, Mailbox, RecoveryCode, Role, SecondFactor, Sender, Trash
from domains.models import VIRTUAL, Alias, Domain
from mailpanel.daemons import dovecot
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server import retention
from mailpanel.server.models import DigestSent, FilterPolicy, FilterSender, Sending, SendLimit, SendShare

AS_WELL, INSTEAD = "as_well", "instead"


def open_mailbox(
    mailbox: Mailbox, password: str | None, *, by: audit.By, anew: bool = False, beside_alias: str = ""
) -> None:
    """Insert a cleaned mailbox, within the limits of its domain. Without a password nobody can sign in yet.

    An address that is in the trash is refused unless `anew` says that what its former owner left is to be erased; until
    that is done, nobody signs in. One that is an alias is refused unless `beside_alias` says who gets the mail: the
    mailbox AS_WELL, or the alias' destinations INSTEAD. The policy for passwords is asked by the caller, at the field.
    Raises ValidationError, and DaemonError when Dovecot could not erase.
    """
    if password is not None:
        mailbox.set_password(password)
    can_login = mailbox.can_login
    try:
        former = _insert(mailbox, by, can_login, anew, beside_alias)
    except IntegrityError as error:
        raise ValidationError({"email": _("%s exists already.") % mailbox}) from error
    if former:
        dovecot.erase(mailbox.email)
        retention.erase(mailbox.email)
        if can_login:
            mailbox.can_login = True
            mailbox.save(update_fields=["can_login"])


@retried_on_deadlock
@transaction.atomic
def _insert(mailbox: Mailbox, by: audit.By, can_login: bool, anew: bool, beside_alias: str) -> bool:
    """Whether somebody had the address before."""
    _reserve(mailbox.domain_id, None, mailbox.quota, mailboxes=1)
    if Alias.objects.filter(source=mailbox.email).exists():
        if beside_alias not in (AS_WELL, INSTEAD):
            sentence = _("%s is an alias. Say whether the mailbox gets its mail as well.") % mailbox
            raise ValidationError({"email": ValidationError(sentence, code="alias")})
        if beside_alias == AS_WELL:
            _keep_a_copy(mailbox, by)
    former = Trash.objects.filter(table=Mailbox._meta.db_table, name=mailbox.email).exists()
    if former and not anew:
        sentence = _("%s is in the trash, with its mail. Bring it back, or make it anew.") % mailbox
        raise ValidationError({"email": ValidationError(sentence, code="in_trash")})
    mailbox.can_login = can_login and not former
    mailbox.save(force_insert=True)
    search.index(Mailbox.objects.filter(pk=mailbox.pk))
    audit.record(
        by, "create", "mailbox", mailbox.email, domain=mailbox.domain_id, after=audit.snapshot(mailbox)
    )
    return former


def _keep_a_copy(mailbox: Mailbox, by: audit.By) -> None:
    """The address itself among the destinations of its alias."""
    own = {"source": mailbox.email, "destination": mailbox.email, "domain_id": mailbox.domain_id}
    if Alias.objects.update_or_create(**own, defaults={"enabled": True, "expires": None})[1]:
        Domain.objects.all().reserve(mailbox.domain_id, aliases=1)
        search.index(Alias.objects.filter(source=mailbox.email))
    told = {mailbox.email: {"enabled": True}}
    audit.record(by, "change", "alias", mailbox.email, domain=mailbox.domain_id, after=told)


@retried_on_deadlock
def change_mailbox(
    mailbox: Mailbox, changes: dict, *, by: audit.By, reason: str = "", compare: Callable | None = None
) -> None:
    """Write only the columns in `changes`, so that two editors do not undo each other.

    `compare` gets the row as it is, under lock, and may refuse (mailpanel.forms.EditForm). Raises ValidationError
    (limits, last server admin), and DaemonError when Dovecot could not be told.
    """
    with keeping_a_server_admin():
        before = held(mailbox, compare)
        if "quota" in changes and changes["quota"] != before.quota:
            _reserve(before.domain_id, before.quota, changes["quota"])
        old = audit.snapshot(before)
        for field, value in changes.items():
            setattr(before, field, value)
        before.clean()
        before.save(update_fields=[*changes, "modified"])
        was, now = audit.difference(old, audit.snapshot(before))
        if "name" in now:
            search.index(Mailbox.objects.filter(pk=before.pk))
        if now:
            audit.record(
                by,
                "change",
                "mailbox",
                before.email,
                domain=before.domain_id,
                before=was,
                after=now,
                reason=reason,
            )
    if now.keys() & {"enabled", "can_login", "quota"}:
        dovecot.forget([before.email])


@retried_on_deadlock
def set_password(
    mailbox: Mailbox, password: str, *, by: audit.By, must_change: bool = False, reason: str = ""
) -> None:
    """A new password: the old one dies at every door, and all sessions end but the one that the view renews.

    Raises ValidationError for what the scheme cannot hash, and DaemonError when Dovecot could not be told.
    """
    mailbox.set_password(password)
    mailbox.must_change_password = must_change
    with transaction.atomic():
        held(mailbox)
        mailbox.save(update_fields=["password", "password_changed", "must_change_password", "modified"])
        audit.record(by, "password", "mailbox", mailbox.email, domain=mailbox.domain_id, reason=reason)
    dovecot.forget([mailbox.email])


@retried_on_deadlock
def close_mailbox(
    mailbox: Mailbox, *, by: audit.By, reason: str = "", deletion: uuid.UUID | None = None
) -> None:
    """Move a mailbox to the trash with all that hangs on it: app passwords, second factor, senders, roles, and the
    alias rows of every domain that lead to it, since mail that is accepted for them could only bounce.

    `deletion` is the key to bring it back by, which the caller also has when Dovecot could not be told.
    """
    with keeping_a_server_admin():
        # as it is now: a quota that changed meanwhile, or a second deletion, would leave the counters wrong
        mailbox = held(mailbox)
        _reserve(mailbox.domain_id, mailbox.quota, None, mailboxes=-1)
        retention.to_trash([mailbox.email])
        trash_mailboxes(Mailbox.objects.filter(pk=mailbox.pk), by=by, deletion=deletion or uuid.uuid4())
        audit.record(
            by,
            "delete",
            "mailbox",
            mailbox.email,
            domain=mailbox.domain_id,
            before=audit.snapshot(mailbox),
            reason=reason,
        )
    dovecot.forget([mailbox.email])


@retried_on_deadlock
def close_domain(
    domain: Domain, *, by: audit.By, reason: str = "", deletion: uuid.UUID | None = None
) -> None:
    """Move a domain to the trash with its mailboxes, aliases, roles, keys, and what leads to them; a dozen statements,
    however many rows. Its mirrors must be gone before. `deletion` as in close_mailbox. Raises ValidationError."""
    deletion = deletion or uuid.uuid4()
    with keeping_a_server_admin():
        domain = held(domain)
        if mirror := domain.mirrors.first():
            raise ValidationError(
                _("%(mirror)s mirrors this domain. Delete the mirror first.") % {"mirror": mirror}
            )
        before = audit.snapshot(domain) | {"mailboxes": domain.mailbox_count, "aliases": domain.alias_count}
        emails = list(domain.mailboxes.values_list("email", flat=True))
        within = {"deletion": deletion, "actor": by.actor}
        retention.domain_to_trash(domain.name)
        trash_mailboxes(domain.mailboxes.all(), by=by, deletion=deletion)
        trash_filter([f"@{domain.name}"], **within)
        senders = Sender.objects.filter(address__in=domain.aliases.values("source"))
        trash.move(senders, name="address", domain="''", **within)
        trash.move(domain.aliases.all(), name="source", domain="domain", **within)
        trash.move(domain.roles.all(), name="kind", domain="domain", **within)
        trash.move(domain.dkim_keys.all(), name="selector", domain="domain", **within)
        limit = SendLimit.objects.filter(scope=f"@{domain.name}")
        trash.move(limit, name="scope", domain="''", **within)
        trash.move(Domain.objects.filter(pk=domain.pk), name="domain", domain="domain", **within)
        audit.record(by, "delete", "domain", domain.name, domain=domain.name, before=before, reason=reason)
    dovecot.forget_domain(domain.name, emails)


def renew_hash(mailbox: Mailbox, password: str) -> None:
    """Hash again by today's setting, unless the password changed since it was verified."""
    fresh = passwords.make_hash(password)
    if Mailbox.objects.filter(pk=mailbox.pk, password=mailbox.password).update(password=fresh):
        mailbox.password = fresh
    else:
        mailbox.refresh_from_db(fields=["password"])


def _reserve(domain: str, before: int | None, after: int | None, mailboxes: int = 0) -> None:
    Domain.objects.all().reserve(
        domain,
        mailboxes=mailboxes,
        quota_given=(after or 0) - (before or 0),
        limitless=after is None and mailboxes >= 0,
    )


def trash_mailboxes(rows: QuerySet, *, by: audit.By, deletion: uuid.UUID) -> None:
    """The rows and all that refers to them, wherever it stands."""
    within = {"deletion": deletion, "actor": by.actor}
    ids = rows.values("pk")
    _trash_what_leads_to(rows.values("email"), **within)
    trash.move(AppPassword.objects.filter(mailbox__in=ids), name="label", domain="''", **within)
    trash.move(SecondFactor.objects.filter(user__in=ids), name="''", domain="''", **within)
    trash.move(RecoveryCode.objects.filter(mailbox__in=ids), name="''", domain="''", **within)
    for senders in (Q(mailbox__in=ids), Q(address__in=rows.values("email"))):
        trash.move(Sender.objects.filter(senders), name="address", domain="''", **within)
    trash.move(SendLimit.objects.filter(scope__in=rows.values("email")), name="scope", domain="''", **within)
    for counted in (Sending, SendShare):
        counted.objects.filter(mailbox__in=rows.values("email")).delete()
    trash.move(Role.objects.filter(mailbox__in=ids), name="kind", domain="COALESCE(domain, '')", **within)
    trash_filter(rows.values("email"), **within)
    DigestSent.objects.filter(email__in=rows.values("email")).delete()
    trash.move(rows, name="email", domain="domain", **within)


def trash_filter(scopes, **within) -> None:
    """What the spam filter was told by these scopes."""
    for model in (FilterPolicy, FilterSender):
        trash.move(model.objects.filter(scope__in=scopes), name="scope", domain="''", **within)


def _trash_what_leads_to(emails, **within) -> None:
    """The alias rows, in all domains with their counters, that lead to these addresses; then, step by step, those that
    lead to an alias which has lost its last row by that."""
    while True:
        leading = Alias.objects.filter(destination__in=emails)
        sources = set(leading.values_list("source", flat=True))
        for domain in Domain.objects.filter(aliases__in=leading).distinct():
            Domain.objects.all().reserve(domain.name, aliases=-leading.filter(domain=domain).count())
        if not trash.move(leading, name="source", domain="domain", **within):
            return
        emails = sources - set(Alias.objects.filter(source__in=sources).values_list("source", flat=True))
        emails -= set(Mailbox.objects.filter(email__in=emails).values_list("email", flat=True))


def held(row: Model, compare: Callable[[Model], None] | None = None) -> Model:
    """The row as it is now, locked for this transaction. ValidationError if somebody else has deleted it, or if
    `compare` refuses it as another one than was seen."""
    now = row._meta.model.objects.select_for_update().filter(pk=row.pk).first()
    if now is None:
        raise ValidationError(_("%s was deleted meanwhile.") % row, code="gone")
    if compare:
        compare(now)
    return now


@contextmanager
def keeping_a_server_admin():
    """A transaction that is undone (ValidationError) if it takes away the last server admin who can sign in.

    The rows of all of them are locked first, so that two admins who act at once cannot remove each other.
    """
    with transaction.atomic():
        list(Mailbox.objects.select_for_update().filter(is_superuser=True).order_by("pk").values_list("pk"))
        had = server_admins_who_can_sign_in().exists()
        yield
        if had and not server_admins_who_can_sign_in().exists():
            raise ValidationError(
                _("This would leave no server admin who can sign in. Make another one first.")
            )


def server_admins_who_can_sign_in():
    return Mailbox.objects.filter(
        ~Q(password=passwords.UNUSABLE),
        is_superuser=True,
        enabled=True,
        can_login=True,
        domain__enabled=True,
        domain__alias_of=None,
        domain__transport__in=["", VIRTUAL],
    )
