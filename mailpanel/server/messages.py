"""One message in the making: what each line of the log changes about it, who may see it, and what it counts for."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings

from accounts.models import Mailbox
from domains.models import Domain
from mailpanel.daemons.maillog import QUARANTINE, Event, Line
from mailpanel.server.models import Key, Message, Recipient
from mailpanel.server.models.trace import NAME, State

HELD = (State.QUARANTINED, State.REFUSED)
ACCEPTED = {"sent": State.SENT, "bounced": State.BOUNCED, "deferred": State.WAITING}
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

    def release(self, address: str) -> None:
        """What the filter has held back goes on for this recipient, written as the filter has it or in small letters."""
        for (to, original), row in self.recipients.items():
            if row.state in HELD and not original and to.lower() == address.lower():
                row.state = State.NONE

    def state(self, keys=None) -> State:
        """For all recipients, or for these."""
        states = (self.recipients[key].state for key in (self.recipients if keys is None else keys))
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
        states = {scope: self.state(keys) for scope, keys in theirs.items()}
        states |= dict.fromkeys(world.scopes(row.login), whole) | {"": whole}
        for scope in world.scopes(
            row.sender or ""
        ):  # anybody may write any sender: that is for the domain's admins alone
            if "@" not in scope:
                states.setdefault(scope, whole)
        sender = bare(row.sender or "")
        written = {sender, bare(row.login)} | {
            bare(original or address) for address, original in self.recipients
        }
        everybody = written | {bare(address) for address, _original in self.recipients}
        of_sender = world.scopes(row.login)
        found = set()
        for scope, state in states.items():
            # other people's recipients are not found by this one, nor where their aliases lead, nor who sent it as somebody else
            named = everybody if not scope else set(written) if scope in of_sender else {sender}
            named |= {bare(one) for key in theirs[scope] for one in key if scope in world.scopes(one)}
            found |= {(scope, one[:NAME], state) for one in {"", *named}}
        return frozenset(found)

    def seen(self, world: World) -> frozenset:
        """The same, and when it came, which is in each row of them."""
        sights = self.sights(world)
        return sights | {self.row.at} if sights else sights

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


# --- what a line changes --------------------------------------------------------------------------------------


def _began(mail: Mail, event: Event) -> None:
    # released by the panel: where it came from is known
    if any(name.startswith(QUARANTINE) for name in event.others):
        return
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
    if event.status in ("deliverable", "undeliverable"):  # nothing but a question to another server
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
    mail.release(original or to)
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


APPLY = {
    "began": _began, "named": _named, "queued": _queued, "delivery": _delivery, "refused": _refused, "expired": _expired,
    "deleted": _expired, "verdict": _verdict,
}  # fmt: skip
