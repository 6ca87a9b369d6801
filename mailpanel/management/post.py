"""A month of mail for the demo data: lines of the log, which are read as real ones are, two more months of figures, and
who has sent how much today."""

import random
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction

from accounts.models import Mailbox
from domains.models import Alias, Domain
from mailpanel.daemons import maillog
from mailpanel.management import log_lines
from mailpanel.management.log_lines import came, gone, went
from mailpanel.server import sending
from mailpanel.server.ledger import Ledger
from mailpanel.server.models import Sending, SendLimit, Traffic

DAYS, COUNTED = 29, 90
MESSAGES = 1200
AT_ONCE = 300  # messages
OUTSIDE = (
    "programme@stadttheater.example", "lena.orlova@orchester-nord.example", "newsletter@papier-und-feder.example", "bestellung@grosso.example",
    "j.kowalczyk@druckhaus-ost.example", "no-reply@bahnfahrt.example", "presse@museum-am-hafen.example", "office@clinica-norte.example",
    "marie.dubois@librairie-du-port.example", "service@stromwerk.example", "rechnung@telefonie.example", "tomas@reklama-brno.example",
)  # fmt: skip
JUNK = (
    "win@prize-today.example",
    "dr.smith@transfer-of-funds.example",
    "support@account-verify.example",
    "deal@cheap-watches.example",
)
BLOCKED = "554 5.7.1 Service unavailable; Client host [203.0.113.77] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/203.0.113.77"
FULL = "552 5.2.2 <{to}>: Recipient address rejected: The mailbox is full"
SILENT = "connect to mx.{domain}[198.51.100.25]:25: Connection timed out"
GONE = "host mx.{domain}[198.51.100.25] said: 550 5.1.1 <{to}>: Recipient address rejected: User unknown (in reply to RCPT TO command)"


def make_mail(end: datetime) -> None:
    """Up to `end`, the same each time for the same mailboxes."""
    chance = random.Random("mail")  # noqa: S311
    boxes = list(
        Mailbox.objects.filter(enabled=True, domain__enabled=True)
        .exclude(email__startswith="mailpanel-probe@")
        .order_by("email")
        .values_list("email", flat=True)
    )
    if len(boxes) < 3:
        return
    moments = sorted(_moment(end, chance, DAYS) for _number in range(MESSAGES))
    for first in range(0, MESSAGES, AT_ONCE):
        batch = []
        for number in range(first, first + AT_ONCE):
            for at, line in _message(number, moments[number], end, boxes, chance):
                batch.append(f"{at.isoformat(timespec='microseconds')} mail {line}".encode())
        with transaction.atomic():
            book = Ledger("mail")
            book.take([found for raw in batch if (found := maillog.parse(raw, end))])
            book.write()
    _figures(end, chance)


def make_sending(end: datetime, boxes: list[str]) -> None:
    """Of these most have sent little; one sends a newsletter and may, one is near its limit, and one was stopped there."""
    chance, hour = random.Random("sending"), sending.hour_of(end)  # noqa: S311
    usual = sending.default()
    if not usual.per_hour or not usual.per_day:
        return
    stopped, near, newsletter, *others = boxes
    SendLimit.objects.update_or_create(
        scope=newsletter, defaults={"per_hour": None, "per_day": 20 * usual.per_day}
    )
    rows = [
        Sending(mailbox=stopped, hour=hour, recipients=usual.per_hour, refused=11 * usual.per_hour),
        Sending(mailbox=near, hour=hour - 3, recipients=usual.per_day * 88 // 100),
        Sending(mailbox=newsletter, hour=hour - 1, recipients=4 * usual.per_day),
    ]
    rows += [
        Sending(mailbox=box, hour=hour - chance.randrange(8), recipients=chance.randrange(1, 30))
        for box in others
    ]
    Sending.objects.bulk_create(rows, ignore_conflicts=True)
    sending.refresh(end)


def _moment(end: datetime, chance: random.Random, days: int) -> datetime:
    """By day rather than by night, and less at the weekend."""
    while True:
        at = end - timedelta(days=chance.uniform(0, days), minutes=2)
        busy = (1 if 7 <= at.hour < 18 else 0.2) * (0.3 if at.weekday() > 4 else 1)
        if chance.random() < busy:
            return at


def _message(
    number: int, at: datetime, end: datetime, boxes: list[str], chance: random.Random
) -> Iterator[tuple[datetime, str]]:
    size = int(chance.lognormvariate(9.5, 1.6))
    for line in _kind(number, at, end, boxes, chance):
        yield at, re.sub(r"(size[=:] ?)\d+", rf"\g<1>{size}", line)
        at += timedelta(milliseconds=chance.randrange(20, 400))
        if "status=deferred" in line:
            at += timedelta(minutes=chance.randrange(5, 40))
            if at > end:
                return


def _kind(number: int, at: datetime, end: datetime, boxes: list[str], chance: random.Random) -> list[str]:
    key, second, am_id = (
        f"4{number:06X}A7B2C",
        f"4{number:06X}E9F1D",
        f"{20000 + number}-{number % 20 + 1:02}",
    )
    outside, to, other = chance.choice(OUTSIDE), chance.choice(boxes), chance.choice(boxes)
    luck = chance.random()
    if luck < 0.44:
        wanted = to if luck < 0.38 or to == other else f"{to} {other}"
        lines = log_lines.passed_before_queue(key, am_id, outside, wanted)
        return [*lines, _folder(key, to)] if chance.random() < 0.15 else lines
    if luck < 0.58:
        return log_lines.passed_after_queue(key, second, am_id, other, to) if to != other else []
    if luck < 0.72:
        return _outward(key, second, am_id, other, outside, chance.random(), end - at < timedelta(hours=8))
    if luck < 0.80:
        return log_lines.refused(chance.choice(JUNK), to, BLOCKED, client="unknown[203.0.113.77]")
    if luck < 0.87:
        return log_lines.refused(
            outside, f"{chance.choice(('info2', 'sekretariat', 'mueler', 'verkauf'))}@{to.partition('@')[2]}"
        )
    if luck < 0.89:
        return log_lines.refused(
            chance.choice(JUNK),
            outside,
            "554 5.7.1 <{to}>: Relay access denied",
            client="unknown[203.0.113.9]",
        )
    if luck < 0.91:
        return log_lines.refused(outside, to, FULL)
    if luck < 0.975:
        return log_lines.spam(am_id, chance.choice(JUNK), to)
    if luck < 0.985:
        return log_lines.virus(am_id, chance.choice(JUNK), to)
    if luck < 0.99:
        return log_lines.not_owned(to, other) if to != other else []
    alias = (
        Alias.objects.filter(destination=to)
        .exclude(source__startswith="@")
        .values_list("source", flat=True)
        .first()
    )
    return [*came(key, outside), went(key, to, original=alias or ""), gone(key)]


def _folder(key: str, to: str) -> str:
    return f"dovecot: lmtp({to})<9>{f'<sess{key}>'}: sieve: msgid=<{key.lower()}@x.example>: stored mail into mailbox 'Listen'"


def _outward(key: str, second: str, am_id: str, sender: str, to: str, luck: float, late: bool) -> list[str]:
    """To another server: at once, at the second try, or never."""
    domain = to.partition("@")[2]
    relay = f"mx.{domain}[198.51.100.25]:25"
    *through, _delivered, last = log_lines.passed_after_queue(key, second, am_id, sender, to)
    waits = went(second, to, SILENT.format(domain=domain), "deferred", "none", dsn="4.4.1")
    sent = went(second, to, "250 2.0.0 Ok: queued as 5F0A11C3E2", relay=relay)
    if luck < 0.08:
        notice = f"postfix/bounce[5]: {second}: sender non-delivery notification: {second[:-1]}0"
        return [
            *through,
            went(second, to, GONE.format(domain=domain, to=to), "bounced", relay, dsn="5.1.1"),
            notice,
            last,
        ]
    if luck < 0.4 and late:
        return [*through, waits]
    if luck < 0.25:
        return [*through, waits, waits, sent, last]
    return [*through, sent, last]


def _figures(end: datetime, chance: random.Random) -> None:
    """The hours before, of which no message is kept any more."""
    last = int((end - timedelta(days=DAYS)).timestamp()) // 3600
    rows = []
    sizes = {"": 1.7} | {
        name: min(0.05 + count / 250, 0.8)
        for name, count in Domain.objects.filter(mailbox_count__gt=0).values_list("name", "mailbox_count")
    }
    for hour in range(last - (COUNTED - DAYS) * 24, last):
        day = (hour // 24 + 3) % 7
        busy = (1.4 if 7 <= hour % 24 < 18 else 0.3) * (0.3 if day > 4 else 1)
        for domain, share in sizes.items():
            received, refused = (_about(share * busy * part, chance) for part in (1.1, 0.35))
            if received or refused:
                rows.append(
                    Traffic(
                        domain=domain, hour=hour, received=received, delivered=received - (received > 3), refused=refused,
                        spam=_about(share * busy * 0.1, chance), virus=chance.random() < 0.01 * share,
                        deferred=_about(share * busy * 0.06, chance),
                    )
                )  # fmt: skip
    Traffic.objects.bulk_create(rows, ignore_conflicts=True)


def _about(mean: float, chance: random.Random) -> int:
    """A whole number of which this is the mean."""
    value = mean * chance.uniform(0.4, 1.6)
    return int(value) + (chance.random() < value % 1)
