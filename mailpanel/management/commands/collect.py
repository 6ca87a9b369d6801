"""manage.py collect: what has to be done again and again, beside the panel."""

import logging
import signal
import time
from collections.abc import Callable
from datetime import timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.utils import timezone

from accounts import audit, trash, usage
from mailpanel.daemons import DaemonError

log = logging.getLogger(__name__)

EVERY = 60  # seconds

# Each is called with the number of the minute, or with None for a whole round at once.


def mailbox_usage(minute: int | None) -> None:
    """A tenth of the mailboxes each minute: quota in use and last sign-in."""
    tenth = None if minute is None else minute % 10
    usage.refresh(tenth)
    usage.refresh_domains(tenth)


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


JOBS: tuple[Callable[[int | None], None], ...] = (mailbox_usage, purge)


class Command(BaseCommand):
    help = "Keep up to date what the panel shows of the daemons, and purge what is due. Runs for ever."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="do all of it once, and end")

    def handle(self, *, once, **options):
        if once:
            for job in JOBS:
                job(None)
            return
        # End at once, in the middle of whatever it is: the database undoes what was not committed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        while True:
            self.minute(int(time.time() // EVERY))
            time.sleep(EVERY - time.time() % EVERY)

    def minute(self, number: int) -> None:
        """All jobs; one that fails stops neither the others nor the next minute."""
        close_old_connections()
        for job in JOBS:
            try:
                job(number)
            except (DatabaseError, InterfaceError) as error:
                log.warning("%s: the database did not answer, next try in a minute: %s", job.__name__, error)
                connection.close()
            except Exception:
                log.exception("%s failed, next try in a minute", job.__name__)
        connection.close()
