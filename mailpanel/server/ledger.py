"""From lines of the mail log to messages: which lines are about the same one.

A message has several names: the queue id before the filter, that after it, Amavis' own number, Dovecot's session. A line
that tells two of them makes two messages one. What is taken in is written at once, in the caller's transaction.
"""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import cached_property

from django.conf import settings
from django.db.models import Case, F, When

from mailpanel.daemons import maillog, postfix
from mailpanel.daemons.maillog import Event, Line
from mailpanel.server import models
from mailpanel.server.messages import APPLY, Mail, World, microseconds
from mailpanel.server.models import Key, Message, Recipient, Sight, Traffic
from mailpanel.server.models.trace import HOST, State

LINES = 500  # of one message that are kept
TEXT = 2000  # characters of one
# How long parts are kept that nobody is shown: the others may be far behind in another log.
HIDDEN = timedelta(days=1)
LATE = timedelta(minutes=5)  # how long after a queue id has ended lines may still be about it
LONGEST_WAY = timedelta(days=8)  # longer than anything stays in a queue
LONGEST_KEPT = timedelta(days=settings.MAILPANEL_QUARANTINE_DAYS + 1)
# Lines that are about a message which another line has told of, or else about nothing.
_FOLLOWING = {"removed", "other", "notice", "expired", "held", "released", "deleted", "named"}


class Ledger:
    """Takes a batch of lines in, and writes it."""

    def __init__(self, machine: str):
        self.machine, self.world = machine, World()
        self.mails: dict[tuple[str, str], Mail] = {}  # by host and name
        self.keys: dict[tuple[str, str], Key] = {}
        self.all: list[Mail] = []

    # --- in ---

    def take(self, batch: list[tuple[Line, Event]]) -> None:
        self._load({name for _line, event in batch for name in (event.key, *event.others) if name})
        for line, event in sorted(batch, key=lambda one: one[0].at):
            self._take(line, event)

    def _load(self, names: set[str]) -> None:
        rows = {}
        for key in Key.objects.filter(name__in=names).order_by("begun", "id").select_related("message"):
            rows[key.host, key.name] = key  # the newest one
        messages = {key.message_id: key.message for key in rows.values()}
        mails = {pk: Mail(message) for pk, message in messages.items()}
        for recipient in Recipient.objects.filter(message__in=messages):
            mails[recipient.message_id].recipients[recipient.address, recipient.original] = recipient
        self.world.look_up({address for mail in mails.values() for address in mail.addresses})
        for mail in mails.values():
            mail.before, mail.seen_before = mail.counts(self.world), mail.seen(self.world)
        self.all += mails.values()
        for place, key in rows.items():
            self.keys[place], self.mails[place] = key, mails[key.message_id]

    def _take(self, line: Line, event: Event) -> None:
        host = (line.host or self.machine)[:HOST]
        mail = self._mail(host, line, event)
        if not mail:
            return
        for name in event.others:
            mail = self._join(host, mail, name, line.at)
        mail.row.last = max(mail.row.last, line.at)
        mail.row.lines, mail.changed = mail.row.lines + 1, True
        if mail.row.lines <= LINES:
            mail.lines.append(line)
        if change := APPLY.get(event.kind):
            change(mail, event)
        if event.kind in ("removed", "deleted"):
            self.keys[host, event.key].ended = line.at

    def _mail(self, host: str, line: Line, event: Event) -> Mail | None:
        if (
            event.kind == "refused"
            and event.sender == postfix.STRANGER
            and event.to in ("", postfix.ELSEWHERE)
        ):
            return None  # the panel, asking for an open relay
        if not event.key:
            names = [name for name in event.others if self._alive(host, name, line.at)]
            return self.mails[host, names[0]] if names else self._begin(host, event, line.at)
        anew = event.kind == "began" and self._has_begun(host, event.key, line.at)
        if not anew and self._alive(host, event.key, line.at):
            return self.mails[host, event.key]
        for name in event.others:
            if self._alive(host, name, line.at):
                mail = self.mails[host, name]
                self._name(host, event.key, mail, line.at)
                return mail
        if event.kind in _FOLLOWING and event.kind != "named":
            return None
        mail = self._begin(host, event, line.at)
        self._name(host, event.key, mail, line.at)
        return mail

    def _alive(self, host: str, name: str, at: datetime) -> bool:
        """Whether a line of this moment that has this name is about the message that had it last."""
        key = self.keys.get((host, name))
        if not key:
            return False
        if key.ended:
            return at <= key.ended + LATE
        return at - key.begun <= (LONGEST_KEPT if name.startswith(maillog.QUARANTINE) else LONGEST_WAY)

    def _has_begun(self, host: str, name: str, at: datetime) -> bool:
        """A second “client=” of the same queue id is another message."""
        key = self.keys.get((host, name))
        return bool(key and (key.ended or at - key.begun > LATE))

    def _begin(self, host: str, event: Event, at: datetime) -> Mail:
        queue_id = "" if ":" in event.key else event.key
        mail = Mail(Message(host=host, at=at, last=at, queue_id=queue_id[:32]))
        self.all.append(mail)
        return mail

    def _name(self, host: str, name: str, mail: Mail, at: datetime) -> None:
        key = Key(host=host, name=name[:64], begun=at)
        mail.keys.append(key)
        self.keys[host, name], self.mails[host, name] = key, mail

    def _join(self, host: str, mail: Mail, name: str, at: datetime) -> Mail:
        if not self._alive(host, name, at):
            self._name(host, name, mail, at)
            return mail
        other = self.mails[host, name]
        if other is mail:
            return mail
        first, second = sorted((mail, other), key=lambda one: (one.row.at, one.row.pk or 2**63))
        first.absorb(second)
        self.all.remove(second)
        self.mails |= {place: first for place, one in self.mails.items() if one is second}
        return first

    # --- out ---

    def write(self) -> None:
        """Inside a transaction."""
        self.world.look_up({address for mail in self.all for address in mail.addresses})
        for mail in self.all:
            mail.row.state = mail.state() if mail.shown else State.NONE
        self._write_messages()
        self._move_absorbed()
        self._write_parts()
        self._write_sights()
        self._write_traffic()

    def _write_messages(self) -> None:
        new = [mail for mail in self.all if not mail.row.pk]
        Message.objects.bulk_create([mail.row for mail in new])
        for mail in self.all:
            if mail.changed and mail not in new:
                mail.row.save()

    def _move_absorbed(self) -> None:
        for mail in self.all:
            if mail.absorbed:
                models.Line.objects.filter(message__in=mail.absorbed).update(message=mail.row)
                Key.objects.filter(message__in=mail.absorbed).update(message=mail.row)
                Recipient.objects.filter(message__in=mail.absorbed).delete()
                Sight.objects.filter(message__in=mail.absorbed).delete()
                Message.objects.filter(pk__in=mail.absorbed).delete()

    @cached_property
    def _changed(self) -> list[Mail]:
        return [mail for mail in self.all if mail.changed]

    def _write_parts(self) -> None:
        for mail in self._changed:
            for part in (*mail.recipients.values(), *mail.keys):
                if part.message_id != mail.row.pk:
                    part.message = mail.row
        recipients = [row for mail in self._changed for row in mail.recipients.values()]
        _save(recipients, ["original", "state", "waited", "queue_id"])
        for place, key in self.keys.items():
            key.message = self.mails[place].row
        known = [key for key in self.keys.values() if key.pk]
        _save(known + [key for mail in self._changed for key in mail.keys], ["ended"])
        models.Line.objects.bulk_create(
            models.Line(message=mail.row, at=line.at, text=line.raw[:TEXT])
            for mail in self._changed
            for line in mail.lines
        )

    def _write_sights(self) -> None:
        """Where there are only more of them, as with a letter to thousands, those; else all of the message anew."""
        gone, rows = [], []
        for mail in self._changed:
            after = mail.seen(self.world)
            if not mail.seen_before <= after:
                gone.append(mail.row.pk)
            more = after if mail.row.pk in gone[-1:] else after - mail.seen_before
            rows += [(mail.row, *one) for one in more if isinstance(one, tuple)]
        Sight.objects.filter(message__in=gone).delete()
        Sight.objects.bulk_create(
            Sight(message=row, scope=scope, address=address, state=state, at=microseconds(row.at))
            for row, scope, address, state in sorted(rows, key=lambda one: (one[0].pk, *one[1:]))
        )

    def _write_traffic(self) -> None:
        """The difference to what has been counted for these messages before, so that nothing is counted twice."""
        hours: dict[tuple[str, int], Counter] = defaultdict(Counter)
        for mail in self._changed:
            after = mail.counts(self.world)
            for domain, hour, kind in after.keys() | mail.before.keys():
                hours[domain, hour][kind] += after[domain, hour, kind] - mail.before[domain, hour, kind]
        for (domain, hour), kinds in sorted(hours.items()):
            if more := {kind: number for kind, number in kinds.items() if number}:
                changes = {kind: _sum(kind, number) for kind, number in more.items()}
                if not Traffic.objects.filter(domain=domain, hour=hour).update(**changes):
                    least = {kind: max(number, 0) for kind, number in more.items()}
                    Traffic.objects.create(domain=domain, hour=hour, **least)


def _sum(kind: str, number: int):
    """Never below nothing: a domain that was made meanwhile has not had what is taken back of it."""
    enough = When(**{f"{kind}__gte": -number}, then=F(kind) + number)
    return F(kind) + number if number > 0 else Case(enough, default=0)


def _save(rows: list, columns: list[str]) -> None:
    """The new ones in one statement, of the others what has changed."""
    if not rows:
        return
    model = type(rows[0])
    new = [row for row in rows if row._state.adding]
    before = model.objects.in_bulk([row.pk for row in rows if not row._state.adding])
    model.objects.bulk_create(new)
    for row in rows:
        then = before.get(row.pk)
        if then and (
            then.message_id != row.message_id
            or any(getattr(then, name) != getattr(row, name) for name in columns)
        ):
            row.save(update_fields=[*columns, "message"])


def trim(before: datetime, most: int, at_once: int = 500) -> int:
    """Delete a portion of what is older, or more than is kept; how many messages. Parts that nobody has ever been shown
    go after a day: the trials of the panel, and connections that came to nothing."""
    newest = Message.objects.order_by("-id").values_list("id", flat=True).first() or 0
    old = list(
        Message.objects.filter(at__lt=before).order_by("at").values_list("id", flat=True)[:at_once]
    ) or list(
        Message.objects.filter(id__lte=newest - most).order_by("id").values_list("id", flat=True)[:at_once]
    )
    hidden = Message.objects.filter(state=State.NONE, last__lt=datetime.now(UTC) - HIDDEN).order_by("last")
    gone = old + list(hidden.values_list("id", flat=True)[:at_once])
    for model in (Sight, models.Line, Recipient, Key):
        model.objects.filter(message__in=gone).delete()
    Message.objects.filter(pk__in=gone).delete()
    return len(gone)
