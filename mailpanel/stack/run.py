"""What `make run` does: from nothing to a panel and a mail server that work, until Ctrl-C."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command

from mailpanel.daemons import DaemonError
from mailpanel.stack import local, packages, processes, values
from mailpanel.stack.daemons import READY_WITHIN, StackError, refuse_taken
from mailpanel.stack.place import CHECKOUT, Place, as_panel, settle, suits

MANAGE = str(CHECKOUT / "manage.py")


def run(say: Callable[[str], None]) -> None:
    """Returns when it was told to end (Ctrl-C, SIGTERM, a closed terminal) and all that it started has ended."""
    place, root = local.here(), os.geteuid() == 0
    # SIGINT too: whatever a script starts in the background begins with it ignored
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with local.held(place, "run"):
        try:
            _begin(place, root, say)
            _watch(place, root)
        except KeyboardInterrupt:
            _deaf()  # before anything else: a second Ctrl-C must not leave half of it running
            say("\nEnding …")
        finally:
            _deaf()
            for daemon in local.of_panel(place):
                processes.end(daemon.mark, within=5)
            if root:
                local.down(place)


def _deaf() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def settled(say: Callable[[str], None]) -> None:
    """Begin anew with the directory elsewhere, if the daemons could not work in it where it is."""
    if os.geteuid() == 0 and not suits(settings.MAILPANEL_VAR):
        wanted = Path(os.environ.get("MAILPANEL_VAR") or CHECKOUT / "var").absolute()
        say(f"The mail daemons cannot reach {wanted}, so it is a link to {settle(wanted)} from now on.")
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  the same command once more


def ensure_packages(names: tuple[str, ...], say: Callable[[str], None]) -> None:
    if wanted := packages.missing(names):
        say(f"Installing Debian packages: {' '.join(wanted)}")
        packages.ensure(names)


def prepare(stdout) -> None:
    """Tables, static files, and the first time the server's postmaster; tells its password as JSON on `stdout`.

    A step of its own since it runs as the panel's user, who owns the database.
    """
    call_command("migrate", verbosity=0, skip_checks=True, interactive=False)
    call_command("collectstatic", verbosity=0, skip_checks=True, interactive=False)
    first = _first_admin()
    _probe_account()
    stdout.write(json.dumps(first))


def lines(told: dict) -> list[str]:
    """`info`, for people."""
    ports = told["ports"]
    return [
        f"Panel        {told['panel']}" + ("" if "panel" in told["pids"] else "   (not running)"),
        f"Mail server  {told['host']}" + ("" if told["running"] else "   (not running)"),
        f"  sending    {ports['submission']} (submission, STARTTLS)   {ports['smtps']} (smtps)",
        f"  reading    {ports['imaps']} (imaps)   {ports['imap']} (imap, STARTTLS)   "
        f"{ports['pop3s']} (pop3s)   {ports['pop3']} (pop3, STARTTLS)",
        f"  filters    {ports['managesieve']} (managesieve, STARTTLS)",
        f"  from other servers   {ports['smtp']} (smtp)",
        f"  certificates are signed by {told['ca_file']}",
        f"Everything lives in {told['directory']}",
    ]


def _begin(place: Place, root: bool, say: Callable[[str], None]) -> None:
    if root:
        ensure_packages(packages.of_daemons(values.engine()), say)
        place.prepare()
    else:
        say("Not root, so this is the panel alone. The mail server beside it: sudo make run")
    preparing = _manage("prepare", root)
    try:
        if root and local.has_tables():
            local.up(place)
        first = _finished(preparing)
    finally:
        preparing.kill()
    if root:
        local.up(place)
    _start_panel(place, root)
    _start("collect", [MANAGE, "collect"], place, root)
    if root:
        _start("policy", [MANAGE, "policy"], place, root)
    told = local.info(place)
    say("\n" + "\n".join(lines(told) if root else lines(told)[:1] + lines(told)[-1:]))
    postmaster = settings.MAILPANEL_POSTMASTER
    if first:
        say(f"\nSign in as   {first['address']}\nPassword     {first['password']}   (shown this once)")
    else:
        say(f"\nSign in as   {postmaster}, or set a new password for it on standard input:")
        say(
            f"             {'sudo ' if root else ''}{sys.executable} manage.py mailbox set {postmaster} --password-stdin"
        )
    say("\nCtrl-C ends all of it.")


def _watch(place: Place, root: bool) -> None:
    while True:
        time.sleep(2)
        for daemon in local.all_daemons(place) if root else local.of_panel(place):
            if not daemon.pid:
                raise StackError(f"{daemon.name} ended by itself. Its last words:\n{daemon.last_words()}")


def _manage(action: str, root: bool) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, MANAGE, "stack", action],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us; half a migration is nobody's wish
        **(as_panel() if root else {}),
    )


def _finished(preparing: subprocess.Popen) -> dict | None:
    told, complaint = preparing.communicate()
    if preparing.returncode:
        raise StackError(f"The database could not be made ready.\n{complaint[-2000:]}")
    return json.loads(told)


def _first_admin() -> dict | None:
    from accounts import audit, passwords
    from accounts.lifecycle import open_mailbox
    from accounts.models import Mailbox
    from domains import addresses
    from domains.lifecycle import open_domain
    from domains.models import Domain

    if Domain.objects.exists() or Mailbox.objects.exists():
        return None
    by, password = audit.By("shell:root"), passwords.generate()
    domain = Domain(name=addresses.split(settings.MAILPANEL_POSTMASTER)[1], description="The first domain")
    domain.full_clean()
    open_domain(domain, by=by)
    mailbox = Mailbox(email=settings.MAILPANEL_POSTMASTER, name="Postmaster", is_superuser=True)
    mailbox.clean()
    open_mailbox(mailbox, password, by=by)
    return {"address": mailbox.email, "password": password}


def _probe_account() -> None:
    """Each time, so that what somebody did to it is put right; where its domain is gone or has no room, the probes say so."""
    from accounts import audit, probe_account

    with contextlib.suppress(ValidationError, DaemonError):
        probe_account.ensure(by=audit.By("shell:root"))


def _start(name: str, arguments: list[str], place: Place, root: bool) -> subprocess.Popen:
    """A Python program of ours that runs beside us as the panel's user; what an earlier one left is ended before."""
    mark = str(place.directory / name)
    processes.end(mark, within=5)
    place.log.mkdir(parents=True, exist_ok=True)
    with (place.log / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
            env=os.environ | {processes.NAME: mark},
            start_new_session=True,
            **(as_panel() if root else {}),
        )


def _start_panel(place: Place, root: bool) -> None:
    port = settings.MAILPANEL_PORTS["panel"]
    processes.end(str(place.directory / "panel"), within=5)
    refuse_taken(("panel",), settings.MAILPANEL_PORTS)
    panel = _start(
        "panel",
        ["-m", "gunicorn", "mailpanel.wsgi:application", "--no-control-socket"]
        + ["--worker-class", "gthread", "--workers", "2", "--threads", "4", "--graceful-timeout", "3"]
        + [f"--bind={host}:{port}" for host in ("127.0.0.1", "[::1]") if _has(host.strip("[]"))],
        place,
        root,
    )
    deadline = time.monotonic() + READY_WITHIN
    while not _answers(port):
        if panel.poll() is not None or time.monotonic() > deadline:
            words = (place.log / "panel.log").read_text(errors="replace")[-2000:]
            raise StackError(f"The panel does not answer. Its last words:\n{words}")
        time.sleep(0.05)


def _has(host: str) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as door:
        try:
            door.bind((host, 0))
        except OSError:
            return False
        return True


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": "localhost"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
