"""The commands as an operator runs them: processes, on committed rows; what each verb does is tested beside its noun."""

import contextlib
import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
import threading

import pytest

from accounts.models import Mailbox
from tests.people import find
from tests.shell import MANAGE, database_url, held, process

pytestmark = [pytest.mark.usefixtures("world"), pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery staple"


def test_exit_codes():
    made = process(
        "mailbox", "add", "alice@a.example", "--quota", "1G", "--password-stdin", stdin=PASSWORD.encode()
    )
    assert (made.returncode, made.stdout, made.stderr) == (0, b"alice@a.example is there.\n", b"")
    again = process("mailbox", "add", "alice@a.example")
    assert (again.returncode, again.stdout) == (1, b"")
    assert again.stderr == b"Refused: alice@a.example exists already.\n"
    for argv in (
        ["add"],
        ["add", "x@a.example", "--password", PASSWORD],
        ["set", "x@a.example", "--enable", "--disable"],
    ):
        assert process("mailbox", *argv).returncode == 2
    assert process("mailbox", "set", "alice@a.example").returncode == 2
    assert find("alice@a.example").check_password(PASSWORD)


def test_exit_codes_of_other_nouns():
    assert process("domain", "list", "--json").returncode == 0
    gone = process("domain", "show", "nowhere.example")
    assert (gone.returncode, gone.stdout) == (1, b"")
    assert gone.stderr.decode() == "Refused: There is no domain nowhere.example here.\n"
    assert process("domain", "paint", "a.example").returncode == 2
    assert process("alias", "add", "x@a.example").returncode == 2


def test_a_database_that_is_away_is_told_in_one_sentence():
    away = process("domain", "list", MAILPANEL_DATABASE_URL="mysql://x@127.0.0.1:1/none")
    assert away.returncode == 1
    assert away.stderr.decode().startswith("Refused: The database did not do this: ")
    assert "Traceback" not in away.stderr.decode()


def test_no_secret_leaves_the_command():
    """Not in the arguments of any process while it runs, not in what it prints, not in any table."""
    canary, seen, done = "canary-7f3a-sings", [], threading.Event()

    def watch():
        while not done.wait(0.01):
            for pid in filter(str.isdecimal, os.listdir("/proc")):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                    seen.append(cmdline.read())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        changed = process("mailbox", "set", "user1@a.example", "--password-stdin", stdin=canary.encode())
    finally:
        done.set()
        watcher.join()
    assert changed.returncode == 0
    assert find("user1").check_password(canary)
    assert any(b"--password-stdin" in line for line in seen)
    assert not any(canary.encode() in line for line in seen)
    assert canary.encode() not in changed.stdout + changed.stderr
    assert canary not in json.dumps(held(), default=str)


def on_a_terminal(answers: list[tuple[bytes, bytes]], *argv: str) -> tuple[int, str]:
    """(exit code, what stood on the screen) with each answer typed when its question has come."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, MANAGE, *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"MAILPANEL_DATABASE_URL": database_url()},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    screen = b""
    for question, answer in [*answers, (b"", b"")]:
        with contextlib.suppress(OSError):  # the other end is closed
            while not question or question not in screen:
                screen += os.read(ours, 1000)
            os.write(ours, answer + b"\n")
            screen = screen.replace(question, b"")
    os.close(ours)
    return running.wait(30), screen.decode()


def test_on_a_terminal_the_password_is_typed_twice():
    first, again, typed = b"New password:", b"Once more:", PASSWORD.encode()
    code, screen = on_a_terminal(
        [(first, typed), (again, b"another")], "mailbox", "set", "user1@a.example", "--password-stdin"
    )
    assert (code, find("user1").check_password(PASSWORD)) == (1, False)
    assert "two different passwords" in screen
    code, screen = on_a_terminal(
        [(first, typed), (again, typed)], "mailbox", "set", "user1@a.example", "--password-stdin"
    )
    assert (code, find("user1").check_password(PASSWORD)) == (0, True)
    assert PASSWORD not in screen


def test_on_a_terminal_the_address_is_typed_to_delete_it():
    question = b"to delete it:"
    code, screen = on_a_terminal([(question, b"yes")], "mailbox", "delete", "user2@a.example")
    assert (code, Mailbox.objects.filter(email="user2@a.example").exists()) == (1, True)
    assert "1 aliases that lead there: info@a.example" in screen
    code, screen = on_a_terminal([(question, b"user2@a.example")], "mailbox", "delete", "user2@a.example")
    assert (code, Mailbox.objects.filter(email="user2@a.example").exists()) == (0, False)


def test_a_reader_that_goes_away_is_no_fault():
    with subprocess.Popen(
        [sys.executable, MANAGE, "mailbox", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"MAILPANEL_DATABASE_URL": database_url()},
    ) as listing:
        listing.stdout.close()
        assert listing.stderr.read() == b""
