"""`manage.py collect`: what Dovecot writes comes into the columns that lists are sorted by."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from django.db import OperationalError

from accounts import usage
from accounts.models import Mailbox
from mailpanel.management.commands import collect
from tests import people
from tests.accounts.test_usage import as_dovecot, sign_in
from tests.accounts.test_usage import usage as used
from tests.environment import ON_MARIADB
from tests.people import find
from tests.shell import MANAGE, shell


@pytest.fixture
def world(transactional_db):
    people.settle()
    Mailbox.objects.update(created=datetime(2024, 5, 1, 12, tzinfo=UTC))
    yield
    as_dovecot("DELETE FROM mailbox_usage", "DELETE FROM last_login")


MADE = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("bytes_", "quota", "per_cent"),
    [
        (0, 2**30, 0), (-5, 2**30, 0), (2**30 - 1, 2**30, 99), (2**30, 2**30, 100), (10**18, 1, 999), (10**18, None, None),
        (None, 2**30, None),
    ],
)  # fmt: skip
def test_fullness(bytes_, quota, per_cent):
    assert usage.fullness(bytes_, quota) == per_cent


def test_columns_follow_dovecot(world):
    as_dovecot(
        used("user1@a.example", 2**29),
        used("user2@a.example", 2**29),
        sign_in("user1@a.example", "imap", MADE + 60),
        sign_in("user1@a.example", "pop3", MADE + 90),
        sign_in("user1@a.example", "smtp", MADE + 30),
        sign_in("user9@a.example", "imap", MADE - 1),  # by a former owner
        sign_in("disabled@a.example", "imap", 10**17),
        sign_in("gone@a.example", "imap", MADE + 1),
    )
    shell("collect", "--once")
    assert (find("user1").fullness, find("user1").last_used.timestamp()) == (50, MADE + 90)
    assert find("user2").fullness is None
    assert find("user9").last_used is None
    assert find("disabled").last_used is None
    as_dovecot("DELETE FROM mailbox_usage", "DELETE FROM last_login")
    shell("collect", "--once")
    assert (find("user1").fullness, find("user1").last_used) == (None, None)


def test_only_what_differs_is_written(world):
    as_dovecot(used("user1@a.example", 2**29), sign_in("user1@a.example", "imap", MADE + 60))
    modified = find("user1").modified
    assert usage.refresh() == 1
    assert usage.refresh() == 0
    assert find("user1").modified == modified


def test_ten_minutes_are_a_round(world, monkeypatch):
    monkeypatch.setattr(usage, "EACH_MINUTE", 0)
    monkeypatch.setattr(usage, "AT_ONCE", 1)
    as_dovecot(
        *[sign_in(email, "imap", MADE + 60) for email in Mailbox.objects.values_list("email", flat=True)]
    )
    changed = [usage.refresh(tenth) for tenth in range(10)]
    assert sum(changed) == Mailbox.objects.count()
    assert max(changed) < Mailbox.objects.count()
    assert not Mailbox.objects.filter(last_used=None).exists()


def test_statements_do_not_grow_with_the_mailboxes(world, django_assert_num_queries):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example") for i in range(300)
    )
    with django_assert_num_queries(2):
        usage.refresh()


def test_a_job_that_fails_stops_nothing(world, monkeypatch, caplog):
    done = []

    def away(minute):
        raise OperationalError("gone away")

    def broken(minute):
        raise KeyError("broken")

    monkeypatch.setattr(collect, "JOBS", (away, broken, done.append))
    collect.Command().minute(7)
    assert done == [7]
    assert [(record.levelname, "gone away" in record.getMessage()) for record in caplog.records] == [
        ("WARNING", True),
        ("ERROR", False),
    ]


@pytest.mark.skipif(ON_MARIADB, reason="nothing of the database is in it")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_at_once_and_outlives_a_database_that_is_away(tmp_path, number):
    """There is no table in the database, and no directory to make it in."""
    environment = {
        "MAILPANEL_VAR": str(tmp_path),
        "MAILPANEL_DATABASE_URL": f"sqlite:///{tmp_path}/gone/mail.sqlite3",
    }
    running = subprocess.Popen(
        [sys.executable, str(MANAGE), "collect"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        said = running.stderr.readline()
        assert "the database did not answer, next try in a minute" in said
        assert running.poll() is None
        running.send_signal(number)
        began = time.monotonic()
        running.wait(10)
        assert time.monotonic() - began < 1
    finally:
        running.kill()
        running.stderr.close()
