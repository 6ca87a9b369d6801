"""A release is one request, whatever is asked for, and ends in time."""

import pytest

from mailpanel.daemons import Trouble, pdp, targets
from tests.daemons import fakes
from tests.daemons.fakes import Fake


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
                pdp.release(*arguments)
            finally:
                answer.heard = fake.heard
        return fake.heard

    return answer


def test_release(released):
    heard = released("250 2.0.0 Ok", "hwyGD9HFkQ_X", "zZ8-yaGy6RNC", ["a@b.test", "c+d@b.test"])
    assert heard.decode().split("\r\n") == [
        "request=release", "mail_id=hwyGD9HFkQ_X", "secret_id=zZ8-yaGy6RNC", "quar_type=Q",
        "queue_id=quarantine%3AhwyGD9HFkQ_X", "client_address=127.0.0.1", "recipient=<a@b.test>",
        "recipient=<c+d@b.test>", "", "",
    ]  # fmt: skip
    for refusal in ("450 4.5.0 Failure: secret_id does not match", "550 no", "2500", ""):
        with pytest.raises(pdp.Refused, match="did not release"):
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
        with pytest.raises(pdp.Refused, match="cannot be released"):
            released("250 Ok", *arguments)
        assert released.heard == b""


@pytest.mark.parametrize("behave", [fakes.silent, fakes.closing, fakes.endless, fakes.resetting])
def test_release_ends_in_time(settings, monkeypatch, behave):
    monkeypatch.setattr(pdp, "SECONDS", 0.5)
    with Fake(behave) as fake:
        settings.MAILPANEL_PROBE_TARGETS = {"amavis-release": fake.place}
        with pytest.raises(Trouble):
            pdp.release("mail", "secret", ["a@b.test"])
