"""What belongs together of what is wrong, and who is to be told of it: decided in memory, round by round, so that it goes
on while the database is away."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailpanel.daemons import Probe, State
from mailpanel.daemons.text import Text

# Whose trouble a red row is. First those that explain the others.
COMPONENTS = {
    "machine": ("disks", "memory", "clock"),
    "certificates": ("tls",),
    "database": ("database",),
    "dns": ("resolver", "hostname", "mx", "blocklists"),
    "dovecot": ("imap", "imaps", "pop3", "pop3s", "managesieve", "doveadm", "lmtp", "quota-status"),
    "postfix": ("smtp", "submission", "smtps", "sasl"),
    "clamav": ("clamav",),
    "filter": ("amavis", "spamassassin"),
    "queue": ("queue",),
    "roundtrip": ("roundtrip",),
}
# What turns red with a component, or with one probe of it: other components, or single probes of them.
_EXPLAINS = {
    "disks": {"database", "dovecot", "postfix", "clamav", "filter", "queue", "roundtrip"},
    "certificates": {"dovecot", "postfix", "queue", "roundtrip"},
    "database": {"dovecot", "postfix", "filter", "queue", "roundtrip"},
    "dns": {"queue", "roundtrip"},
    "dovecot": {"submission", "smtps", "sasl", "queue", "roundtrip"},
    "postfix": {"queue", "roundtrip"},
    "clamav": {"amavis", "queue", "roundtrip"},
    "filter": {"queue", "roundtrip"},
    "queue": {"roundtrip"},
}
_OF = {key: component for component, keys in COMPONENTS.items() for key in keys}
_ORDER = {key: number for number, key in enumerate(_OF)}

TOGETHER = timedelta(minutes=10)  # what begins so soon after a cause is an effect of it
ADOPTED = timedelta(minutes=2)  # what began so shortly before its cause, was seen first by chance


def component(key: str) -> str:
    return _OF.get(key, key)


def explains(cause: str, effect: str) -> bool:
    """Whether the probe `cause` being red is reason enough for `effect` being red."""
    if component(cause) == component(effect):
        return component(cause) != "machine"  # a full disk does not put the clock wrong
    explained = _EXPLAINS.get(component(cause), set()) | _EXPLAINS.get(cause, set())
    return bool({effect, component(effect)} & explained)


@dataclass(eq=False)
class Outage:
    """An incident, as server.models.Incident keeps it. `cause` is never itself an effect."""

    key: str
    began: datetime
    detail: Text
    hint: Text
    command: str
    cause: "Outage | None" = None
    better: datetime | None = None
    ended: datetime | None = None
    rounds: int = 1
    flaps: int = 0
    told: bool = False  # that it is down; of causes alone
    cleared: bool = False  # and that all is well again
    row: int | None = None  # its primary key, once it is written
    changed: bool = True  # since it was written


@dataclass
class Count:
    failures: int = 0  # bad rounds in a row
    fine: int = 0  # rounds in a row that were not


@dataclass
class Incidents:
    """All that are open, and those that ended while another one of the same cause is open."""

    outages: list[Outage] = field(default_factory=list)
    counts: dict[str, Count] = field(default_factory=dict)

    def round(self, at: datetime, seen: Iterable[Probe], after: int) -> list[Outage]:
        """Take in what the probes saw. The causes that people are to be told of now: open ones, that they are down, ended
        ones, that all is well again. `after` bad rounds in a row are down, as many good ones are well."""
        new = []
        for probe in sorted(seen, key=lambda probe: _ORDER.get(probe.key, len(_ORDER))):
            if begun := self._count(at, probe, after):
                new.append(begun)
        for outage in new:
            outage.cause = self._cause(outage)
            self.outages.append(outage)
            if outage.cause is None:
                self._adopt(outage)
        return self._down(after) + self._clear()

    def open(self, key: str) -> Outage | None:
        return next((outage for outage in self.outages if outage.key == key and not outage.ended), None)

    def of_one_cause(self, cause: Outage) -> list[Outage]:
        """The cause, and what it explains."""
        return [cause, *(outage for outage in self.outages if outage.cause is cause)]

    def _count(self, at: datetime, probe: Probe, after: int) -> Outage | None:
        """The incident that begins with it."""
        count, outage = self.counts.setdefault(probe.key, Count()), self.open(probe.key)
        if probe.state is not State.BAD:
            count.failures, count.fine = 0, count.fine + 1
            if outage:
                outage.better, outage.changed = outage.better or at, True
                if count.fine >= after:
                    outage.ended = outage.better
            return None
        count.failures, count.fine = count.failures + 1, 0
        if not outage:
            return Outage(probe.key, at, probe.detail, probe.hint, probe.command)
        outage.rounds += 1
        outage.flaps += outage.better is not None
        outage.better, outage.changed = None, True
        return None

    def _causes(self) -> list[Outage]:
        """Of all that is open."""
        return list(dict.fromkeys(outage.cause or outage for outage in self.outages if not outage.ended))

    def _cause(self, outage: Outage) -> Outage | None:
        fitting = (
            cause
            for cause in self._causes()
            if outage.began - cause.began <= TOGETHER and explains(cause.key, outage.key)
        )
        return next(fitting, None)

    def _adopt(self, cause: Outage) -> None:
        """What began a moment before its cause, unless people know it as a cause already."""
        for other in self._causes():
            whole = self.of_one_cause(other)
            if (
                other is not cause
                and not other.told
                and cause.began - other.began <= ADOPTED
                and all(explains(cause.key, outage.key) for outage in whole)
            ):
                for outage in whole:
                    outage.cause, outage.changed = cause, True

    def _down(self, after: int) -> list[Outage]:
        down = []
        for cause in self._causes():
            long = (
                self.counts[outage.key].failures >= after
                for outage in self.of_one_cause(cause)
                if not outage.ended
            )
            if not cause.told and any(long):
                cause.told = True
                down.append(cause)
        return down

    def _clear(self) -> list[Outage]:
        """Those of whom people were told that they are down, and nothing of it is left."""
        over = [outage for outage in self._over() if outage.told and not outage.cleared and not outage.cause]
        for outage in over:
            outage.cleared = True
        return over

    def _over(self) -> list[Outage]:
        open_ = self._causes()
        return [outage for outage in self.outages if (outage.cause or outage) not in open_]

    def forget(self) -> None:
        """What is over and written is of no more use."""
        over = [outage for outage in self._over() if not outage.changed]
        self.outages = [outage for outage in self.outages if outage not in over]
