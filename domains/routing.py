"""What happens to mail for an address, by the precedence that the daemons' SQL has too (deploy/postfix/sql).

First match: the domain is off or unknown, so not ours; alias rows that are on and not expired; a mailbox that is on;
a mailbox or alias that exists but is off or expired, so refused; the same in the domain that this one mirrors; the
role addresses, which the server's postmaster answers; the catch-all of the domain, then of the mirrored one; refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import Mailbox
from domains import addresses
from domains.models import Alias, Domain

# Postfix' virtual_alias_expansion_limit and virtual_alias_recursion_limit, whose defaults deploy/ keeps.
EXPANSION_LIMIT = 1000
RECURSION_LIMIT = 1000
ROLE_ADDRESSES = ("postmaster", "abuse")
# How far a list looks: longer chains are not marked.
MARKED_STEPS = 20
MARKED_ROWS = 20

Told = Callable[[str], str]  # the words for an address in a sentence


@dataclass
class Step:
    """What one address leads to: an end ("mailbox", "outside", "refused"), the next addresses, or both.

    `box` says that a mailbox of this address is on, which gets the mail of an alias whose destinations are all dead.
    """

    end: str = ""
    onward: list[str] = field(default_factory=list)
    box: bool = False


@dataclass(frozen=True)
class Mark:
    """What becomes of mail for an address in the end: it arrives somewhere (`alive`); it goes round (`circle`), for all
    its ways or for one of them; and whether its domain is one of ours, and it is itself the mailbox `box`."""

    alive: bool
    circle: bool = False
    outside: bool = False
    box: bool = False


class Routes:
    """Looks up many addresses at once, with alias rows that are not saved yet taken as if they were.

    `pending` maps sources to the destinations that are switched on in the form at hand, or to None for an alias that
    is about to be deleted; `off` holds mailboxes that are about to be switched off.
    """

    def __init__(self, pending: dict[str, list[str] | None] | None = None, off: Iterable[str] = ()):
        self.pending, self.off = pending or {}, set(off)

    def steps(self, wanted: set[str]) -> dict[str, Step]:
        """One step for each canonical address; three queries, however many addresses."""
        parts = {address: addresses.split(base(address)) for address in wanted}
        names = {domain for _local, domain in parts.values()}
        domains = {d.name: d for d in Domain.objects.filter(name__in=names).select_related("alias_of")}
        exact, catch_all = {}, {}
        for address, (local, name) in parts.items():
            domain = domains.get(name)
            chain = [domain, domain.alias_of] if domain and domain.enabled else []
            exact[address] = [f"{local}@{d.name}" for d in chain if d and d.enabled]
            catch_all[address] = [f"@{d.name}" for d in chain if d and d.enabled]
        sources = {key for keys in (*exact.values(), *catch_all.values()) for key in keys}
        leads: dict[str, list[str]] = {}
        for alias in Alias.objects.filter(source__in=sources - self.pending.keys()):
            leads.setdefault(alias.source, []).extend([alias.destination] if alias.is_alive else [])
        leads |= {key: to for key, to in self.pending.items() if key in sources and to is not None}
        boxes = dict(Mailbox.objects.filter(email__in=sources).values_list("email", "enabled"))
        boxes |= dict.fromkeys(self.off & boxes.keys(), False)

        def step(address: str) -> Step:
            local, name = parts[address]
            domain = domains.get(name)
            if domain is None:
                return Step("outside")
            for key in exact[address]:
                if leads.get(key):
                    # An alias that names its own address keeps a copy in the mailbox of that name.
                    copy = key in leads[key] and boxes.get(key)
                    onward = [to for to in leads[key] if not (copy and to == key)]
                    return Step("mailbox" if copy else "", onward, bool(boxes.get(key)))
                if key in boxes:
                    return Step("mailbox" if boxes[key] else "refused", box=boxes[key])
                if key in leads:
                    return Step("refused")
            is_role = local in ROLE_ADDRESSES and base(address) != settings.MAILPANEL_POSTMASTER
            if domain.enabled and not domain.is_relay and is_role:
                return Step(onward=[settings.MAILPANEL_POSTMASTER])
            for key in catch_all[address]:
                if leads.get(key):
                    return Step(onward=leads[key])
            return Step("outside" if domain.enabled and domain.is_relay else "refused")

        return {address: step(address) for address in wanted}

    def marks(self, wanted: Iterable[str]) -> dict[str, Mark]:
        """What becomes of mail for each of many addresses, as the daemons see it (deploy/postfix/sql, living.sql).

        Three statements for each step of the longest chain, however many addresses. What lies beyond MARKED_STEPS or
        EXPANSION_LIMIT addresses more counts as alive.
        """
        wanted, steps = set(wanted), {}
        level, room = set(wanted), len(wanted) + EXPANSION_LIMIT
        for _step in range(MARKED_STEPS):
            steps |= self.steps(level) if level else {}
            level = {to for address in level for to in map(base, steps[address].onward)} - steps.keys()
            if len(steps) + len(level) > room:
                break
        links = {address: {*map(base, step.onward)} for address, step in steps.items()}
        alive = {address for address, step in steps.items() if step.box or step.end in ("mailbox", "outside")}
        living = _spread(alive | level, links)
        round_about = _going_round(links)
        return {
            address: Mark(
                address in living, address in round_about, steps[address].end == "outside", steps[address].box
            )
            for address in wanted
        }


def mark(of_source: dict[str, list[Alias]], *, every: bool = False) -> None:
    """Give each row of these aliases its `mark`; in a long list that has not to be shown in full (`every`), only to the
    first. What is switched off or expired leads nowhere anyway, so of that is told alone whether it is outside."""
    chosen = [
        row
        for rows in of_source.values()
        for number, row in enumerate(sorted(rows, key=lambda row: not row.is_alive))
        if every or number < MARKED_ROWS or row in rows[:5]
    ]
    marks = Routes().marks(row.destination for row in chosen)
    for rows in of_source.values():
        for row in rows:
            row.mark = None
    for row in chosen:
        row.mark = marks[row.destination]
        if not row.is_alive:
            row.mark = Mark(alive=True, outside=row.mark.outside)
        elif row.destination == row.source:  # keeps a copy, if there is a mailbox
            row.mark = Mark(alive=row.mark.box, circle=not row.mark.box, box=row.mark.box)


def state(rows: list[Alias], box: bool) -> str:
    """“active”, “off”, “expired”, “nowhere” or “circle”: what an alias is as a whole. `box` says that a mailbox of the
    same address is on."""
    on = [row for row in rows if row.is_alive]
    if not on:
        return "expired" if any(row.enabled for row in rows) else "off"
    marks = [row.mark for row in on if row.mark]
    living = len(marks) < len(on) or any(mark.alive for mark in marks)
    if living:
        return "circle" if any(mark.circle and mark.alive for mark in marks) else "active"
    return "active" if box else "circle" if any(mark.circle for mark in marks) else "nowhere"


def _spread(found: set[str], links: dict[str, set[str]]) -> set[str]:
    """These and all that lead to them."""
    back: dict[str, set[str]] = {}
    for address, onward in links.items():
        for to in onward:
            back.setdefault(to, set()).add(address)
    level = found = set(found)
    while level:
        level = {address for to in level for address in back.get(to, ())} - found
        found = found | level
    return found


def _going_round(links: dict[str, set[str]]) -> set[str]:
    """The addresses from which some way never ends: what is left when every end, and what leads to ends alone, is
    taken away."""
    left = dict(links)
    while ends := [address for address, onward in left.items() if not onward & left.keys()]:
        for address in ends:
            del left[address]
    return set(left)


def base(address: str) -> str:
    """The address without its `+tag`, which no source and no mailbox has."""
    local, domain = addresses.split(address)
    return f"{local.partition('+')[0]}@{domain}"


def check(source: str, destinations: list[str] | None, told: Told = addresses.to_unicode) -> None:
    """Refuse an alias that would loop, lead nowhere on this server, or outgrow Postfix, itself or by an alias that
    leads to it. `destinations` are the ones that are switched on, or None to delete the alias. Raises ValidationError
    with the chain shown; `told` gives the words for each address in it."""
    routes = Routes({source: destinations})
    _walk(routes, source, destinations or [], told)
    others = _leading_to(source)
    if others and not destinations and routes.steps({source})[source].end == "refused":
        raise ValidationError(
            _("%(other)s leads to %(source)s, and its mail would be lost. Change that one first."),
            code="needed",
            params={"other": told(min(others)), "source": told(source)},
        )
    for other in others:
        _walk(routes, other, [other], told, width_only=True)


def _walk(
    routes: Routes, source: str, destinations: list[str], told: Told, *, width_only: bool = False
) -> None:
    came_from: dict[str, str] = {}
    keeps_copy = not width_only and source in destinations and Mailbox.objects.filter(email=source).exists()
    level = [to for to in dict.fromkeys(destinations) if not (keeps_copy and to == source)]
    ends = {source} if keeps_copy else set()
    links = {source: level}
    while level:
        for address, step in routes.steps(set(level)).items():
            links[address] = step.onward
            if step.end == "refused" and not width_only:
                raise ValidationError(
                    _(
                        "%(address)s does not exist on this server, or is switched off. Mail for it would be lost."
                    ),
                    code="dead",
                    params={"address": told(address)},
                )
            if step.end:
                ends.add(address)
        following = {to: address for address in level for to in links[address] if to not in links}
        came_from |= following
        level = list(following)
        if len(ends) > EXPANSION_LIMIT or len(links) > EXPANSION_LIMIT + RECURSION_LIMIT:
            raise ValidationError(
                _("%(source)s would reach more than %(most)s mailboxes, which Postfix refuses."),
                code="wide",
                params={"source": told(source), "most": EXPANSION_LIMIT},
            )
    if not width_only:
        _refuse_a_circle(source, links, told)


def _refuse_a_circle(source: str, links: dict[str, list[str]], told: Told) -> None:
    """Depth first along the links; `+tag` does not make an address another one, or a circle could grow forever."""
    path, on_path, done = [source], {base(source)}, set()
    branches = [iter(links[source])]
    while branches:
        address = next(branches[-1], None)
        if address is None:
            branches.pop()
            last = path.pop()
            on_path.discard(base(last))
            done.add(last)
        elif base(address) in on_path:
            chain = " → ".join(map(told, [*path, address]))
            raise ValidationError(
                _("This would go round in a circle: %(chain)s."), code="loop", params={"chain": chain}
            )
        elif address not in done:
            path.append(address)
            on_path.add(base(address))
            branches.append(iter(links.get(address, ())))
    if len(path) > RECURSION_LIMIT:
        raise ValidationError(_("This chain has more aliases than Postfix follows."), code="deep")


def _leading_to(source: str) -> set[str]:
    """The aliases that lead to this one, over any number of steps."""
    found, level = set(), {source}
    while level:
        level = (
            set(Alias.objects.alive().filter(destination__in=level).values_list("source", flat=True))
            - found
            - {source}
        )
        found |= level
    return found
