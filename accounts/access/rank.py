"""What somebody's roles come to, and what takes which rank."""

from dataclasses import dataclass
from enum import Enum

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import Mailbox, Role


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
        person._rights = rights_of(person.is_superuser, list(person.roles.values_list("kind", "domain_id")))
    return person._rights


def rights_of(server: bool, roles: list[tuple[str, str | None]]) -> Rights:
    return Rights(
        server=server,
        everywhere=frozenset(kind for kind, domain in roles if domain is None),
        admin=frozenset(domain for kind, domain in roles if domain and kind == Role.Kind.ADMIN),
        helpdesk=frozenset(domain for kind, domain in roles if domain and kind == Role.Kind.HELPDESK),
    )


def sees(actor: Mailbox, domain: str) -> bool:
    """Whether this is one of the domains that the actor may see."""
    return rights(actor).helps(domain)


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


def for_templates(request) -> dict:
    """`rights` for the navigation of every page: what to leave out for whom."""
    user = getattr(request, "user", None)
    return {"rights": rights(user) if user is not None and user.is_authenticated else Rights()}
