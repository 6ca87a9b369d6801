"""Where messages are found, and what of them whoever looks may see."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Q

from mailpanel.daemons.maillog import is_queue_id
from mailpanel.paging import SIZE, Page, moment_and_id
from mailpanel.server.ledger import bare, microseconds
from mailpanel.server.models import Key, Message, Recipient, Sight
from mailpanel.server.models.trace import State

Scopes = dict[str, datetime | None]
SHOWN = tuple(state for state in State if state)
PARTS = 60  # in one statement; SQLite takes 500 at most
MOST_NAMED = 200  # messages that one Message-ID or queue id is looked up for


@dataclass(frozen=True)
class Sought:
    address: str = ""
    states: tuple[State, ...] = SHOWN
    since: datetime | None = None
    until: datetime | None = None
    name: str = ""  # a Message-ID or a queue id


@dataclass
class Told:
    """A message as somebody may see it: `others` recipients are counted and not named."""

    row: Message
    state: State
    recipients: list[Recipient] = field(default_factory=list)
    others: int = 0
    named: frozenset | None = None  # the addresses that he may see; None for all

    @property
    def at(self):
        return self.row.at

    @property
    def more(self) -> int:
        """Recipients beyond the three that a list names."""
        return max(len(self.recipients) - 3, 0) + self.others

    def names(self, address: str) -> bool:
        return self.named is None or bare(address) in self.named


# --- the list -------------------------------------------------------------------------------------------------


def find(scopes: Scopes, sees: Scopes, sought: Sought, asked: dict) -> Page:
    """A page of messages in these scopes, the newest first, with what `sees` lets be told of them."""
    if sought.name:
        return Page(tell(_named(scopes, sought), sees))
    before, after = moment_and_id(asked.get("before", "")), moment_and_id(asked.get("after", ""))
    backwards = after is not None and before is None
    place = after if backwards else before
    found = _merged(scopes, sought, place, backwards)
    more, found = len(found) > SIZE, found[:SIZE]
    if backwards:
        found.reverse()
    if not found:
        return Page([])
    kept = {name: value for name, value in asked.items() if name not in ("after", "before") and value}
    first, last = (f"{at}-{pk}" for at, pk, _state in (found[0], found[-1]))
    return Page(
        tell({pk: state for _at, pk, state in found}, sees),
        first,
        last,
        earlier="?" + urlencode({**kept, "after": first}) if (more if backwards else before) else "",
        later="?" + urlencode({**kept, "before": last}) if (backwards or more) else "",
    )


def _merged(scopes: Scopes, sought: Sought, place, backwards: bool) -> list[tuple[int, int, State]]:
    """One range of the index for each scope and state, of which the first few are read."""
    parts = [
        _range(scope, since, state, sought, place, backwards)
        for (scope, since), state in product(sorted(scopes.items()), sought.states)
    ]
    found: dict[int, tuple[int, int, State]] = {}
    for number in range(0, len(parts), PARTS):
        for at, pk, state in _union(parts[number : number + PARTS]):
            found[pk] = (at, pk, max(State(state), found[pk][2] if pk in found else State.NONE))
    return sorted(found.values(), reverse=not backwards)[: SIZE + 1]


def _range(scope: str, since, state: State, sought: Sought, place, backwards: bool):
    rows = Sight.objects.filter(scope=scope, address=sought.address, state=state)
    if begin := max(filter(None, (since, sought.since)), default=None):
        rows = rows.filter(at__gte=microseconds(begin))
    if sought.until:
        rows = rows.filter(at__lt=microseconds(sought.until))
    if place:
        at, pk = min(microseconds(place[0]), 2**62), place[1]
        # the first condition is what the index begins with
        rows = (
            rows.filter(Q(at__gt=at) | Q(message__gt=pk), at__gte=at)
            if backwards
            else rows.filter(Q(at__lt=at) | Q(message__lt=pk), at__lte=at)
        )
    order = ("at", "message") if backwards else ("-at", "-message")
    return rows.order_by(*order).values_list("at", "message", "state")[: SIZE + 1]


def _union(parts: Iterable) -> list[tuple]:
    selects, params = [], []
    for number, part in enumerate(parts):
        sql, values = part.query.sql_with_params()
        selects.append(f"SELECT * FROM ({sql}) part{number}")  # noqa: S608  by Django, with parameters
        params += values
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), params)
        return cursor.fetchall()


def _named(scopes: Scopes, sought: Sought) -> dict[int, State]:
    name = sought.name.strip("<> ")
    if is_queue_id(name):
        keys = Key.objects.filter(name=name).order_by("-begun")
        chosen = list(keys.values_list("message", flat=True)[:MOST_NAMED])
    else:
        rows = Message.objects.filter(message_id=name).order_by("-at")
        chosen = list(rows.values_list("pk", flat=True)[:MOST_NAMED])
    found: dict[int, State] = {}
    rows = Sight.objects.filter(
        message__in=chosen, scope__in=scopes, address=sought.address, state__in=sought.states
    )
    for row in _in_time(rows, scopes):
        if (not sought.since or row.at >= microseconds(sought.since)) and (
            not sought.until or row.at < microseconds(sought.until)
        ):
            found[row.message_id] = max(State(row.state), found.get(row.message_id, State.NONE))
    newest = sorted(found, key=lambda pk: -pk)[:SIZE]
    return {pk: found[pk] for pk in newest}


def _in_time(rows, scopes: Scopes) -> list[Sight]:
    return [row for row in rows if not (since := scopes.get(row.scope)) or row.at >= microseconds(since)]


# --- what is told ---------------------------------------------------------------------------------------------


def one(pk: int, sees: Scopes) -> Told | None:
    rows = _in_time(Sight.objects.filter(message=pk, scope__in=sees, address=""), sees)
    if not rows:
        return None
    return next(iter(tell({pk: max(State(row.state) for row in rows)}, sees)), None)


def tell(states: dict[int, State], sees: Scopes) -> list[Told]:
    """In the order of `states`. Three statements."""
    rows = Message.objects.in_bulk(list(states))
    recipients = defaultdict(list)
    for row in (
        Recipient.objects.filter(message__in=states).exclude(state=State.NONE).order_by("address", "id")
    ):
        recipients[row.message_id].append(row)
    named: dict[int, set] = defaultdict(set)
    if "" not in sees:
        for sight in _in_time(Sight.objects.filter(message__in=states, scope__in=sees), sees):
            named[sight.message_id].add(sight.address)
    told = []
    for pk, state in states.items():
        if pk in rows:
            message = Told(rows[pk], state, named=None if "" in sees else frozenset(named[pk]))
            _trim(message, recipients[pk])
            told.append(message)
    return told


def _trim(message: Told, recipients: list[Recipient]) -> None:
    """An address that he may see is shown; where an alias of his leads to others, the alias alone."""
    seen = set()
    for row in recipients:
        if not message.names(row.address):
            if not (row.original and message.names(row.original)):
                message.others += 1
                continue
            row.address, row.original = row.original, ""
        elif not message.names(row.original):
            row.original = ""
        if (row.address, row.original) not in seen:
            seen.add((row.address, row.original))
            message.recipients.append(row)
