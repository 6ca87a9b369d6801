"""The same change of many mailboxes: all or nothing in each domain, set-based, with one audit row for each mailbox.

Whom the actor may change is asked once more inside the transaction, with the rows held, so that nothing which came
between the page and the button slips through.
"""

import uuid
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access, audit, lifecycle
from accounts.models import Mailbox, MailboxUsage
from domains import addresses
from domains.models import Alias, Domain, SumOfSizes
from mailpanel.daemons import dovecot
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server import retention

AT_ONCE = 1000  # rows in one statement
# Of more than this in one domain, all sessions of the domain are ended by one call: mail programs come back at once.
KICKED_ONE_BY_ONE = 500


@dataclass(frozen=True)
class Change:
    """What is to be done: these columns, or (None) delete."""

    columns: dict | None

    @property
    def deletes(self) -> bool:
        return self.columns is None

    @property
    def already(self) -> Q:
        """Mailboxes on which it would change nothing."""
        return Q(pk=None) if self.deletes else Q(**self.columns)

    @property
    def locks_out(self) -> bool:
        return self.deletes or self.columns.get("enabled") is False


@dataclass(frozen=True)
class Consequences:
    """What would come of a change, to be shown before: how many of the chosen ones, and which are left out."""

    count: int
    above: int  # outrank the actor, or are in a domain that he only sees
    already: int
    own: int  # nobody shuts himself out along with others
    domains: int
    mailbox: Mailbox | None  # the first of them
    bytes: int = 0
    messages: int = 0
    losing: int = 0  # alias rows that lead to them
    quota: int = 0  # what they have together now


@dataclass
class Done:
    count: int = 0
    refused: list[str] = field(
        default_factory=list
    )  # a sentence for each domain in which nothing was changed
    emails: dict[str, list[str]] = field(default_factory=dict)  # by domain, for Dovecot


def targets(actor: Mailbox, chosen: QuerySet[Mailbox] | list[int], change: Change) -> QuerySet[Mailbox]:
    """Those of the chosen rows (or of these keys) that the actor may change and on which it changes something."""
    keys = chosen if isinstance(chosen, list) else chosen.order_by().values("pk")
    rows = access.changeable(actor).filter(pk__in=keys).exclude(change.already)
    return rows.exclude(pk=actor.pk) if change.locks_out else rows


def consequences(actor: Mailbox, chosen: QuerySet[Mailbox], change: Change) -> Consequences:
    """`chosen` are rows that the actor may see. Seven statements, however many rows."""
    rows = targets(actor, chosen, change)
    may = access.changeable(actor).filter(pk__in=chosen.order_by().values("pk"))
    own = may.filter(pk=actor.pk).exclude(change.already).count() if change.locks_out else 0
    counts = rows.aggregate(
        count=Count("pk"), domains=Count("domain", distinct=True), quota=SumOfSizes("quota", default=0)
    )
    seen, allowed = chosen.count(), may.count()
    held = {}
    if change.deletes:
        emails = rows.values("email")
        held = MailboxUsage.objects.filter(mailbox__in=emails).aggregate(
            bytes=SumOfSizes("bytes", default=0), messages=Sum("messages", default=0)
        ) | {"losing": Alias.objects.filter(destination__in=emails).count()}
    return Consequences(
        **counts,
        **{name: max(value, 0) for name, value in held.items()},
        above=seen - allowed,
        already=allowed - own - counts["count"],
        own=own,
        mailbox=rows.order_by("email").first(),
    )


def carry_out(
    actor: Mailbox, chosen: QuerySet[Mailbox], change: Change, *, by: audit.By, reason: str = ""
) -> Done:
    """Do it, domain by domain, each in a transaction of its own; a refusal undoes that domain alone and is told.

    Dovecot is told by `tell_dovecot`, after all of them.
    """
    rows, done = targets(actor, chosen, change), Done()
    # what is chosen is fixed now: each domain's transaction would otherwise find what the last one has changed
    by_domain: dict[str, list[int]] = {}
    for key, domain in rows.order_by("domain", "pk").values_list("pk", "domain"):
        by_domain.setdefault(domain, []).append(key)
    for domain, keys in by_domain.items():
        try:
            emails = _in_domain(actor, domain, keys, change, by, reason)
        except ValidationError as error:
            done.refused.append(f"{addresses.to_unicode(domain)}: {' '.join(error.messages)}")
        except OperationalError:
            done.refused.append(
                _("%s: the database was busy, so nothing was changed.") % addresses.to_unicode(domain)
            )
        else:
            done.count += len(emails)
            done.emails[domain] = emails
    return done


def tell_dovecot(done: Done) -> None:
    """Few calls, however many mailboxes. Raises DaemonError; safe to repeat."""
    few = [email for emails in done.emails.values() if len(emails) <= KICKED_ONE_BY_ONE for email in emails]
    for start in range(0, len(few), KICKED_ONE_BY_ONE):
        dovecot.forget(few[start : start + KICKED_ONE_BY_ONE])
    for domain, emails in done.emails.items():
        if len(emails) > KICKED_ONE_BY_ONE:
            dovecot.forget_domain(domain, emails)


@retried_on_deadlock
def _in_domain(
    actor: Mailbox, domain: str, keys: list[int], change: Change, by: audit.By, reason: str
) -> list[str]:
    """The addresses that were changed. Raises ValidationError; then none was."""
    deletion = uuid.uuid4()  # one for all, so that they come back together
    with lifecycle.keeping_a_server_admin():
        # as they are now, locked; without those that were deleted, changed or given a right meanwhile
        held = [
            row
            for chunk in _chunks(keys)
            for row in targets(actor, chunk, change)
            .select_for_update()
            .order_by("pk")
            .values_list("pk", "email", "quota")
        ]
        _reserve(domain, [quota for _key, _email, quota in held], change)
        for chunk in _chunks([key for key, _email, _quota in held]):
            rows = Mailbox.objects.filter(pk__in=chunk)
            _record(domain, rows, change, by, reason)
            if change.deletes:
                retention.to_trash(list(rows.values_list("email", flat=True)))
                lifecycle.trash_mailboxes(rows, by=by, deletion=deletion)
            else:
                rows.update(**change.columns, modified=timezone.now())
    return [email for _key, email, _quota in held]


def _reserve(domain: str, quotas: list[int | None], change: Change) -> None:
    """The counters of the domain, by one guarded UPDATE. Raises ValidationError where a limit is met."""
    given = sum(quota or 0 for quota in quotas)
    if change.deletes:
        Domain.objects.all().reserve(domain, mailboxes=-len(quotas), quota_given=-given)
    elif quotas and "quota" in change.columns:
        quota = change.columns["quota"]
        Domain.objects.all().reserve(
            domain, quota_given=(quota or 0) * len(quotas) - given, limitless=quota is None
        )


def _record(domain: str, rows: QuerySet[Mailbox], change: Change, by: audit.By, reason: str) -> None:
    told = [
        (
            row.email,
            audit.snapshot(row) if change.deletes else {name: getattr(row, name) for name in change.columns},
            change.columns,
        )
        for row in rows
    ]
    action = "delete" if change.deletes else "change"
    audit.record_all(by, action, "mailbox", told, domain=domain, reason=reason)


def _chunks(keys: list[int]) -> list[list[int]]:
    return [keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE)]
