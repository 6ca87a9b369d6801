import pytest

from mailpanel.daemons import State
from tests.daemons import fakes
from tests.daemons.conftest import look
from tests.daemons.fakes import SRS, table

STRANGER = "stranger@example.invalid"


@pytest.mark.parametrize(
    ("forward", "reverse", "state", "words"),
    [
        ({STRANGER: f"200 {SRS}"}, {SRS: f"200 {STRANGER}"}, State.OK, "knows its own addresses"),
        ({STRANGER: f"200 {STRANGER}"}, {}, State.BAD, "answers “200 stranger"),  # it lets senders pass as they are
        ({STRANGER: "400 not now"}, {}, State.BAD, "answers “400 not now” to get"),
        ({STRANGER: f"200 {SRS.replace('mail.example.test', 'localdomain')}"}, {}, State.BAD, "another name"),
        ({STRANGER: f"200 {SRS}"}, {}, State.BAD, "answers “500 no” to get"),  # two of them, with two keys
        ({STRANGER: f"200 {SRS}"}, {SRS: "200 somebody@example.invalid"}, State.BAD, "somebody@"),
        ({STRANGER: f"200 {SRS}"}, {"SRS0": f"200 {STRANGER}"}, State.BAD, "answers “200 stranger"),  # knows forged ones
        ({STRANGER: f"200 {SRS}\x1b[2J\u202e"}, {}, State.BAD, "answers"),
    ],
)  # fmt: skip
def test_dialects(stage, forward, reverse, state, words):
    stage(srs_forward=table(forward), srs_reverse=table(reverse))
    seen = look("postsrsd")["postsrsd"]
    assert (seen.state, words in str(seen.detail)) == (state, True), str(seen.detail)
    assert str(seen.detail).isprintable()
    assert bool(str(seen.hint)) == (state != State.OK)


def test_one_of_the_two_hangs(stage):
    stage(srs_reverse=fakes.silent)
    assert "does not answer get" in str(look("postsrsd")["postsrsd"].detail)
