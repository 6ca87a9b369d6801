"""The mail log: what Postfix, Amavis and Dovecot wrote, line by line.

Much of a line is a stranger's text: addresses, Message-IDs, names of attachments, answers of other servers. So each
pattern is anchored at both ends, an address is only what the grammar of addresses allows, and where a stranger's text
stands in the middle, what counts is read from the end that is the daemon's own.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from mailpanel.daemons.text import plain

QUARANTINE = "quarantine:"  # and the mail_id: a message that Amavis has kept
LONGEST = 4000  # characters of a line; what is longer tells nothing but that it was there

_ISO = r"(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d))"
_STAMP = r"(?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-3]\d) (?P<time>\d\d:\d\d:\d\d)"
_SYSLOG = re.compile(
    rf"(?:{_ISO}|{_STAMP}) (?P<host>[\w.:-]+) (?P<program>[\w./-]+)(?:\[(?P<pid>\d+)\])?: (?P<text>.*)"
)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# Dovecot's own log has neither a host nor a program.
_DOVECOT_LOG = re.compile(rf"{_STAMP} (?P<text>lmtp\([^()\s]*\)<\d+><[^<>\s]+>: Info: .*)")
_MONTHS = dict(
    zip(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
        range(1, 13),
        strict=True,
    )
)

_ATOM = r'(?:"(?:[^"\\]|\\.)*"|[^"\\<>\s])*'  # outside of quotes an address has neither < nor >
# A long one is the time, in which there may be a z, another z, and the number of the file.
_QUEUE_ID = r"[0-9A-F]{6,}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+"
_PEER = r"(?P<name>[^\s\[\]]*)\[(?P<address>[^\]\s]*)\](?::\d+)?"


@dataclass(frozen=True, slots=True)
class Line:
    at: datetime
    host: str  # empty where the log has none
    program: str
    text: str
    raw: str


@dataclass(frozen=True, slots=True)
class Event:
    """What one line says about one message. `key` is by which name the daemon has it: a queue id, `amavis:…`,
    `dovecot:…` or `quarantine:…`; `others` are further names of the same message that this line tells."""

    kind: str
    key: str = ""
    others: tuple[str, ...] = ()
    client: str = ""
    address: str = ""  # of the client
    login: str = ""
    sender: str | None = None
    to: str = ""
    original: str = ""
    size: int | None = None
    message_id: str = ""
    relay: str = ""
    dsn: str = ""
    status: str = ""
    said: str = ""
    score: float | None = None
    quarantine: str = ""
    recipients: tuple[str, ...] = ()


def parse(raw: bytes, now: datetime, zone: tzinfo | None = None) -> tuple[Line, Event] | None:
    """None for what is no line of the mail log, or not about a message. Never raises."""
    line = split(raw, now, zone)
    event = line and read(line)
    return (line, event) if event else None


def is_queue_id(text: str) -> bool:
    return bool(re.fullmatch(_QUEUE_ID, text))


def of_host(line: Line, host: str) -> Line:
    return replace(line, host=host)


# --- the beginning of a line ----------------------------------------------------------------------------------


def split(raw: bytes, now: datetime, zone: tzinfo | None = None) -> Line | None:
    """`now` is about when it was written, since the usual format has no year; its times are of `zone`, the machine's."""
    text = plain(raw[: 4 * LONGEST].decode(errors="replace").rstrip("\r\n"))
    found = _SYSLOG.fullmatch(text) or _DOVECOT_LOG.fullmatch(text)
    at = found and _moment(found.groupdict(), now, zone or machine_zone())
    if not at:
        return None
    parts = found.groupdict()
    return Line(at, parts.get("host") or "", parts.get("program") or "dovecot", parts["text"], text[:LONGEST])


@lru_cache(maxsize=1)
def machine_zone() -> tzinfo:
    """That of the daemons. The panel's own may differ (MAILPANEL_TIME_ZONE)."""
    try:
        with open("/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def _moment(parts: dict, now: datetime, zone: tzinfo) -> datetime | None:
    try:
        if iso := parts.get("iso"):
            at = datetime.fromisoformat(iso).astimezone(UTC)
            # a clock that was not set: it was about now
            return at if _EARLIEST < at < now + timedelta(days=1) else now
        month, day = _MONTHS[parts["month"]], int(parts["day"])
        hour, minute, second = map(int, parts["time"].split(":"))
        for year in (now.year + 1, now.year, now.year - 1):  # at New Year a clock may be a little ahead
            try:
                at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone).astimezone(UTC)
            except ValueError:  # 29 February
                continue
            if at <= now + timedelta(days=1):
                return at
    except (KeyError, ValueError, OverflowError):
        pass
    return None


# --- what it says ---------------------------------------------------------------------------------------------


def read(line: Line) -> Event | None:
    if len(line.raw) >= LONGEST:
        return None
    *service, program = line.program.split("/")
    if line.program.startswith("postfix"):
        event = _postfix(program, line.text)
        # behind these doors nobody comes as far as naming recipients but as the owner of the sender (main.cf)
        if (
            event
            and event.kind == "refused"
            and event.status in ("RCPT", "DATA", "BDAT")
            and service[-1] in ("submission", "smtps")
        ):
            event = replace(event, login=event.sender or "")
        return event
    if program in ("amavis", "amavisd"):
        return _amavis(line.text)
    return _dovecot(line.text) if program == "dovecot" else None


_OF_QUEUE = re.compile(rf"(?:({_QUEUE_ID}|NOQUEUE): )?(.*)")
_CLIENT = re.compile(
    rf"client={_PEER}(?:, sasl_method=[^,\s]+)?(?:, sasl_username=(?P<login>[^,\s]+))?(?P<more>(?:, .*)?)"
)
_BEHIND_PROXY = re.compile(rf"(?:.*), orig_client={_PEER}")
_BEFORE_FILTER = re.compile(rf"(?:.*), orig_queue_id=({_QUEUE_ID}|{QUARANTINE}[\w+-]+)(?:, .*)?")
_QUEUED = re.compile(rf"from=<({_ATOM})>, size=(\d+), nrcpt=\d+ \(queue active\)")
_EXPIRED = re.compile(rf"from=<({_ATOM})>, status=(?:force-)?expired, returned to sender")
_DELIVERY = re.compile(
    rf"to=<(?P<to>{_ATOM})>, (?:orig_to=<(?P<original>{_ATOM})>, )?relay=(?P<relay>[^,\s]+)(?:, conn_use=\d+)?"
    r", delay=[\d.]+, delays=[\d./]+, dsn=(?P<dsn>\d\.\d+\.\d+), status=(?P<status>[a-z]+) \((?P<said>.*)\)"
)
_NOTICE = re.compile(
    rf"(?:sender|postmaster) (non-delivery|delay|delivery status) notification: ({_QUEUE_ID})"
)
# Of the stranger's texts in here all but the reason are written as addresses, or without < and > (the name after HELO).
_REFUSED = re.compile(
    rf"(?:milter-)?reject: (?P<stage>[A-Z-]+) from {_PEER}: (?P<said>.*);(?: from=<(?P<sender>{_ATOM})>)?"
    rf"(?:,? to=<(?P<to>{_ATOM})>)?,? proto=\w+(?:,? helo=<[^<>]*>)?"
)
_CLEANUP_REFUSED = re.compile(
    rf"(?:milter-)?reject: (?P<stage>[a-z-]+) .* from {_PEER}; from=<(?P<sender>{_ATOM})> to=<(?P<to>{_ATOM})>"
    r" proto=\w+ helo=<[^<>]*>: (?P<said>.*)"
)
_PROXIED = re.compile(
    rf"proxy-(?P<what>accept|reject): [A-Z-]+: (?P<said>.*); from=<(?P<sender>{_ATOM})>"
    rf"(?: to=<(?P<to>{_ATOM})>)? proto=\w+ helo=<[^<>]*>"
)
_NOT_OWNED = re.compile(r".*: Sender address rejected: not owned by user ([^\s:;<>]+)")


def _postfix(program: str, text: str) -> Event | None:
    found = _OF_QUEUE.fullmatch(text)
    if not found:
        return None
    key, text = found[1], found[2]
    if not key or key == "NOQUEUE":
        return (_refused("", text) or _proxied(text)) if program in ("smtpd", "postscreen") else None
    reader = _READERS.get(program, _delivery)
    return reader(key, text) or Event("other", key)


def _smtpd(key: str, text: str) -> Event | None:
    if found := _CLIENT.fullmatch(text):
        peer = _BEHIND_PROXY.fullmatch(found["more"]) or found
        before = _BEFORE_FILTER.fullmatch(found["more"])
        return Event(
            "began", key, (before[1],) if before else (), client=peer["name"], address=peer["address"],
            login=found["login"] or "",
        )  # fmt: skip
    return _refused(key, text) or _proxied(text)


def _refused(key: str, text: str) -> Event | None:
    found = _REFUSED.fullmatch(text)
    if not found:
        return None
    owner = _NOT_OWNED.fullmatch(found["said"])
    return Event(
        "refused", key, _of_filter(found["said"]), client=found["name"], address=found["address"], sender=found["sender"],
        to=found["to"] or "", login=owner[1] if owner else "", said=found["said"], status=found["stage"],
    )  # fmt: skip


def _proxied(text: str) -> Event | None:
    """The answer of the filter before the queue, as the other server got it."""
    found = _PROXIED.fullmatch(text)
    if not found:
        return None
    key, *others = _of_filter(found["said"]) or ("",)
    if found["what"] == "accept" and not key:
        return None
    kind = "filtered" if found["what"] == "accept" else "refused"
    return Event(
        kind, key, tuple(others), sender=found["sender"], to=found["to"] or "", said=found["said"],
        status="discarded" if "discarded" in found["said"][:40] else "",
    )  # fmt: skip


def _pickup(key: str, text: str) -> Event | None:
    return (
        Event("began", key, client="localhost", address="127.0.0.1")
        if re.fullmatch(r"uid=\d+ from=<.*>", text)
        else None
    )


def _cleanup(key: str, text: str) -> Event | None:
    if text.startswith("message-id="):
        return Event("named", key, message_id=text.removeprefix("message-id=").strip("<>"))
    if found := _CLEANUP_REFUSED.fullmatch(text):
        return Event(
            "refused", key, client=found["name"], address=found["address"], sender=found["sender"], to=found["to"],
            said=found["said"], status=found["stage"],
        )  # fmt: skip
    return None


def _qmgr(key: str, text: str) -> Event | None:
    if text == "removed":
        return Event("removed", key)
    if found := _QUEUED.fullmatch(text):
        return Event("queued", key, sender=found[1], size=int(found[2][:18]))
    if found := _EXPIRED.fullmatch(text):
        return Event("expired", key, sender=found[1])
    return None


def _delivery(key: str, text: str) -> Event | None:
    """Of the programs that deliver: smtp, lmtp, error, and whatever master.cf calls them."""
    found = _DELIVERY.fullmatch(text)
    if not found:
        return None
    others = _of_filter(found["said"]) if _near(found["relay"]) else ()
    return Event(
        "delivery", key, others or _of_dovecot(found["said"], found["relay"]), to=found["to"], original=found["original"] or "",
        relay=found["relay"], dsn=found["dsn"], status=found["status"], said=found["said"],
    )  # fmt: skip


def _bounce(key: str, text: str) -> Event | None:
    found = _NOTICE.fullmatch(text)
    return Event("notice", key, status=found[1], said=found[2]) if found else None


def _postsuper(key: str, text: str) -> Event | None:
    kinds = {"removed": "deleted", "placed on hold": "held", "released from hold": "released"}
    return Event(kinds[text], key) if text in kinds else None


_READERS = {
    "smtpd": _smtpd, "pickup": _pickup, "cleanup": _cleanup, "qmgr": _qmgr, "bounce": _bounce, "postsuper": _postsuper,
}  # fmt: skip

# --- what the filter and Dovecot answered to Postfix ----------------------------------------------------------

_PASSED = re.compile(rf"250 [\d.]+ from MTA\([^()\s]*\): 250 [\d.]+ Ok: queued as ({_QUEUE_ID})")
_TOOK = re.compile(r"(?:host \S+ said: )?[25]\d\d [\d.]+ [A-Z][\w ,]*, id=([\w-]+) - .*")
_SAVED = re.compile(r"250 2\.0\.0 <[^<>\s]+> ([^<>\s]+) Saved")


def _near(relay: str) -> bool:
    """On this machine, by TCP: there listens the filter. The words of any other server are just words."""
    return bool(re.fullmatch(r"\S*\[(?:127\.[\d.]+|::1)\]:\d+", relay))


def _of_filter(said: str) -> tuple[str, ...]:
    if found := _PASSED.fullmatch(said):
        return (found[1],)
    found = _TOOK.fullmatch(said)
    return (f"amavis:{found[1]}",) if found else ()


def _of_dovecot(said: str, relay: str) -> tuple[str, ...]:
    found = _SAVED.fullmatch(said) if re.fullmatch(r"\S*\[/\S*\]", relay) or _near(relay) else None
    return (f"dovecot:{found[1].partition(':')[0]}",) if found else ()


# --- Amavis ---------------------------------------------------------------------------------------------------

_VERDICT = re.compile(r"\(([\w-]+)\) (Passed|Blocked) ([A-Z]+)(?:-[A-Z0-9-]+)?( .*)")
_PARTIES = re.compile(
    rf" \{{(?P<did>[\w,]*)\}},(?: [\w./-]+)*(?: \[(?P<client>[^\]\s]*)\](?::\d+)?)* <(?P<sender>{_ATOM})> -> (?P<to><{_ATOM}>(?:,<{_ATOM}>)*)"
    rf"(?:, quarantine: [^,\s]+)?(?:, Queue-ID: (?P<queue>{_QUEUE_ID}))?"
)
# The stranger's Message-ID stands before this, so the last one counts.
_RESULT = re.compile(
    r"(?P<before>.*), Hits: (?P<hits>-?\d+(?:\.\d+)?|-), size: (?P<size>\d+)(?:, pt: \d+)?(?:, queued_as: (?P<queued>[\w/]+))?"
    r"(?:, (?!Hits|queued_as)[\w-]+[:=] ?[^,\s]+)*, \d+ ms"
)
_KEPT = re.compile(r".*, mail_id: ([\w+-]+)")


def _amavis(text: str) -> Event | None:
    found = _VERDICT.fullmatch(text)
    result = found and _RESULT.fullmatch(found[4])
    if not result:
        return None
    parties = _parties(found[3], found[4])
    told = parties.groupdict() if parties else dict.fromkeys(_PARTIES.groupindex)
    names = [told["queue"], *(result["queued"] or "").split("/")]
    kept, hits = _KEPT.fullmatch(result["before"]), result["hits"]
    others = [name for name in names if name and is_queue_id(name)]
    if kept and "Quarantined" in (told["did"] or ""):
        others.append(QUARANTINE + kept[1])
    return Event(
        "verdict", f"amavis:{found[1]}", tuple(others),
        address=told["client"] or "", sender=told["sender"], recipients=tuple(re.findall(rf"<({_ATOM})>", told["to"] or "")),
        status=found[3].lower(), dsn=found[2], said=told["did"] or "", size=int(result["size"][:18]),
        score=None if hits == "-" else max(min(float(hits), 1e6), -1e6), quarantine=kept[1] if kept else "",
    )  # fmt: skip


def _parties(verdict: str, text: str) -> re.Match | None:
    """Sender and recipients. After BANNED stands the name of an attachment, which may be made to look like them: then they
    are told only if there is nothing else that they could be."""
    if verdict not in ("BANNED", "INFECTED"):
        return _PARTIES.match(text)
    found = list(_PARTIES.finditer(text))
    return found[0] if len(found) == 1 else None


# --- Dovecot --------------------------------------------------------------------------------------------------

_LMTP = re.compile(r"lmtp\((?P<user>[^()\s]*)\)<\d+><(?P<session>[^<>\s]+)>: (?:Info: )?(?P<text>.*)")
_STORED = re.compile(r"(?:sieve: )?msgid=.*: (?:saved mail to|stored mail into mailbox) '?(.*?)'?")
_SIEVE = (
    ("forwarded", re.compile(rf"sieve: msgid=.*: forwarded to <({_ATOM})>")),
    ("answered", re.compile(rf"sieve: msgid=.*: sent vacation response to <({_ATOM})>")),
    ("rejected", re.compile(r"sieve: msgid=.*: rejected message from <.*> \(reject\)()")),
    ("dropped", re.compile(r"sieve: msgid=.*: marked message to be discarded if not explicitly delivered \(discard action\)()")),
)  # fmt: skip


def _dovecot(text: str) -> Event | None:
    found = _LMTP.fullmatch(text)
    if not found:
        return None
    key = f"dovecot:{found['session'].partition(':')[0]}"
    if stored := _STORED.fullmatch(found["text"]):
        return Event("stored", key, to=found["user"], said=stored[1], status="stored")
    for status, pattern in _SIEVE:
        if done := pattern.fullmatch(found["text"]):
            return Event("stored", key, to=found["user"], said=done[1], status=status)
    return None
