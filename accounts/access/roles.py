"""Giving and taking roles. A role is a kind (one of Role.Kind, or SERVER) and where, which is a domain's name or None for all."""

from django.core.exceptions import PermissionDenied
from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.access.directory import key_of, may, why_not
from accounts.access.rank import OutOfReach, To, rights, rights_of, server
from accounts.models import SERVER, Mailbox, Role
from domains import addresses
from domains.models import Domain


def roles_of(people: list[Mailbox]) -> dict[Mailbox, list[tuple[str, str | None]]]:
    """What each of them holds, the widest first; one statement, after which their rights are known, too."""
    found: dict[int, list] = {}
    rows = Role.objects.filter(mailbox__in=people).values_list("mailbox", "kind", "domain")
    for pk, kind, where in rows:
        found.setdefault(pk, []).append((kind, where))
    for person in people:
        person._rights = rights_of(person.is_superuser, found.get(person.pk, []))
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
        Mailbox.objects.filter(email=key_of(addresses.parse_mailbox, email)).select_related("domain").first()
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
    given = rights_of(kind == SERVER, [] if kind == SERVER else [(kind, where)])
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
