"""Who may see and change what. The only module that looks at roles.

Seeing follows the domain, changing follows rank. What somebody may not know of answers 404, what he sees but may not
do answers 403. Every view asks here in its first line; forms take their choices from here too.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.http import Http404
from django.utils.translation import gettext as _

from accounts import trash
from accounts.models import SERVER, Audit, Mailbox, Role, Trash
from domains import addresses
from domains.models import Alias, Domain
from mailpanel.server.models import SendShare


class To(Enum):
    """What an actor wants to do with an object."""

    SEE = "see"
    RESET = "reset"  # password, second factor, lock and sessions of somebody else's mailbox
    CHANGE = "change"  # create, change, delete mailboxes, aliases and quotas; a domain's description and default quota
    GRANT = "grant"  # helpdesk or domain admin, for a domain
    OWN = "own"  # create and delete domains, set their limits and transport, switch them on and off


class OutOfReach(Http404):
    """The object may exist, but not for this actor. Answered like any unknown name; a POST to it is audited."""


@dataclass(frozen=True)
class Rights:
    """What a person's roles come to. `everywhere` holds the kinds of role that are not bound to a domain."""

    server: bool = False
    everywhere: frozenset[str] = frozenset()
    admin: frozenset[str] = frozenset()
    helpdesk: frozenset[str] = frozenset()

    @property
    def any(self) -> bool:
        return self.server or bool(self.everywhere or self.admin or self.helpdesk)

    @property
    def only_helps(self) -> bool:
        return self.any and not (self.server or self.admin or Role.Kind.ADMIN in self.everywhere)

    def administers(self, domain: str) -> bool:
        return self.server or Role.Kind.ADMIN in self.everywhere or domain in self.admin

    def helps(self, domain: str) -> bool:
        return self.administers(domain) or Role.Kind.HELPDESK in self.everywhere or domain in self.helpdesk

    def covers(self, other: "Rights") -> bool:
        """The other person holds no right that this one lacks."""
        if other.server or Role.Kind.ADMIN in other.everywhere:
            return self.server or (not other.server and Role.Kind.ADMIN in self.everywhere)
        if Role.Kind.HELPDESK in other.everywhere and not (self.server or self.everywhere):
            return False
        return all(map(self.administers, other.admin)) and all(map(self.helps, other.helpdesk))

    @property
    def administers_some(self) -> bool:
        return self.server or Role.Kind.ADMIN in self.everywhere or bool(self.admin)

    def within(self, column: str) -> Q:
        """A filter for rows whose domain this person may see."""
        if self.server or self.everywhere:
            return Q()
        return Q(**{f"{column}__in": self.admin | self.helpdesk})


def rights(person: Mailbox) -> Rights:
    """The rights of a person, read once for each loaded row: so a revoked right is gone with the next request."""
    if not hasattr(person, "_rights"):
        person._rights = _rights_of(person.is_superuser, list(person.roles.values_list("kind", "domain_id")))
    return person._rights


def _rights_of(server: bool, roles: list[tuple[str, str | None]]) -> Rights:
    return Rights(
        server=server,
        everywhere=frozenset(kind for kind, domain in roles if domain is None),
        admin=frozenset(domain for kind, domain in roles if domain and kind == Role.Kind.ADMIN),
        helpdesk=frozenset(domain for kind, domain in roles if domain and kind == Role.Kind.HELPDESK),
    )


# --- what may be seen ---------------------------------------------------------------------------------------


def domains(actor: Mailbox, to: To = To.SEE) -> QuerySet[Domain]:
    """The domains that the actor may see, or in which he may make mailboxes (To.CHANGE) or give roles (To.GRANT)."""
    held = rights(actor)
    if to is To.SEE or held.server or Role.Kind.ADMIN in held.everywhere:
        return Domain.objects.filter(held.within("name"))
    return Domain.objects.filter(name__in=held.admin)


def scope(actor: Mailbox, to: To = To.SEE) -> frozenset[str] | None:
    """The names of the domains that the actor may see or (To.CHANGE) make mailboxes in; None for all there are."""
    held = rights(actor)
    if to is To.SEE:
        return None if held.server or held.everywhere else held.admin | held.helpdesk
    return None if held.server or Role.Kind.ADMIN in held.everywhere else held.admin


def changeable(actor: Mailbox) -> QuerySet[Mailbox]:
    """All mailboxes that the actor may change: `may(actor, To.CHANGE, …)` of every row, as one condition."""
    held = rights(actor)
    if held.server:
        return Mailbox.objects.all()
    rows = Mailbox.objects.filter(is_superuser=False)
    if Role.Kind.ADMIN in held.everywhere:
        return rows
    own = Q(kind=Role.Kind.ADMIN, domain__in=held.admin)
    own |= Q(kind=Role.Kind.HELPDESK, domain__in=held.admin | held.helpdesk)
    if held.everywhere:
        own |= Q(kind=Role.Kind.HELPDESK)
    lacking = Role.objects.filter(mailbox=OuterRef("pk")).exclude(own)
    return rows.filter(~Exists(lacking), domain__in=held.admin)


def mailboxes(actor: Mailbox) -> QuerySet[Mailbox]:
    return Mailbox.objects.filter(rights(actor).within("domain_id"))


def aliases(actor: Mailbox) -> QuerySet[Alias]:
    return Alias.objects.filter(rights(actor).within("domain_id"))


def senders(actor: Mailbox) -> QuerySet[SendShare]:
    """How much the mailboxes that the actor may see have sent."""
    return SendShare.objects.filter(rights(actor).within("domain"))


def sees(actor: Mailbox, domain: str) -> bool:
    """Whether this is one of the domains that the actor may see."""
    return rights(actor).helps(domain)


def told(actor: Mailbox, known: Iterable[str] = ()) -> Callable[[str], str]:
    """The words for an address in a sentence to this actor: a refusal may be about a chain of aliases that goes through
    domains of others, and must not name these. `known` are the addresses that the actor typed."""
    known = set(known)

    def words(address: str) -> str:
        if address in known or sees(actor, addresses.split(address)[1]):
            return addresses.to_unicode(address)
        return _("an address in a domain of others")

    return words


def log(actor: Mailbox, about: str = "") -> QuerySet[Audit]:
    """The audit log of the domains that the actor may see; what has no domain is for server admins alone.

    `about` an address there, also what another domain has to do with it: a role that it was given, say.
    """
    held = rights(actor)
    rows = Audit.objects.filter(name=about) if about else Audit.objects.all()
    if held.server or (about and "/" not in about and held.helps(about.rpartition("@")[2])):
        return rows
    return rows.exclude(domain="").filter(held.within("domain"))


def own_log(person: Mailbox) -> QuerySet[Audit]:
    """What was done to somebody's own mailbox; not to that of a former owner of the address."""
    return Audit.objects.filter(name=person.email, at__gte=person.created)


def traced(actor: Mailbox) -> dict[str, datetime | None]:
    """The scopes of the message trace (server.models.Sight) that the actor may look into, and from when on: a domain and the
    own mailbox from when they were made, since the mail of a former owner is not theirs. An empty scope is everything."""
    held = rights(actor)
    if held.server or held.everywhere:
        return {"": None}
    own = {actor.email: actor.created}
    return own | dict(domains(actor).values_list("name", "created")) if held.any else own


# --- one object, for one purpose ----------------------------------------------------------------------------


def domain(actor: Mailbox, name: str, *, to: To) -> Domain:
    found = domains(actor).filter(name=_key(addresses.parse_domain, name)).select_related("alias_of").first()
    if found is None:
        raise OutOfReach(_("There is no such domain."))
    held = rights(actor)
    if to in (To.CHANGE, To.GRANT) and not held.administers(found.name):
        raise PermissionDenied(_("This is done by a domain admin of %s.") % found)
    if to in (To.OWN, To.RESET) and not held.server:
        raise PermissionDenied(_("This is done by a server admin."))
    return found


def mailbox(actor: Mailbox, email: str, *, to: To) -> Mailbox:
    found = (
        mailboxes(actor)
        .filter(email=_key(addresses.parse_mailbox, email))
        .select_related("domain", "usage", "second_factor")
        .first()
    )
    if found is None:
        raise OutOfReach(_("There is no such mailbox."))
    if to is not To.SEE and not may(actor, to, found):
        raise PermissionDenied(why_not(actor, to, found))
    return found


def alias(actor: Mailbox, source: str, *, to: To) -> list[Alias]:
    """The rows of one alias, at least one; the mailbox that it shadows counts as changed with it."""
    rows = list(
        aliases(actor).filter(source=_key(addresses.parse_alias_source, source)).select_related("domain")
    )
    if not rows:
        raise OutOfReach(_("There is no such alias."))
    if to is not To.SEE:
        source_of_alias(actor, rows[0].source)
    return rows


def deletions(actor: Mailbox) -> QuerySet[Trash]:
    return trash.deletions().filter(rights(actor).within("domain"))


def deletion(actor: Mailbox, key: UUID) -> Trash:
    """What is to be brought back. It takes the right to make it, and every right that comes back with it."""
    found = deletions(actor).filter(deletion=key).first()
    if found is None:
        raise OutOfReach(_("There is no such deletion."))
    if not may_bring_back(actor, [found]):
        raise PermissionDenied(
            _("This is brought back by somebody who holds all the rights that come back with it.")
        )
    return found


def may_bring_back(actor: Mailbox, found: list[Trash]) -> set[UUID]:
    """Which of these deletions the actor may undo; three statements, and one more for each alias of a mailbox."""
    held = rights(actor)
    together = Trash.objects.filter(
        deletion__in=[row.deletion for row in found if row.table == Mailbox._meta.db_table]
    )
    servers = set(
        together.filter(table=Mailbox._meta.db_table, row__is_superuser=1).values_list("deletion", flat=True)
    )
    roles: dict[UUID, list] = {}
    gone = Trash.objects.filter(deletion__in=[row.deletion for row in found], table=Role._meta.db_table)
    for key, role in gone.values_list("deletion", "row"):
        roles.setdefault(key, []).append((role["kind"], role["domain"]))
    sources = [row.name for row in found if row.table == Alias._meta.db_table]
    shadowed = {box.email: box for box in Mailbox.objects.filter(email__in=sources)}

    def may_undo(row: Trash) -> bool:
        if row.table == Domain._meta.db_table:
            return held.server
        if row.table == Mailbox._meta.db_table:
            theirs = _rights_of(row.deletion in servers, roles.get(row.deletion, []))
            return held.administers(row.domain) and held.covers(theirs)
        box = shadowed.get(row.name)
        return held.administers(row.domain) and (box is None or may(actor, To.CHANGE, box))

    return {row.deletion for row in found if may_undo(row)}


def source_of_alias(actor: Mailbox, source: str) -> None:
    """Refuse (PermissionDenied) unless the actor may make or change an alias of this address.

    An alias takes the mail of a mailbox of the same address, so it counts as changing that mailbox.
    """
    name = addresses.split(source)[1]
    if not rights(actor).administers(name):
        raise PermissionDenied(_("This is done by a domain admin of %s.") % addresses.to_unicode(name))
    shadowed = Mailbox.objects.filter(email=source).first()
    if shadowed and not may(actor, To.CHANGE, shadowed):
        raise PermissionDenied(why_not(actor, To.CHANGE, shadowed))


def may_change_alias(actor: Mailbox, source: str) -> bool:
    try:
        source_of_alias(actor, source)
    except PermissionDenied:
        return False
    return True


def deleted(actor: Mailbox, name: str) -> Trash | None:
    """The newest deletion of this name that the actor may see, for who still had its page open."""
    return deletions(actor).filter(name=name).order_by("-id").first()


def traffic(actor: Mailbox, name: str) -> Domain:
    """A domain whose traffic the actor may see: those who administer it."""
    return domain(actor, name, to=To.CHANGE)


def server(actor: Mailbox) -> None:
    """Refuse (PermissionDenied) all but server admins: creating domains, status, queue, configuration."""
    if not rights(actor).server:
        raise PermissionDenied(_("This is done by a server admin."))


def staff(actor: Mailbox) -> None:
    """Refuse (PermissionDenied) people without any role: lists are for those who look after others."""
    if not rights(actor).any:
        raise PermissionDenied(_("This page is for people who look after mailboxes."))


def admin(actor: Mailbox) -> None:
    """Refuse (PermissionDenied) people who administer nothing: exports and bulk actions."""
    if not rights(actor).administers_some:
        raise PermissionDenied(_("This is done by a domain admin."))


def may(actor: Mailbox, to: To, target: Mailbox) -> bool:
    """Changing follows rank: within the domain, and only people who hold no right that the actor lacks."""
    held, theirs = rights(actor), rights(target)
    if to is To.RESET:
        if actor.pk == target.pk:  # the own password is changed with the current one
            return False
        if not theirs.any and held.helps(target.domain_id):
            return True
    return held.administers(target.domain_id) and held.covers(theirs)


def may_filter(actor: Mailbox, target: Mailbox) -> bool:
    """Whether the actor may say what the spam filter does for this mailbox: the own one, or one that he may change."""
    return actor.pk == target.pk or may(actor, To.CHANGE, target)


def may_read(actor: Mailbox, target: Mailbox) -> bool:
    """Whether the actor may read what was held back for this mailbox, and release or delete it. By the rank that resetting
    its password takes: a message may hold what gives access to something."""
    return actor.pk == target.pk or may(actor, To.RESET, target)


def may_read_for(actor: Mailbox, owners: list[Mailbox], domain: str) -> bool:
    """The same of a message for all of these. Where nobody's mailbox is behind its address (any more), that takes whoever
    may make one of that name: it may have been for somebody whom the helpdesk does not outrank."""
    return all(may_read(actor, box) for box in owners) if owners else rights(actor).administers(domain)


def may_skip_virus_checks(actor: Mailbox, domain: str) -> bool:
    """Not even for the own mailbox: whoever opens a virus harms others, too."""
    return rights(actor).administers(domain)


def quarantine_domains(actor: Mailbox) -> frozenset[str] | None:
    """The domains whose recipients' quarantine the actor may see: his, and those that mirror them; None for all."""
    names = scope(actor)
    if not names:
        return names
    return names | set(Domain.objects.filter(alias_of__in=names).values_list("name", flat=True))


def may_release_viruses(actor: Mailbox) -> bool:
    return rights(actor).server


def why_not(actor: Mailbox, to: To, target: Mailbox) -> str:
    if to is To.RESET and actor.pk == target.pk:
        return _("Change your own password with the current one, on the page “Change your password”.")
    if rights(target).any and rights(actor).helps(target.domain_id):
        return _("%s holds a role that you do not have. A server admin can do this.") % target
    return _("This is done by a domain admin of %s.") % addresses.to_unicode(target.domain_id)


# --- roles: a kind (one of Role.Kind, or SERVER) and where, which is a domain's name or None for all ---------


def roles_of(people: list[Mailbox]) -> dict[Mailbox, list[tuple[str, str | None]]]:
    """What each of them holds, the widest first; one statement, after which their rights are known, too."""
    found: dict[int, list] = {}
    rows = Role.objects.filter(mailbox__in=people).values_list("mailbox", "kind", "domain")
    for pk, kind, where in rows:
        found.setdefault(pk, []).append((kind, where))
    for person in people:
        person._rights = _rights_of(person.is_superuser, found.get(person.pk, []))
    return {
        person: [(SERVER, None)] * person.is_superuser
        + sorted(found.get(person.pk, []), key=lambda role: (role[1] or "", role[0]))
        for person in people
    }


def give(actor: Mailbox, target: Mailbox, kind: str, where: str | None) -> None:
    """Refuse unless the actor may give this role to this person.

    Nobody gives what he does not hold, nor anything to himself; and since a role takes its holder out of the reach of
    others, it is given to people whose mailbox the actor may change. Raises PermissionDenied, or OutOfReach for a
    domain that he may not know of.
    """
    _deal_in(actor, kind, where)
    if actor.pk == target.pk:
        raise PermissionDenied(
            _("Nobody gives a role to themselves. Somebody else who holds it can do this.")
        )
    if not may(actor, To.GRANT, target):
        raise PermissionDenied(why_not(actor, To.GRANT, target))


def take(actor: Mailbox, target: Mailbox, kind: str, where: str | None) -> None:
    """Refuse unless the actor may take this role from this person, who may be of any domain, or the actor himself."""
    _deal_in(actor, kind, where)
    if not rights(actor).covers(rights(target)):
        raise PermissionDenied(
            _("%s holds a role that you do not have. A server admin can do this.") % target
        )


def may_take(actor: Mailbox, target: Mailbox, kind: str, where: str | None) -> bool:
    try:
        take(actor, target, kind, where)
    except (PermissionDenied, OutOfReach):
        return False
    return True


def _deal_in(actor: Mailbox, kind: str, where: str | None) -> None:
    if kind not in (SERVER, *Role.Kind.values):
        raise OutOfReach(_("There is no such role."))
    if kind == SERVER or where is None:
        server(actor)
    elif not rights(actor).helps(where):
        raise OutOfReach(_("There is no such domain."))
    elif not rights(actor).administers(where):
        raise PermissionDenied(_("This is done by a domain admin of %s.") % addresses.to_unicode(where))


def holder(actor: Mailbox, email: str, kind: str, where: str | None) -> Mailbox:
    """Who holds this role, if the actor may see the mailbox or looks after the domain of the role."""
    found = (
        Mailbox.objects.filter(email=_key(addresses.parse_mailbox, email)).select_related("domain").first()
    )
    helps = rights(actor).helps
    if (
        found is None
        or not (helps(found.domain_id) or (where is not None and helps(where)))
        or (kind, where) not in roles_of([found])[found]
    ):
        raise OutOfReach(_("There is no such role."))
    return found


def reach(target: Mailbox, kind: str, where: str | None) -> int:
    """Of how many other people the target could reset the password with this role alone. By the counters of the
    domains, and of those who outrank it, who are few."""
    given = _rights_of(kind == SERVER, [] if kind == SERVER else [(kind, where)])
    domains, people = Domain.objects.all(), Mailbox.objects.all()
    if where is not None:
        domains, people = domains.filter(name=where), people.filter(domain=where)
    staff = [*people.filter(is_superuser=True), *people.filter(roles__isnull=False).distinct()]
    roles_of(staff)
    beyond = {
        person.pk
        for person in staff
        if (rights(person).any if kind == Role.Kind.HELPDESK else not given.covers(rights(person)))
    }
    own = {target.pk} if where in (None, target.domain_id) else set()
    return max(domains.aggregate(sum=Sum("mailbox_count", default=0))["sum"] - len(beyond | own), 0)


def domain_fields(actor: Mailbox) -> set[str]:
    """The settings of a domain that the actor may write; a server admin all of them."""
    own = {"description", "default_quota"}
    if rights(actor).server:
        own |= {"enabled", "transport", "alias_of", "max_mailboxes", "max_aliases", "quota_pool"}
    return own


def for_templates(request) -> dict:
    """`rights` for the navigation of every page: what to leave out for whom."""
    user = getattr(request, "user", None)
    return {"rights": rights(user) if user is not None and user.is_authenticated else Rights()}


def _key(parse, text: str) -> str:
    """The canonical form of an address in a URL, or one that no row has."""
    try:
        return parse(text)
    except ValidationError:
        return ""
