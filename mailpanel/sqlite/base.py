"""Django's SQLite backend with the profile that a mail server needs.

The mail daemons read our file, and Dovecot writes a second one beside it (quota in use, last sign-ins): Dovecot
gives up on a busy file after a second, so it must never wait for our transactions. We attach its file read-only;
attached read-write, each of our transactions would lock Dovecot out.
"""

import os
import sqlite3
from pathlib import Path

from django.db.backends.sqlite3 import base

DOVECOT_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS mailbox_usage (
    email VARCHAR(255) NOT NULL PRIMARY KEY, bytes BIGINT NOT NULL DEFAULT 0, messages BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS last_login (
    email VARCHAR(255) NOT NULL, service VARCHAR(16) NOT NULL, address VARCHAR(45) NOT NULL,
    time BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (email, service, address)
);
"""


def dovecot_file(name) -> Path:
    """The file that Dovecot writes, beside the database file `name`."""
    path = Path(name)
    return path.with_name(f"{path.stem}-dovecot{path.suffix}")


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params):
        name = conn_params["database"]
        beside = dovecot_file(name)
        try:
            if _made(beside):
                with sqlite3.connect(beside) as connection:
                    connection.executescript(DOVECOT_SCHEMA)
                connection.close()
            _made(name)
        except OSError as error:  # the directory is gone: to callers that is a database which does not answer
            raise sqlite3.OperationalError(f"{error.strerror}: {error.filename}") from error
        connection = super().get_new_connection(conn_params)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("ATTACH ? AS dovecot", [f"{beside.absolute().as_uri()}?mode=ro"])
        for table in ("mailbox_usage", "last_login"):
            connection.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM dovecot.{table}")  # noqa: S608
        return connection


def _made(path) -> bool:
    """Make an empty file for the owner and the group, if it is not there.

    Postfix and Dovecot must be able to write -wal and -shm, which take their mode from the file: a read in WAL mode
    fails where they are missing and cannot be made, as soon as no other process has the file open.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    os.fchmod(handle, 0o660)  # whatever the umask is: it belongs to all threads, so it is not ours to change
    os.close(handle)
    return True
