"""What is known from before and what is not written yet, on its way from and to the tables."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest
from django.utils import timezone

from mailpanel.daemons import Probe, State
from mailpanel.daemons.text import Text
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server import alerts
from mailpanel.server.alerts import Message
from mailpanel.server.incidents import Count, Incidents, Outage
from mailpanel.server.models import Alert, Hour, Incident, Result, Standing

MISSED = 120 * 40  # results that wait for the database: two hours of forty probes

# How long is kept what.
RESULTS, HOURS, INCIDENTS = timedelta(days=2), timedelta(days=90), timedelta(days=730)
AT_ONCE = 2000  # rows


@dataclass
class Memory:
    incidents: Incidents = field(default_factory=Incidents)
    messages: list[Message] = field(default_factory=list)
    standing: dict[str, tuple[Probe, datetime]] = field(default_factory=dict)  # and when it was seen
    results: deque[Result] = field(default_factory=lambda: deque(maxlen=MISSED))

    @property
    def written(self) -> bool:
        return not (
            self.results
            or self.standing
            or any(outage.changed for outage in self.incidents.outages)
            or any(message.changed for message in self.messages)
        )


# --- from the tables ------------------------------------------------------------------------------------------


def load() -> Memory:
    """What another collector, or this one before it was started anew, has left."""
    counts = {
        key: Count(failures, fine)
        for key, failures, fine in Standing.objects.values_list("key", "failures", "fine")
    }
    waiting = list(
        Alert.objects.filter(
            sent=None,
            incident__isnull=False,
            tries__lt=alerts.TRIES,
            made__gt=timezone.now() - timedelta(days=1),
        ).order_by("pk")
    )
    begun = Incident.objects.filter(Q(ended=None) | Q(pk__in=[alert.incident_id for alert in waiting]))
    causes = {row.cause_id or row.pk for row in begun}
    rows = Incident.objects.filter(Q(pk__in=causes) | Q(cause__in=causes)).order_by("pk")
    told = set(Alert.objects.filter(incident__in=causes).values_list("incident", "about"))
    outages = {row.pk: _outage(row, told) for row in rows}
    for row in rows:
        outages[row.pk].cause = outages.get(row.cause_id)
    memory = Memory(Incidents(list(outages.values()), counts))
    memory.messages = [_message(alert, outages[alert.incident_id], memory.incidents) for alert in waiting]
    memory.incidents.forget()
    return memory


def _outage(row: Incident, told: set[tuple[int, str]]) -> Outage:
    return Outage(
        row.key, row.began, Text.unpacked(row.detail), Text.unpacked(row.hint), row.command, better=row.better,
        ended=row.ended, rounds=row.rounds, flaps=row.flaps, told=(row.pk, Alert.About.DOWN) in told,
        cleared=(row.pk, Alert.About.CLEAR) in told, row=row.pk, changed=False,
    )  # fmt: skip


def _message(alert: Alert, outage: Outage, incidents: Incidents) -> Message:
    said = alerts.about(outage, incidents.of_one_cause(outage)[1:], timezone.now())
    return Message(
        alert.about,
        alert.way,
        alert.made,
        said,
        outage,
        None,
        alert.tries,
        alert.error,
        alert.pk,
        changed=False,
    )


# --- to the tables --------------------------------------------------------------------------------------------


def write(memory: Memory) -> None:
    """All that is new, in one short transaction; what was missed, too."""
    messages = {message: (message.sent, message.tries) for message in memory.messages if message.changed}
    rows, alerted = _write(memory, list(messages))
    memory.results.clear()
    memory.standing.clear()
    for outage, row in rows.items():
        outage.row, outage.changed = row, False
    for message, row in alerted.items():
        message.row = row
        message.changed = (message.sent, message.tries) != messages[message]  # it may have left meanwhile
    memory.incidents.forget()
    memory.messages = [message for message in memory.messages if message.waits or message.changed]


@retried_on_deadlock
def _write(memory: Memory, messages: list[Message]) -> tuple[dict[Outage, int], dict[Message, int]]:
    with transaction.atomic():
        _write_standing(memory)
        _write_results(list(memory.results))
        rows = _write_incidents(memory.incidents)
        return rows, _write_alerts(messages, rows)


def _write_standing(memory: Memory) -> None:
    before = Standing.objects.in_bulk(list(memory.standing))
    columns = [column.name for column in Standing._meta.concrete_fields if not column.primary_key]
    Standing.objects.bulk_create(
        [
            _standing(seen, at, before.get(key), memory.incidents.counts.get(key, Count()))
            for key, (seen, at) in sorted(memory.standing.items())
        ],
        update_conflicts=True,
        update_fields=columns,
        unique_fields=["key"] if connection.features.supports_update_conflicts_with_target else None,
    )


def _standing(seen: Probe, at: datetime, before: Standing | None, count: Count) -> Standing:
    same = before and before.checked and before.state == seen.state
    return Standing(
        key=seen.key, **told(seen), since=before.since if same else at, checked=at, failures=count.failures, fine=count.fine,
    )  # fmt: skip


def told(seen: Probe) -> dict:
    """What a probe saw, as the columns of Standing hold it."""
    return {
        "state": seen.state,
        "seconds": seen.seconds,
        "detail": seen.detail.packed(),
        "hint": seen.hint.packed(),
        "command": seen.command,
        "stages": [[name.packed(), seconds] for name, seconds in seen.stages],
    }


def _write_results(results: list[Result]) -> None:
    """Each is counted once, also if another collector has seen to that minute."""
    minutes = {result.minute for result in results}
    there = set(Result.objects.filter(minute__in=minutes).values_list("key", "minute"))
    new = {(result.key, result.minute): result for result in results}
    new = [result for which, result in new.items() if which not in there]
    Result.objects.bulk_create(new)
    hours = defaultdict(lambda: dict.fromkeys(("ok", "warn", "bad", "off", "seconds", "slowest"), 0))
    for result in new:
        hour = hours[result.key, result.minute // 60]
        hour[result.state] += 1
        if result.state != State.OFF:
            hour["seconds"] += result.seconds
            hour["slowest"] = max(hour["slowest"], result.seconds)
    for (key, number), hour in sorted(hours.items()):
        more = {name: F(name) + value for name, value in hour.items()}
        more["slowest"] = Greatest("slowest", hour["slowest"])
        if not Hour.objects.filter(key=key, hour=number).update(**more):
            Hour.objects.create(key=key, hour=number, **hour)


def _write_incidents(incidents: Incidents) -> dict[Outage, int]:
    """The keys of the rows. Causes come first, since the others point to them."""
    changed = sorted(
        (outage for outage in incidents.outages if outage.changed), key=lambda one: one.cause is not None
    )
    rows = {}
    for outage in changed:
        values = {
            "cause_id": outage.cause and (rows.get(outage.cause) or outage.cause.row),
            "better": outage.better,
            "ended": outage.ended,
            "rounds": outage.rounds,
            "flaps": outage.flaps,
        }
        rows[outage] = outage.row or _open_row(outage)
        if rows[outage] is None:
            first = {
                "detail": outage.detail.packed(),
                "hint": outage.hint.packed(),
                "command": outage.command,
            }
            rows[outage] = Incident.objects.create(key=outage.key, began=outage.began, **first, **values).pk
        else:
            Incident.objects.filter(pk=rows[outage]).update(**values)
    return rows


def _open_row(outage: Outage) -> int | None:
    """Another collector's, that saw the same while the database was away."""
    row = Incident.objects.filter(key=outage.key, ended=None)
    return row.values_list("pk", flat=True).first()


def _write_alerts(messages: list[Message], rows: dict[Outage, int]) -> dict[Message, int]:
    written = {}
    for message in messages:
        values = {"sent": message.sent, "tries": message.tries, "error": message.error}
        if message.row:
            Alert.objects.filter(pk=message.row).update(**values)
            written[message] = message.row
        else:
            incident = rows.get(message.outage) or message.outage.row
            alert = Alert(
                incident_id=incident, about=message.about, way=message.way, made=message.made, **values
            )
            alert.save()
            written[message] = alert.pk
    return written


# --- and away -------------------------------------------------------------------------------------------------


def trim() -> None:
    """Delete what is older, in small portions."""
    now = timezone.now()
    minute, hour = ((now - kept).timestamp() for kept in (RESULTS, HOURS))
    _trim(Result, "minute", int(minute // 60))
    _trim(Hour, "hour", int(hour // 3600))
    _trim(Alert, "made", now - INCIDENTS)
    _trim(Incident.objects.exclude(ended=None), "began", now - INCIDENTS)


def _trim(rows, column: str, before) -> None:
    rows = getattr(rows, "objects", rows).filter(**{f"{column}__lt": before})
    while last := rows.order_by(column).values_list(column, flat=True)[:AT_ONCE]:
        rows.filter(**{f"{column}__lte": list(last)[-1]}).delete()
