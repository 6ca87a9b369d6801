"""What the database undid because of another transaction is done again, whole and once."""

import logging
import threading
import time
from contextlib import closing

import pytest
from django.db import OperationalError, connection, transaction

from accounts import audit, lifecycle
from accounts.models import Audit, Mailbox
from domains.models import Domain
from mailpanel.deadlocks import RETRIES, retried_on_deadlock
from tests import people
from tests.environment import ON_MARIADB
from tests.people import find

BY = audit.By("root1@c.example")


def failing(times: int, code: int = 1213):
    """A function whose transaction the database undoes so many times."""
    runs = []

    @retried_on_deadlock
    def work():
        runs.append(1)
        with transaction.atomic():
            Domain.objects.create(name=f"d{len(runs)}.example")
            if len(runs) <= times:
                raise OperationalError(
                    code, "Deadlock found when trying to get lock; try restarting transaction"
                )
        return len(runs)

    return work, runs


@pytest.mark.parametrize("code", [1213, 1020])
@pytest.mark.parametrize("times", range(RETRIES + 1))
def test_as_often_as_it_is_worth(transactional_db, times, code):
    work, _runs = failing(times, code)
    assert work() == times + 1
    assert Domain.objects.count() == 1


def test_then_it_is_told(transactional_db):
    work, runs = failing(99)
    with pytest.raises(OperationalError):
        work()
    assert len(runs) == RETRIES + 1


@pytest.mark.parametrize("code", [1205, 2006, 1290])
def test_other_errors_are_told_at_once(transactional_db, code):
    work, runs = failing(99, code)
    with pytest.raises(OperationalError):
        work()
    assert len(runs) == 1


def test_inside_a_transaction_the_outermost_tries_again(transactional_db):
    inner, runs = failing(2)

    @retried_on_deadlock
    @transaction.atomic
    def outer():
        Domain.objects.create(name="outer.example")
        inner()

    outer()
    assert len(runs) == 3
    assert set(Domain.objects.values_list("name", flat=True)) == {"outer.example", "d3.example"}


# --- with real deadlocks ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not ON_MARIADB, reason="SQLite has one writer and no deadlocks")
def test_mailbox_is_saved_though_another_session_locks_in_the_opposite_order(transactional_db, caplog):
    """The other session has written more, so it is ours that the database undoes."""
    from tests.environment import SERVER

    people.settle()
    caplog.set_level(logging.INFO, logger="mailpanel.deadlocks")
    held = threading.Event()

    def other_session():
        with (
            closing(SERVER.connect(connection.settings_dict["NAME"])) as raw,
            closing(raw.cursor()) as cursor,
        ):
            cursor.execute("UPDATE user SET name = 'held' WHERE email = 'user2@a.example'")
            cursor.execute("UPDATE domain SET description = 'weight'")
            held.set()
            time.sleep(0.5)  # by now ours has the server admins' rows, and waits for this one
            cursor.execute("SELECT * FROM user WHERE is_superuser = 1 FOR UPDATE")
            raw.commit()

    thread = threading.Thread(target=other_session)
    thread.start()
    assert held.wait(10)
    lifecycle.change_mailbox(find("user2"), {"name": "Mine"}, by=BY)
    thread.join()
    assert "change_mailbox is tried again" in caplog.text
    assert find("user2").name == "Mine"
    [row] = Audit.objects.all()
    assert row.before == {"name": "held"}  # as it was at the second try


@pytest.mark.skipif(not ON_MARIADB, reason="SQLite has one writer and no deadlocks")
def test_two_who_lock_in_opposite_order_both_succeed(transactional_db):
    people.settle()
    barrier, runs, failed = threading.Barrier(2), [], []

    @retried_on_deadlock
    @transaction.atomic
    def change(first, second):
        runs.append(first)
        Mailbox.objects.filter(email=first).update(name=f"by {first}")
        if runs.count(first) == 1:
            barrier.wait(10)
        Mailbox.objects.filter(email=second).update(name=f"by {first}")

    def run(*emails):
        try:
            change(*emails)
        except Exception as error:  # the test looks at it
            failed.append(error)
        finally:
            connection.close()

    pair = ["user1@a.example", "user2@a.example"]
    threads = [threading.Thread(target=run, args=order) for order in (pair, pair[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(runs) == 3
    assert find("user1").name == find("user2").name
