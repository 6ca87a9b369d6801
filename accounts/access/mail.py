"""Mail, on its way, held back and sent: whose of it an actor may see, and who decides about it."""

from datetime import datetime

from django.db.models import QuerySet

from accounts.access.directory import domain, domains, may, scope
from accounts.access.rank import To, rights
from accounts.models import Mailbox
from domains.models import Domain
from mailpanel.server.models import SendShare


def traced(actor: Mailbox) -> dict[str, datetime | None]:
    """The scopes of the message trace (server.models.Sight) that the actor may look into, and from when on: a domain and the
    own mailbox from when they were made, since the mail of a former owner is not theirs. An empty scope is everything."""
    held = rights(actor)
    if held.server or held.everywhere:
        return {"": None}
    own = {actor.email: actor.created}
    return own | dict(domains(actor).values_list("name", "created")) if held.any else own


def traffic(actor: Mailbox, name: str) -> Domain:
    """A domain whose traffic the actor may see: those who administer it."""
    return domain(actor, name, to=To.CHANGE)


def senders(actor: Mailbox) -> QuerySet[SendShare]:
    """How much the mailboxes that the actor may see have sent."""
    return SendShare.objects.filter(rights(actor).within("domain"))


def may_filter(actor: Mailbox, target: Mailbox) -> bool:
    """Whether the actor may say what the spam filter does for this mailbox: the own one, or one that he may change."""
    return actor.pk == target.pk or may(actor, To.CHANGE, target)


def may_skip_virus_checks(actor: Mailbox, domain: str) -> bool:
    """Not even for the own mailbox: whoever opens a virus harms others, too."""
    return rights(actor).administers(domain)


def quarantine_domains(actor: Mailbox) -> frozenset[str] | None:
    """The domains whose recipients' quarantine the actor may see: his, and those that mirror them; None for all."""
    names = scope(actor)
    if not names:
        return names
    return names | set(Domain.objects.filter(alias_of__in=names).values_list("name", flat=True))


def may_read(actor: Mailbox, target: Mailbox) -> bool:
    """Whether the actor may read what was held back for this mailbox, and release or delete it. By the rank that resetting
    its password takes: a message may hold what gives access to something."""
    return actor.pk == target.pk or may(actor, To.RESET, target)


def may_read_for(actor: Mailbox, owners: list[Mailbox], domain: str) -> bool:
    """The same of a message for all of these. Where nobody's mailbox is behind its address (any more), that takes whoever
    may make one of that name: it may have been for somebody whom the helpdesk does not outrank."""
    return all(may_read(actor, box) for box in owners) if owners else rights(actor).administers(domain)


def may_release_viruses(actor: Mailbox) -> bool:
    return rights(actor).server
