"""To whom belongs what was held back for an address: the mailboxes that its mail would have reached."""

from collections.abc import Iterable
from itertools import chain
from math import ceil

from django.db.models import Q

from accounts.models import Mailbox
from domains import addresses
from domains.models import Alias, Domain
from domains.routing import MARKED_STEPS, Routes, base
from mailpanel.server.models import Maddr

MOST = 500  # addresses with a +tag that count as somebody's own, the newest


def own(boxes: list[Mailbox]) -> dict[int, dict[int, int]]:
    """For the id of each mailbox, the ids of the recipients (Maddr) that it alone stands behind, and the Unix time from
    which on: its address, also with +tag and in the domains that mirror its own, and aliases that lead to it alone. What
    came before is a former owner's. Four statements, however many mailboxes."""
    since: dict[str, tuple[int, int]] = {}
    mirrors = _mirrors({box.domain_id for box in boxes})
    for box in boxes:
        for address, moment in _names(box, mirrors):
            since[address] = (box.pk, ceil(max(box.created, moment).timestamp()))
    by_email = {box.email: box for box in boxes}
    alive = Q(enabled=True)
    leading = Alias.objects.filter(alive, destination__in=by_email).values("source")
    rows = {}
    for alias in Alias.objects.filter(Q(source__in=leading) | Q(source__in=by_email)):
        if alias.is_alive:
            rows.setdefault(alias.source, []).append(alias)
    for source, to in rows.items():
        others = [row for row in to if row.destination != source]
        if source in by_email and others and len(others) == len(to):
            since.pop(source, None)  # an alias has the mail of this mailbox
        elif source not in by_email and len(to) == 1 and not source.startswith("@"):
            box = by_email[to[0].destination]
            since[source] = (box.pk, ceil(max(box.created, to[0].created).timestamp()))
    found: dict[int, dict[int, int]] = {box.pk: {} for box in boxes}
    for key, name in known(since, len(boxes)):
        box, moment = since[name]
        found[box][key] = moment
    return found


def known(names: Iterable[str], boxes: int = 1) -> list[tuple[int, str]]:
    """The recipients (Maddr) that mean these addresses, as (id, address): the address itself, and some of the newest with
    a +tag, of which a stranger can make up as many as he likes."""
    rows = Maddr.objects.filter(base__in=names).values_list("id", "base")
    return [*rows.filter(partition_tag=0, email__in=names), *rows.order_by("-id")[: MOST * boxes]]


def behind(bases: set[str]) -> dict[str, list[Mailbox]]:
    """The mailboxes here that mail for each of these addresses (without +tag) would reach, also where they are off; nobody
    where that is further away than anybody looks. Five statements for each step."""
    ends: dict[str, set[str]] = {}
    onward: dict[str, set[str]] = {}
    level, boxes, routes = set(bases), {}, Routes()
    for _step in range(MARKED_STEPS):
        if not level:
            break
        steps, names = routes.steps(level), _with_targets(level)
        boxes |= {
            box.email: box for box in Mailbox.objects.filter(email__in={*chain(*names.values())}).order_by()
        }
        for one, step in steps.items():
            onward[one] = {base(to) for to in step.onward}
            is_end = step.end == "mailbox" or not step.onward
            ends[one] = {name for name in names[one] if name in boxes} if is_end else set()
        level = {to for one in level for to in onward[one]} - onward.keys()
    return {one: [boxes[email] for email in sorted(_reach(one, onward, ends))] for one in bases}


def _reach(address: str, onward: dict, ends: dict) -> set[str]:
    seen, waiting, found = set(), [address], set()
    while waiting:
        one = waiting.pop()
        if one not in onward:
            return set()
        if one not in seen:
            seen.add(one)
            found |= ends[one]
            waiting += onward[one]
    return found


def _mirrors(names: set[str]) -> dict[str, list[Domain]]:
    found: dict[str, list[Domain]] = {}
    for mirror in Domain.objects.filter(alias_of__in=names):
        found.setdefault(mirror.alias_of_id, []).append(mirror)
    return found


def _names(box: Mailbox, mirrors: dict[str, list[Domain]]):
    """Its address and those in mirrors, each with the moment since which it is one."""
    local = addresses.split(box.email)[0]
    yield box.email, box.created
    for mirror in mirrors.get(box.domain_id, ()):
        yield f"{local}@{mirror.name}", mirror.created


def _with_targets(level: set[str]) -> dict[str, list[str]]:
    """Each of these addresses, with the one that it mirrors if it does."""
    parts = {one: addresses.split(one) for one in level}
    mirrors = Domain.objects.filter(
        name__in={domain for _local, domain in parts.values()}, alias_of__isnull=False
    )
    targets = dict(mirrors.values_list("name", "alias_of"))
    return {
        one: [one, *(f"{local}@{target}" for target in filter(None, [targets.get(domain)]))]
        for one, (local, domain) in parts.items()
    }
