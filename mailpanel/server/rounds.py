"""Who looks, and when: one at a time at each probe, whether a page asks for it or the collector's minute has come."""

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from mailpanel.daemons import Probe, State, probing
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server import alerts, tables
from mailpanel.server.alerts import Message
from mailpanel.server.models import Result, Standing
from mailpanel.server.tables import Memory

log = logging.getLogger(__name__)

FRESH = timedelta(seconds=5)
CLAIM = timedelta(seconds=30)  # at least, of somebody who looks and was never heard of again
AWAY = (DatabaseError, InterfaceError)


def begin(keys: Iterable[str] | None = None) -> list[str]:
    """“Check now”: look at all probes, or at these, in a thread of its own that writes each row as its probe ends. Returns
    at once with those that it looks at: not what somebody is looking at just now or saw a moment ago, and none while the
    database is away. KeyError for a probe that is not there."""
    try:
        claimed = claim(probing.probes() if keys is None else keys, seen_before=timezone.now() - FRESH)
    except AWAY as error:
        log.warning("Nothing is checked, since the database did not answer: %s", error)
        return []
    if claimed:
        threading.Thread(target=_look, args=(claimed,), name="check now", daemon=True).start()
    return claimed


@retried_on_deadlock
def claim(keys: Iterable[str], *, seen_before: datetime | None = None) -> list[str]:
    """Those of the probes that the caller alone may look at now: nobody else does, and nobody has seen them since
    `seen_before`."""
    known, now = probing.probes(), timezone.now()
    keys = sorted({known[key].key for key in keys})
    _make_rows(keys, now)
    longest = timedelta(seconds=4 * settings.MAILPANEL_PROBE_SECONDS)  # the round trip has three deadlines
    free = Standing.objects.filter(Q(asked=None) | Q(asked__lt=now - max(CLAIM, longest)), key__in=keys)
    if seen_before:
        free = free.filter(Q(checked=None) | Q(checked__lt=seen_before))
    with transaction.atomic():
        claimed = list(free.select_for_update().order_by("key").values_list("key", flat=True))
        Standing.objects.filter(key__in=claimed).update(asked=now)
    return claimed


def _make_rows(keys: list[str], now: datetime) -> None:
    known = set(Standing.objects.filter(key__in=keys).values_list("key", flat=True))
    Standing.objects.bulk_create(
        [
            Standing(key=key, state=State.OFF, since=now, seconds=0, detail=_("Not looked at yet.").packed())
            for key in keys
            if key not in known
        ],
        ignore_conflicts=True,  # another panel came first
    )


def _look(keys: list[str]) -> None:
    """No connection is held while a probe looks. What cannot be written is claimed until CLAIM has passed."""
    for seen in probing.each(keys):
        try:
            write(seen)
        except AWAY as error:
            log.warning("What the probe %s saw is not kept, the database did not answer: %s", seen.key, error)
        finally:
            connection.close()


@retried_on_deadlock
def write(seen: Probe) -> None:
    now, row = timezone.now(), Standing.objects.filter(key=seen.key)
    changes = tables.told(seen) | {"checked": now, "asked": None}
    row.exclude(state=seen.state).update(**changes, since=now) or row.update(**changes)


class Collector:
    """Round by round, what the probes see, what that means, and who is told. All of it is in memory until it is written,
    so that it goes on while the database is away: that is what people have to be told first."""

    def __init__(self):
        self.memory, self.sender = Memory(), alerts.Sender()

    def minute(self, number: int) -> list[Probe]:
        """The round of a minute of Unix time; what was seen by this collector. Never raises for the database."""
        keys = list(probing.probes())
        claimed = self._begin(keys, number)
        connection.close()  # nothing is held while the probes look
        now, at = timezone.now(), datetime.fromtimestamp(number * 60, UTC)
        seen = list(probing.each(claimed))
        if claimed:  # or another one of the cluster has this minute
            seen += self._seen_by_pages(keys, claimed, now)
            self._take_in(number, at, seen)
        try:
            self._write()
        finally:
            self.sender.send(self.memory.messages)
        return seen

    def _begin(self, keys: list[str], number: int) -> list[str]:
        """Which probes to look at: all but those that somebody is looking at, or that have a result of this minute."""
        try:
            if self.memory.written and not self.sender.busy:
                self.memory = tables.load()  # anew each minute: another collector may have had the last one
            claimed = claim(keys)
            # in this order, for another one gives its claims back in the very transaction in which it writes its results
            if done := set(Result.objects.filter(minute=number).values_list("key", flat=True)):
                Standing.objects.filter(key__in=done & set(claimed)).update(asked=None)
            return [key for key in claimed if key not in done]
        except AWAY as error:
            log.warning("This round goes on without the database, which does not answer: %s", error)
            return keys

    def _seen_by_pages(self, keys: list[str], claimed: list[str], since: datetime) -> list[Probe]:
        """What a page asked for at the same time counts for this minute, too."""
        others = Standing.objects.filter(key__in=set(keys) - set(claimed), checked__gte=since - FRESH)
        known = probing.probes()
        try:
            return [
                Probe(
                    key=row.key,
                    group=known[row.key].group,
                    name=known[row.key].name,
                    state=State(row.state),
                    detail=Text.unpacked(row.detail),
                    hint=Text.unpacked(row.hint),
                    command=row.command,
                    seconds=row.seconds,
                    stages=tuple((Text.unpacked(name), seconds) for name, seconds in row.stages),
                )
                for row in others
            ]
        except AWAY:
            return []
        finally:
            connection.close()

    def _take_in(self, number: int, at: datetime, seen: list[Probe]) -> None:
        memory, now = self.memory, timezone.now()
        causes = memory.incidents.round(at, seen, settings.MAILPANEL_ALERT_AFTER)
        for cause in causes:
            said = alerts.about(cause, memory.incidents.of_one_cause(cause)[1:], at)
            memory.messages += [Message(said["event"], way, now, said, cause) for way in alerts.ways()]
        for probe in seen:
            memory.standing[probe.key] = probe, now
            memory.results.append(
                Result(key=probe.key, minute=number, state=probe.state, seconds=probe.seconds)
            )

    def _write(self) -> None:
        try:
            tables.write(self.memory)
        except AWAY as error:
            log.warning("What was seen is kept until the database answers: %s", error)
        finally:
            connection.close()
