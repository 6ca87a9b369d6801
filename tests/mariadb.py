"""A private MariaDB server for the tests: its own directory, a unix socket and no port, ended by its pid."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import MySQLdb

SETTINGS = """
[mysqld]
datadir={0}/data
socket={0}/mysqld.sock
pid-file={0}/mysqld.pid
log-error={0}/error.log
skip-networking
skip-name-resolve
character-set-server=utf8mb4
performance_schema=OFF
innodb_buffer_pool_size=64M
innodb_log_file_size=16M
# nobody needs these data after a power cut
innodb_flush_log_at_trx_commit=0
innodb_doublewrite=OFF
# the default from MariaDB 11.6 on; 10.11 can do it too
innodb_snapshot_isolation=ON
"""
PR_SET_PDEATHSIG = 1


class MariaDB:
    """Started by __init__, ended by remove(); stop() and start() are for tests of a database that is away.

    The user who runs the tests is its root (unix_socket authentication), nobody else.
    """

    def __init__(self):
        # a short path, since a socket's name holds 107 characters; open to the mail daemons, which are other users
        self.directory = Path(tempfile.mkdtemp(prefix="mp-db-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.socket = self.directory / "mysqld.sock"
        self.process = None
        me = pwd.getpwuid(os.geteuid()).pw_name
        self.user = "mysql" if me == "root" else me
        shutil.chown(self.directory, self.user)
        settings = self.directory / "my.cnf"
        settings.write_text(SETTINGS.format(self.directory))
        self._defaults = f"--defaults-file={settings}"
        try:
            subprocess.run(
                [
                    "mariadb-install-db",
                    self._defaults,
                    f"--user={self.user}",
                    "--skip-test-db",
                    "--auth-root-authentication-method=socket",
                    f"--auth-root-socket-user={me}",
                ],
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
            )
            self.start()
        except BaseException:
            self.remove()
            raise

    def start(self):
        with (self.directory / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                ["mariadbd", self._defaults],
                user=self.user,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.connect().close()
                return
            except MySQLdb.Error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, database="", user="root", password=""):
        return MySQLdb.connect(
            unix_socket=str(self.socket), user=user, password=password, database=database, charset="utf8mb4"
        )

    def sql(self, statements: str, database=""):
        """Run statements, separated by semicolons at line ends, as root."""
        connection = self.connect(database)
        try:
            cursor = connection.cursor()
            for statement in statements.split(";\n"):
                if statement.strip(" \n;"):
                    cursor.execute(statement)
            connection.commit()
        finally:
            connection.close()

    def url(self, database: str) -> str:
        """What MAILPANEL_DATABASE_URL takes; the database is made if it is not there."""
        self.sql(f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4")
        return f"mysql://root@localhost/{database}?unix_socket={self.socket}"


def _end_with_parent():
    """If pytest is killed, so is the server."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
