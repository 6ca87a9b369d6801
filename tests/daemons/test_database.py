"""The probe of the database, on both; what it makes of clusters and plans, on rows as the servers give them."""

import sqlite3
import threading
import time

import pytest
from django.db import connection

from accounts.models import Mailbox, Sender
from domains.models import Alias, Domain
from mailpanel.daemons import State, Trouble, database
from mailpanel.daemons.probing import Watch
from tests.daemons import fakes
from tests.daemons.conftest import look
from tests.environment import ON_MARIADB


@pytest.fixture
def filled(transactional_db, settings):
    settings.MAILPANEL_PROBE_SECONDS = 3
    domain = Domain.objects.create(name="example.test")
    return Mailbox.objects.create(email=settings.PROBE_ADDRESS, domain=domain)


def test_reads_and_writes(filled):
    before = Mailbox.objects.get().modified
    seen = look("database")["database"]
    assert seen.state == State.OK, str(seen.detail)
    assert "slowest query of Postfix takes" in str(seen.detail)
    assert Mailbox.objects.get().modified > before


def test_leaves_no_connection(filled):
    def connections():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT COUNT(*) FROM information_schema.processlist" if ON_MARIADB else "SELECT 1"
            )
            return cursor.fetchone()[0]

    before = connections()
    for _round in range(3):
        look("database", "clock")
    assert connections() == before


@pytest.mark.skipif(ON_MARIADB, reason="the lock of SQLite")
def test_locked_by_another_program(filled, settings):
    settings.MAILPANEL_PROBE_SECONDS = 1
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    seen = look("database")["database"]
    other.execute("ROLLBACK")
    other.close()
    assert (seen.state, "locked" in str(seen.detail)) == (State.BAD, True)
    assert seen.seconds < 1.5


@pytest.mark.skipif(not ON_MARIADB, reason="a server that can be away")
def test_server_away(filled):
    from tests.environment import SERVER

    connection.close()
    SERVER.stop()
    try:
        seen = look("database", "clock", "memory")
    finally:
        SERVER.start()
    assert seen["database"].state == State.BAD
    assert "does not answer" in str(seen["database"].detail)
    assert (seen["clock"].state, seen["memory"].state == State.BAD) == (State.OFF, False)


@pytest.mark.skipif(not ON_MARIADB, reason="a server that can hang")
def test_server_frozen(filled):
    import os
    import signal

    from tests.environment import SERVER

    connection.close()
    os.kill(SERVER.process.pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        seen = look("database")["database"]
        assert time.monotonic() - begin < 4
    finally:
        os.kill(SERVER.process.pid, signal.SIGCONT)
    assert (seen.state, "does not answer" in str(seen.detail)) == (State.BAD, True), str(seen.detail)
    assert look("database")["database"].state == State.OK


@pytest.fixture
def many(filled):
    """Of everything so many that reading it through would cost more than looking up."""
    Domain.objects.bulk_create([Domain(name=f"d{number}.example") for number in range(1500)])
    Domain.objects.filter(name__startswith="d9").update(alias_of="example.test")
    names = [f"a{number}@example.test" for number in range(3000)]
    Mailbox.objects.bulk_create([Mailbox(email=name, domain=filled.domain) for name in names])
    boxes = Mailbox.objects.exclude(pk=filled.pk)
    Sender.objects.bulk_create([Sender(mailbox=box, address=f"other.{box.email}") for box in boxes])
    Alias.objects.bulk_create(
        [Alias(source=f"to.{name}", destination=name, domain=filled.domain) for name in names]
    )
    up_to_date()


def up_to_date():
    """MariaDB plans with the figures of before otherwise."""
    if ON_MARIADB:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE TABLE domain, user, alias, sender")
            cursor.fetchall()


def test_an_index_that_is_gone_is_told(many):
    """The one by which Postfix finds out who may send as an address."""
    assert look("database")["database"].state == State.OK
    index = next(index for index in Sender._meta.indexes if index.name == "sender_address")
    with connection.schema_editor() as editor:
        editor.remove_index(Sender, index)
    up_to_date()
    try:
        seen = look("database")["database"]
    finally:
        with connection.schema_editor() as editor:
            editor.add_index(Sender, index)
    assert seen.state == State.WARN, str(seen.detail)
    assert "query sender_logins of Postfix reads through the table" in str(seen.detail)


def test_no_transaction_is_held_while_all_targets_hang(filled, stage):
    """Another connection sees none, and writes at once."""
    stage(**dict.fromkeys(fakes.GOOD, fakes.silent))
    round_ = threading.Thread(target=look)
    round_.start()
    time.sleep(0.2)
    assert not connection.in_atomic_block
    begin = time.monotonic()
    Domain.objects.filter(name="example.test").update(description="written meanwhile")
    assert time.monotonic() - begin < 0.5
    if ON_MARIADB:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM information_schema.innodb_trx")
            assert cursor.fetchone()[0] == 0
    round_.join()


# --- on rows as the servers give them -------------------------------------------------------------------------

NODE = {
    "wsrep_ready": "ON", "wsrep_cluster_status": "Primary", "wsrep_cluster_size": "3", "wsrep_on": "ON",
    "wsrep_local_state_comment": "Synced", "wsrep_cluster_address": "gcomm://10.0.0.1,10.0.0.2,10.0.0.3?gmcast=1",
}  # fmt: skip


def test_galera():
    assert str(database.galera(NODE)) == "All 3 nodes of the cluster are there."
    with pytest.raises(Trouble) as missing:
        database.galera(NODE | {"wsrep_cluster_size": "2"})
    assert (missing.value.state, str(missing.value.detail)) == (
        State.WARN,
        "2 of 3 nodes are in the cluster.",
    )
    for cut in ({"wsrep_ready": "OFF"}, {"wsrep_cluster_status": "non-Primary"}):
        with pytest.raises(Trouble, match="cut off") as off:
            database.galera(NODE | cut)
        assert off.value.state == State.BAD


def test_replica():
    well = {"Slave_IO_Running": "Yes", "Slave_SQL_Running": "Yes", "Seconds_Behind_Master": 1}
    assert "1 second behind" in str(database.replica(well))
    for changes, state in (
        ({"Slave_SQL_Running": "No", "Last_Error": "Duplicate entry"}, State.BAD),
        ({"Seconds_Behind_Master": 400}, State.WARN),
        ({"Slave_IO_Running": "Connecting", "Seconds_Behind_Master": None}, State.WARN),
    ):
        with pytest.raises(Trouble) as trouble:
            database.replica(well | changes)
        assert trouble.value.state == state


@pytest.mark.parametrize(
    ("engine", "columns", "row", "table"),
    [
        ("sqlite", ["id", "parent", "notused", "detail"], (1, 0, 0, "SCAN user"), "user"),
        (
            "sqlite",
            ["id", "parent", "notused", "detail"],
            (1, 0, 0, "SEARCH user USING INDEX x (email=?)"),
            "",
        ),
        ("sqlite", ["id", "parent", "notused", "detail"], (1, 0, 0, "SCAN way"), ""),
        ("sqlite", ["detail"], ("SEARCH user USING INDEX x (enabled=? AND can_login=?)",), "user"),
        ("sqlite", ["detail"], ("SEARCH user USING COVERING INDEX x (enabled=? AND email=?)",), ""),
        ("mariadb", ["table", "type", "rows"], ("alias", "ALL", 100_000), "alias"),
        ("mariadb", ["table", "type", "rows"], ("alias", "ALL", 7), ""),
        ("mariadb", ["table", "type", "rows"], ("user", "ref", "50000"), "user"),
        ("mariadb", ["table", "type", "rows"], ("alias", "ref", 900), ""),
        ("mariadb", ["table", "type", "rows"], ("<derived3>", "ALL", 5000), ""),
        ("mariadb", ["table", "type", "rows"], (None, "ALL", None), ""),
    ],
)
def test_plans(engine, columns, row, table):
    assert database.read_through(engine, columns, [row]) == table


def test_clock_is_compared_with_another_machine_alone(filled):
    off = database.seconds_off(Watch(3))
    assert (off is None) == (not ON_MARIADB)
    assert abs(off or 0) < 1
    assert look("clock")["clock"].state == (State.OK if ON_MARIADB else State.OFF)
