"""Messages that the tests need: their lines of the mail log, taken in."""

from datetime import UTC, datetime, timedelta

from django.db import transaction

from mailpanel.daemons import maillog
from mailpanel.management.log_lines import (
    came,
    delivered,
    gone,
    not_owned,
    passed_after_queue,
    passed_before_queue,
    refused,
    spam,
    verdict,
    virus,
    waits,
    went,
)  # fmt: skip
from mailpanel.server.ledger import Ledger

__all__ = [
    "NOW", "came", "delivered", "gone", "not_owned", "passed_after_queue", "passed_before_queue", "refused", "spam", "took",
    "verdict", "virus", "waits", "went",
]  # fmt: skip

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
