"""Following the mail log: every line once, whatever becomes of the file."""

import gzip
import os
import shutil
import subprocess
import sys
import threading

import pytest
from django.db import IntegrityError, OperationalError, connection, connections
from django.utils import timezone

from mailpanel.server import follower, ledger
from mailpanel.server.follower import Follower
from mailpanel.server.models import Message, Position, Recipient, Traffic
from tests.shell import MANAGE, database_url
from tests.stack.mail import eventually


class Log:
    """A log with numbered refusals in it."""

    def __init__(self, path):
        self.path, self.written = path, 0

    def write(self, count=1, path=None):
        with (path or self.path).open("ab") as file:
            for _line in range(count):
                self.written += 1
                file.write(f"{self.line(self.written)}\n".encode())

    @staticmethod
    def line(number):
        return (
            "Nov 28 14:16:51 mail postfix/smtpd[7]: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 550 5.1.1 <x>: User unknown;"
            f" from=<s@x.example> to=<number{number}@a.example> proto=ESMTP helo=<h>"
        )

    def is_read(self):
        """Each line once, and none that is not there."""
        seen = sorted(
            int(one[6:].partition("@")[0]) for one in Recipient.objects.values_list("address", flat=True)
        )
        assert seen == list(range(1, self.written + 1))
        assert Message.objects.count() == self.written


@pytest.fixture
def log(db, tmp_path):
    return Log(tmp_path / "mail.log")


@pytest.fixture
def follow(log):
    def follow():
        """As a collector that has just been started."""
        reading = Follower([str(log.path)])
        while reading.step():
            pass

    return follow


def test_grows(log, follow):
    for count in (3, 0, 1, 500):
        log.write(count)
        follow()
        follow()
        log.is_read()


def test_bounded_portions(log, follow, monkeypatch):
    monkeypatch.setattr(follower, "PORTION", 1000)
    log.write(50)
    reading = Follower([str(log.path)])
    assert reading.step()
    assert 0 < Message.objects.count() < 10
    follow()
    log.is_read()


def test_half_a_line_waits_for_its_end(log, follow):
    log.write(2)
    with log.path.open("ab") as file:
        file.write(log.line(3)[:90].encode())
    follow()
    log.is_read()
    with log.path.open("ab") as file:
        file.write(f"{log.line(3)[90:]}\n".encode())
    log.written = 3
    follow()
    log.is_read()


def test_renamed_and_made_anew(log, follow):
    for _day in range(4):
        log.write(3)
        follow()
        log.write(2)  # not read yet
        log.path.rename(log.path.with_name("mail.log.1"))
        log.write(1, log.path.with_name("mail.log.1"))  # the writer has not noticed yet
        follow()
        log.is_read()
        log.write(1, log.path.with_name("mail.log.1"))
        log.path.touch()
        follow()
        log.is_read()
        log.write(1)
        follow()
        log.is_read()


def test_copied_and_truncated(log, follow):
    for day in range(4):
        log.write(3)
        follow()
        log.write(2)
        shutil.copy(log.path, log.path.with_name(f"mail.log.{day}"))
        os.truncate(log.path, 0)
        log.write(day + 4)  # soon longer than it was
        follow()
        log.is_read()


def test_truncated_and_grown_beyond_the_place(log, follow):
    log.write(3)
    follow()
    shutil.copy(log.path, log.path.with_name("mail.log-20261128"))
    os.truncate(log.path, 0)
    log.write(30)
    follow()
    log.is_read()


def test_several_rotations_while_nobody_read(log, follow):
    log.write(3)
    follow()
    log.write(2)
    for day in (3, 2, 1):
        log.path.rename(log.path.with_name(f"mail.log.{day}"))
        os.utime(log.path.with_name(f"mail.log.{day}"), (2_000_000_000 - day,) * 2)
        log.write(2)
    follow()
    log.is_read()


def test_compressed_meanwhile(log, follow):
    log.write(3)
    follow()
    log.write(2)
    with gzip.open(log.path.with_name("mail.log.2.gz"), "wb") as packed:
        packed.write(log.path.read_bytes())
    log.path.unlink()
    os.utime(log.path.with_name("mail.log.2.gz"), (1_000_000_000,) * 2)
    log.write(4, log.path.with_name("mail.log.1"))
    log.write(1)
    follow()
    log.is_read()


@pytest.mark.parametrize("damage", ["cut", "changed", "none of it"])
def test_compressed_and_damaged_stops_no_other_log(log, follow, damage):
    """What is in it cannot be had; the lines that come after it are read."""
    log.write(200)
    follow()
    packed = log.path.with_name("mail.log.2.gz")
    data = bytearray(gzip.compress(log.path.read_bytes()))
    data = {"cut": data[:-30], "changed": data, "none of it": b"never packed"}[damage]
    if damage == "changed":
        data[20:60] = bytes(40)
    packed.write_bytes(data)
    log.path.unlink()
    log.write(3)
    other = log.path.with_name("other.log")
    log.write(2, other)
    reading = Follower([str(log.path), str(other)])
    for _time in range(4):
        reading.step()
    log.is_read()


def test_what_lies_beside_the_log_and_is_none_is_left_alone(log, follow, tmp_path):
    """A link to somebody's secret, and a pipe that nobody writes into."""
    log.write(3)
    follow()
    secret = tmp_path.parent / f"{tmp_path.name}-secret"
    secret.write_text(f"{log.line(99)}\n")
    log.path.rename(tmp_path / "mail.log.1")
    (tmp_path / "mail.log.2").symlink_to(secret)
    os.mkfifo(tmp_path / "mail.log.3")
    (tmp_path / "mail.log.4").mkdir()
    with (tmp_path / "mail.log.1").open("a") as file:  # so that its place is not found in the new one
        file.write("")
    log.path.touch()
    log.write(2)
    follow()
    log.is_read()


def test_replaced_by_something_else(log, follow):
    """A log that is not the one of before is read from its beginning."""
    log.write(3)
    follow()
    log.path.unlink()
    log.write(1)
    follow()
    log.is_read()


def test_missing_and_unreadable_is_told_and_then_forgotten(log, follow, monkeypatch):
    follow()
    assert Position.objects.get().error == "missing"
    log.write(2)

    def denied(path, place):
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(follower, "portion", denied)
        follow()
    assert Position.objects.get().error == "unreadable"
    follow()
    log.is_read()
    assert Position.objects.get().error == ""


def test_what_is_no_text_and_never_ends(log, follow, monkeypatch):
    monkeypatch.setattr(follower, "PORTION", 1000)
    log.write(2)
    with log.path.open("ab") as file:
        file.write(b"\xff\x00\xfe" * 2000)
    follow()
    with log.path.open("ab") as file:
        file.write(log.line(99).encode() + b"\n")  # the end of that line, whatever it looks like
    log.write(2)
    follow()
    log.is_read()


def test_what_was_not_written_is_read_again(log, follow, monkeypatch):
    log.write(5)

    def away(self):
        raise OperationalError(2013, "Lost connection")

    with monkeypatch.context() as patched:
        patched.setattr(follower.Ledger, "write", away)
        with pytest.raises(OperationalError):
            follow()
    assert (Message.objects.count(), Position.objects.get().offset) == (0, 0)
    follow()
    log.is_read()


def test_what_cannot_be_taken_in_holds_up_nothing(log, follow, monkeypatch):
    taken_in = ledger.APPLY["refused"]

    def refused(mail, event):
        if event.to.startswith(("number2@", "number5@")):
            Recipient.objects.create(message_id=-1, address=None)  # what the database refuses
        taken_in(mail, event)

    monkeypatch.setitem(ledger.APPLY, "refused", refused)
    log.write(4)
    follow()
    log.write(1)
    with pytest.raises(IntegrityError):  # of all that there is nothing can be taken in, so it waits
        follow()
    log.write(2)
    follow()
    assert sorted(Recipient.objects.values_list("address", flat=True)) == [
        f"number{number}@a.example" for number in (1, 3, 4, 6, 7)
    ]
    assert Traffic.objects.get(domain="").refused == 5


@pytest.mark.django_db(transaction=True)
def test_two_collectors_of_one_host(tmp_path):
    """Each line is taken in once, whoever is faster."""
    log = Log(tmp_path / "mail.log")
    log.write(1)
    Follower([str(log.path)]).step()
    done = threading.Event()

    def run():
        reading = Follower([str(log.path)])
        try:
            while not done.is_set() or reading.step():
                try:
                    reading.step()
                except OperationalError:  # a deadlock: the other one has it
                    continue
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _number in range(2)]
    for thread in threads:
        thread.start()
    for _portion in range(40):
        log.write(5)
    done.set()
    for thread in threads:
        thread.join(60)
    Follower([str(log.path)]).step()
    log.is_read()


@pytest.mark.django_db(transaction=True)
def test_collect_follows_within_seconds(tmp_path):
    """As a process of its own, also while it was not there for a while."""
    log = Log(tmp_path / "mail.log")
    environment = {"MAILPANEL_MAIL_LOG": str(log.path), "MAILPANEL_DATABASE_URL": database_url()}
    for _run in range(2):
        log.write(3)
        running = subprocess.Popen(
            [sys.executable, str(MANAGE), "collect"], env=os.environ | environment, stderr=subprocess.DEVNULL
        )
        try:
            for count in (0, 1, 20):
                log.write(count)
                assert eventually(lambda: Message.objects.count() == log.written)
        finally:
            running.kill()
            running.wait()
        log.is_read()


def test_a_flood_is_trimmed_within_a_minute(db, settings):
    settings.MAILPANEL_TRACE_MESSAGES = 100
    now = timezone.now()
    Message.objects.bulk_create(Message(host="mail", at=now, last=now, state=4) for _number in range(12_000))
    follower.trim()
    assert Message.objects.count() == 100


def test_positions_are_by_host(log, follow, monkeypatch):
    """Hosts of a cluster have logs of the same name, which are not the same."""
    log.write(2)
    follow()
    monkeypatch.setattr(follower, "machine", lambda: "another")
    other = log.path.with_name("other")
    log.path.rename(other)
    log.write(2)
    follow()
    log.is_read()
    assert sorted(Position.objects.values_list("host", flat=True))[0] == "another"


def test_statements_do_not_grow_with_the_lines(log, django_assert_max_num_queries):
    log.write(1)
    Follower([str(log.path)]).step()
    log.write(200)
    most = 30 if connection.vendor == "mysql" else 60  # SQLite takes fewer values in one
    with django_assert_max_num_queries(most):
        Follower([str(log.path)]).step()
    log.is_read()
