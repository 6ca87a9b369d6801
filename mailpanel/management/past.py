"""Ninety days of a server that mostly works, for the demo data and for tests to look at."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from mailpanel.daemons import State, probing
from mailpanel.daemons.text import Size, Text
from mailpanel.daemons.text import Text as _
from mailpanel.server.models import Alert, Hour, Incident, Result, Standing

DAYS = 90
RAW = timedelta(hours=25)  # of which each minute is written: what a page shows, and a little more
GB = 2**30

# The usual seconds of each, and its sentence for all well. What is not listed is as good as not there: switched off.
WELL: dict[str, tuple[float, Text]] = {
    "roundtrip": (
        0.62,
        _("A message came from the sender to the reader in %(seconds)s seconds.", seconds=0.62),
    ),
    "clamav": (0.041, _("Finds the test virus and lets a clean text pass.")),
    "lmtp": (0.019, _("Takes mail for a mailbox that exists, and refuses it for one that does not.")),
    "quota-status": (0.006, _("Refuses what does not fit into a mailbox, before it is taken.")),
    "smtp": (0.034, _("STARTTLS, no sign-in, and no relay for strangers.")),
    "submission": (0.058, _("STARTTLS, sign-in under it alone, and nothing without a sign-in.")),
    "smtps": (0.049, _("TLS from the first byte on, and nothing without a sign-in.")),
    "sasl": (0.022, _("Dovecot knows the mailbox of the probes and lets it send.")),
    "policy": (0.003, _("Counts what is sent, and stops a mailbox at its limit.")),
    "queue": (0.011, _("The queue is empty.")),
    "postsrsd": (
        0.003,
        _("Gives forwarded mail a sender of ours, and knows its own addresses from forged ones."),
    ),
    "imap": (0.071, _("No sign-in without TLS; signs in and opens the inbox.")),
    "imaps": (0.064, _("No sign-in without TLS; signs in and opens the inbox.")),
    "pop3": (0.066, _("No sign-in without TLS; signs in and counts the inbox.")),
    "pop3s": (0.061, _("No sign-in without TLS; signs in and counts the inbox.")),
    "managesieve": (0.055, _("STARTTLS, no sign-in without it, and filters can be changed.")),
    "doveadm": (
        0.013,
        _("Knows who exists, and does what the panel asks: ends sessions, forgets old passwords."),
    ),
    "database": (
        0.004,
        _("Reads and writes; the slowest query of Postfix takes %(milliseconds)s ms.", milliseconds=0.42),
    ),
    "disks": (
        0.001,
        _(
            "The volume of the mail is %(percent)s %% full, %(left)s are left.",
            percent=61,
            left=Size(188 * GB),
        ),
    ),
    "memory": (
        0.001,
        _(
            "%(free)s of %(total)s memory are free; load %(load)s for each processor.",
            free=Size(3 * GB),
            total=Size(8 * GB),
            load=0.21,
        ),
    ),
    "resolver": (0.017, _("Knows the servers of the root, so it reaches the world.")),
    "hostname": (
        0.024,
        _(
            "%(host)s leads to %(addresses)s and back.",
            host=settings.MAILPANEL_HOSTNAME,
            addresses=["192.0.2.25"],
        ),
    ),
    "tls": (0.15, Text("")),
}


@dataclass(frozen=True)
class Fault:
    """`ago` and `lasted` in minutes. `effects` are the probes that it takes along."""

    key: str
    ago: int
    lasted: int
    detail: Text
    hint: Text
    command: str = ""
    effects: tuple[str, ...] = ()
    flaps: int = 0
    told: bool = True

    def covers(self, key: str, minute: int) -> bool:
        """`minute` counted back from the end."""
        return (key == self.key or key in self.effects) and self.ago - self.lasted < minute <= self.ago


_HOUR, _DAY = 60, 1440


def _nobody(where: str, program: str) -> dict:
    return {
        "detail": _("Nobody listens at %(where)s.", where=where),
        "hint": _(
            "%(program)s is not running, or listens elsewhere. Start it; if it ends again, its log says why.",
            program=program,
        ),
        "command": f"sudo systemctl restart {program}",
    }


_CLAMD = _nobody("/run/clamav/clamd.ctl", "clamav-daemon")
_SILENT = {
    "detail": _(
        "%(where)s takes the connection and says nothing for %(seconds)s seconds.",
        where="127.0.0.1:25",
        seconds=3.0,
    ),
    "hint": _(
        "It hangs, is overloaded, or waits for another program. Look what it said last, then start it anew."
    ),
    "command": "sudo journalctl -u postfix -n 20",
}
_DOVECOT = ("imaps", "pop3", "pop3s", "managesieve", "lmtp", "sasl", "doveadm", "quota-status", "roundtrip")
FAULTS = (
    Fault("smtp", 9 * _HOUR + 20, 2, **_SILENT, told=False),
    Fault("clamav", 31 * _HOUR, 26, **_CLAMD, effects=("roundtrip",)),
    Fault("imap", 6 * _DAY + 130, 11, **_nobody("127.0.0.1:143", "dovecot"), effects=_DOVECOT),
    Fault("smtp", 17 * _DAY, 45, **_SILENT, effects=("roundtrip",), flaps=3),
    Fault("clamav", 38 * _DAY + 700, 78, **_CLAMD, effects=("roundtrip",)),
    Fault("database", 63 * _DAY, 7, **_nobody("127.0.0.1:3306", "mariadb"), effects=("smtp", "imap", *_DOVECOT)),
)  # fmt: skip
GOING_ON = Fault("clamav", 24, 24, **_CLAMD, effects=("roundtrip",))


def make_past(end: datetime, *, going_on: bool = False) -> None:
    """The history up to `end`, the same each time; with an incident that goes on, if that is asked for."""
    faults = (*FAULTS, GOING_ON) if going_on else FAULTS
    for fault in faults:
        _incident(fault, end, over=fault is not GOING_ON)
    known = probing.probes()
    _write(Result, (row for key in known for row in _minutes(key, end, faults)))
    _write(Hour, (row for key in known for row in _hours(key, end, faults)))
    for key in known:
        Standing.objects.update_or_create(key=key, defaults=_standing(key, end, going_on))


def _write(model, rows: Iterable[tuple]) -> None:
    """Ten times as fast as by objects."""
    quoted = connection.ops.quote_name
    columns = [quoted(field.column) for field in model._meta.concrete_fields if not field.primary_key]
    marks = ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"REPLACE INTO {quoted(model._meta.db_table)} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608
            list(rows),
        )


def _incident(fault: Fault, end: datetime, *, over: bool) -> None:
    began = end - timedelta(minutes=fault.ago)
    shared = {
        "began": began,
        "ended": began + timedelta(minutes=fault.lasted) if over else None,
        "rounds": fault.lasted,
        "detail": fault.detail.packed(),
        "hint": fault.hint.packed(),
        "command": fault.command,
    }
    root = Incident.objects.create(key=fault.key, flaps=fault.flaps, **shared)
    Incident.objects.bulk_create(Incident(key=key, cause=root, **shared) for key in fault.effects)
    if not fault.told:
        return
    about = {Alert.About.DOWN: began + timedelta(minutes=2)}
    if over:
        about[Alert.About.CLEAR] = shared["ended"] + timedelta(minutes=2)
    Alert.objects.bulk_create(
        Alert(incident=root, about=what, way=Alert.Way.MAIL, made=at, sent=at, tries=1)
        for what, at in about.items()
    )


def _of(key: str, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    return tuple(fault for fault in faults if key == fault.key or key in fault.effects)


def _state(key: str, minute: int, faults: tuple[Fault, ...]) -> State:
    if key not in WELL:
        return State.OFF
    if any(fault.covers(key, minute) for fault in faults):
        return State.BAD
    return State.WARN if key == "tls" and minute < 9 * _HOUR else State.OK


def _seconds(key: str, state: State, at: int, chance: random.Random) -> float:
    """Slower by day than by night, and now and then much slower."""
    if state == State.BAD:
        return 3.0 if key == "roundtrip" else 0.002
    busy = 1.35 - abs(at // 60 % 24 - 14) / 30
    return WELL[key][0] * busy * chance.uniform(0.85, 1.25) * (6 if chance.random() < 0.002 else 1)


def _minutes(key: str, end: datetime, faults: tuple[Fault, ...]) -> Iterable[tuple]:
    """Rows of Result."""
    chance, last = random.Random(key), int(end.timestamp()) // 60  # noqa: S311  it is to be the same each time
    mine = _of(key, faults)
    for ago in range(int(RAW.total_seconds()) // 60):
        state = _state(key, ago, mine)
        seconds = 0.0 if state == State.OFF else _seconds(key, state, last - ago, chance)
        yield key, last - ago, state.value, seconds


def _hours(key: str, end: datetime, faults: tuple[Fault, ...]) -> Iterable[tuple]:
    """Rows of Hour. Chance is asked once an hour, so it does not tell exactly what the minutes tell."""
    chance, last = random.Random(f"{key} by hour"), int(end.timestamp()) // 60  # noqa: S311
    mine = _of(key, faults)
    for hour in range(last // 60 - DAYS * 24 + 1, last // 60 + 1):
        if key not in WELL:
            yield key, hour, 0, 0, 0, 60, 0.0, 0.0
            continue
        ago = last - hour * 60
        near = [fault for fault in mine if ago - 60 < fault.ago and fault.ago - fault.lasted < ago]
        bad = sum(fault.covers(key, ago - minute) for fault in near for minute in range(60))
        state = _state(key, ago, ())
        usual = _seconds(key, State.OK, hour * 60, chance)
        slowest = max(usual * chance.uniform(1.2, 2.5), _seconds(key, State.BAD, 0, chance) if bad else 0)
        well = 60 - bad
        counts = (0, well) if state == State.WARN else (well, 0)
        yield key, hour, *counts, bad, 0, usual * well, slowest


def _standing(key: str, end: datetime, going_on: bool) -> dict:
    """Columns of Standing."""
    seconds, detail = WELL.get(key, (0.0, _("This is not checked here.")))
    fault = GOING_ON if going_on and GOING_ON.covers(key, 1) else None
    fields = {
        "state": _state(key, 1, (fault,) if fault else ()),
        "since": end - timedelta(minutes=GOING_ON.ago) if fault else end - timedelta(days=6),
        "checked": end,
        "seconds": 3.0 if fault else seconds,
        "detail": detail.packed(),
        "hint": {},
        "command": "",
        "stages": [],
        "asked": None,
    }
    if fault:
        fields |= {name: getattr(fault, name).packed() for name in ("detail", "hint")}
        fields["command"] = fault.command
    elif key == "tls":
        fields |= _certificate(end)
    if key == "roundtrip" and fault:
        fields["detail"] = _(
            "A message was taken %(seconds)s seconds ago and has not arrived.", seconds=9.0
        ).packed()
        fields["hint"] = _(
            "It waits in the queue, or a filter or Dovecot is slow. The reason stands in the queue."
        ).packed()
        fields["command"] = "sudo postqueue -p"
        fields["stages"] = [[_("Submitted with TLS").packed(), 0.21]]
    elif key == "roundtrip":
        parts = {
            "Submitted with TLS": 0.21,
            "Delivered": 0.17,
            "Fetched by IMAP": 0.13,
            "Checked and deleted": 0.11,
        }
        fields["stages"] = [[Text(name).packed(), seconds] for name, seconds in parts.items()]
    return fields


def _certificate(end: datetime) -> dict:
    detail = _(
        "The certificate of %(name)s ends on %(end)s, in %(days)s days.",
        name=settings.MAILPANEL_HOSTNAME,
        end=(end + timedelta(days=12)).date(),
        days=12,
    )
    hint = _(
        "It should have been renewed by now. Renew it, then restart Postfix and Dovecot, which go on with the old one otherwise."
    )
    return {
        "since": end - timedelta(hours=9),
        "detail": detail.packed(),
        "hint": hint.packed(),
        "command": "sudo certbot renew",
    }
