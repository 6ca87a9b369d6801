"""“Check now”: one at a time looks at each probe, and the page never waits."""

import threading
import time

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from mailpanel.daemons import State, probing
from mailpanel.daemons.text import Text
from mailpanel.server import rounds
from mailpanel.server.models import Standing
from tests.server.conftest import DOWN

pytestmark = pytest.mark.django_db(transaction=True)


def settled(*keys: str) -> dict[str, Standing]:
    """The rows, once nobody looks any more."""
    deadline = time.monotonic() + 5
    while Standing.objects.exclude(asked=None).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return Standing.objects.in_bulk(keys or None)


def age(**changes) -> None:
    """As if it were longer ago."""
    Standing.objects.update(**changes)


def long_ago():
    return timezone.now() - 2 * rounds.CLAIM


def test_each_row_is_written_as_its_probe_ends(stand):
    stand.put(quick="Fine.", slow="Fine.")
    stand.gate.clear()
    assert rounds.begin() == ["quick", "slow"]
    assert Standing.objects.get(key="slow").checked is None
    stand.gate.set()
    assert {key: row.state for key, row in settled().items()} == {"quick": "ok", "slow": "ok"}


def test_what_was_seen_is_kept(stand):
    stand.put(smtp=DOWN)
    rounds.begin(["smtp"])
    row = settled()["smtp"]
    assert (row.state, row.command, row.failures) == (State.BAD, "start it", 0)
    assert str(Text.unpacked(row.detail)) == "Nobody listens at port 25."


def test_since_is_when_the_state_came(stand):
    stand.put(smtp="Fine.")
    rounds.begin()
    first = settled()["smtp"]
    age(checked=long_ago())
    rounds.begin()
    assert settled()["smtp"].since == first.since
    stand.put(smtp=DOWN)
    age(checked=long_ago())
    rounds.begin()
    assert settled()["smtp"].since > first.since


def test_what_was_seen_a_moment_ago_is_not_asked_again(stand):
    stand.put(smtp="Fine.")
    rounds.begin()
    settled()
    assert rounds.begin() == []
    age(checked=timezone.now() - rounds.FRESH)
    assert rounds.begin() == ["smtp"]


def test_a_claim_ends_with_him_who_was_never_heard_of_again(stand):
    stand.put(smtp="Fine.")
    rounds.begin()
    settled()
    age(checked=long_ago(), asked=timezone.now())
    assert rounds.begin() == []
    age(asked=long_ago())
    assert rounds.begin() == ["smtp"]


def test_many_at_once_ask_each_daemon_once(stand):
    stand.put(**{f"probe{number}": "Fine." for number in range(8)})
    claimed, barrier = [], threading.Barrier(12)

    def press():
        barrier.wait()
        try:
            claimed.extend(rounds.begin())
        finally:
            connection.close()

    for times in range(1, 6):
        people = [threading.Thread(target=press) for _person in range(12)]
        for person in people:
            person.start()
        for person in people:
            person.join()
        settled()
        assert (
            sorted(claimed)
            == sorted(stand.asked)
            == sorted([f"probe{number}" for number in range(8)] * times)
        )
        age(checked=long_ago())


def test_the_database_away(stand, monkeypatch, caplog):
    stand.put(smtp="Fine.")

    def away(*_arguments, **_others):
        raise OperationalError("gone away")

    monkeypatch.setattr(rounds.Standing.objects, "filter", away)
    assert rounds.begin() == []
    assert "gone away" in caplog.text


def test_a_probe_that_is_not_there(stand):
    with pytest.raises(KeyError):
        rounds.begin(["; rm -rf /"])


def test_each_comes_as_it_ends(stand):
    stand.put(first="Fine.", second=DOWN)
    assert {seen.key for seen in probing.each()} == {"first", "second"}
    assert [seen.key for seen in probing.look(["second", "first"])] == ["second", "first"]
