"""The audit log: which of it somebody may read."""

from django.db.models import QuerySet

from accounts.access.rank import rights
from accounts.models import Audit, Mailbox


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
