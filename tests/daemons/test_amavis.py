"""Amavis as it should be and as it should not."""

import os
import time

import pytest

from mailpanel.daemons import State, amavis
from tests.daemons import fakes
from tests.daemons.conftest import look

GOOD, BAD, LATER = "250 2.6.0 Ok", "554 5.7.0 Reject", "451 4.5.0 Error in processing"


@pytest.mark.parametrize(
    ("verdicts", "key", "words"),
    [
        ({b"EICAR": GOOD, b"GTUBE": BAD, b"": GOOD}, "amavis", "lets the test virus pass"),
        ({b"EICAR": BAD, b"GTUBE": GOOD, b"": GOOD}, "spamassassin", "test spam passes"),
        ({b"": BAD}, "amavis", "refuses a harmless message"),
        ({b"": BAD}, "spamassassin", "refuses a harmless message"),
        ({b"EICAR": LATER, b"GTUBE": BAD, b"": GOOD}, "amavis", "puts mail off"),
        ({b"": LATER}, "spamassassin", "puts mail off"),
        ({b"": "what?"}, "amavis", "what?"),
    ],
)
def test_verdicts(stage, verdicts, key, words):
    stage(amavis=fakes.amavis(verdicts))
    seen = look(key)[key]
    assert seen.state == State.BAD
    assert words in str(seen.detail)
    assert str(seen.hint)
    assert seen.command


def test_one_part_is_seen_by_itself(stage):
    stage(amavis=fakes.amavis({b"EICAR": GOOD, b"GTUBE": BAD, b"": GOOD}))
    assert {key: seen.state for key, seen in look("amavis", "spamassassin").items()} == {
        "amavis": State.BAD,
        "spamassassin": State.OK,
    }


@pytest.mark.parametrize("greeting", ["421 4.3.2 Service shutting down", "554 no", "220"])
def test_greetings(stage, greeting):
    stage(amavis=fakes.answering(greeting, [(".*", "421 4.3.2 Service shutting down\nCUT")]))
    seen = look("amavis")["amavis"]
    assert seen.state == State.BAD
    assert "421" in str(seen.detail) or "554" in str(seen.detail)


def test_rules_of_the_server(stage, settings, tmp_path, monkeypatch):
    stage()
    settings.PRIVATE_COPY = False
    monkeypatch.setattr(amavis, "RULES", tmp_path / "none")
    assert look("spamassassin")["spamassassin"].state == State.OK  # another machine's
    monkeypatch.setattr(amavis, "RULES", tmp_path)
    assert "came with the package" in str(look("spamassassin")["spamassassin"].detail)
    rules = tmp_path / "4.000001" / "updates_spamassassin_org.cf"
    rules.parent.mkdir()
    rules.touch()
    assert look("spamassassin")["spamassassin"].state == State.OK
    os.utime(rules, (0, time.time() - 30 * 86400))
    seen = look("spamassassin")["spamassassin"]
    assert seen.state == State.WARN
    assert "The rules of SpamAssassin are of" in str(seen.detail)
