"""manage.py collect: what has to be done again and again, beside the panel."""

import contextlib
import ctypes
import logging
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from accounts import audit, trash, usage
from mailpanel.daemons import DaemonError
from mailpanel.server import digest, follower, retention, sending, tables
from mailpanel.server.follower import Follower
from mailpanel.server.rounds import Collector

log = logging.getLogger(__name__)

EVERY = 60  # seconds

# Each is called with the number of the minute, or with None for a whole round at once.


def mailbox_usage(minute: int | None) -> None:
    """A tenth of the mailboxes each minute: quota in use and last sign-in."""
    tenth = None if minute is None else minute % 10
    usage.refresh(tenth)
    usage.refresh_domains(tenth)


def sending_shares(minute: int | None) -> None:
    """Who is near or over the limit of what a mailbox may send: each minute those who send, now and then the others, too."""
    sending.refresh(everybody=minute is None or minute % 10 == 0)


def purge(minute: int | None) -> None:
    """Once an hour: what has been in the trash too long, sessions that have ended, wrong passwords that count no more."""
    if minute is not None and minute % 60:
        return
    call_command("clearsessions", verbosity=0)
    pause = timedelta(minutes=settings.MAILPANEL_SIGNIN_PAUSE_MINUTES)
    AccessAttempt.objects.filter(attempt_time__lt=timezone.now() - pause).delete()
    try:
        trash.purge(trash.due(), by=audit.By("mailpanel"))
    except DaemonError as error:
        log.warning("What is due in the trash waits for the next hour: %s", error)


def trim(minute: int | None) -> None:
    """What has been kept long enough: each minute a little of the history and of the messages, each hour the oldest
    sign-ins and the oldest of the quarantine."""
    tables.trim()
    follower.trim()
    if minute is None or minute % 60 == 30:
        usage.trim_sign_ins()
        sending.trim()
    if minute is None or minute % 60 == 45:
        retention.purge()


def digests(minute: int | None) -> None:
    """From the morning on, every ten minutes to those that have not had today's."""
    if minute is None or minute % 10 == 5:
        digest.send()


def follow() -> None:
    """All that the mail log has just now."""
    reading = Follower()
    while reading.step():
        pass


def follow_on() -> None:
    """The mail log, every few seconds: not a job of the minute, since this one never ends."""
    Follower().run()


JOBS: tuple[Callable[[int | None], None], ...] = (
    mailbox_usage, sending_shares, purge, trim, digests,
)  # fmt: skip


class Command(BaseCommand):
    help = "Keep up to date what the panel shows of the daemons, and purge what is due. Runs for ever."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="do all of it once, and end")

    def handle(self, *, once, **options):
        if once:
            for job in JOBS:
                job(None)
            follow()
            rounds = Collector()
            rounds.minute(int(time.time() // EVERY))
            rounds.sender.wait(EVERY)
            return
        # End at once, in the middle of whatever it is: the database undoes what was not committed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _one_arena()
        rounds, jobs = Collector(), Jobs()
        while True:
            minute = int(time.time() // EVERY)
            jobs.start(minute)
            jobs.keep(follow_on)
            try:
                rounds.minute(minute)
            except Exception:  # a fault of ours must not end the watch
                log.exception("The round failed, next try in a minute")
            time.sleep(EVERY - time.time() % EVERY)


def _one_arena() -> None:
    """glibc gives each new thread memory of its own and keeps it: with forty threads a minute, 12 MB more after an hour."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX


class Jobs:
    """Each in a thread of its own, so that the probes look each minute however long another job takes."""

    def __init__(self):
        self.threads: dict[str, threading.Thread] = {}

    def start(self, minute: int) -> None:
        """Those that are not still at it."""
        for job in JOBS:
            name = job.__name__
            if name not in self.threads or not self.threads[name].is_alive():
                self._start(name, _do, job, minute)

    def keep(self, endless: Callable[[], None]) -> None:
        """Start what is to run for ever, if it does not."""
        name = endless.__name__
        if name not in self.threads or not self.threads[name].is_alive():
            self._start(name, endless)

    def _start(self, name: str, *call) -> None:
        target, *arguments = call
        self.threads[name] = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self.threads[name].start()


def _do(job: Callable[[int | None], None], minute: int) -> None:
    """One that fails stops neither the others nor the next minute."""
    try:
        job(minute)
    except (DatabaseError, InterfaceError) as error:
        log.warning("%s: the database did not answer, next try in a minute: %s", job.__name__, error)
    except Exception:  # a fault of ours in one job must not end the others
        log.exception("%s failed, next try in a minute", job.__name__)
    finally:
        connection.close()
