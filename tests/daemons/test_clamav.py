from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as configured

from mailpanel.daemons import State, clamav
from tests.daemons import fakes
from tests.daemons.conftest import look


def version(age: timedelta) -> bytes:
    made = datetime.now(UTC) - age
    return f"ClamAV 1.4.6/27800/{made:%a %b %e %H:%M:%S %Y}\0".encode()


@pytest.mark.parametrize(
    ("answers", "state", "words"),
    [
        ({}, State.OK, "Finds the test virus"),
        ({b"zVERSION": version(timedelta(hours=3))}, State.OK, "signatures of"),
        ({b"zVERSION": version(timedelta(days=500))}, State.WARN, "does not know the viruses since"),
        ({b"zVERSION": b"something else\0"}, State.BAD, "something else"),
        ({b"zPING": b"PONG"}, State.BAD, "ends the connection after PING"),
        ({b"zPING": b"UNKNOWN COMMAND\0"}, State.BAD, "UNKNOWN COMMAND"),
        ({b"zINSTREAM": b"stream: OK\0"}, State.BAD, "lets the test virus pass"),
        ({b"zINSTREAM": b"stream: Everything FOUND\0"}, State.BAD, "Everything FOUND"),
        ({b"zINSTREAM": b"INSTREAM size limit exceeded. ERROR\0"}, State.BAD, "size limit"),
    ],
)
def test_dialects(stage, answers, state, words):
    up = stage(clamd=fakes.clamd(answers))
    seen = look("clamav")["clamav"]
    assert seen.state == state, str(seen.detail)
    assert words in str(seen.detail)
    assert bool(str(seen.hint)) == (state != State.OK)
    # the protocol has no sign-in, and these three do nothing
    sent = {
        word
        for word in (b"SHUTDOWN", b"RELOAD", b"zPING", b"zVERSION", b"zINSTREAM")
        if word in up["clamd"].heard
    }
    assert sent <= {b"zPING", b"zVERSION", b"zINSTREAM"}


def test_a_socket_file_that_nobody_serves(stage, settings, tmp_path):
    import socket

    stage()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "clamd.sock"))
    settings.MAILPANEL_PROBE_TARGETS = {"clamd": str(tmp_path / "clamd.sock")}
    assert "Nobody listens" in str(look("clamav")["clamav"].detail)
    settings.MAILPANEL_PROBE_TARGETS = {"clamd": str(tmp_path / "none.sock")}
    assert "Nobody listens" in str(look("clamav")["clamav"].detail)


def test_the_test_file_stands_in_no_source():
    whole = clamav.test_file()
    assert len(whole) == 68
    for path in Path(configured.BASE_DIR).rglob("*.py"):
        if ".venv" not in path.parts and "var" not in path.parts:
            assert whole not in path.read_bytes(), path
