"""Amavis as it should be and as it should not; and that a release is one request, whatever is asked for."""

import os
import time

import pytest

from mailpanel.daemons import DaemonError, State, amavis, targets
from tests.daemons import fakes
from tests.daemons.conftest import look
from tests.daemons.fakes import Fake

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


# --- release --------------------------------------------------------------------------------------------------


@pytest.fixture
def released(settings):
    """released("250 2.0.0 Ok"): what came over the wire at a release that is answered so."""

    def answer(said, *arguments):
        def behave(it):
            while it.hear() not in (b"\n", b""):
                pass
            it.say(f"setreply={said}", "")

        with Fake(behave) as fake:
            settings.MAILPANEL_PROBE_TARGETS = targets.read({"amavis-release": fake.place})
            try:
                amavis.release(*arguments)
            finally:
                answer.heard = fake.heard
        return fake.heard

    return answer


def test_release(released):
    heard = released("250 2.0.0 Ok", "hwyGD9HFkQ_X", "zZ8-yaGy6RNC", ["a@b.test", "c+d@b.test"])
    assert heard.decode().split("\r\n") == [
        "request=release", "mail_id=hwyGD9HFkQ_X", "secret_id=zZ8-yaGy6RNC", "quar_type=Q", "recipient=<a@b.test>",
        "recipient=<c+d@b.test>", "", "",
    ]  # fmt: skip
    for refusal in ("450 4.5.0 Failure: secret_id does not match", "550 no", "2500", ""):
        with pytest.raises(DaemonError, match="did not release"):
            released(refusal, "hwyGD9HFkQ_X", "zZ8-yaGy6RNC", ["a@b.test"])


@pytest.mark.parametrize(
    "wrong", ["abc\r\nrequest=release\r\nmail_id=other", "../x", "x" * 300, "", "é", "a b", "x\n"]
)
def test_release_is_one_request(released, wrong):
    for arguments in (
        (wrong, "secret", ["a@b.test"]),
        ("mail", wrong, ["a@b.test"]),
        ("mail", "secret", ["a@b.test", wrong]),
    ):
        with pytest.raises(ValueError, match="release"):
            released("250 Ok", *arguments)
        assert released.heard == b""


@pytest.mark.parametrize("behave", [fakes.silent, fakes.closing, fakes.endless, fakes.resetting])
def test_release_ends_in_time(settings, monkeypatch, behave):
    monkeypatch.setattr(amavis, "DEADLINE", 0.5)
    with Fake(behave) as fake:
        settings.MAILPANEL_PROBE_TARGETS = {"amavis-release": fake.place}
        with pytest.raises(DaemonError):
            amavis.release("mail", "secret", ["a@b.test"])
