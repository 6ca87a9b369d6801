"""What was deleted: who sees it, and who may bring it back."""

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import trash
from accounts.access.directory import may
from accounts.access.rank import OutOfReach, To, rights, rights_of
from accounts.models import Mailbox, Role, Trash
from domains.models import Alias, Domain


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
            theirs = rights_of(row.deletion in servers, roles.get(row.deletion, []))
            return held.administers(row.domain) and held.covers(theirs)
        box = shadowed.get(row.name)
        return held.administers(row.domain) and (box is None or may(actor, To.CHANGE, box))

    return {row.deletion for row in found if may_undo(row)}


def deleted(actor: Mailbox, name: str) -> Trash | None:
    """The newest deletion of this name that the actor may see, for who still had its page open."""
    return deletions(actor).filter(name=name).order_by("-id").first()
