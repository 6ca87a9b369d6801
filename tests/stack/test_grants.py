"""MariaDB: each daemon sees just the columns of its queries. Asked with the very accounts that the daemons use."""

import re

import MySQLdb
import pytest

from tests.environment import ON_MARIADB
from tests.stack.private import PASSWORDS

pytestmark = pytest.mark.skipif(
    not ON_MARIADB, reason="SQLite knows no accounts; its files are shared by group"
)


@pytest.fixture
def as_daemon(private):
    """as_daemon("postfix", "SELECT …"): rows, or the server's error number."""

    def ask(daemon, statement):
        connection = private.server.connect("stack", daemon, PASSWORDS[daemon])
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        except MySQLdb.OperationalError as error:
            return error.args[0]
        finally:
            connection.rollback()
            connection.close()

    return ask


TABLE, COLUMN = 1142, 1143  # the server's errors: no right on the table, on the column


@pytest.mark.parametrize(
    ("daemon", "statement", "wanted"),
    [
        ("postfix", "SELECT password FROM user", COLUMN),
        ("postfix", "SELECT * FROM user", TABLE),
        ("postfix", "SELECT email FROM user WHERE password LIKE '{%'", COLUMN),
        ("postfix", "SELECT name FROM user", COLUMN),
        ("postfix", "SELECT quota FROM user", COLUMN),
        ("postfix", "SELECT 1 FROM app_password", TABLE),
        ("postfix", "SELECT comment FROM alias", COLUMN),
        ("postfix", "UPDATE user SET enabled = 1", TABLE),
        ("postfix", "INSERT INTO alias (source, destination, domain) VALUES ('a@b.c', 'd@e.f', 'b.c')", TABLE),
        ("postfix", "SELECT 1 FROM mailbox_usage", TABLE),
        ("dovecot", "SELECT name FROM user", COLUMN),
        ("dovecot", "SELECT is_superuser FROM user", COLUMN),
        ("dovecot", "SELECT recovery_email FROM user", COLUMN),
        ("dovecot", "SELECT `row` FROM trash", COLUMN),
        ("dovecot", "SELECT domain FROM trash", COLUMN),
        ("dovecot", "DELETE FROM trash", TABLE),
        ("dovecot", "UPDATE user SET password = 'x'", TABLE),
        ("dovecot", "SELECT 1 FROM alias", TABLE),
        ("dovecot", "SELECT 1 FROM sender", TABLE),
        ("dovecot", "DELETE FROM mailbox_usage", TABLE),
        ("dovecot", "DELETE FROM last_login", TABLE),
        ("amavis", "SELECT password FROM user", COLUMN),
        ("amavis", "SELECT name FROM user", COLUMN),
        ("amavis", "SELECT comment FROM alias", COLUMN),
        ("amavis", "SELECT transport FROM domain", COLUMN),
        ("amavis", "SELECT digest FROM filter_policy", COLUMN),
        ("amavis", "UPDATE filter_policy SET bypass_virus_checks = 'Y'", TABLE),
        ("amavis", "INSERT INTO filter_sender (scope, sender, wb) VALUES ('@.', '@x.test', 'W')", TABLE),
        ("amavis", "DELETE FROM quarantine", TABLE),
        ("amavis", "DELETE FROM msgs", TABLE),
        ("amavis", "UPDATE quarantine SET mail_text = ''", TABLE),
        ("amavis", "SELECT 1 FROM app_password", TABLE),
        *((daemon, f"SELECT 1 FROM {table}", TABLE) for daemon in ("postfix", "dovecot")
          for table in ("filter_policy", "filter_sender", "msgs", "quarantine")),
        *((daemon, f"SELECT 1 FROM {table}", TABLE) for daemon in ("postfix", "dovecot", "amavis")
          for table in ("audit", "role", "django_session", "axes_accessattempt")),
        ("postfix", "SELECT 1 FROM trash", TABLE),
        *((daemon, "SELECT private_key FROM dkim_key", TABLE) for daemon in ("postfix", "dovecot")),
        ("amavis", "SELECT `row` FROM trash", TABLE),
        ("amavis", "UPDATE dkim_key SET state = 'signing'", TABLE),
        ("amavis", "INSERT INTO sender (mailbox_id, address) VALUES (1, 'a@b.c')", TABLE),
    ],
)  # fmt: skip
def test_what_a_daemon_may_not(as_daemon, daemon, statement, wanted):
    # a SELECT of a hidden column beside a granted one is refused as the column, * as the table
    assert as_daemon(daemon, statement) in (wanted, COLUMN if "*" in statement else wanted)


def test_what_a_daemon_may(as_daemon):
    assert isinstance(as_daemon("postfix", "SELECT id, email, domain, enabled, can_login FROM user"), tuple)
    assert isinstance(as_daemon("dovecot", "SELECT email, password, quota FROM user"), tuple)
    assert as_daemon("dovecot", "INSERT INTO mailbox_usage (email, bytes) VALUES ('x@grants.test', 1)") == ()
    assert isinstance(as_daemon("amavis", "SELECT scope, spam_kill_level FROM filter_policy"), tuple)
    assert (
        as_daemon("amavis", "INSERT INTO maddr (email, domain) VALUES ('x@grants.test', 'test.grants')") == ()
    )


def test_every_column_that_is_granted_is_used(private):
    """Least privilege stays least: a column that no query names any more is to leave grants.sql."""
    grants = (private.directory / "grants" / "mariadb" / "grants.sql").read_text()
    for daemon, pattern in (("postfix", "sql/*.cf"), ("dovecot", "sql/*.conf"), ("amavis", "**/*.*")):
        queries = "\n".join(path.read_text() for path in (private.etc / daemon).glob(pattern))
        for columns in re.findall(rf"GRANT SELECT \(([\w, `]+)\) ON \S+ TO '{daemon}'", grants):
            for column in columns.replace("`", "").split(", "):
                assert re.search(rf"\b{column}\b", queries), (daemon, column)
