"""What becomes of what the quarantine holds: it is released or deleted, and its sender allowed."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Mailbox
from domains.routing import Routes
from mailpanel.daemons import Trouble, pdp
from mailpanel.daemons.probing import Watch
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server import filter_policy, retention
from mailpanel.server.models import MsgRcpt
from mailpanel.server.models.filter import ALLOWED
from mailpanel.server.models.quarantine import DELETED, RELEASED
from mailpanel.server.quarantine import Held

SECONDS = 40  # for all that is released at once


@dataclass
class Outcome:
    done: list[Held] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # a sentence for each message that stays


def release(chosen: list[Held], *, by: audit.By, reason: str = "") -> Outcome:
    """Deliver them by Amavis to the recipients chosen, and to nobody else; what fails stays as it was. Where Amavis does
    not answer, the rest is not tried."""
    with _claimed(chosen) as (mine, outcome):
        of_message: dict[str, list[Held]] = {}
        marks = Routes().marks({one.base for one in mine})
        for one in mine:
            if marks[one.base].alive:
                of_message.setdefault(one.row.mail_id, []).append(one)
            else:  # the filter is behind the door where it would be refused, and its sender is forged most of the time
                said = _(
                    "%(recipient)s takes no mail any more, so the message would be returned to its sender."
                )
                outcome.refused.append(said % {"recipient": one.recipient})
        _release(of_message.values(), outcome, by, reason)
    return outcome


def delete(chosen: list[Held], *, by: audit.By, reason: str = "") -> Outcome:
    with _claimed(chosen) as (mine, outcome):
        _mark(mine, by, reason, released=False)
        outcome.done += mine
    return outcome


@contextmanager
def _claimed(chosen: list[Held]) -> Iterator[tuple[list[Held], Outcome]]:
    """Those that are ours to decide about for a while. What somebody else releases at the same moment is left to him: it
    would arrive twice, or cut off by its deletion."""
    outcome, slips = Outcome(), _claim(chosen)
    for one in chosen:
        if one.slip not in slips:
            said = _("Somebody else was quicker with the message for %(recipient)s. Look at the list again.")
            outcome.refused.append(said % {"recipient": one.recipient})
    try:
        yield [one for one in chosen if one.slip in slips], outcome
    finally:
        MsgRcpt.objects.filter(slip__in=slips).update(claimed=None)


@retried_on_deadlock
def _claim(chosen: list[Held]) -> set[str]:
    """Those that still wait and that are nobody else's just now. Whoever is not heard of again keeps them for a while."""
    now = int(time.time())
    rows = MsgRcpt.objects.filter(slip__in=[one.slip for one in chosen], kind__isnull=False)
    with transaction.atomic():
        free = rows.filter(Q(claimed=None) | Q(claimed__lt=now)).select_for_update()
        claimed = set(free.values_list("slip", flat=True))
        MsgRcpt.objects.filter(slip__in=claimed).update(claimed=now + 2 * SECONDS)
    return claimed


def _release(messages: Iterable[list[Held]], outcome: Outcome, by: audit.By, reason: str) -> None:
    watch = Watch(SECONDS)
    for all_of_it in messages:
        msg = all_of_it[0].msg
        try:
            pdp.release(
                msg.mail_id,
                msg.secret_id,
                sorted({one.recipient for one in all_of_it}),
                Watch(min(watch.left, pdp.SECONDS)),
            )
        except pdp.Refused as error:
            outcome.refused.append(str(error.detail))
        except Trouble as error:
            outcome.refused.append(f"{error.detail} {error.hint}".strip())
            break
        except TimeoutError:
            outcome.refused.append(_("This took too long, so the rest was not tried."))
            break
        else:
            _mark(all_of_it, by, reason, released=True)
            outcome.done += all_of_it


def allow_senders(chosen: list[Held], actor: Mailbox, *, by: audit.By) -> tuple[set[str], list[str]]:
    """From now on, never take their senders for spam where these messages were for. The senders, and what was refused."""
    allowed, refused = set(), []
    for scope, sender in sorted({(one.owner.email, one.sender) for one in chosen if may_allow(actor, one)}):
        try:
            filter_policy.add_senders(scope, [filter_policy.parse_sender(sender)], ALLOWED, by=by)
        except ValidationError as error:
            refused.append(f"{sender}: {' '.join(error.messages)}")
        else:
            allowed.add(sender)
    return allowed, refused


def may_allow(actor: Mailbox, one: Held) -> bool:
    return bool(one.sender and one.owner and access.may_filter(actor, one.owner))


def record_reading(one: Held, *, by: audit.By) -> None:
    """Somebody else's message; the owner sees who has read it."""
    _record("read", [one], by)


@retried_on_deadlock
def _mark(chosen: list[Held], by: audit.By, reason: str, *, released: bool) -> None:
    with transaction.atomic():
        keys = [one.slip for one in chosen]
        MsgRcpt.objects.filter(slip__in=keys, kind__isnull=False).update(rs=RELEASED if released else DELETED)
        retention.forget_texts({one.row.mail_id for one in chosen})
        _record("release" if released else "delete", chosen, by, reason)


def _record(action: str, chosen: list[Held], by: audit.By, reason: str = "") -> None:
    by_domain: dict[str, list[Held]] = {}
    for one in chosen:
        by_domain.setdefault(one.owner.domain_id if one.owner else one.domain, []).append(one)
    for domain, some in by_domain.items():
        rows = [(one.owner.email if one.owner else one.base, None, _told(one)) for one in some]
        audit.record_all(by, action, "quarantine", rows, domain=domain[:255], reason=reason)


def _told(one: Held) -> dict:
    return {"sender": one.sender, "recipient": one.recipient, "message": one.row.mail_id}
