"""Where messages are found, and what of them whoever looks may see."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Value
from django.db.models.functions import Concat

from mailpanel.daemons.maillog import is_queue_id
from mailpanel.paging import SIZE, Page, moment_and_id
from mailpanel.server.messages import bare, microseconds
from mailpanel.server.models import Key, Message, Recipient, Sight
from mailpanel.server.models.trace import State

Scopes = dict[str, datetime | None]
SHOWN = tuple(state for state in State if state)
PARTS = 120  # in one statement; SQLite takes 500 at most
FEW = 4  # rows of each of many parts that are read at first
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


@dataclass(frozen=True)
class _Part:
    """One range of the index: a scope and a state."""

    scope: str
    since: datetime | None
    state: State

    def select(self, sought: Sought, place, backwards: bool, most: int) -> tuple[str, list]:
        conditions, params = (
            ["scope = %s", "address = %s", "state = %s"],
            [self.scope, sought.address, int(self.state)],
        )
        if begin := max(filter(None, (self.since, sought.since)), default=None):
            conditions.append("at >= %s")
            params.append(microseconds(begin))
        if sought.until:
            conditions.append("at < %s")
            params.append(microseconds(sought.until))
        if place:
            at, than = min(microseconds(place[0]), 2**62), ">" if backwards else "<"
            # the first condition is what the index begins with
            conditions.append(f"at {than}= %s AND (at {than} %s OR message_id {than} %s)")
            params += [at, at, min(place[1], 2**62)]
        order = "at, message_id" if backwards else "at DESC, message_id DESC"
        where = " AND ".join(conditions)
        rows = f"SELECT at, message_id, state, scope FROM trace_sight WHERE {where}"  # noqa: S608  values are parameters
        return f"{rows} ORDER BY {order} LIMIT {most}", params


def _merged(scopes: Scopes, sought: Sought, place, backwards: bool) -> list[tuple[int, int, State]]:
    """The first few of each part, put in order. Of many parts so few are read at first that most give nothing, and then
    those once more of which all that was read is needed."""
    parts = [
        _Part(scope, since, state) for (scope, since), state in product(sorted(scopes.items()), sought.states)
    ]
    most = FEW if len(parts) > PARTS else SIZE + 1
    rows = _read(parts, sought, place, backwards, most)
    if most == FEW:
        edge = sorted({row[:2] for row in rows}, reverse=not backwards)[: SIZE + 1][-1:]
        of_part = defaultdict(list)
        for row in rows:
            of_part[row[3], row[2]].append(row[:2])
        again = [part for part in parts if _has_more(of_part[part.scope, part.state], edge, backwards)]
        rows += _read(again, sought, place, backwards, SIZE + 1)
    found: dict[int, tuple[int, int, State]] = {}
    for at, pk, state, _scope in rows:
        found[pk] = (at, pk, max(State(state), found[pk][2] if pk in found else State.NONE))
    return sorted(found.values(), reverse=not backwards)[: SIZE + 1]


def _has_more(rows: list[tuple[int, int]], edge: list[tuple[int, int]], backwards: bool) -> bool:
    """Whether the next rows of this part may come before the last one that the page shows."""
    if len(rows) < FEW:
        return False
    return (max(rows) <= edge[0]) if backwards else (min(rows) >= edge[0])


def _read(parts: list[_Part], sought: Sought, place, backwards: bool, most: int) -> list[tuple]:
    found = []
    for first in range(0, len(parts), PARTS):
        selects, params = zip(
            *(part.select(sought, place, backwards, most) for part in parts[first : first + PARTS]),
            strict=True,
        )
        named = [f"SELECT * FROM ({select}) part{number}" for number, select in enumerate(selects)]  # noqa: S608
        union = " UNION ALL ".join(named)
        with connection.cursor() as cursor:
            cursor.execute(union, [value for values in params for value in values])
            found += cursor.fetchall()
    return found


def _named(scopes: Scopes, sought: Sought) -> dict[int, State]:
    name = sought.name.strip("<> ")
    if is_queue_id(name):
        keys = Key.objects.filter(name=name).order_by("-begun")
        chosen = list(keys.values_list("message", flat=True)[:MOST_NAMED])
    else:
        rows = Message.objects.filter(message_id=name).order_by("-at")
        chosen = list(rows.values_list("pk", flat=True)[:MOST_NAMED])
    found: dict[int, State] = {}
    rows = _of(chosen, scopes, address=sought.address, state__in=sought.states)
    for row in _in_time(rows, scopes):
        if (not sought.since or row.at >= microseconds(sought.since)) and (
            not sought.until or row.at < microseconds(sought.until)
        ):
            found[row.message_id] = max(State(row.state), found.get(row.message_id, State.NONE))
    newest = sorted(found, key=lambda pk: -pk)[:SIZE]
    return {pk: found[pk] for pk in newest}


def _of(pks: Iterable[int], scopes: Scopes, **more):
    """What is in these scopes of some messages: by their keys, since SQLite would rather read all of a scope."""
    rows = Sight.objects.filter(message__in=list(pks), **more)
    return rows.annotate(of=Concat("scope", Value(""))).filter(of__in=list(scopes))


def _in_time(rows, scopes: Scopes) -> list[Sight]:
    return [row for row in rows if not (since := scopes.get(row.scope)) or row.at >= microseconds(since)]


# --- what is told ---------------------------------------------------------------------------------------------


def one(pk: int, sees: Scopes) -> Told | None:
    if pk >= 2**63:  # no database has such a number, and SQLite would not even look
        return None
    rows = _in_time(_of([pk], sees, address=""), sees)
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
        for sight in _in_time(_of(states, sees), sees):
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
