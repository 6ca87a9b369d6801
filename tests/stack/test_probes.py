"""The probes on the real daemons: all green, and each daemon in turn ended and frozen. The right rows turn red, the others
stay as they were, and all are back with the daemon."""

import contextlib
import json
import os
import signal
import stat
import time

import pytest
from django.conf import settings

from mailpanel.daemons import probing
from mailpanel.server.models import Msg
from mailpanel.stack import processes
from tests.environment import ON_MARIADB
from tests.stack.mail import eventually

# Of the machine and not of the daemons; and what a private copy does not ask.
MACHINE = {"disks", "memory"}
OFF = {"resolver", "hostname", "mx", "blocklists"} | (set() if ON_MARIADB else {"clock"})
READING = {"imap", "imaps", "pop3", "pop3s", "managesieve", "doveadm"}
# What nobody can do without it.
NEEDS = {
    "postfix": {"smtp", "submission", "smtps", "sasl", "queue", "roundtrip"},
    "dovecot": READING | {"lmtp", "quota-status", "sasl", "roundtrip"},
    "clamd": {"clamav", "amavis", "roundtrip"},
    "amavis": {"amavis", "spamassassin", "roundtrip"},
    "postsrsd": {"postsrsd"},
}
# A smtpd asks Dovecot for the ways to sign in when it begins; those that did so before go on to offer them.
# Processes of Amavis that wait for a scanner which hangs look at nothing else.
PERHAPS = {"dovecot": {"submission", "smtps"}, "clamd": {"spamassassin"}}
SECONDS = 3


@pytest.fixture
def check(_probed, private):
    """check(): one round by the command, as {key: row}; with its duration under "round"."""

    def look(*keys) -> dict:
        begin = time.monotonic()
        done = private.manage("check_server", "--json", *keys, check=False)
        assert done.stderr == ""
        return {row["key"]: row for row in json.loads(done.stdout)} | {"round": time.monotonic() - begin}

    return look


def states(seen: dict) -> dict:
    return {key: row["state"] for key, row in seen.items() if key != "round" and key not in MACHINE}


def red(seen: dict) -> set:
    return {key for key, state in states(seen).items() if state != "ok"} - OFF


def is_well(check) -> bool:
    seen = check()
    return red(seen) == set() or bool(print({key: seen[key]["detail"] for key in red(seen)}))


def test_all_is_well(check, private):
    assert eventually(lambda: is_well(check))
    seen = check()
    assert {key for key, state in states(seen).items() if state == "off"} == OFF
    for row in (row for key, row in seen.items() if key != "round" and key not in MACHINE):
        assert (row["hint"], row["command"]) == ("", "")
    stages = [stage["name"] for stage in seen["roundtrip"]["stages"]]
    assert stages == ["Submitted with TLS", "Delivered", "Fetched by IMAP", "Checked and deleted"]
    # the message of the round trip may be in it just when it is looked at
    assert eventually(lambda: "The queue is empty" in check()["queue"]["detail"])


def test_leaves_nothing_behind(check, private):
    """No message, no failed sign-in, and no line in the log that a ban could come from (fail2ban's filters)."""
    check()
    home = private.directory / "amavis" / "home"
    # those of an Amavis that was killed stay; of those that run each has one, which the next message overwrites
    files = _files(home)
    before, kept = (
        {daemon: len(private.log(daemon)) for daemon in ("postfix", "dovecot", "amavis")},
        Msg.objects.count(),
    )
    assert eventually(lambda: is_well(check))
    said = {daemon: private.log(daemon)[start:] for daemon, start in before.items()}
    for words in (
        "auth failed",
        "lost connection",
        "SASL PLAIN authentication failed",
        "improper command",
    ):
        for daemon, log in said.items():
            assert words.lower() not in log.lower(), (daemon, words)
    # of the filter's probes no word, and of the round trip one line
    assert all("Passed CLEAN" in line and ".probe@" in line for line in said["amavis"].splitlines())
    assert Msg.objects.count() == kept
    assert len(_files(home) - files) <= settings.MAILPANEL_FILTER_PROCESSES
    box = private.doveadm(
        "mailbox", "status", "-u", "mailpanel-probe@example.test", "messages", "INBOX"
    ).stdout
    assert "messages=0" in box
    secret = (private.directory / "secrets" / "probe_password").read_text()
    assert not [daemon for daemon, log in said.items() if secret in log]


def _files(directory) -> set:
    return {path for path in directory.rglob("*") if path.is_file()}


def turned_red(check, daemon: str) -> dict:
    """What the probes see: all that needs the daemon is down, and nothing else."""
    seen = check()
    turned = red(seen) - PERHAPS.get(daemon, set())
    assert turned == NEEDS[daemon], {key: seen[key]["detail"] for key in turned ^ NEEDS[daemon]}
    assert {seen[key]["state"] for key in NEEDS[daemon]} == {"bad"}, seen
    return seen


@pytest.mark.skipif(ON_MARIADB, reason="is the same with every database")
@pytest.mark.parametrize("daemon", NEEDS)
def test_ended(check, private, daemon):
    assert eventually(lambda: is_well(check))
    for pid in processes.found(f"{private.directory}/{daemon}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        seen = turned_red(check, daemon)
        for key in NEEDS[daemon]:
            assert seen[key]["hint"], seen[key]
            assert seen[key]["command"], seen[key]
        assert (
            "Nobody listens"
            in seen[{"postfix": "smtp", "dovecot": "imap", "clamd": "clamav"}.get(daemon, daemon)]["detail"]
        )
    finally:
        private.manage("stack", "up")
    assert eventually(lambda: is_well(check))


@pytest.mark.skipif(ON_MARIADB, reason="is the same with every database")
@pytest.mark.parametrize("daemon", NEEDS)
def test_frozen(check, private, daemon):
    assert eventually(lambda: is_well(check))
    frozen = list(processes.found(f"{private.directory}/{daemon}"))
    for pid in frozen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        seen = turned_red(check, daemon)
        for key in NEEDS[daemon]:
            assert (
                "seconds" in seen[key]["detail"]
                or "ends the connection" in seen[key]["detail"]
                or "answers" in seen[key]["detail"]
            )
            assert seen[key]["seconds"] < probing.probes()[key].times * SECONDS + 1
        assert seen["round"] < 3 * SECONDS + 10
    finally:
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: is_well(check))


@pytest.mark.skipif(not ON_MARIADB, reason="a server that can be away")
@pytest.mark.parametrize("how", ["ended", "frozen"])
def test_database_away(check, private, how):
    assert eventually(lambda: is_well(check))
    private.database.close()
    pid = private.server.process.pid
    private.server.stop() if how == "ended" else os.kill(pid, signal.SIGSTOP)
    try:
        seen = check()
        assert seen["database"]["state"] == "bad"
        assert "does not answer" in seen["database"]["detail"]
        # what asks the database with each question; those that sign in may live on what Dovecot remembers
        assert {"clamav", "tls", "queue"}.isdisjoint(red(seen))
        assert seen["round"] < 3 * SECONDS + 10
    finally:
        private.server.start() if how == "ended" else os.kill(pid, signal.SIGCONT)
    private.manage("stack", "down")
    private.manage("stack", "up")
    assert eventually(lambda: is_well(check))


def test_somebody_changed_the_password(check, private):
    private.manage(
        "mailbox", "set", "mailpanel-probe@example.test", "--password-stdin", stdin="quite another password"
    )
    seen = check("imap")
    assert "is refused" in seen["imap"]["detail"]
    private.manage(*seen["imap"]["command"].split()[1:])
    assert eventually(lambda: is_well(check))


def test_the_group_of_postfix_may_ask_and_nobody_else(private):
    """The panel is no root on a host, and in this group."""
    for name in ("lmtp-postfix", "quota-status"):
        path = private.directory / "dovecot" / "run" / name
        assert (stat.S_IMODE(path.stat().st_mode), path.group(), path.owner()) == (
            0o660,
            "postfix",
            "postfix",
        )
