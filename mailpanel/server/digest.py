"""A mail each day about what was held back, to each mailbox that wants it and has something new in the quarantine.

Each mailbox has it once a day, however many collectors there are and whatever ends them: who sends it first writes the
day down, and takes it back only where the mail has surely not left. What a mail should have told and did not, the next
one tells.
"""

import hashlib
import logging
import re
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import NamedTuple

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import ngettext

from accounts.models import Mailbox
from mailpanel.daemons import Trouble, messenger
from mailpanel.daemons.probing import Watch
from mailpanel.server import filter_policy, quarantine
from mailpanel.server.models import DigestSent, FilterPolicy
from mailpanel.server.models.filter import SERVER
from mailpanel.server.models.quarantine import VIRUS
from mailpanel.server.quarantine import Held

HOUR = 6  # of the morning, in the panel's time zone
AT_ONCE = 500  # mailboxes
TOLD = 50  # messages in one mail
SECONDS = 10  # for one mail
SETTLED = 5  # seconds
FAILURES = 3  # in a row, and the mail server is taken to be away

log = logging.getLogger(__name__)

_done: date | None = None  # the day on which everybody was looked at, by this process


def send(now: datetime | None = None) -> int:
    """To all that have not had today's; returns how many mails left."""
    global _done
    now = now or timezone.now()
    today = timezone.localdate(now)
    if timezone.localtime(now).hour < HOUR or _done == today:
        return 0
    sent, failures, after, complete = 0, 0, "", True
    while boxes := list(_portion(after)):
        after = boxes[-1].email
        for box, found, since in _with_news(boxes, today, now):
            if failures == FAILURES or not _claim(box.email, today, since):
                continue
            if _sent(box, found, today):
                sent, failures = sent + 1, 0
            else:
                failures, complete = failures + 1, False
        if failures == FAILURES:
            return sent
    if complete:
        _done = today
    return sent


def _portion(after: str):
    """The next mailboxes by address, also those that do not want it: most settings are the domain's or the server's."""
    rows = Mailbox.objects.filter(enabled=True, domain__enabled=True, email__gt=after)
    return rows.exclude(email=settings.PROBE_ADDRESS).order_by("email")[:AT_ONCE]


def _with_news(boxes: list[Mailbox], today: date, now: datetime):
    """Those that want a mail, have not had it today and have something new, with what it is, and since when."""
    wanting = _wanting(boxes)
    sent = DigestSent.objects.in_bulk([box.email for box in wanting])
    due = [box for box in wanting if box.email not in sent or sent[box.email].day < today]
    first, oldest = ((now - timedelta(days=days)).timestamp() for days in (1, 7))
    since = {
        box.pk: int(max(sent[box.email].told + 1, oldest) if box.email in sent else first) for box in due
    }
    # of the last seconds more may come to be, which the next mail tells of
    found = quarantine.waiting(due, since, int(now.timestamp()) - SETTLED, TOLD + 1)
    return [(box, rows, since[box.pk]) for box in due if (rows := found.get(box.pk))]


def _wanting(boxes: list[Mailbox]) -> list[Mailbox]:
    scopes = {box.email: [box.email, filter_policy.of_domain(box.domain_id), SERVER] for box in boxes}
    rows = FilterPolicy.objects.filter(scope__in={scope for of_box in scopes.values() for scope in of_box})
    said = {scope: digest for scope, digest in rows.values_list("scope", "digest") if digest is not None}
    default = filter_policy.DEFAULTS["digest"]
    return [box for box in boxes if next((said[one] for one in scopes[box.email] if one in said), default)]


def _claim(email: str, today: date, since: int) -> bool:
    """Whether it is this collector that sends it."""
    DigestSent.objects.bulk_create([DigestSent(email=email, told=since - 1)], ignore_conflicts=True)
    return bool(DigestSent.objects.filter(email=email, day__lt=today).update(day=today))


def _sent(box: Mailbox, rows: list, today: date) -> bool:
    mine = DigestSent.objects.filter(email=box.email, day=today)
    found = quarantine.held(box, rows, {row.rid for row in rows})
    try:
        messenger.post_here(
            compose(box, found[:TOLD], today, more=len(found) > TOLD), box.email, Watch(SECONDS)
        )
    except messenger.Unanswered as error:
        log.warning("The digest for %s may have left: %s", box.email, error.detail)
    except (Trouble, TimeoutError) as error:
        log.warning(
            "The digest for %s did not leave: %s", box.email, getattr(error, "detail", "no answer in time")
        )
        mine.update(day=today - timedelta(days=1))
        return False
    mine.update(told=max(row.made for row in rows))
    return True


def compose(box: Mailbox, found: list[Held], today: date, *, more: bool = False) -> EmailMessage:
    with translation.override(box.language or settings.LANGUAGE_CODE):
        number = len(found)
        subject = ngettext(
            "%(number)s message was held back (%(day)s)",
            "%(number)s messages were held back (%(day)s)",
            number,
        ) % {"number": f"{number}+" if more else number, "day": date_format(today, "SHORT_DATE_FORMAT")}
        context = {
            "mailbox": box,
            "found": [_told(one) for one in found],
            "more": more,
            "url": f"{settings.MAILPANEL_URL}/quarantine/",
            "filter_url": f"{settings.MAILPANEL_URL}/filter/own/",
            "days": settings.MAILPANEL_QUARANTINE_DAYS,
            "hostname": settings.MAILPANEL_HOSTNAME,
        }
        message = EmailMessage()
        message["From"] = settings.MAILPANEL_POSTMASTER
        message["To"] = box.email
        message["Subject"] = subject
        message["Date"] = format_datetime(localtime())
        message["Message-ID"] = f"<quarantine.{_number(box.email, today)}@{settings.MAILPANEL_HOSTNAME}>"
        message["Auto-Submitted"] = "auto-generated"  # so that no vacation note answers (RFC 3834)
        message.set_content(render_to_string("server/digest.txt", context), cte="quoted-printable")
        page = render_to_string("server/digest.html", context)
        message.add_alternative(page, subtype="html", cte="quoted-printable")
    return message


class Told(NamedTuple):
    """A message as the mail tells it: nothing that a mail program would make a link of."""

    at: datetime
    score: float | None
    kind: str
    author: str
    subject: str


def _told(one: Held) -> Told:
    kind = VIRUS if one.is_virus else one.row.kind
    return Told(one.at, one.score, kind, _unlinked(one.author or one.sender), _unlinked(one.subject))


def _unlinked(text: str) -> str:
    return re.sub(r"(?i)\bwww\.", "www[.]", text.replace("://", "[:]//"))[:120]


def _number(email: str, day: date) -> str:
    """The same for all tries of one day, so that whoever sees two can tell that they are one."""
    return hashlib.sha256(f"{email} {day}".encode()).hexdigest()[:24]
