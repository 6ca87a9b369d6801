"""Where messages are found, and what of them whoever looks may see."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Value
from django.db.models.functions import Concat

from domains.models import Domain
from mailpanel.daemons.maillog import is_queue_id
from mailpanel.paging import SIZE, Page, moment_and_id
from mailpanel.server.messages import bare, microseconds
from mailpanel.server.models import Key, Message, Recipient, Sight
from mailpanel.server.models.trace import NAME, State

Scopes = dict[str, datetime | None]
SHOWN = tuple(state for state in State if state)
RANGES = 60  # of the index that are looked at one by one: each takes about a tenth of a millisecond
SPANS = [timedelta(minutes=5), timedelta(hours=1), timedelta(hours=12), timedelta(days=6)]
AT_ONCE = 500  # scopes in one statement; of much more, MariaDB would make fewer and larger ranges
MOST_NAMED = 20_000  # messages that one Message-ID or queue id is looked up for


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
    scopes: frozenset = frozenset()  # the mailboxes and domains that are his to look after

    @property
    def at(self):
        return self.row.at

    @property
    def sender(self) -> str:
        return self.row.sender or (self.row.login if self.names(self.row.login) else "")

    @property
    def more(self) -> int:
        """Recipients beyond the three that a list names."""
        return max(len(self.recipients) - 3, 0) + self.others

    def names(self, address: str) -> bool:
        return self.named is None or bare(address) in self.named

    def owns(self, address: str) -> bool:
        """Whether what becomes of mail at this address is for him to know, and not only that he wrote to it."""
        address = bare(address)
        return self.named is None or bool({address, address.rpartition("@")[2]} & self.scopes)


# --- the list -------------------------------------------------------------------------------------------------


def find(scopes: Scopes, sees: Scopes, sought: Sought, asked: dict) -> Page:
    """A page of messages in these scopes, the newest first, with what `sees` lets be told of them."""
    if sought.name:
        return Page(tell(_named(scopes, sought), sees))
    before, after = moment_and_id(asked.get("before", "")), moment_and_id(asked.get("after", ""))
    backwards = after is not None and before is None
    place = after if backwards else before
    found = _first(scopes, sought, place, backwards)
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


def _first(scopes: Scopes, sought: Sought, place, backwards: bool) -> list[tuple[int, int, State]]:
    """(at, message, state) of those that a page shows, and of one more."""
    search = _Search(scopes, sought, place, backwards)
    if len(scopes) * len(sought.states) <= RANGES:
        return search.first_of_ranges()
    for edge in search.edges():
        found = search.first_until(edge)
        if len(found) > SIZE:
            break
    return found


@dataclass
class _Search:
    """In the index by scope, address, state and time. A few ranges of it are put together from the first rows of each. Of
    many, all rows of a short time are put in order: of a longer one, if there were too few."""

    scopes: Scopes
    sought: Sought
    place: tuple | None
    backwards: bool

    def __post_init__(self):
        self.begin = microseconds(self.sought.since) if self.sought.since else 0
        self.end = microseconds(self.sought.until) if self.sought.until else 2**62
        self.order = "at, message_id" if self.backwards else "at DESC, message_id DESC"

    def first_of_ranges(self) -> list[tuple[int, int, State]]:
        selects, params = [], []
        for (scope, since), state in product(sorted(self.scopes.items()), self.sought.states):
            begin = max(self.begin, microseconds(since) if since else 0)
            where, values = self._where([scope], [state], begin, self.end)
            rows = f"SELECT at, message_id, state FROM trace_sight WHERE {where}"  # noqa: S608  values are parameters
            one = f"{rows} ORDER BY {self.order} LIMIT {SIZE + 1}"
            selects.append(f"SELECT * FROM ({one}) range{len(selects)}")  # noqa: S608
            params += values
        return self._in_order(_rows(" UNION ALL ".join(selects), params)) if selects else []

    def edges(self) -> Iterator[int]:
        """How far to look, in the direction of the list."""
        at = self.place[0] if self.place else datetime.now(UTC)
        start = min(max(microseconds(at), self.begin), self.end)
        for span in SPANS:
            edge = start + (span if self.backwards else -span) // timedelta(microseconds=1)
            if not self.begin < edge < self.end:
                break
            yield edge
        yield self.end if self.backwards else self.begin

    def first_until(self, edge: int) -> list[tuple[int, int, State]]:
        begin, end = (self.begin, edge) if self.backwards else (edge, self.end)
        rows, scopes = [], iter(sorted(self.scopes.items()))
        while some := dict(islice(scopes, AT_ONCE)):
            where, params = self._where(list(some), self.sought.states, begin, end)
            later = {
                scope: microseconds(since)
                for scope, since in some.items()
                if since and microseconds(since) > begin
            }
            if later:
                where += f" AND at >= CASE scope {'WHEN %s THEN %s ' * len(later)}ELSE 0 END"
                params += [value for pair in later.items() for value in pair]
            rows += _rows(
                f"SELECT at, message_id, MAX(state) FROM trace_sight WHERE {where}"  # noqa: S608
                f" GROUP BY at, message_id ORDER BY {self.order} LIMIT {SIZE + 1}",
                params,
            )
        return self._in_order(rows)

    def _where(self, scopes: list[str], states: Sequence[State], begin: int, end: int) -> tuple[str, list]:
        """A database takes one pair of bounds from the index, so there is one pair for it alone."""
        beyond, rest = "", []
        if self.place:
            at, than = min(microseconds(self.place[0]), 2**62), ">" if self.backwards else "<"
            begin, end = (max(begin, at), end) if self.backwards else (begin, min(end, at + 1))
            beyond, rest = (
                f" AND (at + 0 {than} %s OR message_id + 0 {than} %s)",
                [at, min(self.place[1], 2**62)],
            )
        where = f"scope IN ({_marks(scopes)}) AND address = %s AND state IN ({_marks(states)}) AND at >= %s AND at < %s"
        return where + beyond, [*scopes, self.sought.address, *map(int, states), begin, end, *rest]

    def _in_order(self, rows: list[tuple]) -> list[tuple[int, int, State]]:
        found: dict[int, tuple[int, int, State]] = {}
        for at, pk, state in rows:
            found[pk] = (at, pk, max(State(state), found[pk][2] if pk in found else State.NONE))
        return sorted(found.values(), reverse=not self.backwards)[: SIZE + 1]


def _marks(values: Sequence) -> str:
    return ", ".join(["%s"] * len(values))


def _rows(statement: str, params: list) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def _named(scopes: Scopes, sought: Sought) -> dict[int, State]:
    """The newest in these scopes: a letter to a mailing list is a message of the same name for each of its readers."""
    name = sought.name.strip("<> ")
    if is_queue_id(name):
        chosen = Key.objects.filter(name=name).order_by("-begun").values_list("message", flat=True)
    else:
        chosen = Message.objects.filter(message_id=name[:NAME]).order_by("-at").values_list("pk", flat=True)
    found: dict[int, State] = {}
    pks = iter(chosen[:MOST_NAMED])
    while len(found) < SIZE and (some := list(islice(pks, AT_ONCE))):
        rows = _of(some, scopes, address=sought.address, state__in=sought.states)
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
    found = next(iter(tell({pk: max(State(row.state) for row in rows)}, sees)), None)
    if found and found.named is not None:
        scopes = {scope for scope, since in sees.items() if not since or since <= found.at}
        found.scopes = frozenset(
            scopes.union(Domain.objects.filter(alias_of__in=scopes).values_list("name", flat=True))
        )
    return found


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
