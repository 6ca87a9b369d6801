"""A hung, slow, garbage-talking, half-open or endless peer costs one red row with a clear sentence, and no more than its
deadline."""

import gc
import os
import resource
import socket
import threading
import time
import warnings

import pytest

from mailpanel.daemons import State, probing
from tests.daemons import fakes
from tests.daemons.conftest import ASKS, SECONDS, look
from tests.daemons.fakes import GOOD

TIMES = {key: asked.times for key, asked in probing.probes().items() if key in ASKS}
RANDOM = b"\x00\xff\x80\xc3(\r\n" + bytes(range(256)) * 16
BANNERS = {
    "smtp": b"220 fake\r\n", "submission": b"220 fake\r\n", "imap": b"* OK fake\r\n", "pop3": b"+OK fake\r\n",
    "managesieve": b'"IMPLEMENTATION" "fake"\r\n"SASL" ""\r\n"STARTTLS"\r\nOK\r\n', "lmtp": b"220 fake\r\n",
}  # fmt: skip


def left_behind(up) -> list:
    """Threads of probes, and connections that the fakes still have."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("probe")]
        open_still = [name for name, fake in up.items() if fake.still_open]
        if not threads + open_still:
            return []
        time.sleep(0.02)
    return threads + open_still


def test_all_is_well_with_servers_that_behave(stage):
    up = stage()
    seen = look()
    assert {
        key: (probe.state, str(probe.detail)) for key, probe in seen.items() if probe.state != State.OK
    } == {}
    assert not any(probe.hint or probe.command for probe in seen.values())
    assert left_behind(up) == []


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (fakes.silent, "says nothing|does not answer|TLS"),
        (fakes.dripping, "says too little|answers|TLS|nothing|does not answer"),
        (fakes.endless, "no end of it|TLS"),
        (fakes.endless_lines, "no end of it|greets|answers|TLS"),
        (fakes.closing, "ends it without a word|ends the connection|TLS"),
        (fakes.resetting, "cannot be reached|ends it without a word|ends the connection|TLS"),
        (fakes.saying(RANDOM), "greets with|answers|TLS|no end"),
        (fakes.saying(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n\0"), "greets with|answers|TLS"),
        (fakes.saying(b"SSH-2.0-OpenSSH_9.2\r\n\0"), "greets with|answers|TLS|too little"),
        (None, "off"),
    ],
    ids=["silent", "dripping", "endless", "endless lines", "closing", "resetting", "random", "http", "ssh", "off"],
)  # fmt: skip
def test_every_probe_ends_in_time_and_says_why(stage, behave, words):
    up = stage(**dict.fromkeys(GOOD, behave))
    begin, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if behave is None:
        assert {look(key)[key].state for key in ASKS if key != "doveadm"} == {State.OFF}
        return
    seen = look()
    # of the slowest, and not the sum
    assert time.monotonic() - begin < max(TIMES.values()) * SECONDS + probing.GRACE + 0.5
    for key, probe in seen.items():
        assert probe.state == State.BAD, key
        assert any(word in str(probe.detail) for word in words.split("|")), (key, str(probe.detail))
        assert "probe itself" not in str(probe.detail)
        assert str(probe.hint)
        assert str(probe.detail).isprintable()
        assert len(str(probe.detail)) < 300
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 30_000
    )  # KB, for all thirteen and their fakes
    assert left_behind(up) == []


@pytest.mark.parametrize("name", BANNERS)
def test_hangs_after_the_banner(stage, name):
    up = stage(**{name: fakes.saying(BANNERS[name])})
    key = next(key for key, place in ASKS.items() if place == name)
    probe = look(key)[key]
    assert probe.state == State.BAD
    assert "does not answer" in str(probe.detail)
    assert probe.seconds < SECONDS + probing.GRACE
    assert left_behind(up) == []


def test_nobody_listens(stage, settings):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        stage(imap=None)
        settings.MAILPANEL_PROBE_TARGETS = {"imap": f"127.0.0.1:{free.getsockname()[1]}"}
        probe = look("imap")["imap"]
    assert probe.state == State.BAD
    assert "Nobody listens" in str(probe.detail)
    assert probe.command
    assert probe.seconds < 0.3


def test_takes_no_connection(stage, settings):
    """A full backlog: the kernel drops what comes to knock."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _number in range(3)]
        for door in waiting:
            door.setblocking(False)
            door.connect_ex(full.getsockname())
        stage()
        settings.MAILPANEL_PROBE_TARGETS |= {"pop3": f"127.0.0.1:{full.getsockname()[1]}"}
        seen = look("pop3", "imap")
        for door in waiting:
            door.close()
    assert "takes no connection" in str(seen["pop3"].detail)
    assert seen["pop3"].seconds < SECONDS + probing.GRACE
    assert seen["imap"].state == State.OK


def test_one_that_hangs_leaves_the_others_as_they_were(stage):
    stage(pop3=fakes.silent, clamd=fakes.endless, smtp=fakes.dripping)
    states = {key: probe.state for key, probe in look().items()}
    assert {key for key, state in states.items() if state != State.OK} == {"pop3", "clamav", "smtp"}


@pytest.mark.parametrize(
    ("name", "greeting"),
    [
        ("smtp", "554 5.3.2 no service"), ("smtp", "421 4.3.2 too busy"), ("imap", "* BYE shutting down"),
        ("imap", "* PREAUTH welcome"), ("pop3", "-ERR not now"), ("managesieve", 'BYE "not now"'), ("lmtp", "421 busy"),
    ],
)  # fmt: skip
def test_a_port_that_is_open_is_no_service(stage, name, greeting):
    stage(**{name: fakes.answering(greeting, [])})
    probe = look(name)[name]
    assert probe.state == State.BAD
    assert greeting.split(" ")[0] in str(probe.detail)


def test_so_many_lines_are_no_answer(stage):
    stage(smtp=fakes.answering("\n".join(["220-more"] * 150) + "\n220 done", fakes.SMTP))
    assert "no end of it" in str(look("smtp")["smtp"].detail)


@pytest.mark.parametrize("when", ["EHLO .*", "STARTTLS", "QUIT", "MAIL .*"])
def test_dies_in_the_middle(stage, when):
    up = stage(smtp=fakes.answering("220 fake", [(when, "CUT"), *fakes.SMTP]))
    probe = look("smtp")["smtp"]
    assert probe.state == State.BAD
    assert "ends the connection after" in str(probe.detail)
    assert left_behind(up) == []


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([("EHLO .*", "250 fake")], "offers no STARTTLS"),
        ([("STARTTLS", "454 not available")], "answers “454"),
        ([("STARTTLS", "220 go on\ngarbage")], "in clear|TLS with"),
        ([("STARTTLS", "220 go on\n250 injected\nTLS")], "in clear"),
        ([("STARTTLS", "220 go on\nHANG")], "does not answer TLS"),
        ([("STARTTLS", "220 go on\nCUT")], "TLS with"),
        ([("EHLO .*", "250-fake\n250-AUTH PLAIN\n250 STARTTLS")], "passwords without TLS"),
        ([("RCPT .*", "250 gladly")], "open relay"),
        ([("RCPT .*", "451 database")], "puts strangers off"),
    ],
)  # fmt: skip
def test_smtp_that_lies(stage, answers, words):
    stage(smtp=fakes.answering("220 fake", [*answers, *fakes.SMTP]))
    probe = look("smtp")["smtp"]
    assert probe.state != State.OK
    assert any(word in str(probe.detail) for word in words.split("|")), str(probe.detail)
    assert str(probe.hint)


@pytest.mark.parametrize(
    ("name", "behave"),
    [
        ("imap", fakes.answering("* OK", [(r"(\S+) CAPABILITY", "* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\n\\1 OK")])),
        ("pop3", fakes.answering("+OK", [("CAPA", "+OK\nSTLS\nUSER\n."), *fakes.POP3])),
        ("managesieve", fakes.answering('"IMPLEMENTATION" "fake"\n"SASL" "PLAIN"\n"STARTTLS"\nOK', fakes.SIEVE)),
    ],
)  # fmt: skip
def test_passwords_in_clear_are_told_and_none_is_sent(stage, name, behave):
    up = stage(**{name: behave})
    probe = look(name)[name]
    assert "passwords without TLS" in str(probe.detail)
    assert b"AUTHENTICATE" not in up[name].heard
    assert b"PASS" not in up[name].heard


@pytest.mark.parametrize("name", ["imap", "pop3", "managesieve"])
def test_wrong_password_is_told_with_the_command(stage, name):
    refusal = {
        "imap": fakes.answering("* OK", [(r"[A-Za-z0-9+/=]{20,}", "MP NO [AUTHENTICATIONFAILED] no"), *fakes.IMAP]),
        "pop3": fakes.answering("+OK", [("PASS .*", "-ERR [AUTH] no"), *fakes.POP3]),
        "managesieve": fakes.answering(fakes._SIEVE, [("AUTHENTICATE .*", 'NO "no"'), *fakes.SIEVE]),
    }[name]  # fmt: skip
    stage(**{name: refusal})
    probe = look(name)[name]
    assert "is refused" in str(probe.detail)
    assert probe.command == "manage.py probe_account"


def test_a_refused_password_is_left_alone_for_a_while(stage, settings):
    """Seven doors each minute would look like somebody who guesses."""
    up = stage(imap=fakes.answering("* OK", [(r"[A-Za-z0-9+/=]{20,}", "MP NO no"), *fakes.IMAP]))
    for _round in range(3):
        seen = look("imap")["imap"]
        assert (seen.state, "is refused" in str(seen.detail)) == (State.BAD, True)
    assert look("pop3")["pop3"].state == State.BAD
    assert up["imap"].heard.count(b"AUTHENTICATE") == 1
    assert up["pop3"].heard.count(b"PASS") == 0
    settings.MAILPANEL_PROBE_PASSWORD = "a new one"
    assert look("imap")["imap"].state == State.BAD  # it is tried, and refused by this server, too
    assert up["imap"].heard.count(b"AUTHENTICATE") == 2


def test_without_an_account_nothing_is_guessed(stage, settings, tmp_path):
    up = stage()
    settings.MAILPANEL_PROBE_PASSWORD, settings.PROBE_PASSWORD_KEPT = "", tmp_path / "none"
    seen = look()
    assert seen["imap"].state == State.WARN
    assert seen["imap"].command == "manage.py probe_account"
    assert seen["smtp"].state == State.OK
    assert b"AUTHENTICATE" not in up["imap"].heard


def test_a_stuck_probe_is_not_started_again(monkeypatch, settings):
    settings.MAILPANEL_PROBE_SECONDS = 0.1
    release, started = threading.Event(), []

    def stuck(watch):
        started.append(1)
        release.wait()

    probing.probes()
    with monkeypatch.context() as patched:
        patched.setitem(probing._registered, "stuck", probing.Asked("stuck", probing.GROUND, "", stuck, 1))
        patched.setitem(
            probing._registered, "broken", probing.Asked("broken", probing.GROUND, "", lambda _w: 1 / 0, 1)
        )
        for _round in range(3):
            hung, broken = probing.look(["stuck", "broken"])
            assert (hung.state, broken.state) == (State.BAD, State.BAD)
            assert "0.1 seconds" in str(hung.detail)
            assert str(broken.detail) == "The probe itself failed."
        release.set()
    assert len(started) == 1


def test_many_rounds_leak_nothing(stage):
    """Neither in rounds that are well nor in those that are not."""
    stage(pop3=fakes.answering("+OK", [("STLS", "-ERR no"), *fakes.POP3]))
    look()
    before = _held()
    with warnings.catch_warnings(
        record=True
    ) as caught:  # a socket that the collector of garbage had to close
        warnings.simplefilter("always")
        for _round in range(40):
            look("smtp", "imap", "pop3", "clamav", "lmtp")
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []
    deadline = time.monotonic() + 3
    while _held() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _held() <= before


def _held() -> int:
    """Threads and open files, those of the fakes included."""
    return len(os.listdir("/proc/self/fd")) + threading.active_count()
