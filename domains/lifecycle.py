"""Open and change a domain, save and delete an alias; closing a domain is in accounts.lifecycle, since its mailboxes
go with it. Every function writes its audit row in the same transaction."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import audit, search, trash
from accounts.lifecycle import held, keeping_a_server_admin
from accounts.models import Mailbox, Sender
from domains import addresses, routing
from domains.models import Alias, Domain
from mailpanel.daemons import dovecot
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server import retention


@dataclass(frozen=True)
class Destination:
    """One row of an alias, as a form or a command has it; the address is canonical."""

    address: str
    enabled: bool = True
    expires: datetime | None = None
    comment: str = ""
    send_as: bool = False  # the mailbox that this is may send as the alias


@retried_on_deadlock
def open_domain(domain: Domain, *, by: audit.By) -> None:
    """Insert a cleaned domain. Raises ValidationError when it is there already."""
    try:
        with transaction.atomic():
            if domain.alias_of_id:
                held(domain.alias_of)
            domain.save(force_insert=True)
            search.index(Domain.objects.filter(pk=domain.pk))
            audit.record(
                by, "create", "domain", domain.name, domain=domain.name, after=audit.snapshot(domain)
            )
    except IntegrityError as error:
        raise ValidationError({"name": _("%s exists already.") % domain}) from error


@retried_on_deadlock
def change_domain(domain: Domain, changes: dict, *, by: audit.By, compare: Callable | None = None) -> None:
    """Write only the columns in `changes`. `compare` gets the row as it is, under lock, and may refuse.

    Raises ValidationError for what the rules of the domain refuse, and DaemonError when Dovecot could not be told.
    """
    with keeping_a_server_admin():
        current = held(domain, compare)
        old = audit.snapshot(current)
        for field, value in changes.items():
            setattr(current, field, value)
        current.clean()  # again, now that the row is held: a mailbox may have come since the form was checked
        current.save(update_fields=[*changes, "modified"])
        was, now = audit.difference(old, audit.snapshot(current))
        if "alias_of" in now:  # what waits for the people of one domain is not for those of another
            retention.domain_to_trash(current.name)
        if "description" in now:
            search.index(Domain.objects.filter(pk=current.pk))
        if now:
            audit.record(by, "change", "domain", current.name, domain=current.name, before=was, after=now)
    if "enabled" in now:
        dovecot.forget_domain(current.name, list(current.mailboxes.values_list("email", flat=True)))


@retried_on_deadlock
def save_alias(
    source: str,
    destinations: list[Destination],
    *,
    by: audit.By,
    instead_of_mailbox: bool = False,
    compare: Callable[[list[Destination]], None] | None = None,
    told: Callable[[str], str] = addresses.to_unicode,
    deletion: uuid.UUID | None = None,
) -> None:
    """Make the rows of `source` (canonical) exactly these; none of them deletes the alias.

    `deletion` is the key to bring back those by that go.

    An alias takes the mail of a mailbox of the same name: that mailbox must be among the destinations (“as well”) or
    `instead_of_mailbox` must say that it is meant. The rows in `sender` of the mailboxes that are or were destinations
    follow `send_as`. To give that right takes the right to change the alias and nothing else, wherever the mailbox
    stands: it is a right over the address. `compare` gets the destinations as they are and may refuse; `told` gives the
    words for an address in a sentence, since it may be one that the actor must not know of. Raises ValidationError:
    limits, loops, dead ends, doubles.
    """
    if len({to.address for to in destinations}) < len(destinations):
        raise ValidationError(_("A destination stands there twice."), code="double")
    with transaction.atomic():
        _one_at_a_time()
        now = destinations_of(source)
        if compare:
            compare(now)
        before = {row.destination: row for row in Alias.objects.filter(source=source)}
        after = {to.address: to for to in destinations}
        domain = addresses.split(source)[1]
        Domain.objects.all().reserve(domain, aliases=len(after) - len(before))
        _check(source, destinations, instead_of_mailbox, told)
        within = {"deletion": deletion or uuid.uuid4(), "actor": by.actor}
        _let_send(source, now, after, within)
        trash.move(
            Alias.objects.filter(source=source, destination__in=before.keys() - after.keys()),
            name="source",
            domain="domain",
            **within,
        )
        for address, to in after.items():
            row = before.get(address) or Alias(source=source, destination=address, domain_id=domain)
            values = {"enabled": to.enabled, "expires": to.expires, "comment": to.comment}
            if row.pk is None or any(getattr(row, key) != value for key, value in values.items()):
                for key, value in values.items():
                    setattr(row, key, value)
                row.full_clean(exclude={"domain"}, validate_unique=False, validate_constraints=False)
                row.save()
        search.index(Alias.objects.filter(source=source))
        _record(source, domain, _told(now), _told(destinations), by)


@retried_on_deadlock
def edit_alias(
    source: str,
    edit: Callable[[list[Destination]], list[Destination]],
    *,
    by: audit.By,
    instead_of_mailbox: bool = False,
) -> None:
    """save_alias with what `edit` makes of the destinations as they are now, so that two people who each add one do
    not undo each other. An alias that has the mail of a mailbox already goes on to have it."""
    with transaction.atomic():
        _one_at_a_time()
        now = destinations_of(source)
        alive = {to.address for to in now if to.enabled}
        instead = bool(alive) and source not in alive
        save_alias(source, edit(now), by=by, instead_of_mailbox=instead_of_mailbox or instead)


def destinations_of(source: str) -> list[Destination]:
    senders = may_send_as(source)
    return [
        Destination(row.destination, row.enabled, row.expires, row.comment, row.destination in senders)
        for row in Alias.objects.filter(source=source)
    ]


def may_send_as(address: str) -> set[str]:
    """The mailboxes that were given the right to send as this address."""
    return set(Sender.objects.filter(address=address).values_list("mailbox__email", flat=True))


def _let_send(source: str, now: list[Destination], after: dict[str, Destination], within: dict) -> None:
    """Give the right to send as the alias to the mailboxes of which `after` says so, and take it from those of which it
    does not; what goes with a destination goes to the trash with it."""
    wanted = {to.address for to in after.values() if to.send_as}
    had = {to.address for to in now if to.send_as}
    new = wanted - had
    if new and source.startswith("@"):
        raise ValidationError(_("A catch-all is no address to send as."), code="send_as")
    boxes = list(Mailbox.objects.filter(email__in=new))
    if missing := new - {box.email for box in boxes if box.email != source}:
        raise ValidationError(
            _("Only a mailbox on this server can send as another address, and %(address)s is none."),
            code="send_as",
            params={"address": addresses.to_unicode(min(missing))},
        )
    Sender.objects.bulk_create([Sender(mailbox=box, address=source) for box in boxes])
    lost = Sender.objects.filter(address=source, mailbox__email__in=had - wanted)
    trash.move(lost.filter(mailbox__email__in=had - after.keys()), name="address", domain="''", **within)
    lost.delete()


def _check(source: str, destinations: list[Destination], instead_of_mailbox: bool, told) -> None:
    alive = [to.address for to in destinations if to.enabled]
    if (
        alive
        and not instead_of_mailbox
        and source not in alive
        and Mailbox.objects.filter(email=source).exists()
    ):
        raise ValidationError(
            _(
                "%(source)s is a mailbox. Say whether the alias gets its mail as well, or instead of the mailbox."
            ),
            code="mailbox",
            params={"source": addresses.to_unicode(source)},
        )
    routing.check(source, alive if destinations else None, told)


def _one_at_a_time() -> None:
    """Aliases are saved one after the other, or two admins could each save one half of a circle."""
    Domain.objects.select_for_update().order_by("name").values_list("pk").first()


def _told(destinations) -> dict:
    """What the audit log keeps of each destination."""
    return {
        to.address: {
            "enabled": to.enabled,
            "expires": str(to.expires or ""),
            "comment": to.comment,
            "send_as": to.send_as,
        }
        for to in destinations
    }


def _record(source: str, domain: str, was: dict, now: dict, by: audit.By) -> None:
    if was != now:
        action = "change" if was and now else "create" if now else "delete"
        was, now = audit.difference(was, now)
        audit.record(by, action, "alias", source, domain=domain, before=was or None, after=now or None)
