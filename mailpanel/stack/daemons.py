"""The mail daemons of a private copy: how each is started, and how one sees that it answers."""

import contextlib
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailpanel.stack import processes
from mailpanel.stack.place import Place

READY_WITHIN = 30  # seconds
ENDED_WITHIN = 8
# What a client is greeted with; a port that merely accepts a connection may be another program's, or not ready.
_GREETINGS = {
    "smtp": b"220 ", "submission": b"220 ", "smtps": b"220 ", "amavis": b"220 ",
    "imap": b"* OK", "imaps": b"* OK", "pop3": b"+OK", "pop3s": b"+OK",
    "managesieve": b'"IMPLEMENTATION"', "doveadm": b"HTTP/1.1 ",
}  # fmt: skip
_TLS = ("smtps", "imaps", "pop3s")
# Programs in /usr/sbin are not in everybody's PATH. The daemons need nothing else of our environment.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}


class StackError(Exception):
    """A sentence for people: what did not work, and what to do."""


@dataclass(frozen=True)
class Daemon:
    name: str
    command: str  # what the kernel calls the main process
    start: tuple[str, ...]
    ports: tuple[str, ...]
    log: Path  # its own
    mark: str
    pid_file: Path | None = None  # that it believes

    @property
    def pid(self) -> int | None:
        return processes.main(self.mark, self.command)

    @property
    def output(self) -> Path:
        """What it says before it has its own log. A pipe to us would hang whoever waits for our end."""
        return self.log.with_suffix(".out")

    def begin(self) -> subprocess.Popen:
        """Start it, after what an earlier one may have left behind."""
        processes.end(self.mark, within=ENDED_WITHIN)
        if self.pid_file:
            self.pid_file.unlink(missing_ok=True)
        with self.output.open("wb") as output:
            return subprocess.Popen(
                self.start,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=_ENVIRONMENT | {processes.NAME: self.mark},
                start_new_session=True,
            )

    def end(self) -> None:
        processes.end(self.mark, within=ENDED_WITHIN)

    def last_words(self) -> str:
        """The end of its output and log, for an error message."""
        lines = []
        for path in (self.output, self.log):
            with contextlib.suppress(OSError):
                lines += path.read_text(errors="replace").splitlines()[-8:]
        return "\n".join(lines) or "It left no word."


def daemons(place: Place) -> list[Daemon]:
    def daemon(name, command, start, ports, log, pid_file=None):
        return Daemon(name, command, start, ports, place.log / log, str(place.directory / name), pid_file)

    # In this order they are waited for: Postfix' submission asks Dovecot which ways of signing in there are, and
    # rests for a minute if there was no answer.
    return [
        daemon(
            "dovecot", "dovecot", ("dovecot", "-c", str(place.etc / "dovecot" / "dovecot.conf")),
            ("imap", "imaps", "pop3", "pop3s", "managesieve", "doveadm"), "dovecot.log",
            place.dovecot / "run" / "master.pid",
        ),
        daemon("clamd", "clamd", ("clamd", "-c", str(place.etc / "clamav" / "clamd.conf")), (), "clamd.log"),
        daemon(
            "amavis", "", ("amavisd", "-c", str(place.etc / "amavis" / "amavisd.conf"), "foreground"),
            ("amavis", "amavis_submitted", "amavis_probe", "amavis_release"), "amavis.log",
            place.amavis / "run" / "amavisd.pid",
        ),
        daemon(
            "postfix", "master", ("postfix", "-c", str(place.etc / "postfix"), "start"),
            ("smtp", "submission", "smtps", "reinject"), "postfix.log",
        ),
    ]  # fmt: skip


def refuse_taken(names: tuple[str, ...], ports: dict[str, int]) -> None:
    """Raises StackError for the first port that another program has."""
    for name in names:
        with socket.socket() as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind(("127.0.0.1", ports[name]))
            except OSError as error:
                raise StackError(
                    f"Port {ports[name]}, wanted for {name}, is not to be had ({error.strerror}). "
                    f"Choose another one: MAILPANEL_PORTS={name}={ports[name] + 1000}"
                ) from error


def wait_until_ready(started: dict[Daemon, subprocess.Popen], place: Place, ports: dict[str, int]) -> None:
    """Until every door of these daemons that greets does so. Raises StackError with the daemon's last words."""
    deadline = time.monotonic() + READY_WITHIN
    for daemon, process in started.items():
        doors = [name for name in daemon.ports if name in _GREETINGS]
        knocks = [lambda name=name: _greeting(name, ports[name], place) for name in doors]
        for knock in knocks or [lambda: _ping(place.clamav / "run" / "clamd.sock")]:
            _persist(knock, daemon, process, deadline)


def _persist(knock: Callable[[], None], daemon: Daemon, process: subprocess.Popen, deadline: float) -> None:
    while True:
        try:
            return knock()
        except (OSError, ValueError) as error:
            failed = process.poll() not in (None, 0)
            if failed or time.monotonic() > deadline:
                raise StackError(
                    f"{daemon.name} {'did not start' if failed else 'does not answer'} ({error}). "
                    f"Its last words, from {daemon.log}:\n{daemon.last_words()}"
                ) from error
            time.sleep(0.03)


def _greeting(name: str, port: int, place: Place) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        door = plain
        if name in _TLS:
            trust = ssl.create_default_context(cafile=place.tls / "ca.pem")
            door = trust.wrap_socket(plain, server_hostname="localhost")
        if name == "doveadm":
            door.sendall(b"GET / HTTP/1.0\r\n\r\n")
        _expect(door, _GREETINGS[name])


def _ping(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(5)
        door.connect(os.fspath(path))
        door.sendall(b"zPING\0")
        _expect(door, b"PONG")


def _expect(door: socket.socket, wanted: bytes) -> None:
    said = door.recv(500)
    if not said.startswith(wanted):
        raise ValueError(f"it says {said[:60]!r}")
