"""From lines of the mail log to messages: which lines are about the same one, what became of it, and who may see it.

A message has several names: the queue id before the filter, that after it, Amavis' own number, Dovecot's session. A line
that tells two of them makes two messages one. What is taken in is written at once, in the caller's transaction.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from django.conf import settings
from django.db.models import F

from accounts.models import Mailbox
from domains.models import Domain
from mailpanel.daemons import postfix
from mailpanel.daemons.maillog import Event, Line
from mailpanel.server import models
from mailpanel.server.models import Key, Message, Recipient, Sight, Traffic
from mailpanel.server.models.trace import HOST, NAME, State

LINES = 500  # of one message that are kept
TEXT = 2000  # characters of one
HIDDEN = timedelta(
    days=1
)  # how long parts are kept that nobody is shown: the others may be far behind in another log
LATE = timedelta(minutes=5)  # how long after a queue id has ended lines may still be about it
LONGEST_WAY = timedelta(days=8)  # longer than anything stays in a queue
ACCEPTED = {"sent": State.SENT, "bounced": State.BOUNCED, "deferred": State.WAITING}
# Lines that are about a message which another line has told of, or else about nothing.
_FOLLOWING = {"removed", "other", "notice", "expired", "held", "released", "deleted", "named"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bare(address: str) -> str:
    """The address by which something is found: small letters, without a +tag."""
    local, at, domain = address.lower().rpartition("@")
    return (local.partition("+")[0] or local) + at + domain


def microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


class World:
    """The domains and mailboxes that there are."""

    def __init__(self):
        self.domains = dict(Domain.objects.values_list("name", "alias_of"))
        self._known: dict[str, bool] = {}

    def look_up(self, addresses: set[str]) -> None:
        """Which of these are mailboxes: asked once for all of a batch."""
        wanted = {box for address in addresses for box in self._boxes(bare(address))} - self._known.keys()
        there = set(Mailbox.objects.filter(email__in=wanted).values_list("email", flat=True))
        self._known |= {box: box in there for box in wanted}

    def scopes(self, address: str) -> set[str]:
        """Who looks after this address: its domain, that which it mirrors, and the mailbox."""
        address = bare(address)
        domain = address.rpartition("@")[2]
        if domain not in self.domains:
            return set()
        own = {domain, self.domains[domain] or domain}
        return own | {box for box in self._boxes(address) if self._known.get(box)}

    def _boxes(self, address: str) -> list[str]:
        local, _at, domain = address.rpartition("@")
        if domain not in self.domains:
            return []
        return [f"{local}@{self.domains[domain] or domain}"]


@dataclass(eq=False)
class Mail:
    """A message in the making, or one that has been written before."""

    row: Message
    recipients: dict[tuple[str, str], Recipient] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    absorbed: list[int] = field(default_factory=list)  # rows that turned out to be this one
    before: Counter = field(default_factory=Counter)
    seen_before: frozenset = frozenset()
    dropped: bool = False
    changed: bool = False

    @property
    def addresses(self) -> set[str]:
        row = self.row
        named = {address for recipient in self.recipients for address in recipient}
        return {address for address in (row.sender, row.login, *named) if address}

    @property
    def shown(self) -> bool:
        """Not a part whose other part is still to come, nor the panel's own trial, nor a question to another server."""
        named = {bare(address) for address, _original in self.recipients}
        if self.dropped or named == {settings.PROBE_ADDRESS}:
            return False
        question = not named and (self.row.sender or "").startswith("double-bounce@")
        trial = not named and self.row.login == settings.PROBE_ADDRESS
        return bool(self.recipients) or (self.row.accepted and not question and not trial)

    def put(
        self, address: str, original: str, state: State, queue_id: str = "", waited: bool = False
    ) -> None:
        key = (address[:NAME], original[:NAME])
        # before the filter and behind it one of the two may be missing
        known = (
            key if key in self.recipients else next((one for one in self.recipients if one[0] == key[0]), key)
        )
        if not (known[1] and key[1]) and known != key:
            self.recipients[(key := (key[0], key[1] or known[1]))] = self.recipients.pop(known)
        found = self.recipients.setdefault(key, Recipient(address=key[0], state=state))
        found.original, found.state, found.queue_id = key[1], state, queue_id
        found.waited = found.waited or waited or state == State.WAITING

    def state(self, of=None) -> State:
        states = [row.state for key, row in self.recipients.items() if of is None or of(key)]
        return State(max(states, default=0) or (State.WAITING if self.row.accepted else State.NONE))

    def sights(self, world: World) -> frozenset:
        """(scope, address, state) of all who may see it."""
        if not self.shown:
            return frozenset()
        row, whole = self.row, self.state()
        theirs: dict[str, set] = defaultdict(set)  # the recipients in each scope
        for key in self.recipients:
            for scope in world.scopes(key[0]) | world.scopes(key[1]):
                theirs[scope].add(key)
        states = {scope: self.state(keys.__contains__) for scope, keys in theirs.items()}
        states |= dict.fromkeys(world.scopes(row.login), whole) | {"": whole}
        for scope in world.scopes(
            row.sender or ""
        ):  # anybody may write any sender: that is for the domain's admins alone
            if "@" not in scope:
                states.setdefault(scope, whole)
        sender = {bare(row.sender or ""), bare(row.login)}
        written = sender | {bare(original or address) for address, original in self.recipients}
        everybody = written | {bare(address) for address, _original in self.recipients}
        of_sender = world.scopes(row.login)
        found = set()
        for scope, state in states.items():
            # other people's recipients are not found by this one, nor where their aliases lead
            named = everybody if not scope else set(written) if scope in of_sender else set(sender)
            named |= {bare(one) for key in theirs[scope] for one in key if scope in world.scopes(one)}
            found |= {(scope, one[:NAME], state) for one in {"", *named}}
        return frozenset(found)

    def counts(self, world: World) -> Counter:
        """What it adds to the hours: 1 for each (domain, hour, kind) that it is."""
        found, hour = Counter(), int(self.row.at.timestamp()) // 3600
        spam, virus = self.row.verdict in ("spam", "spammy"), self.row.verdict == "infected"
        for scope in {scope for scope, _address, _state in self.sights(world) if "@" not in scope}:
            own = world.scopes(self.row.login)
            rows = [
                row
                for key, row in self.recipients.items()
                if not scope or scope in own or scope in world.scopes(key[0]) | world.scopes(key[1])
            ]
            states = {row.state for row in rows}
            found[scope, hour, "received"] = self.row.accepted
            found[scope, hour, "delivered"] = bool(states & {State.DELIVERED, State.SENT})
            found[scope, hour, "refused"] = State.REFUSED in states
            found[scope, hour, "spam"], found[scope, hour, "virus"] = spam, virus
            found[scope, hour, "deferred"] = any(row.waited for row in rows)
        return found

    def absorb(self, other: "Mail") -> None:
        """The other one is this one, too."""
        mine, theirs = self.row, other.row
        for name in ("login", "sender", "message_id", "verdict", "score", "quarantine", "queue_id"):
            if getattr(mine, name) in ("", None):
                setattr(mine, name, getattr(theirs, name))
        _sized(mine, theirs.size)
        if not mine.client or (_is_here(mine.address) and theirs.client):
            mine.client, mine.address = theirs.client, theirs.address
        mine.at, mine.last = min(mine.at, theirs.at), max(mine.last, theirs.last)
        mine.accepted = mine.accepted or theirs.accepted
        mine.lines += theirs.lines
        for (address, original), row in other.recipients.items():
            known = self.recipients.get((address, original))
            if not known or row.state not in (State.WAITING, State.NONE):
                self.put(address, original, row.state, row.queue_id, waited=row.waited)
        self.keys += other.keys
        self.lines += other.lines
        self.absorbed += other.absorbed + ([theirs.pk] if theirs.pk else [])
        self.before += other.before
        self.changed = True
        self.dropped = self.dropped or other.dropped


def _is_here(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "")


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
            mail.before, mail.seen_before = mail.counts(self.world), _with_time(mail, self.world)
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
        _APPLY.get(event.kind, _nothing)(mail, event)
        if event.kind in ("removed", "deleted"):
            self.keys[host, event.key].ended = line.at

    def _mail(self, host: str, line: Line, event: Event) -> Mail | None:
        if (
            event.sender == postfix.STRANGER and event.to == postfix.ELSEWHERE
        ):  # the panel, asking for an open relay
            return None
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
        return at - key.begun <= LONGEST_WAY

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
            after = _with_time(mail, self.world)
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
                changes = {kind: F(kind) + number for kind, number in more.items()}
                if not Traffic.objects.filter(domain=domain, hour=hour).update(**changes):
                    least = {kind: max(number, 0) for kind, number in more.items()}
                    Traffic.objects.create(domain=domain, hour=hour, **least)


def _with_time(mail: Mail, world: World) -> frozenset:
    sights = mail.sights(world)
    return sights | {mail.row.at} if sights else sights


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


# --- what a line changes --------------------------------------------------------------------------------------


def _nothing(mail: Mail, event: Event) -> None:
    pass


def _began(mail: Mail, event: Event) -> None:
    row = mail.row
    row.login = row.login or event.login[:NAME]
    if not row.client or (_is_here(row.address) and not row.login):
        row.client, row.address = event.client[:NAME], event.address[:64]


def _named(mail: Mail, event: Event) -> None:
    mail.row.message_id = mail.row.message_id or event.message_id[:NAME]


def _queued(mail: Mail, event: Event) -> None:
    row = mail.row
    row.accepted = True
    row.sender = event.sender[:NAME] if row.sender is None else row.sender
    _sized(row, event.size)


def _sized(row: Message, size: int | None) -> None:
    """The least of what was told: as it came, without what the filter has written into its head."""
    row.size = min((one for one in (row.size, size) if one is not None), default=None)


def _delivery(mail: Mail, event: Event) -> None:
    if event.status in (
        "deliverable",
        "undeliverable",
    ):  # nothing but a question whether there is such a recipient
        mail.dropped = True
        return
    to, original = event.to[:NAME], event.original[:NAME]
    if event.others and not event.others[0].startswith("dovecot:"):
        # With the filter's answer the message goes on under its next queue id, or ends here.
        waiting = mail.recipients.get((to, original))
        if waiting and waiting.queue_id == event.key and waiting.state == State.WAITING:
            waiting.state, waiting.queue_id = State.NONE, ""
        if event.others[0].startswith("amavis:"):
            mail.put(
                to, original, State.BOUNCED if event.status == "bounced" else State.QUARANTINED, event.key
            )
        return
    if event.status not in ACCEPTED:
        return
    state = ACCEPTED[event.status]
    if state == State.SENT and is_local(event.relay):
        state = State.DELIVERED
    mail.put(to, original, state, event.key)


def is_local(relay: str) -> bool:
    """Dovecot is asked by a socket, another server by a port."""
    return "[/" in relay


def _refused(mail: Mail, event: Event) -> None:
    row = mail.row
    row.client, row.address = row.client or event.client[:NAME], row.address or event.address[:64]
    row.login = row.login or event.login[:NAME]
    if row.sender is None and event.sender is not None:
        row.sender = event.sender[:NAME]
    if event.to or not mail.recipients:
        mail.put(event.to, "", State.REFUSED, event.key)


def _expired(mail: Mail, event: Event) -> None:
    for row in mail.recipients.values():
        if row.state == State.WAITING:
            row.state = State.BOUNCED


def _verdict(mail: Mail, event: Event) -> None:
    row = mail.row
    row.verdict, row.score = event.status[:16], event.score
    row.sender = event.sender[:NAME] if row.sender is None and event.sender is not None else row.sender
    _sized(row, event.size)
    if not row.client and not row.address:
        row.address = event.address[:64]
    if event.dsn == "Blocked":
        row.quarantine = event.quarantine[:32] if "Quarantined" in event.said else row.quarantine
        refused = "Rejected" in event.said
        state = State.REFUSED if refused else State.BOUNCED if "Bounced" in event.said else State.QUARANTINED
        for address in event.recipients:
            if not any(key[0] == address[:NAME] and row.state for key, row in mail.recipients.items()):
                mail.put(address, "", state)


_APPLY = {
    "began": _began, "named": _named, "queued": _queued, "delivery": _delivery, "refused": _refused, "expired": _expired,
    "deleted": _expired, "verdict": _verdict,
}  # fmt: skip


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
