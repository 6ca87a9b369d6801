"""Who looks, and when: one at a time at each probe, whether a page asks for it or the collector's minute has come."""

import logging
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from mailpanel.daemons import Probe, State, probing
from mailpanel.daemons.text import Text as _
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server.models import Standing

log = logging.getLogger(__name__)

FRESH = timedelta(seconds=5)
# Of somebody who looks and was never heard of again; longer than the longest deadline there is by default.
CLAIM = timedelta(seconds=30)
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
    free = Standing.objects.filter(Q(asked=None) | Q(asked__lt=now - CLAIM), key__in=keys)
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
    changes = told(seen) | {"checked": now, "asked": None}
    row.exclude(state=seen.state).update(**changes, since=now) or row.update(**changes)


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
