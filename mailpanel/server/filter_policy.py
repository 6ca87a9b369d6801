"""What the content filter does for whom: field by field the most specific scope decides, as Amavis reads it, too.

A scope is `@.` (the server), `@domain` or the address of a mailbox. Every change is recorded in the same transaction.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import Mailbox
from domains import addresses
from domains.models import Domain
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server.models import FilterPolicy, FilterSender
from mailpanel.server.models.filter import DEFAULTS, SERVER

MOST_SENDERS = 300  # in one scope: Amavis reads all of them for each message


class Applied(NamedTuple):
    """What holds for a field, and the scope that says so."""

    value: object
    scope: str


def of_domain(name: str) -> str:
    return f"@{name}"


def name(scope: str) -> str:
    """The domain or mailbox, as the audit log names it; nothing for the server."""
    return "" if scope == SERVER else scope.removeprefix("@")


def domain(scope: str) -> str:
    return "" if scope == SERVER else addresses.split(scope)[1]


def wider(scope: str) -> list[str]:
    """The scopes that decide where this one says nothing, the nearest first."""
    if scope == SERVER:
        return []
    return [SERVER] if scope.startswith("@") else [of_domain(domain(scope)), SERVER]


def row(scope: str) -> FilterPolicy:
    """What the scope itself says, also where it has no row yet."""
    found = FilterPolicy.objects.filter(scope=scope).first()
    return found or FilterPolicy(scope=scope, **(DEFAULTS if scope == SERVER else {}))


def applied(scopes: list[str]) -> dict[str, Applied]:
    """What holds for each field, the first of the scopes being the most specific; one statement."""
    rows = FilterPolicy.objects.in_bulk(scopes)
    found = {field: Applied(value, SERVER) for field, value in DEFAULTS.items()}
    for scope in reversed(scopes):
        for field in DEFAULTS if scope in rows else ():
            if (value := getattr(rows[scope], field)) is not None:
                found[field] = Applied(value, scope)
    return found


@retried_on_deadlock
def change(scope: str, changes: dict, *, by: audit.By, compare: Callable | None = None) -> None:
    """Write only the columns in `changes`; None leaves one to the wider scopes. `compare` gets the row as it is and may
    refuse. Raises ValidationError."""
    with transaction.atomic():
        _hold(scope)
        now = row(scope)
        if compare:
            compare(now)
        before = {column: getattr(now, column) for column in changes}
        for column, value in changes.items():
            setattr(now, column, value)
        _check_levels(now)
        if scope != SERVER and all(getattr(now, column) is None for column in DEFAULTS):
            FilterPolicy.objects.filter(scope=scope).delete()
        else:
            now.save()
        was, is_now = audit.difference(before, changes)
        if is_now:
            _record("change", scope, by, was, is_now)


@retried_on_deadlock
def add_senders(scope: str, senders: Iterable[str], wb: str, *, by: audit.By) -> int:
    """Let these through, or take them for spam; returns how many were not so already. Raises ValidationError."""
    senders = set(senders)
    with transaction.atomic():
        _hold(scope)
        there = dict(FilterSender.objects.filter(scope=scope).values_list("sender", "wb"))
        if len(there.keys() | senders) > MOST_SENDERS:
            raise ValidationError(
                _("At most %(most)s senders stand in one list. There are %(now)s."),
                code="too_many",
                params={"most": MOST_SENDERS, "now": len(there)},
            )
        new = sorted(sender for sender in senders if there.get(sender) != wb)
        FilterSender.objects.filter(scope=scope, sender__in=new).delete()
        FilterSender.objects.bulk_create(FilterSender(scope=scope, sender=sender, wb=wb) for sender in new)
        if new:
            was = {sender: there[sender] for sender in new if sender in there}
            _record("senders", scope, by, was or None, dict.fromkeys(new, wb))
    return len(new)


@retried_on_deadlock
def remove_senders(scope: str, senders: Iterable[str], *, by: audit.By) -> int:
    with transaction.atomic():
        rows = FilterSender.objects.filter(scope=scope, sender__in=list(senders))
        there = dict(rows.values_list("sender", "wb"))
        rows.delete()
        if there:
            _record("senders", scope, by, there, None)
    return len(there)


def parse_sender(text: str) -> str:
    """One address, or a whole domain as “@example.org” or “example.org”. Raises ValidationError."""
    text = text.strip(" ")
    if "@" in text.removeprefix("@"):
        return addresses.parse_destination(text)
    return "@" + addresses.parse_domain(text.removeprefix("@"))


def _hold(scope: str) -> None:
    """Whom it is about stays there, and nobody else changes it, until the transaction ends."""
    if scope == SERVER:
        FilterPolicy.objects.get_or_create(scope=SERVER, defaults=DEFAULTS)
        rows = FilterPolicy.objects.filter(scope=SERVER)
    elif scope.startswith("@"):
        rows = Domain.objects.filter(name=name(scope), alias_of=None)
    else:
        rows = Mailbox.objects.filter(email=scope)
    if not rows.select_for_update().exists():
        raise ValidationError(_("%s was deleted meanwhile.") % addresses.to_unicode(name(scope)), code="gone")


def _check_levels(now: FilterPolicy) -> None:
    found = applied(wider(now.scope))
    mark, kill = (
        found[column].value if (own := getattr(now, column)) is None else own
        for column in ("spam_tag2_level", "spam_kill_level")
    )
    if kill < mark:
        raise ValidationError(
            {"spam_kill_level": _("This is below the score that marks a message. Choose at least that one.")}
        )


def _record(action: str, scope: str, by: audit.By, before, after) -> None:
    audit.record(by, action, "filter", name(scope), domain=domain(scope), before=before, after=after)
