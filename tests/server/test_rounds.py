"""The collector's minute: what is kept of it, and that it goes on while the database is away."""

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from mailpanel.daemons import State, Trouble
from mailpanel.daemons.text import Text as _
from mailpanel.server import rounds, tables
from mailpanel.server.models import Alert, Hour, Incident, Result, Standing
from mailpanel.server.rounds import Collector
from tests.server.conftest import DOWN

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = 29_000_080  # a minute of Unix time, the fortieth of its hour
WARN = Trouble(_("It is old."), state=State.WARN)


@pytest.fixture
def away(monkeypatch):
    """with away(): the database does not answer."""

    @contextmanager
    def away():
        def refuse(*_arguments, **_others):
            raise OperationalError(2002, "gone away")

        with monkeypatch.context() as patched:
            patched.setattr(type(connections["default"]), "cursor", refuse)
            yield

    return away


def at(number: int) -> datetime:
    return datetime.fromtimestamp((FIRST + number) * 60, UTC)


class Minutes:
    """The same collector, minute after minute."""

    def __init__(self, stand):
        self.stand, self.number, self.collector = stand, 0, Collector()

    def pass_(self, count: int, **sees) -> None:
        self.stand.put(**sees)
        for _minute in range(count):
            self.collector.minute(FIRST + self.number)
            self.number += 1


@pytest.fixture
def minutes(stand):
    return Minutes(stand)


def incidents() -> list[tuple]:
    rows = Incident.objects.order_by("pk").values_list("key", "began", "ended", "cause__key", "rounds")
    number = lambda moment: moment and (moment - at(0)).total_seconds() / 60  # noqa: E731
    return [(key, number(began), number(ended), cause, rounds) for key, began, ended, cause, rounds in rows]


def test_what_is_kept_of_a_minute(minutes):
    minutes.pass_(1, smtp="Fine.", imap=DOWN, clamav=WARN)
    results = {row.key: (row.minute, row.state) for row in Result.objects.all()}
    assert results == {"smtp": (FIRST, "ok"), "imap": (FIRST, "bad"), "clamav": (FIRST, "warn")}
    row = Standing.objects.get(key="imap")
    assert (row.state, row.failures, row.fine, row.command, row.asked) == ("bad", 1, 0, "start it", None)
    assert Standing.objects.get(key="clamav").fine == 1
    assert incidents() == [("imap", 0, None, None, 1)]


def test_hours_are_sums(minutes):
    minutes.pass_(2, smtp="Fine.")
    minutes.pass_(1, smtp=DOWN)
    minutes.pass_(21, smtp="Fine.")
    first, second = Hour.objects.order_by("hour")
    assert (first.ok, first.bad, second.ok) == (19, 1, 4)
    took = Result.objects.filter(minute__lt=FIRST + 20).values_list("seconds", flat=True)
    assert first.seconds == pytest.approx(sum(took))
    assert first.slowest == max(took)


def test_since_is_kept_while_the_state_is_the_same(minutes):
    minutes.pass_(1, smtp="Fine.")
    since = Standing.objects.get(key="smtp").since
    minutes.pass_(2)
    assert Standing.objects.get(key="smtp").since == since
    minutes.pass_(1, smtp=DOWN)
    assert Standing.objects.get(key="smtp").since > since


def test_an_incident_from_beginning_to_end(minutes):
    minutes.pass_(1, imap="Fine.", lmtp="Fine.")
    minutes.pass_(4, imap=DOWN, lmtp=DOWN)
    minutes.pass_(3, imap="Fine.", lmtp="Fine.")
    assert incidents() == [("imap", 1, 5, None, 4), ("lmtp", 1, 5, "imap", 4)]
    assert Standing.objects.get(key="imap").fine == 3


def test_another_collector_goes_on_where_the_first_ended(minutes):
    minutes.pass_(2, imap=DOWN)
    for _minute in range(6):
        minutes.collector = Collector()
        minutes.pass_(1, imap=DOWN if minutes.number < 4 else "Fine.")
    assert incidents() == [("imap", 0, 4, None, 4)]
    assert Standing.objects.get(key="imap").fine == 4


def test_two_collectors_take_turns(minutes, stand):
    """Whoever is first has the minute, and both know what the other one saw."""
    other = Collector()
    for minute in range(4):
        minutes.pass_(1, imap=DOWN)
        assert other.minute(FIRST + minute) == []
        minutes.collector, other = other, minutes.collector
    assert len(stand.asked) == 4
    assert Result.objects.count() == 4
    assert incidents() == [("imap", 0, None, None, 4)]


def test_two_collectors_at_the_same_moment(stand):
    stand.put(**{f"probe{number}": DOWN for number in range(5)})
    barrier = threading.Barrier(3)

    def run():
        collector = Collector()
        for minute in range(4):
            barrier.wait(20)
            collector.minute(FIRST + minute)
        connection.close()

    threads = [threading.Thread(target=run) for _collector in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stand.asked) == 4 * 5
    assert Result.objects.count() == 4 * 5
    assert sorted(incidents()) == [(f"probe{number}", 0, None, None, 4) for number in range(5)]


def test_what_a_page_is_looking_at_is_not_asked_twice(minutes, stand):
    stand.put(smtp="Fine.", imap="Fine.")
    rounds.claim(["imap"])
    minutes.pass_(1)
    assert stand.asked == ["smtp"]
    assert Result.objects.get().key == "smtp"


def test_what_a_page_has_seen_meanwhile_counts(minutes, stand):
    stand.put(smtp="Fine.", imap=DOWN)
    rounds.claim(["imap"])
    slow = stand._look("smtp")

    def look(watch):
        [seen] = rounds.probing.each(["imap"])
        rounds.write(seen)
        connection.close()
        return slow(watch)

    rounds.probing._registered["smtp"] = rounds.probing.Asked(
        "smtp", rounds.probing.GROUND, _("SMTP"), look, 1
    )
    minutes.pass_(1)
    assert {row.key: row.state for row in Result.objects.all()} == {"smtp": "ok", "imap": "bad"}
    assert incidents() == [("imap", 0, None, None, 1)]
    assert Standing.objects.get(key="imap").failures == 1


# --- the database is away ---------------------------------------------------------------------------------------


def test_what_was_seen_while_the_database_was_away_is_written_afterwards(minutes, away):
    minutes.pass_(2, imap="Fine.", database="Fine.")
    with away():
        minutes.pass_(4, imap=DOWN, database=DOWN)
        minutes.pass_(1, imap="Fine.", database="Fine.")
    assert Result.objects.count() == 4
    minutes.pass_(2)
    assert Result.objects.count() == 18
    assert incidents() == [("database", 2, 6, None, 4), ("imap", 2, 6, "database", 4)]
    hour = Hour.objects.get(key="imap")
    assert (hour.ok, hour.bad) == (5, 4)
    minutes.pass_(1)
    assert minutes.collector.memory.incidents.outages == []


def test_what_waits_for_the_database_is_bounded(minutes, away):
    with away():
        minutes.pass_(1, imap=DOWN)
        seen = minutes.collector.memory.results[0]
        minutes.collector.memory.results.extend([seen] * 2 * tables.MISSED)
    assert len(minutes.collector.memory.results) == tables.MISSED


def test_two_that_saw_the_same_while_the_database_was_away(minutes, stand, away):
    other = Minutes(stand)
    with away():
        minutes.pass_(2, imap=DOWN)
        other.pass_(2)
    minutes.pass_(1)
    other.pass_(1)
    assert Result.objects.count() == Hour.objects.get().bad == 3
    assert other.collector.memory.written
    assert [row[:4] for row in incidents()] == [("imap", 0, None, None)]


def test_away_from_the_beginning(minutes, away):
    """Another one has seen when it began."""
    minutes.pass_(1, imap=DOWN)
    minutes.collector = Collector()
    with away():
        minutes.pass_(3)
    minutes.pass_(1)
    assert [row[:4] for row in incidents()] == [("imap", 0, None, None)]
    minutes.pass_(3, imap="Fine.")
    assert [row[:4] for row in incidents()] == [("imap", 0, 5, None)]


def test_no_connection_is_held_while_the_probes_look(minutes, stand):
    held = []

    def look(watch):
        held.append(of_collector.connection)
        return _("Fine.")

    stand.put(smtp="Fine.")
    rounds.probing._registered["smtp"] = rounds.probing.Asked(
        "smtp", rounds.probing.GROUND, _("SMTP"), look, 1
    )
    of_collector = connections["default"]
    minutes.pass_(1)
    assert held == [None]


# --- what is kept for how long ----------------------------------------------------------------------------------


def test_what_is_old_is_deleted_and_nothing_else(db, monkeypatch):
    monkeypatch.setattr(tables, "AT_ONCE", 3)
    now = timezone.now()
    minute, hour = int(now.timestamp() // 60), int(now.timestamp() // 3600)
    for key in ("imap", "smtp"):
        for age in (0, 2879, 2881, 2882, 2890, 4000, 9000):
            Result.objects.create(key=key, minute=minute - age, state="ok", seconds=0.1)
        for age in (0, 2159, 2161, 3000):
            Hour.objects.create(key=key, hour=hour - age)
    for days, ended in ((1, True), (729, True), (731, True), (731, False)):
        began = now - timedelta(days=days)
        incident = Incident.objects.create(key=f"{days}{ended}", began=began, ended=began if ended else None)
        Alert.objects.create(incident=incident, about="down", way="mail", made=began)
    tables.trim()
    assert set(Result.objects.values_list("key", "minute")) == {
        (key, minute - age) for key in ("imap", "smtp") for age in (0, 2879)
    }
    assert set(Hour.objects.values_list("hour", flat=True)) == {hour, hour - 2159}
    assert set(Incident.objects.values_list("key", flat=True)) == {"1True", "729True", "731False"}
    assert set(Alert.objects.values_list("incident__key", flat=True)) == {"1True", "729True"}


def test_a_round_is_a_few_statements(minutes, django_assert_max_num_queries):
    minutes.pass_(2, **{f"probe{number}": "Fine." for number in range(24)})
    with django_assert_max_num_queries(24 + 25):  # one for each row of this hour
        minutes.pass_(1)
    began = time.monotonic()
    minutes.pass_(5)
    assert time.monotonic() - began < 5
