"""Messages that the tests need: their lines of the mail log, taken in."""

from datetime import UTC, datetime, timedelta

from django.db import transaction

from mailpanel.daemons import maillog
from mailpanel.server.ledger import Ledger

NOW = datetime.now(UTC)


def took(lines, *, after=0, ago=timedelta(minutes=10), host="mail"):
    """Take these in as one batch; each is a second after the one before."""
    batch = []
    for number, line in enumerate(lines):
        at = NOW - ago + timedelta(seconds=after + number)
        batch.append(
            maillog.parse(f"{at.isoformat(timespec='microseconds')} {host} {line}".encode(), NOW, UTC)
        )
    with transaction.atomic():
        book = Ledger("mail")
        book.take([found for found in batch if found])
        book.write()
