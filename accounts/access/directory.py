"""Domains, mailboxes and aliases: all that an actor may see or change of them, and one of them for one purpose."""

from collections.abc import Callable, Iterable

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.access.rank import OutOfReach, To, rights, sees
from accounts.models import Mailbox, Role
from domains import addresses
from domains.models import Alias, Domain


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


def domain(actor: Mailbox, name: str, *, to: To) -> Domain:
    found = (
        domains(actor).filter(name=key_of(addresses.parse_domain, name)).select_related("alias_of").first()
    )
    if found is None:
        raise OutOfReach(_("There is no such domain."))
    held = rights(actor)
    if to in (To.CHANGE, To.GRANT) and not held.administers(found.name):
        raise PermissionDenied(_("This is done by a domain admin of %s.") % found)
    if to in (To.OWN, To.RESET) and not held.server:
        raise PermissionDenied(_("This is done by a server admin."))
    return found


def domain_fields(actor: Mailbox) -> set[str]:
    """The settings of a domain that the actor may write; a server admin all of them."""
    own = {"description", "default_quota"}
    if rights(actor).server:
        own |= {"enabled", "transport", "alias_of", "max_mailboxes", "max_aliases", "quota_pool"}
    return own


def mailboxes(actor: Mailbox) -> QuerySet[Mailbox]:
    return Mailbox.objects.filter(rights(actor).within("domain_id"))


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


def mailbox(actor: Mailbox, email: str, *, to: To) -> Mailbox:
    found = (
        mailboxes(actor)
        .filter(email=key_of(addresses.parse_mailbox, email))
        .select_related("domain", "usage", "second_factor")
        .first()
    )
    if found is None:
        raise OutOfReach(_("There is no such mailbox."))
    if to is not To.SEE and not may(actor, to, found):
        raise PermissionDenied(why_not(actor, to, found))
    return found


def may(actor: Mailbox, to: To, target: Mailbox) -> bool:
    """Changing follows rank: within the domain, and only people who hold no right that the actor lacks."""
    held, theirs = rights(actor), rights(target)
    if to is To.RESET:
        if actor.pk == target.pk:  # the own password is changed with the current one
            return False
        if not theirs.any and held.helps(target.domain_id):
            return True
    return held.administers(target.domain_id) and held.covers(theirs)


def why_not(actor: Mailbox, to: To, target: Mailbox) -> str:
    if to is To.RESET and actor.pk == target.pk:
        return _("Change your own password with the current one, on the page “Change your password”.")
    if rights(target).any and rights(actor).helps(target.domain_id):
        return _("%s holds a role that you do not have. A server admin can do this.") % target
    return _("This is done by a domain admin of %s.") % addresses.to_unicode(target.domain_id)


def aliases(actor: Mailbox) -> QuerySet[Alias]:
    return Alias.objects.filter(rights(actor).within("domain_id"))


def alias(actor: Mailbox, source: str, *, to: To) -> list[Alias]:
    """The rows of one alias, at least one; the mailbox that it shadows counts as changed with it."""
    rows = list(
        aliases(actor).filter(source=key_of(addresses.parse_alias_source, source)).select_related("domain")
    )
    if not rows:
        raise OutOfReach(_("There is no such alias."))
    if to is not To.SEE:
        source_of_alias(actor, rows[0].source)
    return rows


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


def told(actor: Mailbox, known: Iterable[str] = ()) -> Callable[[str], str]:
    """The words for an address in a sentence to this actor: a refusal may be about a chain of aliases that goes through
    domains of others, and must not name these. `known` are the addresses that the actor typed."""
    known = set(known)

    def words(address: str) -> str:
        if address in known or sees(actor, addresses.split(address)[1]):
            return addresses.to_unicode(address)
        return _("an address in a domain of others")

    return words


def key_of(parse, text: str) -> str:
    """The canonical form of an address in a URL, or one that no row has."""
    try:
        return parse(text)
    except ValidationError:
        return ""
