"""Everything that points to a mailbox, as far as somebody may know of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Q

from accounts import access
from accounts.models import Mailbox, Sender
from domains import addresses
from domains.models import Alias, Domain
from domains.routing import EXPANSION_LIMIT, MARKED_STEPS, Routes

SHOWN = 20


@dataclass
class Leading:
    """An alias that leads to a mailbox, itself (`via` is empty) or by way of another alias."""

    source: str
    enabled: bool
    is_alive: bool
    expires: object
    via: str = ""
    names_via: bool = True  # whether the alias on the way may be named


@dataclass
class Pointers:
    """What of a kind may be named, twenty at most; how many `more` there are, and how many in domains of others."""

    shown: list = field(default_factory=list)
    more: int = 0
    elsewhere: int = 0

    def __bool__(self):
        return bool(self.count)

    @property
    def count(self) -> int:
        return len(self.shown) + self.more + self.elsewhere


def pointers(mailbox: Mailbox, actor: Mailbox) -> dict[str, Pointers]:
    """What the page of a mailbox tells of what points to it. Its owner may know of all of it."""

    all_of_it = actor.pk == mailbox.pk
    local = addresses.split(mailbox.email)[0]
    own = Alias.objects.filter(destination=mailbox.email).values("source")
    sends_as = mailbox.senders.order_by("address")
    by_alias = set(sends_as.filter(address__in=own).values_list("address", flat=True))
    held = scoped(sends_as.values_list("address", flat=True)[:EXPANSION_LIMIT], actor, all_of_it=all_of_it)
    held.shown = [(address, address in by_alias) for address in held.shown]
    granted = Sender.objects.filter(address=mailbox.email).order_by("mailbox__email")
    rights = granted.values_list("mailbox__email", flat=True)[:EXPANSION_LIMIT]
    mirrors = [f"{local}@{mirror.name}" for mirror in mailbox.domain.mirrors.all()]
    leading = scoped(leading_to(mailbox), actor, all_of_it=all_of_it)
    for row in leading.shown:
        row.names_via = all_of_it or access.sees(actor, addresses.split(row.via)[1])
    return {
        "leading": leading,
        "mirrored": scoped(mirrors, actor, all_of_it=True),
        "sends_as": held,
        "sent_as_by": scoped(rights, actor, all_of_it=all_of_it),
    }


def scoped(rows: Iterable, actor: Mailbox, *, all_of_it: bool = False) -> Pointers:
    """Addresses, or rows of `leading_to`, as far as the actor may see their domains."""

    def may_be_named(row) -> bool:
        return all_of_it or access.sees(actor, addresses.split(getattr(row, "source", row))[1])

    rows = list(rows)
    seen = [row for row in rows if may_be_named(row)]
    return Pointers(seen[:SHOWN], max(len(seen) - SHOWN, 0), len(rows) - len(seen))


def leading_to(mailbox: Mailbox) -> list[Leading]:
    """The aliases that lead to a mailbox over any number of steps, those that name it first; also by way of mirrors and
    with a `+tag`. Two statements for each step; at most a thousand aliases."""
    local, domain = addresses.split(mailbox.email)
    found: dict[str, Leading] = {}
    level = {mailbox.email}
    for step in range(MARKED_STEPS):
        names = _with_mirrors(level)
        leads_there = Q(destination__in=names)
        if not step:
            leads_there |= Q(
                destination__gt=f"{local}+", destination__lt=f"{local},", destination__endswith=f"@{domain}"
            )
        rows = (
            Alias.objects.filter(leads_there).exclude(source=mailbox.email).order_by("source", "destination")
        )
        level = set()
        for row in rows[: EXPANSION_LIMIT - len(found)]:
            if row.source in found or (step and not row.is_alive):
                continue
            via = names.get(row.destination, "") if step else ""
            found[row.source] = Leading(row.source, row.enabled, row.is_alive, row.expires, via)
            if row.is_alive:
                level.add(row.source)
        if not level:
            break
    return list(found.values())


def _with_mirrors(level: set[str]) -> dict[str, str]:
    """All names of these addresses, each with the address whose it is."""
    names = {address: address for address in level}
    parts = [addresses.split(address) for address in level]
    mirrors: dict[str, list[str]] = {}
    for mirror, target in Domain.objects.filter(
        alias_of__in={domain for _local, domain in parts}
    ).values_list("name", "alias_of"):
        mirrors.setdefault(target, []).append(mirror)
    for local, domain in parts:
        names |= {f"{local}@{mirror}": f"{local}@{domain}" for mirror in mirrors.get(domain, ())}
    return names


def refused_without(mailbox: Mailbox, actor: Mailbox) -> Pointers:
    """The aliases whose mail arrives today and would be refused if this mailbox were switched off."""
    sources = [row.source for row in leading_to(mailbox)]
    now, then = Routes().marks(sources), Routes(off=[mailbox.email]).marks(sources)
    return scoped(sorted(to for to in sources if now[to].alive and not then[to].alive), actor)
