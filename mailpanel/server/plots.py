"""Plots as coordinates: pure functions from what was seen to what a template draws as SVG.

A plot is a row of places of equal width, two units each, so that the middle of a place is a whole number: short in the
page, and the same shape in any width. Where nothing was measured, nothing is drawn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby, pairwise

HEIGHT = 120
CROWD = 0.9  # the part of the values that decides about the scale
OUTLIER = 2  # how much higher than those the scale may end


@dataclass(frozen=True)
class Slot:
    """What was seen from `at` (Unix time) on: checks by their outcome; the sum of their seconds without those that were
    off, and the longest."""

    at: int
    ok: int = 0
    warn: int = 0
    bad: int = 0
    off: int = 0
    seconds: float = 0.0
    slowest: float = 0.0

    @property
    def checks(self) -> int:
        return self.ok + self.warn + self.bad

    @property
    def state(self) -> str:
        """The worst of it; nothing if nothing was measured."""
        return "bad" if self.bad else "warn" if self.warn else "ok" if self.ok else ""

    @property
    def mean(self) -> float:
        return self.seconds / self.checks if self.checks else 0.0

    @property
    def uptime(self) -> float | None:
        """Per cent; None if nothing was measured."""
        return 100 * (self.ok + self.warn) / self.checks if self.checks else None

    def __add__(self, other: "Slot") -> "Slot":
        return Slot(
            min(self.at, other.at),
            self.ok + other.ok,
            self.warn + other.warn,
            self.bad + other.bad,
            self.off + other.off,
            self.seconds + other.seconds,
            max(self.slowest, other.slowest),
        )


def total(slots: Iterable[Slot], at: int = 0) -> Slot:
    whole = sum(slots, Slot(at))
    return replace(whole, at=at)


def places(slots: Iterable[Slot], begin: int, step: int, count: int) -> list[Slot]:
    """`count` slots of `step` seconds each from `begin` on, those of nothing among them. What is outside is left out."""
    found = [Slot(begin + step * place) for place in range(count)]
    for slot in slots:
        place = (slot.at - begin) // step
        if 0 <= place < count:
            found[place] = replace(found[place] + slot, at=found[place].at)
    return found


def top(values: Iterable[float]) -> float:
    """Where the scale ends: a round number above most values, so that one outlier does not flatten all others."""
    ordered = sorted(values)
    if not ordered:
        return 1.0
    crowd = ordered[int(CROWD * (len(ordered) - 1))]
    return round_up(min(ordered[-1], OUTLIER * crowd))


def round_up(value: float) -> float:
    """To 1, 2 or 5 of a power of ten, at least a millisecond."""
    steps = (base * 10.0**power for power in range(-3, 6) for base in (1, 2, 5))
    return next((step for step in steps if step >= value), 1e6)


@dataclass(frozen=True)
class Block:
    """Neighbours in the same state."""

    state: str
    x: int
    width: int


@dataclass(frozen=True)
class Plot:
    slots: Sequence[Slot]
    top: float  # seconds at the upper edge; what took longer is cut off there
    lines: tuple[str, ...]  # paths
    areas: tuple[str, ...]
    blocks: tuple[Block, ...]
    height: int = HEIGHT

    @property
    def width(self) -> int:
        return 2 * len(self.slots)

    @property
    def whole(self) -> Slot:
        return total(self.slots)

    @property
    def cut(self) -> bool:
        return any(slot.mean > self.top for slot in self.slots)


def plot(slots: Sequence[Slot]) -> Plot:
    """Of slots as `places` makes them."""
    scale = top(slot.mean for slot in slots if slot.checks)
    lines, areas = [], []
    for measured, run in groupby(enumerate(slots), key=lambda place: place[1].checks > 0):
        if not measured:
            continue
        points = [(2 * x + 1, _y(slot.mean, scale)) for x, slot in run]
        if len(points) == 1:  # as wide as its place, or it would not be seen
            (x, y) = points[0]
            points = [(x - 1, y), (x + 1, y)]
        lines.append(_path(points))
        areas.append(f"{lines[-1]}V{HEIGHT}H{points[0][0]}Z")
    return Plot(slots, scale, tuple(lines), tuple(areas), tuple(_blocks(slots)))


def _y(value: float, scale: float) -> int:
    return round(HEIGHT * (1 - min(value / scale, 1)))


def _path(points: list[tuple[int, int]]) -> str:
    """Relative, which is the shortest."""
    (x, y), steps = points[0], []
    for (x0, y0), (x1, y1) in pairwise(points):
        steps.append(f"{x1 - x0} {y1 - y0}")
    return f"M{x} {y}l{' '.join(steps)}"


def _blocks(slots: Sequence[Slot]) -> Iterable[Block]:
    x = 0
    for state, run in groupby(slots, key=lambda slot: slot.state):
        width = 2 * len(list(run))
        if state:
            yield Block(state, x, width)
        x += width


def moments(begin: int, end: int, every: timedelta, zone: tzinfo) -> list[datetime]:
    """The moments in between at which a clock or calendar on the wall is at a multiple of `every`: whole hours of a day,
    or midnights. A day of 23 or 25 hours has the hours that it has."""
    first = datetime.fromtimestamp(begin, zone)
    day = first.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    found = []
    while (moment := day.replace(tzinfo=zone).astimezone(UTC)).timestamp() < end:
        if moment.timestamp() >= begin and _exists(day, zone):
            found.append(moment.astimezone(zone))
        day += every
    return found


def _exists(naive: datetime, zone: tzinfo) -> bool:
    """Not in the hour that a clock skips in spring."""
    return naive.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == naive


def table(slots: Iterable[Slot], zone: tzinfo, *, by_day: bool) -> list[tuple[datetime, Slot]]:
    """The same numbers by the hours or days of people's clocks, the newest first."""

    def part(slot: Slot) -> float:
        local = datetime.fromtimestamp(slot.at, zone).replace(minute=0, second=0)
        return (local.replace(hour=0, fold=0) if by_day else local).timestamp()

    # by Unix time, since an hour that a clock goes through twice would be the same one otherwise
    parts: dict[float, list[Slot]] = {}
    for slot in slots:
        parts.setdefault(part(slot), []).append(slot)
    return [
        (datetime.fromtimestamp(begin, zone), total(parts[begin], int(begin)))
        for begin in sorted(parts, reverse=True)
    ]
