"""A private copy of the daemons for the tests, driven by the same commands that people use."""

import base64
import contextlib
import hashlib
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.utils import load_backend

from tests.environment import ON_MARIADB

ROOT = Path(settings.BASE_DIR)
NAMES = tuple(settings.MAILPANEL_PORTS)
BLOCK = 50
_claims: list[socket.socket] = []
# With each character that may be in one (render.py): all the daemons' languages take it for nothing but itself.
PASSWORDS = {daemon: f"{secrets.token_hex(8)}/[].:@+=,~-_" for daemon in ("postfix", "dovecot", "amavis")}


def quick_hash(password: str) -> str:
    """For people who sign in hundreds of times; the slow schemes have tests of their own."""
    salt = secrets.token_bytes(8)
    digest = hashlib.sha256(password.encode() + salt).digest()
    return "{SSHA256}" + base64.b64encode(digest + salt).decode()


def free_ports() -> dict[str, int]:
    """Below those that the kernel gives to outgoing connections, from a block that no other run takes meanwhile."""
    while True:
        first = random.randrange(12000, 32000, BLOCK)
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):  # another has it
            claim.bind(f"\0mailpanel-tests-{first}")
            _claims.append(claim)  # until this process ends
            found = list(filter(_is_free, range(first, first + BLOCK)))
            if len(found) >= len(NAMES):
                return dict(zip(NAMES, found, strict=False))


def _is_free(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) != 0


class Private:
    """One copy: its directory, ports and database. `up` starts the daemons, `remove` ends them and all is gone."""

    inside: tuple[str, ...] = ()  # a command before each command of ours, where its network is another one

    def __init__(self, directory: Path | None = None, database: str = "stack"):
        self.directory = directory or Path(tempfile.mkdtemp(prefix="mp-", dir="/tmp"))
        self.port = free_ports()
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "MAILPANEL_VAR": str(self.directory),
            "MAILPANEL_PORTS": ",".join(f"{name}={port}" for name, port in self.port.items()),
            "MAILPANEL_SIGNIN_TRIES": "50",
            # limits are what a test sets in the tables
            "MAILPANEL_SEND_PER_HOUR": "",
            "MAILPANEL_SEND_PER_DAY": "",
        }
        self._name = database
        self.policy = None
        if ON_MARIADB:
            from tests.environment import SERVER

            self.environment["MAILPANEL_DATABASE_URL"] = SERVER.url(database)
            # one server, so one account of each daemon for all copies
            for daemon, password in PASSWORDS.items():
                self.environment[f"MAILPANEL_{daemon.upper()}_DATABASE_PASSWORD"] = password

    def manage(self, *arguments: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess:
        done = subprocess.run(
            [*self.inside, sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            input=stdin,
            umask=0o077,  # as a careful root's shell has it
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def up(self) -> None:
        self.manage("stack", "up")
        if ON_MARIADB:
            self.manage("stack", "render", f"{self.directory}/grants")
            self.server.sql(_without_comments(self.directory / "grants" / "mariadb" / "grants.sql"))

        self.count()

    def count(self) -> None:
        """Start `manage.py policy`, as `make run` does."""
        if self.policy is None:
            self.policy = subprocess.Popen(
                [sys.executable, "manage.py", "policy"],
                cwd=ROOT,
                env=self.environment,
                stderr=subprocess.DEVNULL,
            )
        while not (self.directory / "policy" / "sending").exists():
            assert self.policy.poll() is None
            time.sleep(0.05)

    def stop_counting(self) -> None:
        if self.policy:
            self.policy.kill()
            self.policy.wait()
        self.policy = None
        (self.directory / "policy" / "sending").unlink(missing_ok=True)

    def info(self) -> dict:
        return json.loads(self.manage("stack", "info", "--json").stdout)

    def remove(self) -> None:
        self.stop_counting()
        self.manage("stack", "down", check=False)
        self.database.close()
        place = self.directory.resolve()
        if self.directory.is_symlink():
            self.directory.unlink()
        shutil.rmtree(place, ignore_errors=True)
        if ON_MARIADB:
            self.server.sql(f"DROP DATABASE IF EXISTS `{self._name}`")

    # --- the database ---------------------------------------------------------------------------------------

    @property
    def server(self):
        from tests.environment import SERVER

        return SERVER

    @cached_property
    def database(self):
        """A connection of Django to this copy's database, with the tables made."""
        name = self._name if ON_MARIADB else str(self.directory / "database" / "mail.sqlite3")
        settings_of_it = connections.settings["default"] | {"NAME": name}
        return load_backend(settings_of_it["ENGINE"]).DatabaseWrapper(settings_of_it, "default")

    def migrate(self) -> None:
        if not ON_MARIADB:
            (self.directory / "database").mkdir(exist_ok=True)
        with self.orm():
            call_command("migrate", verbosity=0, skip_checks=True)

    @contextlib.contextmanager
    def orm(self):
        """The models work on this copy's database, and really commit."""
        before = connections["default"]
        connections["default"] = self.database
        if self.database.connection and not self.database.is_usable():
            self.database.close()  # another test has stopped the server meanwhile
        try:
            yield
        finally:
            connections["default"] = before

    # --- the daemons' own tools -----------------------------------------------------------------------------

    @property
    def etc(self) -> Path:
        return self.directory.resolve() / "etc"

    def postmap(self, table: str, *keys: str, etc: Path | None = None) -> dict[str, str]:
        """What a map answers, by key; keys without an answer are left out."""
        kind = "mysql" if ON_MARIADB else "sqlite"
        path = (etc or self.etc) / "postfix" / "sql" / f"{table}.cf"
        done = subprocess.run(
            ["postmap", "-q", "-", f"{kind}:{path}"], input="\n".join(keys), capture_output=True, text=True
        )
        assert not done.stderr, done.stderr
        return dict(line.split("\t") for line in done.stdout.splitlines())

    def doveadm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(
            ["doveadm", "-c", self.etc / "dovecot" / "dovecot.conf", *arguments],
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def log(self, daemon: str) -> str:
        return (self.directory / "log" / f"{daemon}.log").read_text(errors="replace")


def _without_comments(path: Path) -> str:
    return "".join(line for line in path.open() if not line.startswith("--"))
