"""To whom belongs what was held back for an address: the mailboxes that its mail would have reached."""

from math import ceil

from django.db.models import Q

from accounts.models import Mailbox
from domains import addresses
from domains.models import Alias, Domain
from mailpanel.server.models import Maddr

MOST = 500  # addresses with a +tag that count as somebody's own, the newest
STEPS = 5  # of aliases that lead to aliases


def own(boxes: list[Mailbox]) -> dict[int, dict[int, int]]:
    """For the id of each mailbox, the ids of the recipients (Maddr) that it alone stands behind, and the Unix time from
    which on: its address, also with +tag and in the domains that mirror its own, and aliases that lead to it alone. What
    came before is a former owner's. Four statements, however many mailboxes."""
    since: dict[str, tuple[int, int]] = {}
    for box in boxes:
        for address, moment in _names(box, _mirrors({box.domain_id for box in boxes})):
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
    known = Maddr.objects.filter(base__in=since).order_by("-id").values_list("id", "base")
    for key, base in known[: MOST * len(boxes)]:
        box, moment = since[base]
        found[box][key] = moment
    return found


def behind(bases: set[str]) -> dict[str, list[Mailbox]]:
    """The mailboxes here that mail for each of these addresses (without +tag) would reach, by mirrors and aliases; three
    statements for each step."""
    ends: dict[str, set[str]] = {}
    onward: dict[str, set[str]] = {}
    level, boxes = set(bases), {}
    for _step in range(STEPS):
        level -= onward.keys()
        if not level:
            break
        targets = dict(
            Domain.objects.filter(
                name__in={addresses.split(one)[1] for one in level}, alias_of__isnull=False
            ).values_list("name", "alias_of")
        )
        names = {one: _in_target(one, targets) for one in level}
        of_source: dict[str, set[str]] = {}
        for alias in Alias.objects.filter(source__in=names.values(), enabled=True):
            if alias.is_alive:
                of_source.setdefault(alias.source, set()).add(alias.destination)
        boxes |= {box.email: box for box in Mailbox.objects.filter(email__in=names.values())}
        for one, name in names.items():
            onward[one] = {_base(to) for to in of_source.get(name, ()) if to != name}
            keeps = not onward[one] or name in of_source.get(name, ())
            ends[one] = {name} if keeps and name in boxes else set()
        level = {to for one in level for to in onward[one]}
    return {base: [boxes[email] for email in sorted(_reach(base, onward, ends))] for base in bases}


def _reach(base: str, onward: dict, ends: dict) -> set[str]:
    seen, waiting, found = set(), [base], set()
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            found |= ends.get(one, set())
            waiting += onward.get(one, ())
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


def _in_target(address: str, targets: dict[str, str]) -> str:
    local, domain = addresses.split(address)
    return f"{local}@{targets.get(domain, domain)}"


def _base(address: str) -> str:
    local, domain = addresses.split(address)
    return f"{local.partition('+')[0]}@{domain}"
