"""From what was seen to coordinates: nothing is drawn where nothing was measured, and nothing leaves the plot."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpanel.server import plots
from mailpanel.server.plots import HEIGHT, Block, Slot

BERLIN = ZoneInfo("Europe/Berlin")
counts = st.integers(0, 60)
seen = st.builds(
    Slot,
    at=st.integers(0, 3000),
    ok=counts,
    warn=counts,
    bad=counts,
    off=counts,
    seconds=st.floats(0, 1e5),
    slowest=st.floats(0, 1e4),
)


def points(path: str) -> list[tuple[int, int]]:
    """Where a path leads, in whole numbers."""
    x, y, steps = re.fullmatch(r"M(\d+) (\d+)l([-\d ]+)", path).groups()
    numbers = list(map(int, steps.split()))
    found = [(int(x), int(y))]
    for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
        found.append((found[-1][0] + dx, found[-1][1] + dy))
    return found


@given(st.lists(seen, max_size=40), st.integers(1, 30), st.integers(1, 120))
def test_whatever_was_seen_stays_within_the_plot(slots, count, step):
    placed = plots.places(slots, 0, step, count)
    drawn = plots.plot(placed)
    assert [slot.at for slot in placed] == [step * place for place in range(count)]
    assert drawn.top > 0
    for path in drawn.lines:
        assert all(0 <= x <= drawn.width and 0 <= y <= HEIGHT for x, y in points(path))
    inside = [slot for slot in slots if slot.at < step * count]
    assert drawn.whole.checks == sum(slot.checks for slot in inside)
    covered = sum(block.width for block in drawn.blocks)
    assert covered == 2 * sum(bool(slot.checks) for slot in placed)
    assert len(drawn.lines) == len(drawn.areas) <= (count + 1) // 2


def test_nothing_seen_is_nothing_drawn():
    drawn = plots.plot(plots.places([], 0, 60, 5))
    assert (drawn.lines, drawn.blocks, drawn.whole.uptime) == ((), (), None)
    assert plots.plot([]).lines == ()


def test_one_point_is_as_wide_as_its_place():
    drawn = plots.plot(plots.places([Slot(120, ok=1, seconds=0.5)], 0, 60, 5))
    assert list(map(points, drawn.lines)) == [[(4, 0), (6, 0)]]
    assert drawn.blocks == (Block("ok", 4, 2),)


def test_gaps_stay_gaps():
    slots = [Slot(60 * minute, ok=1, seconds=0.1) for minute in (0, 1, 4, 5)] + [Slot(120, off=1)]
    drawn = plots.plot(plots.places(slots, 0, 60, 6))
    assert [[x for x, _y in points(path)] for path in drawn.lines] == [[1, 3], [9, 11]]
    assert drawn.blocks == (Block("ok", 0, 4), Block("ok", 8, 4))


def test_flapping_shows_each_time():
    slots = [Slot(60 * minute, **{"bad" if minute % 2 else "ok": 1}) for minute in range(6)]
    assert [block.state for block in plots.plot(plots.places(slots, 0, 60, 6)).blocks] == ["ok", "bad"] * 3


def test_the_worst_of_a_place_is_shown():
    (slot,) = plots.places([Slot(0, ok=14), Slot(30, bad=1)], 0, 60, 1)
    assert (slot.state, slot.uptime) == ("bad", pytest.approx(100 * 14 / 15))


def test_one_outlier_flattens_nothing():
    values = [0.04] * 95 + [30.0]
    assert plots.top(values) == 0.1
    drawn = plots.plot([Slot(place, ok=1, seconds=value) for place, value in enumerate(values)])
    assert drawn.cut
    assert points(drawn.lines[0])[-1] == (191, 0)
    assert points(drawn.lines[0])[0] == (1, 72)


@pytest.mark.parametrize(
    ("values", "top"), [([], 1), ([0.0], 0.001), ([0.04, 0.05], 0.05), ([3.0], 5), ([1e9], 1e6)]
)
def test_the_scale_ends_at_a_round_number(values, top):
    assert plots.top(values) == top


def begin_of(*day) -> int:
    return int(datetime(*day, tzinfo=BERLIN).timestamp())


@pytest.mark.parametrize(
    ("first", "last", "hours"),
    [
        ((2026, 3, 29), (2026, 3, 30), [0, 6, 12, 18]),  # 23 hours
        ((2026, 10, 25), (2026, 10, 26), [0, 6, 12, 18]),  # 25 hours
        ((2026, 6, 1), (2026, 6, 2), [0, 6, 12, 18]),
    ],
)
def test_marks_are_at_hours_of_the_clock_on_the_wall(first, last, hours):
    moments = plots.moments(begin_of(*first), begin_of(*last), timedelta(hours=6), BERLIN)
    assert [moment.hour for moment in moments] == hours
    assert all(moment.tzinfo is BERLIN and moment.minute == 0 for moment in moments)


def test_the_hour_that_is_skipped_has_no_mark():
    moments = plots.moments(begin_of(2026, 3, 29), begin_of(2026, 3, 29, 6), timedelta(hours=1), BERLIN)
    assert [moment.hour for moment in moments] == [0, 1, 3, 4, 5]


def test_marks_of_a_week_are_midnights():
    begin = int(datetime(2026, 10, 21, 9, tzinfo=UTC).timestamp())
    moments = plots.moments(begin, begin + 7 * 86_400, timedelta(days=1), BERLIN)
    assert [(moment.day, moment.hour) for moment in moments] == [(day, 0) for day in range(22, 29)]


def test_the_table_has_the_days_of_the_calendar():
    """Those of 23 and 25 hours, too: each hour is counted once."""
    begin = begin_of(2026, 10, 24)
    slots = [Slot(begin + 3600 * hour, ok=1, seconds=1.0, slowest=hour) for hour in range(73)]
    rows = plots.table(slots, BERLIN, by_day=True)
    assert [(moment.day, slot.checks) for moment, slot in rows] == [(26, 24), (25, 25), (24, 24)]
    by_hour = plots.table(slots[24:30], BERLIN, by_day=False)
    assert [moment.strftime("%H:%M%z") for moment, _slot in by_hour] == [
        "04:00+0100", "03:00+0100", "02:00+0100", "02:00+0200", "01:00+0200", "00:00+0200",
    ]  # fmt: skip
