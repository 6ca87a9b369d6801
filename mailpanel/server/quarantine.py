"""The quarantine: who sees what of it. Seeing follows the domain of the recipient; reading, releasing and deleting
(mailpanel.server.decisions) take the rank over the mailboxes behind it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

from accounts import access
from accounts.models import Mailbox
from domains import addresses
from mailpanel.paging import Page, page
from mailpanel.server import letter, recipients
from mailpanel.server.models import Maddr, Msg, MsgRcpt, Quarantine
from mailpanel.server.models.quarantine import KINDS, OTHER, UNSCANNED, VIRUS

MOST_RANGES = 200  # of an index that a list is put together from: each may become two, and SQLite takes 500
MOST_SENT = 500  # messages of one sender that are listed
MOST_SEEN = 20_000  # and that are looked through for them, the newest


@dataclass
class Held:
    """One message that waits for one recipient."""

    row: MsgRcpt
    msg: Msg
    sender: str  # as the envelope has it; empty for a notice of a mail server
    recipient: str
    base: str
    owners: list[Mailbox] = field(default_factory=list)
    may_read: bool = False
    may_release: bool = False

    @property
    def slip(self) -> str:
        return self.row.slip

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.row.made, UTC)

    @property
    def is_virus(self) -> bool:
        return VIRUS in (self.row.kind, self.msg.content)

    @property
    def is_unscanned(self) -> bool:
        return self.row.content == UNSCANNED

    @property
    def subject(self) -> str:
        return letter.decoded(self.msg.subject or "")

    @property
    def author(self) -> str:
        """Who the message says that it is from, which anybody can write."""
        return letter.decoded(self.msg.from_addr or "")

    @property
    def score(self) -> float | None:
        """For this recipient, whose own list of senders may add to that of the message."""
        own = self.row.bspam_level
        return self.msg.spam_level if own is None else own

    @property
    def owner(self) -> Mailbox | None:
        return self.owners[0] if len(self.owners) == 1 else None

    @property
    def domain(self) -> str:
        return addresses.split(self.recipient)[1]


@dataclass(frozen=True)
class Listing:
    """A list as it was asked for: `to` and `sender` are addresses or @domain, `mine` is the actor's own."""

    actor: Mailbox
    to: str = ""
    sender: str = ""
    kind: str = ""
    mine: bool = False

    @cached_property
    def _domains(self) -> frozenset[str] | None:
        return access.quarantine_domains(self.actor)

    @property
    def _only_own(self) -> bool:
        return self.mine or self._domains == frozenset()

    @cached_property
    def own(self) -> dict[int, int]:
        return recipients.own([self.actor])[self.actor.pk]

    def page(self, asked) -> Page:
        """One page of Held, the newest first."""
        kinds = KINDS if not self.kind else [self.kind] if self.kind in KINDS else []
        ranges = self._ranges() if kinds else []
        if not ranges:
            return Page([])
        rows, parts = MsgRcpt.objects.all(), [one.rows & Q(kind=kind) for one in ranges for kind in kinds]
        if self.sender:
            found = _page(rows.filter(slip__in=_sent_by(self.sender, ranges, kinds)), [Q()], asked)
        elif len(parts) <= MOST_RANGES:
            found = _page(rows, parts, asked)
        else:
            found = _page_of_many(_together(ranges), [Q(kind=kind) for kind in kinds], asked)
        found.rows = held(self.actor, found.rows, set(self.own) if self._only_own else set())
        return found

    def _ranges(self) -> list["Range"]:
        """All that the actor may see of what was asked for."""
        if self._only_own:
            wanted = {rid for rid, _base in recipients.known([self.to])} if self.to else self.own.keys()
            return [Range(rid=rid, since=since) for rid, since in self.own.items() if rid in wanted]
        if self.to:
            domain = addresses.split(self.to)[1]
            if self._domains is not None and domain not in self._domains:
                return []
            if self.to.startswith("@"):
                return [Range(domain=domain)]
            return [Range(rid=rid) for rid in dict(recipients.known([self.to]))]
        return [Range()] if self._domains is None else [Range(domain=name) for name in sorted(self._domains)]


def _page(rows: QuerySet[MsgRcpt], parts: list[Q], asked) -> Page:
    return page(rows, ("made", "slip"), asked, descending=True, parts=parts)


def _page_of_many(rows: QuerySet[MsgRcpt], parts: list[Q], asked) -> Page:
    """The same, looked for near its place first: of a condition on one side alone MariaDB thinks that it were as quick to
    begin with the newest of all."""
    for days in _NEAR:
        for name, back in (("after", -days), ("before", days)):
            place = asked.get(name, "").partition(",")[0]
            if place.isascii() and place.isdecimal() and len(place) < 12:
                edges = sorted((int(place), int(place) + back * 86400))
                found = _page(rows.filter(made__range=edges), parts, asked)
                if found.later if name == "after" else found.earlier:
                    return found
    return _page(rows, parts, asked)


_NEAR = (1, 8)  # days


class Range(NamedTuple):
    """The messages for a recipient or a domain, or for anybody; for each kind of them there is an index by time."""

    domain: str | None = None
    rid: int | None = None
    since: int = 0

    @property
    def rows(self) -> Q:
        if self.rid is not None:
            return Q(rid=self.rid, made__gte=self.since)
        return Q() if self.domain is None else Q(domain=self.domain)


def find(actor: Mailbox, slips: Iterable[str]) -> list[Held]:
    """Those of these that wait, and that the actor may see."""
    return _seen(actor, MsgRcpt.objects.filter(slip__in=list(slips)[:500]))


def of_message(actor: Mailbox, mail_id: str) -> list[Held]:
    """What waits of one message, for the recipients that the actor may see."""
    return _seen(actor, MsgRcpt.objects.filter(partition_tag=0, mail_id=mail_id)) if mail_id else []


def _seen(actor: Mailbox, asked: QuerySet[MsgRcpt]) -> list[Held]:
    rows = list(asked.filter(kind__isnull=False))
    domains = access.quarantine_domains(actor)
    own = recipients.own([actor])[actor.pk] if rows else {}
    seen = [
        row
        for row in rows
        if domains is None or row.domain in domains or row.made >= own.get(row.rid, row.made + 1)
    ]
    return held(actor, seen, set(own))


def held(actor: Mailbox, rows: list[MsgRcpt], own: set[int]) -> list[Held]:
    """With all that a page shows of them; what is not in the quarantine any more is left out. A handful of statements,
    however many rows. `own` are recipients behind whom the actor alone stands."""
    msgs = {msg.mail_id: msg for msg in Msg.objects.filter(_these(rows), quar_type="Q")}
    people = Maddr.objects.in_bulk({row.rid for row in rows} | {msg.sid for msg in msgs.values()})
    found = [
        Held(row, msgs[row.mail_id], _sender(people.get(msgs[row.mail_id].sid)), to.email, to.base)
        for row in rows
        if row.mail_id in msgs and (to := people.get(row.rid))
    ]
    behind = recipients.behind({one.base for one in found if one.row.rid not in own})
    access.roles_of(list({box.pk: box for boxes in behind.values() for box in boxes}.values()))
    for one in found:
        one.owners = [actor] if one.row.rid in own else behind[one.base]
        one.may_read = access.may_read_for(actor, one.owners, one.domain)
        one.may_release = one.may_read and _may_release(actor, one)
    return found


def _may_release(actor: Mailbox, one: Held) -> bool:
    """What could not be unpacked was never shown to the virus scanner: that is for whoever may do without it."""
    if one.is_virus:
        return access.may_release_viruses(actor)
    home = one.owner.domain_id if one.owner else one.domain
    return one.row.kind != OTHER or access.may_skip_virus_checks(actor, home)


def waiting(boxes: list[Mailbox], since: dict[int, int], until: int, most: int) -> dict[int, list[MsgRcpt]]:
    """What came to these mailboxes since (by the id of the mailbox), the newest first, at most so many."""
    own, found = recipients.own(boxes), {}
    everybody = [rid for rids in own.values() for rid in rids]
    span = (min(since.values(), default=0), until)
    news = MsgRcpt.objects.filter(rid__in=everybody, kind__in=KINDS, made__range=span)
    with_news = set(news.values_list("rid", flat=True).distinct())
    for box in boxes:
        ranges = [
            Range(rid=rid, since=max(moment, since.get(box.pk, 0)))
            for rid, moment in own[box.pk].items()
            if rid in with_news
        ]
        if ranges:
            rows = MsgRcpt.objects.filter(_of_recipients(ranges), kind__isnull=False, made__lte=until)
            found[box.pk] = list(rows.order_by("-made", "-slip")[:most])
    return found


def text_of(one: Held) -> letter.Letter:
    """The message, as far as it is shown."""
    data, portions = b"", Quarantine.objects.filter(partition_tag=0, mail_id=one.row.mail_id)
    for (portion,) in portions.order_by("chunk_ind").values_list("mail_text").iterator(chunk_size=8):
        data += bytes(portion)
        if len(data) > letter.MOST_BYTES:
            break
    return letter.read(data)


def _these(rows: Iterable[MsgRcpt]) -> Q:
    return Q(partition_tag=0, mail_id__in={row.mail_id for row in rows})


def _together(ranges: list[Range]) -> QuerySet[MsgRcpt]:
    """Too many ranges to be looked through one by one. Of many addresses with a +tag, all rows are few enough to be sorted;
    many domains have so large a part of all that the list of all is read: it is said so that no database thinks of its
    index of domains, after which it would have to sort."""
    rids = _of_recipients(ranges)
    if rids:
        return MsgRcpt.objects.filter(rids)
    within = [one.domain for one in ranges]
    return MsgRcpt.objects.alias(within=Coalesce("domain", Value(""))).filter(within__in=within)


def _of_recipients(ranges: Iterable[Range]) -> Q:
    by_moment: dict[int, list[int]] = {}
    for one in ranges:
        if one.rid is not None:
            by_moment.setdefault(one.since, []).append(one.rid)
    either = Q()
    for since, rids in by_moment.items():
        either |= Q(rid__in=rids, made__gte=since)
    return either


def _sender(row: Maddr | None) -> str:
    return letter.plain(row.email, line=True) if row and row.email != "<>" else ""


def _sent_by(sender: str, ranges: list[Range], kinds: Sequence[str]) -> list[str]:
    """The slips in these ranges of the newest messages of an address, or of a @domain. Chosen here, since a database that
    is asked for all of it at once begins with the recipients, who are many."""
    if sender.startswith("@"):
        people = Maddr.objects.filter(domain=".".join(reversed(sender[1:].split("."))))
    else:
        people = Maddr.objects.filter(partition_tag=0, email=sender)
    ids = list(people.order_by("-id").values_list("id", flat=True)[:MOST_SENT])
    msgs = Msg.objects.filter(sid__in=ids).order_by("-time_num").values_list("mail_id", flat=True)
    everybody, domains = Range() in ranges, {one.domain for one in ranges}
    rids = {one.rid: one for one in ranges if one.rid is not None}
    newest, found = iter(msgs[:MOST_SEEN]), []
    while len(found) < MOST_SENT and (some := list(islice(newest, MOST_SENT))):
        rows = MsgRcpt.objects.filter(partition_tag=0, mail_id__in=some)
        found += [
            slip
            for slip, kind, domain, rid, made in rows.values_list("slip", "kind", "domain", "rid", "made")
            if kind in kinds
            and (everybody or (rids[rid].since <= made if rid in rids else domain in domains))
        ]
    return found[:MOST_SENT]
