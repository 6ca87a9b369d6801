"""`manage.py collect`: what Dovecot writes comes into the columns that lists are sorted by."""

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from django.db import OperationalError

from accounts import usage
from accounts.models import LastLogin, Mailbox
from domains.models import Domain
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


def test_statements_do_not_grow_with_the_mailboxes(db, django_assert_num_queries):
    Domain.objects.create(name="hosted.example")
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example") for i in range(300)
    )
    with django_assert_num_queries(2):
        usage.refresh()


def wait(jobs) -> None:
    for thread in jobs.threads.values():
        thread.join(5)


def test_a_job_that_fails_stops_nothing(world, monkeypatch, caplog):
    done = []

    def away(minute):
        raise OperationalError("gone away")

    def broken(minute):
        raise KeyError("broken")

    def works(minute):
        done.append(minute)

    monkeypatch.setattr(collect, "JOBS", (away, broken, works))
    jobs = collect.Jobs()
    for minute in (7, 8):
        jobs.start(minute)
        wait(jobs)
    assert done == [7, 8]
    assert sorted((record.levelname, "gone away" in record.getMessage()) for record in caplog.records) == [
        *[("ERROR", False)] * 2,
        *[("WARNING", True)] * 2,
    ]


def test_a_job_that_takes_long_holds_up_no_other_and_is_not_begun_twice(monkeypatch):
    ended, done = threading.Event(), []

    def slow(minute):
        done.append("slow")
        ended.wait(10)

    def quick(minute):
        done.append(minute)

    monkeypatch.setattr(collect, "JOBS", (slow, quick))
    jobs = collect.Jobs()
    for minute in (1, 2, 3):
        jobs.start(minute)
        jobs.threads["quick"].join(5)
    assert done == ["slow", 1, 2, 3]
    ended.set()
    wait(jobs)
    jobs.start(4)
    wait(jobs)
    assert done[-2:] in (["slow", 4], [4, "slow"])


def sign_ins(*rows: tuple[str, int, int]) -> None:
    """address, how many, from when on"""
    for email, count, start in rows:
        as_dovecot(*[
            f"INSERT INTO last_login (email, service, address, time) VALUES ('{email}', 'imap', '192.0.2.{number}', {start + number})"
            for number in range(count)
        ])  # fmt: skip


@pytest.mark.parametrize("looked_through", [1, 7, 25, 50_000])
def test_the_last_sign_ins_are_kept(world, monkeypatch, looked_through):
    monkeypatch.setattr(usage, "LOOKED_THROUGH", looked_through)
    monkeypatch.setattr(usage, "DELETED_AT_ONCE", 2)
    sign_ins(
        ("user1@a.example", 25, MADE),
        ("user2@a.example", 20, MADE),
        ("gone@a.example", 23, 0),
        ("x@a.example", 1, 0),
    )
    as_dovecot(sign_in("user1@a.example", "pop3", MADE - 1))
    assert usage.trim_sign_ins() == 9
    kept = list(LastLogin.objects.values_list("mailbox", "time"))
    for email, count, least in (("user1@a.example", 20, MADE + 5), ("user2@a.example", 20, MADE), ("gone@a.example", 20, 3), ("x@a.example", 1, 0)):  # fmt: skip
        times = [time for mailbox, time in kept if mailbox == email]
        assert (len(times), min(times)) == (count, least)
    assert usage.trim_sign_ins() == 0


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
        assert "the database did not answer" in said
        assert running.poll() is None
        running.send_signal(number)
        began = time.monotonic()
        running.wait(10)
        assert time.monotonic() - began < 1
    finally:
        running.kill()
        running.stderr.close()
