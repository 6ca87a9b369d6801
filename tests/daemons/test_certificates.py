"""That a program is up and that its certificate is good are two facts, each with its own row and reason."""

import base64
import ssl

import pytest

from mailpanel.daemons import State
from mailpanel.daemons.dialects import DIALECTS
from tests.daemons import fakes
from tests.daemons.conftest import PASSWORD, look

STATES = {
    "expired": ({"begins": -30, "ends": -1}, "has ended"),
    "not yet valid": ({"begins": 5}, "not valid yet"),
    "self-signed": ({"own": True}, "self-signed"),
    "wrong name": ({"name": "other.example.test"}, "is not for mail.example.test"),
    "weak key": ({"key": ("-newkey", "rsa:1024")}, "too weak"),
    "weak signature": ({"digest": "sha1"}, "too weak"),
}


@pytest.mark.parametrize("name", ["imap", "imaps", "smtp", "pop3s", "managesieve"])
@pytest.mark.parametrize("state", STATES)
def test_each_with_its_own_reason(stage, authority, state, name):
    if name != "imaps" and state not in ("expired", "self-signed"):
        return
    wanted, words = STATES[state]
    bad = authority.server(**wanted)
    up = stage(**{name: fakes.GOOD[name]})
    up[name].context = bad
    seen = look(name, "tls", "lmtp", "submission")
    for key, expected in (
        (name, State.WARN),
        ("tls", State.BAD),
        ("lmtp", State.OK),
        ("submission", State.OK),
    ):
        assert seen[key].state == expected, str(seen[key].detail)
    for key in (name, "tls"):
        assert words in str(seen[key].detail)
        assert up[name].place in str(seen[key].detail)
        assert str(seen[key].hint)
        assert seen[key].command


def test_no_password_goes_to_whom_nobody_vouches_for(stage, authority):
    heard = []

    def listening(it):
        it.secure()
        it.say("* OK fake")
        while line := it.hear():
            heard.append(line)
            it.say(b"MP OK done\r\n")

    up = stage(imaps=listening)
    up["imaps"].context = authority.server(own=True)
    assert look("imaps")["imaps"].state == State.WARN
    assert PASSWORD.encode() not in b"".join(heard)
    token = base64.b64encode(PASSWORD.encode())[:12]
    assert token not in b"".join(heard)
    assert not [line for line in heard if b"AUTH" in line]


def test_an_authority_that_is_not_trusted(stage, settings, tmp_path_factory):
    from tests.daemons.certificates import Authority

    other = Authority(tmp_path_factory.mktemp("other"))
    stage()
    settings.MAILPANEL_PROBE_CA = str(other.certificate)
    seen = look("tls", "imap")
    assert "no authority that is trusted" in str(seen["tls"].detail)
    assert (seen["tls"].state, seen["imap"].state) == (State.BAD, State.WARN)


def test_garbage_behind_a_bad_certificate_is_down(stage, authority):
    def garbage(it):
        it.secure()
        it.say(b"SSH-2.0-x\r\n")

    up = stage(imaps=garbage)
    up["imaps"].context = authority.server(ends=-1)
    assert look("imaps")["imaps"].state == State.BAD


def test_old_tls_alone(stage, authority):
    old = authority.server()
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    up = stage()
    up["imaps"].context = old
    seen = look("imaps", "imap")
    assert "TLS with" in str(seen["imaps"].detail)
    assert seen["imap"].state == State.OK


@pytest.mark.parametrize(("days", "state"), [(30, State.OK), (20, State.WARN), (6, State.BAD)])
def test_end_that_comes_near(stage, authority, days, state):
    up = stage()
    up["pop3"].context = authority.server(ends=days + 0.5)
    seen = look("tls", "pop3")
    assert (seen["tls"].state, seen["pop3"].state) == (state, State.OK)
    if state != State.OK:
        assert "pop3" in str(seen["tls"].detail)
        assert f"in {days} days" in str(seen["tls"].detail)


def test_a_port_that_hangs_hides_nothing(stage, authority):
    up = stage(imap=fakes.silent, smtp=fakes.closing)
    up["pop3s"].context = authority.server(ends=3)
    seen = look("tls")["tls"]
    assert seen.state == State.BAD
    assert "pop3s" in str(seen.detail)


def test_no_port_at_all(stage):
    stage(**dict.fromkeys(DIALECTS, fakes.closing))
    assert "No port shows a certificate" in str(look("tls")["tls"].detail)
