"""Release from the quarantine by Amavis' own protocol: one request whatever is asked for, and an end in time."""

import pytest

from mailpanel.daemons import Trouble, pdp, targets
from mailpanel.daemons.probing import Watch
from tests.daemons import fakes
from tests.daemons.fakes import Fake

ONE = ["a@b.test"]


@pytest.fixture
def released(settings):
    """released("250 2.0.0 Ok", …): what came over the wire at a release that is answered so."""

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
        "request=release", "mail_id=hwyGD9HFkQ_X", "secret_id=zZ8-yaGy6RNC", "quar_type=Q", "recipient=<a@b.test>",
        "recipient=<c+d@b.test>", "", "",
    ]  # fmt: skip
    for refusal in ("450 4.5.0 Failure: secret_id does not match", "550 no", "2500", ""):
        with pytest.raises(pdp.Refused):
            released(refusal, "hwyGD9HFkQ_X", "zZ8-yaGy6RNC", ONE)


@pytest.mark.parametrize(
    "wrong", ["abc\r\nrequest=release\r\nmail_id=other", "../x", "x" * 400, "", "é", "a b", "x\n"]
)
def test_release_is_one_request(released, wrong):
    """Nothing that has not the form of Amavis is sent; in the two other places it is at most one value."""
    with pytest.raises(pdp.Refused):
        released("250 Ok", wrong, "secret", ONE)
    assert released.heard == b""
    for arguments in (("mail", wrong, ONE), ("mail", "secret", [*ONE, wrong])):
        try:
            heard = released("250 Ok", *arguments)
        except pdp.Refused:
            assert released.heard == b""
        else:
            assert heard.count(b"request=") == heard.count(b"mail_id=") == heard.count(b"secret_id=") == 1


@pytest.mark.parametrize("behave", [fakes.silent, fakes.closing, fakes.endless, fakes.resetting])
def test_release_ends_in_time(settings, behave):
    with Fake(behave) as fake:
        settings.MAILPANEL_PROBE_TARGETS = {"amavis-release": fake.place}
        with pytest.raises(Trouble):
            pdp.release("mail", "secret", ONE, Watch(0.5))
