"""How much mail there was, as the pages show it: figures, a plot, and the table behind it."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailpanel.server import plots
from mailpanel.server.models import Traffic

PLACE, BAR = 10, 8  # units of a place in the plot, and of the bar in it
KINDS = Traffic.KINDS


@dataclass(frozen=True)
class Period:
    key: str
    name: str
    count: int
    by_day: bool
    marked: str  # how a mark is written, as Django's filter `date` has it
    every: int  # places from mark to mark


PERIODS = {
    period.key: period
    for period in (
        Period("day", _("24 hours"), 24, False, "TIME_FORMAT", 3),
        Period("week", _("7 days"), 168, False, "D", 24),
        Period("month", _("30 days"), 30, True, "MONTH_DAY_FORMAT", 5),
        Period("quarter", _("90 days"), 90, True, "MONTH_DAY_FORMAT", 15),
    )
}


@dataclass(frozen=True)
class Slot:
    at: datetime
    received: int = 0
    delivered: int = 0
    refused: int = 0
    spam: int = 0
    virus: int = 0
    deferred: int = 0

    @property
    def all(self) -> int:
        return self.received + self.refused

    @property
    def any(self) -> bool:
        return any(getattr(self, kind) for kind in KINDS)


@dataclass(frozen=True)
class Chart:
    period: Period
    slots: list[Slot]
    whole: Slot

    @property
    def top(self) -> int:
        """Where the scale ends: an even number, since half of it is told, too."""
        least = int(plots.round_up(max(slot.all for slot in self.slots)))
        return max(least + least % 2, 2)

    @property
    def half(self) -> int:
        return self.top // 2

    @property
    def width(self) -> int:
        return PLACE * len(self.slots)

    @property
    def taken(self) -> str:
        return self._bars(lambda slot: (0, slot.received))

    @property
    def refused(self) -> str:
        return self._bars(lambda slot: (slot.received, slot.all))

    @property
    def waited(self) -> list[tuple[int, str]]:
        """Where each place begins in which something went wrong, and how bad it was."""
        return [
            (number * PLACE, "bad" if slot.virus else "warn")
            for number, slot in enumerate(self.slots)
            if slot.virus or slot.deferred
        ]

    @property
    def marks(self) -> list[tuple[float, datetime]]:
        count, every = self.period.count, self.period.every
        return [
            (round(100 * number / count, 2), slot.at)
            for number, slot in enumerate(self.slots)
            if self._marked(slot.at, number, every) and 0.03 * count < number < 0.97 * count
        ]

    def _marked(self, at: datetime, number: int, every: int) -> bool:
        return (len(self.slots) - number) % every == 0 if self.period.by_day else at.hour % every == 0

    @property
    def table(self) -> list[Slot]:
        return [slot for slot in reversed(self.slots) if slot.any]

    def _bars(self, span) -> str:
        path = []
        for number, slot in enumerate(self.slots):
            low, high = (round(plots.HEIGHT * (1 - value / self.top), 1) for value in span(slot))
            if high < low:
                path.append(f"M{number * PLACE + 1} {low:g}V{high:g}h{BAR}V{low:g}z")
        return "".join(path)


def chart(domain: str, period: Period, since: datetime | None = None) -> Chart:
    """One statement; `since` is when the domain was made, if what a former one of its name had is not to be told. Places
    are told apart by Unix time: an hour that a clock goes through twice is two."""
    places = _places(period)
    begin = max(places[0], since or places[0])
    sums: dict[float, dict] = defaultdict(lambda: dict.fromkeys(KINDS, 0))
    rows = Traffic.objects.filter(domain=domain, hour__gte=int(begin.timestamp()) // 3600)
    for hour, *numbers in rows.values_list("hour", *KINDS):
        place = sums[_place(hour, period).timestamp()]
        for kind, number in zip(KINDS, numbers, strict=True):
            place[kind] += number
    slots = [Slot(at, **sums[at.timestamp()]) for at in places]
    whole = {kind: sum(getattr(slot, kind) for slot in slots) for kind in KINDS}
    return Chart(period, slots, Slot(places[0], **whole))


def today(domain: str = "") -> Slot:
    begin = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    rows = Traffic.objects.filter(domain=domain, hour__gte=int(begin.timestamp()) // 3600)
    return Slot(
        begin,
        **{
            kind: number or 0
            for kind, number in rows.aggregate(**{kind: Sum(kind) for kind in KINDS}).items()
        },
    )


def _places(period: Period) -> list[datetime]:
    """Days of people's clocks, however long each is; hours of Unix time."""
    now, zone = timezone.now(), timezone.get_current_timezone()
    if period.by_day:
        today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return [today - timedelta(days=ago) for ago in reversed(range(period.count))]
    hour = int(now.timestamp()) // 3600
    return [datetime.fromtimestamp(3600 * (hour - ago), zone) for ago in reversed(range(period.count))]


def _place(hour: int, period: Period) -> datetime:
    local = datetime.fromtimestamp(hour * 3600, timezone.get_current_timezone())
    return local.replace(hour=0, minute=0, fold=0) if period.by_day else local
