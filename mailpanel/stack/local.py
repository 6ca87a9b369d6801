"""The private copy: Postfix, Dovecot, Amavis and clamd on loopback ports, in one directory, beside whatever this machine runs.

Nothing under /etc is edited and no user is made. `up` and `down` may be called in any state, also after a crash.
"""

import fcntl
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from mailpanel.stack import packages, render, tls, values, versions
from mailpanel.stack.daemons import Daemon, StackError, daemons, refuse_taken, wait_until_ready
from mailpanel.stack.place import CHECKOUT, Place, as_panel, panel_user
from mailpanel.stack.render import put

MAIL_PORTS = ("smtp", "submission", "smtps", "imap", "imaps", "pop3", "pop3s", "managesieve")


def here() -> Place:
    return Place(settings.MAILPANEL_VAR)


def up(place: Place) -> list[str]:
    """Start what does not run yet, all at once, and wait until it answers; the names of what was started.

    Raises StackError or RenderError; then nothing that was started here is left.
    """
    if os.geteuid() != 0:
        raise StackError("Postfix and Dovecot have to be started by root.")
    if missing := packages.missing(packages.of_daemons(values.engine())):
        raise StackError(f"Debian packages are missing: {' '.join(missing)}. `make run` installs them.")
    ports = settings.MAILPANEL_PORTS
    with held(place, "daemons"):
        wanted = [daemon for daemon in daemons(place) if not daemon.pid]
        if not wanted:
            return []
        for daemon in wanted:
            daemon.end()  # a killed one's children, which have its ports while they have clients
            refuse_taken(daemon.ports, ports)
        configure(place)
        _make_tables()
        started = {daemon: daemon.begin() for daemon in wanted}
        try:
            wait_until_ready(started, place, ports)
        except BaseException:
            for daemon in reversed(started):
                daemon.end()
            raise
        return [daemon.name for daemon in started]


def down(place: Place) -> list[str]:
    """End what runs, by pid; the names of what was ended."""
    with held(place, "daemons"):
        running = [daemon for daemon in daemons(place) if daemon.pid]
        for daemon in reversed(daemons(place)):
            daemon.end()
        for path in (place.ports, place.secrets / "doveadm_url"):
            path.unlink(missing_ok=True)
        return [daemon.name for daemon in running]


def info(place: Place) -> dict:
    """What runs and where, as `manage.py stack info --json` prints it."""
    ports = json.loads(place.ports.read_text()) if place.ports.exists() else settings.MAILPANEL_PORTS
    pids = {daemon.name: daemon.pid for daemon in all_daemons(place)}
    return {
        "running": all(pids[daemon.name] for daemon in daemons(place)),
        "panel": settings.MAILPANEL_URL,
        "host": "127.0.0.1",
        "ca_file": str(place.tls / "ca.pem"),
        "ports": {name: ports[name] for name in MAIL_PORTS},
        "pids": {name: pid for name, pid in pids.items() if pid},
        "directory": str(place.directory),
    }


def all_daemons(place: Place) -> list[Daemon]:
    """With the panel and its `manage.py collect`, which `manage.py stack run` starts beside them."""
    return [*daemons(place), *of_panel(place)]


def of_panel(place: Place) -> list[Daemon]:
    def daemon(name, ports):
        return Daemon(name, "", (), ports, place.log / f"{name}.log", str(place.directory / name))

    return [daemon("collect", ()), daemon("panel", ("panel",))]


def make_ready(place: Place) -> None:
    """What the configuration speaks of: directories, certificates, signatures, as far as they are not there yet."""
    place.prepare()
    tls.ensure(place.tls, settings.MAILPANEL_HOSTNAME)
    put(place.clamav / "database" / "local.ndb", _eicar_signature(), mode=0o644)
    # SpamAssassin's plugins, as Debian has them. On a host our local.cf lies beside them.
    (place.etc / "spamassassin").mkdir(exist_ok=True)
    for path in Path("/etc/spamassassin").glob("*.pre"):
        put(place.etc / "spamassassin" / path.name, path.read_bytes(), mode=0o644)


def configure(place: Place) -> None:
    make_ready(place)
    wanted = render.files(values.engine(), versions.dovecot(), private=True)
    render.write(place.etc, wanted, values.of_private_copy(place, place.etc))
    # Word for the panel and its commands (settings.py) and for `info`: which ports these daemons have.
    ports = settings.MAILPANEL_PORTS
    put(place.ports, json.dumps(ports), mode=0o644)
    url = f"http://127.0.0.1:{ports['doveadm']}"
    put(place.secrets / "doveadm_url", url, mode=0o600, user=panel_user().pw_name)


@contextmanager
def held(place: Place, what: str):
    """One at a time; a second one is told so. The lock goes with its process, however that ends."""
    place.directory.mkdir(parents=True, exist_ok=True)
    with (place.directory / f"{what}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"Another `manage.py stack` is at work on {place.directory} just now."
            ) from error
        yield


def has_tables() -> bool:
    """Whether the embedded database is there; a MariaDB server is taken at its word."""
    return values.engine() == "mariadb" or Path(settings.DATABASES["default"]["NAME"]).exists()


def _make_tables() -> None:
    """The embedded database has to be there first: Dovecot would make an empty file of its own in its place."""
    if not has_tables():
        command = [sys.executable, str(CHECKOUT / "manage.py"), "migrate", "--verbosity=0", "--skip-checks"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **as_panel())
        if done.returncode:
            raise StackError(f"The tables could not be made.\n{done.stderr[-2000:]}")


def _eicar_signature() -> str:
    """The test file that every scanner knows: one signature is all a trial needs, and clamd starts in an instant.

    Put together here, so that no scanner takes this source file for it.
    """
    test_file = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE" + "!$H+H*"
    return f"Eicar-Test-Signature:0:*:{test_file.encode().hex()}\n"
