"""What was seen, as the pages ask for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from django.db.models import Count, F, Max, Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailpanel.daemons import State
from mailpanel.server import plots
from mailpanel.server.models import Hour, Result
from mailpanel.server.plots import Plot, Slot

MINUTE, HOUR, DAY = 60, 3600, 86_400
PLACE = 15  # minutes of a place in the small plots
UPTIME_DAYS = 30
EDGE = 0.03  # of the width: a word there would not fit


@dataclass(frozen=True)
class Period:
    """A length of time that a probe's page shows: `count` places of `step` seconds, and a mark below each multiple of
    `marks`."""

    key: str
    name: str
    step: int
    count: int
    marks: timedelta
    marked: str  # how a mark is written, as Django's filter `date` has it
    by_day: bool = True

    @property
    def seconds(self) -> int:
        return self.step * self.count


PERIODS = {
    period.key: period
    for period in (
        Period("day", _("24 hours"), 5 * MINUTE, 288, timedelta(hours=3), "TIME_FORMAT", by_day=False),
        Period("week", _("7 days"), HOUR, 168, timedelta(days=1), "D"),
        Period("quarter", _("90 days"), 6 * HOUR, 360, timedelta(days=15), "MONTH_DAY_FORMAT"),
    )
}


def minute() -> int:
    return int(time.time() // MINUTE)


@lru_cache(maxsize=4)
def _each_minute(read: Callable[[], dict], _minute: int) -> dict:
    """Read once a minute in each process: what is drawn changes no sooner."""
    return read()


def small_plots() -> dict[str, Plot]:
    """The last day of every probe, by key; one statement."""
    return _each_minute(_small_plots, minute())


def _small_plots() -> dict[str, Plot]:
    step, count = PLACE * MINUTE, DAY // (PLACE * MINUTE)
    begin = _begin(step, count)
    rows = (
        Result.objects.filter(minute__gte=begin // MINUTE)
        .values("key", "state", place=F("minute") - F("minute") % PLACE)
        .annotate(checks=Count("minute"), sum=Sum("seconds"), longest=Max("seconds"))
    )
    seen: dict[str, list[Slot]] = {}
    for row in rows.order_by().values_list("key", "state", "place", "checks", "sum", "longest"):
        key, *told = row
        seen.setdefault(key, []).append(_slot(*told))
    return {key: plots.plot(plots.places(slots, begin, step, count)) for key, slots in seen.items()}


def _begin(step: int, count: int) -> int:
    """Of the first of the places of which the last one is now."""
    return (int(time.time()) // step + 1 - count) * step


def _slot(state: str, minute: int, checks: int, seconds: float, slowest: float) -> Slot:
    if state == State.OFF:
        return Slot(minute * MINUTE, off=checks)
    return Slot(minute * MINUTE, **{state: checks}, seconds=seconds, slowest=slowest)


def uptimes() -> dict[str, float]:
    """Per cent of the last thirty days, by key, of what was asked then at all; one statement."""
    return _each_minute(_uptimes, minute())


def _uptimes() -> dict[str, float]:
    since = int(time.time()) // HOUR - UPTIME_DAYS * 24
    rows = Hour.objects.filter(hour__gte=since).values("key")
    sums = rows.annotate(up=Sum("ok") + Sum("warn"), down=Sum("bad")).order_by()
    return {row["key"]: 100 * row["up"] / checks for row in sums if (checks := row["up"] + row["down"])}


def seen(key: str, period: Period) -> list[Slot]:
    """All that is kept of one probe in this period, the oldest first."""
    begin = _begin(period.step, period.count)
    if period.step < HOUR:
        rows = Result.objects.filter(key=key, minute__gte=begin // MINUTE).order_by("minute")
        return [
            _slot(state, minute, 1, seconds, seconds)
            for state, minute, seconds in rows.values_list("state", "minute", "seconds")
        ]
    rows = Hour.objects.filter(key=key, hour__gte=begin // HOUR).order_by("hour")
    return [
        Slot(hour * HOUR, *counts)
        for hour, *counts in rows.values_list("hour", "ok", "warn", "bad", "off", "seconds", "slowest")
    ]


@dataclass(frozen=True)
class Chart:
    """The large plot of a probe's page, what is written beside it, and the table behind it."""

    period: Period
    plot: Plot
    marks: list[tuple[float, object]]  # per cent of the width, and the moment
    table: list

    @property
    def whole(self) -> Slot:
        return self.plot.whole

    @property
    def half(self) -> float:
        return self.plot.top / 2


def chart(period: Period, slots: list[Slot]) -> Chart:
    begin, zone = _begin(period.step, period.count), timezone.get_current_timezone()
    drawn = plots.plot(plots.places(slots, begin, period.step, period.count))
    margin = period.seconds * EDGE
    marks = [
        (round(100 * (moment.timestamp() - begin) / period.seconds, 2), moment)
        for moment in plots.moments(begin, begin + period.seconds, period.marks, zone)
        if margin < moment.timestamp() - begin < period.seconds - margin
    ]
    return Chart(period, drawn, marks, plots.table(slots, zone, by_day=period.by_day))
