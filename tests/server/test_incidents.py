"""What is one incident, what is the cause of what, and who is told when."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailpanel.daemons import Probe, State, probing
from mailpanel.daemons.text import Text
from mailpanel.server.incidents import COMPONENTS, TOGETHER, Incidents, component, explains

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)
AFTER = 3


def at(minute: int) -> datetime:
    return BEGIN + timedelta(minutes=minute)


def probe(key: str, state) -> Probe:
    return Probe(
        key, Text("g"), Text(key), State(state), Text("It is %(state)s.", state=state), Text(""), "", 0.1
    )


class Story:
    """Rounds in letters: B bad, o ok, w warn, - off, a blank where nobody looked."""

    STATES = {"B": "bad", "o": "ok", "w": "warn", "-": "off"}

    def __init__(self, after=AFTER, **rounds: str):
        self.incidents, self.told, self.ever = Incidents(), [], []
        rounds = {key.replace("_", "-"): letters for key, letters in rounds.items()}
        for minute in range(max(map(len, rounds.values()))):
            seen = [
                probe(key, self.STATES[letters[minute]])
                for key, letters in rounds.items()
                if minute < len(letters) and letters[minute] != " "
            ]
            for cause in self.incidents.round(at(minute), seen, after):
                whole = self.incidents.of_one_cause(cause)
                over = all(outage.ended for outage in whole)
                self.told.append((minute, "clear" if over else "down", cause.key))
            self.ever += [outage for outage in self.incidents.outages if outage not in self.ever]
            for outage in self.incidents.outages:
                outage.changed = False
            self.incidents.forget()

    def minutes(self) -> list:
        """key, from, to, cause of all that there were."""
        number = lambda moment: moment and int((moment - BEGIN).total_seconds() // 60)  # noqa: E731
        return [
            (one.key, number(one.began), number(one.ended), one.cause and one.cause.key) for one in self.ever
        ]


def test_from_the_first_bad_round_to_the_first_good_one():
    story = Story(imap="ooBBBBooo")
    assert story.minutes() == [("imap", 2, 6, None)]
    assert story.told == [(4, "down", "imap"), (8, "clear", "imap")]
    assert story.incidents.outages == []


def test_too_short_for_a_message():
    story = Story(imap="oBBoooo")
    assert (story.minutes(), story.told) == ([("imap", 1, 3, None)], [])


def test_good_in_between_is_the_same_incident():
    story = Story(imap="BBooBoBooo")
    assert story.minutes() == [("imap", 0, 7, None)]
    assert (story.ever[0].flaps, story.ever[0].rounds) == (2, 4)
    assert story.told == []


def test_a_warning_and_what_is_switched_off_are_no_failures():
    assert Story(imap="wwwwww").minutes() == []
    assert Story(imap="BBBw-wo").minutes() == [("imap", 0, 3, None)]


def test_where_nobody_looked_nothing_is_known():
    story = Story(imap="BB   Booo")
    assert (story.minutes(), story.told) == (
        [("imap", 0, 6, None)],
        [(5, "down", "imap"), (8, "clear", "imap")],
    )


@pytest.mark.parametrize(
    ("cause", "effects"),
    [
        ("smtp", ["submission", "smtps", "sasl", "queue", "roundtrip"]),
        ("imap", ["imaps", "lmtp", "quota_status", "doveadm", "sasl", "submission", "roundtrip"]),
        ("clamav", ["roundtrip", "queue"]),
        ("database", ["imap", "lmtp", "smtp", "sasl", "roundtrip"]),
        ("disks", ["database", "smtp", "imap", "clamav", "queue", "roundtrip"]),
    ],
)  # fmt: skip
def test_one_message_for_one_cause(cause, effects):
    story = Story(**dict.fromkeys(effects, "oBBBBoooo"), **{cause: "oBBBBoooo"})
    assert story.told == [(3, "down", cause), (7, "clear", cause)]
    assert {(key, of) for key, _from, _to, of in story.minutes()} == {
        (cause, None), *((effect.replace("_", "-"), cause) for effect in effects)
    }  # fmt: skip


def test_the_effect_was_seen_first():
    story = Story(roundtrip="BBBBooo", sasl="BBBBooo", imap="oBBBooo")
    assert story.told == [(2, "down", "imap"), (6, "clear", "imap")]
    assert {cause for key, _f, _t, cause in story.minutes() if key != "imap"} == {"imap"}


def test_all_is_well_when_the_last_effect_is():
    assert Story(imap="BBBBooooooo", roundtrip="oBBBBBBBooo").told == [
        (2, "down", "imap"),
        (10, "clear", "imap"),
    ]


def test_the_cause_is_over_and_the_effect_goes_on():
    story = Story(imap="Booooooo", roundtrip="BBBBBooo")
    assert story.told == [(2, "down", "imap"), (7, "clear", "imap")]


def test_what_begins_much_later_has_a_cause_of_its_own():
    minutes = int(TOGETHER.total_seconds() // 60) + 1
    story = Story(smtp="B" * 20, queue="o" * minutes + "B" * 5)
    assert story.told == [(2, "down", "smtp"), (minutes + 2, "down", "queue")]


def test_what_does_not_explain_it_is_another_cause():
    assert [key for _m, _a, key in Story(clamav="BBB", imap="BBB").told] == ["imap", "clamav"]
    assert [key for _m, _a, key in Story(disks="BBB", clock="BBB").told] == ["disks", "clock"]


def test_postfix_goes_while_dovecot_is_away():
    """Its submission was an effect of that, and its port 25 is not."""
    story = Story(imap="BBBBBBBB", sasl="BBBBBBBB", smtp="oooBBBBB")
    assert [key for _m, _a, key in story.told] == ["imap", "smtp"]


def test_every_probe_has_a_component():
    assert [key for key in probing.probes() if component(key) not in COMPONENTS] == []
    assert {key for keys in COMPONENTS.values() for key in keys} == set(probing.probes())


def test_nothing_explains_itself_by_way_of_another():
    keys = list(probing.probes())
    for one in keys:
        for other in keys:
            if component(one) != component(other):
                assert not (explains(one, other) and explains(other, one)), (one, other)


KEYS = ["disks", "database", "imap", "lmtp", "smtp", "sasl", "clamav", "queue", "roundtrip", "mx"]
LETTERS = st.text(alphabet="BBBoow- ", min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(rounds=st.dictionaries(st.sampled_from(KEYS), LETTERS, min_size=1), after=st.integers(1, 4))
def test_whatever_happens(rounds, after):
    story = Story(after, **{key: letters + "o" * (45 - len(letters)) for key, letters in rounds.items()})
    assert story.incidents.outages == []  # all has been good for long enough
    by_key = {}
    for outage in story.ever:
        by_key.setdefault(outage.key, []).append(outage)
        assert outage.ended > outage.began
        assert outage.cause is None or outage.cause.cause is None
        assert outage.cause is None or explains(outage.cause.key, outage.key)
        assert outage.cause is None or abs(outage.began - outage.cause.began) <= TOGETHER
    for key, outages in by_key.items():
        for one, next_one in itertools.pairwise(outages):
            assert one.ended < next_one.began
        began = {int((outage.began - BEGIN).total_seconds() // 60) for outage in outages}
        assert all(rounds[key][minute] == "B" for minute in began)
    told = {}
    for _minute, about, key in story.told:
        told.setdefault(key, []).append(about)
    for key, abouts in told.items():
        assert abouts.count("down") == abouts.count("clear"), key
        assert abouts[0] == "down"
    long_enough = {key for key in rounds if "B" * after in rounds[key].replace(" ", "")}
    assert bool(long_enough) == bool(story.told)
