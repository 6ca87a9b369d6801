"""The way of one message, step by step, as its lines tell it: for people, and without what is not for this reader."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from domains import addresses, quota
from mailpanel.daemons import maillog
from mailpanel.daemons.maillog import Event
from mailpanel.server import reasons
from mailpanel.server.messages import is_local
from mailpanel.server.models import Line
from mailpanel.server.models.trace import State
from mailpanel.server.trace import Told

# When Postfix tries again: as long after the last try as the message is old, within these (its minimal_backoff_time and
# maximal_backoff_time), and up to a run of the queue later.
_SOONEST, _LATEST = (5, 20) if settings.PRIVATE_COPY else (300, 4000)
_ADDRESS = re.compile(r'<?(?:"(?:[^"\\]|\\.)*"|[^\s<>,;:"()\[\]]+)@[^\s<>,;:"()\[\]]+>?')


@dataclass
class Step:
    at: datetime
    icon: str
    title: str
    level: str = ""  # ok, warn, bad
    more: str = ""
    said: str = ""  # the other server's own words
    times: int = 1
    until: datetime | None = None  # the last of several times
    origin: bool = False  # tells where it came from


@dataclass
class Way:
    steps: list[Step] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    headline: str = ""
    more: str = ""
    last_try: datetime | None = None
    reasons: dict[str, str] = field(default_factory=dict)  # by the recipient's address


def way(message: Told, lines: list[Line]) -> Way:
    found = Way(lines=lines)
    for line in lines:
        parsed = maillog.parse(line.text.encode(), line.at + timedelta(days=1))
        if parsed and (step := _step(parsed[1], line.at, message, found)):
            _add(found.steps, step)
    if found.steps and message.row.address and not any(step.origin for step in found.steps):
        found.steps.insert(0, _from(message.at, _server(message.row.client, message.row.address)))
    found.headline, found.more = _headline(message, found)
    return found


def _add(steps: list[Step], step: Step) -> None:
    """A message that waits says the same again and again: once is told, and how often."""
    for one in reversed(steps):
        if (one.icon, one.title, one.more, one.said) == (step.icon, step.title, step.more, step.said):
            one.times, one.until = one.times + 1, step.at
            return
    steps.append(step)


def _step(event: Event, at: datetime, message: Told, found: Way) -> Step | None:
    teller = _TELLERS.get(event.kind)
    return teller(event, at, message, found) if teller else None


# --- what each line means -------------------------------------------------------------------------------------


def _began(event, at, message, found):
    here = event.address.startswith("127.") or event.address == "::1"
    if event.others and event.others[0].startswith(maillog.QUARANTINE):
        theirs = any(row.queue_id == event.key for row in message.recipients)
        return Step(at, "quarantine", _("It was released from the quarantine")) if theirs else None
    if any(step.origin for step in found.steps):  # back from the filter
        return None
    where = _server(event.client, event.address)
    if event.login:
        title = _("%(login)s signed in and sent it") % {"login": _shown(event.login, message)}
        return Step(at, "send", title, more=_("from %(where)s") % {"where": where}, origin=True)
    if here:
        return Step(at, "home", _("A program of this server sent it"), origin=True)
    return _from(at, where)


def _from(at, where: str) -> Step:
    return Step(at, "mail", _("It came from %(where)s") % {"where": where}, origin=True)


def _queued(event, at, message, found):
    if any(step.icon in ("check", "quarantine") for step in found.steps):
        return None
    title = _("It was taken, %(size)s") % {"size": quota.show(message.row.size or event.size or 0)}
    return Step(at, "check", title)


def _verdict(event, at, message, found):
    score = (
        ""
        if event.score is None
        else _("Its spam score is %(score)s.") % {"score": number_format(round(event.score, 1))}
    )
    if event.status in ("infected", "banned"):
        title = (
            _("The filter found a virus in it")
            if event.status == "infected"
            else _("The filter found an attachment in it that is not let in")
        )
        return Step(at, "shield", title, "bad", _kept(event))
    if event.status in ("spam", "spammy"):
        if event.dsn == "Blocked":
            title, more = _("The filter took it for spam"), f"{score} {_kept(event)}".strip()
            return Step(at, "quarantine", title, "warn", more)
        return Step(at, "shield", _("The filter marked it as spam"), "warn", score)
    if event.dsn == "Blocked":
        return Step(at, "shield", _("The filter did not let it pass"), "bad", _kept(event))
    return Step(at, "shield", _("The filter found nothing in it"), "ok", score)


def _kept(event) -> str:
    return _("It was put into the quarantine.") if "Quarantined" in event.said else ""


def _delivery(event, at, message, found):
    if event.others and not event.others[0].startswith("dovecot:"):
        return None  # the filter tells that itself
    to = _recipient(event, message)
    if to is None:
        return None
    domain = _domain(event.to, message)
    # by its name and its words the server would tell where an alias of others leads
    known = message.names(event.to) or message.owns(event.original)
    said = _said(event.said, message) if known else ""
    why = reasons.words(event.said, domain)
    if event.status == "sent" and is_local(event.relay):
        return Step(at, "mailbox", _("Delivered to %(address)s") % {"address": to}, "ok")
    if event.status == "sent":
        title = _("Sent on to %(address)s") % {"address": to}
        server = _("%(server)s has taken it.") % {"server": event.relay.partition("[")[0]} if known else ""
        return Step(at, "send", title, "ok", server, said)
    if event.status == "deferred":
        found.last_try = at
        found.reasons[event.to] = why
        return Step(at, "clock", _("It waits to go to %(address)s") % {"address": to}, "warn", why, said)
    if event.status == "bounced":
        found.reasons[event.to] = why
        return Step(
            at, "bad", _("It could not be delivered to %(address)s") % {"address": to}, "bad", why, said
        )
    return None


def _refused(event, at, message, found):
    to = _recipient(event, message) if event.to else ""
    if to is None:
        return None
    why = reasons.words(event.said, _domain(event.to, message))
    found.reasons[event.to] = why
    put_off = event.said.startswith("4")
    if to:
        title = (_("Put off, for %(address)s") if put_off else _("Refused, for %(address)s")) % {
            "address": to
        }
    else:
        title = _("Put off") if put_off else _("Refused")
    level = "warn" if put_off else "bad"
    return Step(at, "bad", title, level, why, _said(event.said, message))


def _stored(event, at, message, found):
    told = event.status in ("answered", "rejected")  # to the sender, by mail
    if not (message.owns(event.to) or (told and message.names(event.to))):
        return None
    to = _shown(event.to, message)
    match event.status:
        case "stored":
            title = _("It lies in the folder %(folder)s of %(address)s") % {
                "folder": event.said,
                "address": to,
            }
            return Step(at, "mailbox", title, "ok")
        case "forwarded":
            title = _("A rule of %(address)s sent it on to %(other)s")
            return Step(at, "forward", title % {"address": to, "other": _shown(event.said, message)})
        case "answered":
            return Step(at, "vacation", _("The vacation note of %(address)s answered it") % {"address": to})
        case "rejected":
            return Step(at, "bad", _("A rule of %(address)s sent it back") % {"address": to}, "bad")
    return Step(at, "trash", _("A rule of %(address)s threw it away") % {"address": to}, "warn")


def _notice(event, at, message, found):
    if event.status == "delay":
        return Step(at, "mail", _("The sender was told that it waits"))
    return Step(at, "mail", _("The sender was told that it was not delivered"), "warn")


def _expired(event, at, message, found):
    return Step(at, "bad", _("It had waited too long, and was given up"), "bad")


def _by_hand(event, at, message, found):
    words = {
        "deleted": _("An administrator deleted it from the queue"),
        "held": _("An administrator put it on hold"),
        "released": _("An administrator let it go on"),
    }
    return Step(at, "queue", words[event.kind], "bad" if event.kind == "deleted" else "")


_TELLERS = {
    "began": _began, "queued": _queued, "verdict": _verdict, "delivery": _delivery, "refused": _refused, "stored": _stored,
    "notice": _notice, "expired": _expired, "deleted": _by_hand, "held": _by_hand, "released": _by_hand,
}  # fmt: skip

# --- names, and whom they may be shown to ---------------------------------------------------------------------


def _server(name: str, address: str) -> str:
    return address if name in ("", "unknown") else f"{name} ({address})"


def _shown(address: str, message: Told) -> str:
    return addresses.to_unicode(address) if message.names(address) else _("another address")


def _recipient(event, message: Told) -> str | None:
    """The recipient of this step, by the alias that was written to if there is one; None for one of others."""
    if not message.names(event.to):
        return _shown(event.original, message) if event.original and message.names(event.original) else None
    if event.original and message.names(event.original) and event.original != event.to:
        return _("%(address)s, by way of %(alias)s") % {
            "address": addresses.to_unicode(event.to),
            "alias": addresses.to_unicode(event.original),
        }
    return addresses.to_unicode(event.to)


def _domain(address: str, message: Told) -> str:
    return addresses.to_unicode(address.rpartition("@")[2]) if message.names(address) else ""


def _said(said: str, message: Told) -> str:
    """Somebody else's words, without the addresses that are not for this reader."""
    if message.named is None:
        return said
    return _ADDRESS.sub(lambda one: one[0] if message.names(one[0].strip("<>")) else "…", said)


# --- the answer -----------------------------------------------------------------------------------------------


def _headline(message: Told, found: Way) -> tuple[str, str]:
    number = len(message.recipients)
    why = next(
        (found.reasons[row.address] for row in message.recipients if found.reasons.get(row.address)), ""
    )
    if not why:
        why = next(filter(None, found.reasons.values()), "")
    match message.state:
        case State.DELIVERED:
            return ngettext("Delivered to the recipient", "Delivered to %(number)s recipients", number) % {
                "number": number
            }, ""
        case State.SENT:
            return _("Sent on: the other server has taken it"), _(
                "Whether it lies in the inbox there is known there alone."
            )
        case State.QUARANTINED:
            return _("Held back by the filter"), why or _("It was put into the quarantine.")
        case State.REFUSED:
            return _("Refused"), why
        case State.BOUNCED:
            return _("Not delivered, and the sender was told so"), why
        case State.WAITING:
            return _("Waits"), why
    return "", ""


def next_try(message: Told, found: Way) -> datetime | None:
    """About when; Postfix tells nobody."""
    if message.state != State.WAITING or not found.last_try:
        return None
    age = (found.last_try - message.row.at).total_seconds()
    return found.last_try + timedelta(seconds=min(max(age, _SOONEST), _LATEST))
