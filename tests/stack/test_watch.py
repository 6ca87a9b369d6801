"""The collector on the real daemons: each in turn ended and frozen is one alert and one all-clear."""

import contextlib
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mailpanel.stack import processes
from tests.environment import ON_MARIADB
from tests.server.test_alerts import Hook
from tests.stack.private import ROOT
from tests.stack.test_faults import database_away, reload
from tests.stack.test_probes import NEEDS, PERHAPS, READING

AFTER = 2
# The collector's process. It is told the minutes on standard input, and tells what it saw; what depends on this machine
# rather than on the daemons is left out.
DRIVER = """
import json, sys, django
django.setup()
from mailpanel.daemons import probing
from mailpanel.management.commands import collect
collect._one_arena()
probing.probes()
for key in ("disks", "memory", "clock"):
    del probing._registered[key]
collector = collect.Collector()
for line in sys.stdin:
    seen = collector.minute(int(line))
    collector.sender.wait(20)
    print(json.dumps({probe.key: probe.state for probe in seen}), flush=True)
"""
MINUTES = itertools.count(int(time.time() // 60))


@pytest.fixture(scope="module")
def hook():
    with Hook() as hook:
        yield hook


@pytest.fixture(scope="module")
def minute(_probed, _private, hook):
    """minute(): the states of one round, by key."""
    environment = _private.environment | {
        "DJANGO_SETTINGS_MODULE": "mailpanel.settings",
        "MAILPANEL_PROBE_SECONDS": "0.8",
        "MAILPANEL_ALERT_AFTER": str(AFTER),
        "MAILPANEL_ALERT_WEBHOOK": f"http://{hook.place}/",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def minute() -> dict[str, str]:
        process.stdin.write(f"{next(MINUTES)}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    minute.pid = process.pid
    yield minute
    process.stdin.close()
    process.stdout.close()
    process.wait(10)


def bad(seen: dict) -> set[str]:
    return {key for key, state in seen.items() if state == "bad"}


def until_well(minute) -> None:
    """As many good rounds as an all-clear takes."""
    good = 0
    for _minute in range(60):
        wrong = bad(minute())
        good = 0 if wrong else good + 1
        if good == AFTER:
            return
    pytest.fail(f"it did not become well again: {wrong}")


@contextmanager
def ended(private, daemon):
    for pid in processes.found(f"{private.directory}/{daemon}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        private.manage("stack", "up")


@contextmanager
def frozen(private, daemon):
    pids = (
        [private.server.process.pid]
        if daemon == "database"
        else processes.found(f"{private.directory}/{daemon}")
    )
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        if daemon == "database":
            reload(private)


@contextmanager
def no_transaction_stays_open(private):
    """Looked at all the while."""
    over, found = threading.Event(), []

    def look():
        while not over.wait(0.1):
            found.append(_open_for_long(private))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
    assert found
    assert not any(found)


def _open_for_long(private) -> bool:
    """Half a second, on a machine that has other things to do."""
    if ON_MARIADB:
        with closing(private.server.connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(
                "SELECT COUNT(*) FROM information_schema.innodb_trx "
                "WHERE trx_started < NOW(6) - INTERVAL 1500000 MICROSECOND"
            )
            return bool(cursor.fetchone()[0])
    with closing(sqlite3.connect(private.directory / "database" / "mail.sqlite3", timeout=0.5)) as file:
        try:
            file.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        file.rollback()
        return False


@pytest.mark.parametrize(
    ("daemon", "how", "cause"),
    [
        ("postfix", ended, "smtp"), ("postfix", frozen, "smtp"),
        ("dovecot", ended, "imap"), ("dovecot", frozen, "imap"),
        ("clamd", ended, "clamav"), ("clamd", frozen, "clamav"), ("amavis", ended, "amavis"),
    ],
)  # fmt: skip
def test_one_alert_and_one_all_clear(minute, private, hook, daemon, how, cause):
    until_well(minute)
    hook.bodies.clear()
    with how(private, daemon), no_transaction_stays_open(private):
        for _minute in range(AFTER):
            turned = bad(minute())
            assert turned - PERHAPS.get(daemon, set()) == NEEDS[daemon]
        assert [body["probe"] for body in hook.bodies] == [cause]
    until_well(minute)
    assert [(body["event"], body["probe"]) for body in hook.bodies] == [("down", cause), ("clear", cause)]
    assert len(hook.bodies[0]["affected"]) == len(turned) - 1


@pytest.mark.parametrize(
    "how", ["ended", pytest.param("frozen", marks=pytest.mark.skipif(not ON_MARIADB, reason="no process"))]
)
def test_the_database(minute, private, hook, how):
    until_well(minute)
    hook.bodies.clear()
    with database_away(private) if how == "ended" else frozen(private, "database"):
        for _minute in range(AFTER):
            turned = bad(minute())
            assert "database" in turned
            assert (
                turned
                <= {"database", "roundtrip", "smtp", *NEEDS["dovecot"], "sasl", "submission", "smtps"}
                | READING
                | NEEDS["amavis"]
            )
        assert [body["probe"] for body in hook.bodies] == ["database"]
    until_well(minute)
    assert [(body["event"], body["probe"]) for body in hook.bodies] == [
        ("down", "database"),
        ("clear", "database"),
    ]


def test_it_is_small_and_leaves_nothing_open(minute, private):
    """The figures of an hour: 56 MB, and 0.14 seconds of a core each minute."""
    until_well(minute)
    before, files = _seconds(minute.pid), len(os.listdir(f"/proc/{minute.pid}/fd"))
    for _minute in range(10):
        minute()
    status = Path(f"/proc/{minute.pid}/status").read_text()
    assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 60 * 1024
    assert int(re.search(r"Threads:\s+(\d+)", status)[1]) == 1
    assert len(os.listdir(f"/proc/{minute.pid}/fd")) == files
    assert (_seconds(minute.pid) - before) / 10 < 0.02 * 60


def _seconds(pid: int) -> float:
    """Of a processor, that the process has had."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
