"""Undo a deletion: its rows come back from the trash, as far as their places are free."""

import uuid
from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Max, Model, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import audit, trash
from accounts.models import AppPassword, Mailbox, RecoveryCode, Role, SecondFactor, Sender, Trash
from domains import addresses, routing
from domains.models import Alias, DkimKey, Domain
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server import retention
from mailpanel.server.models import FilterPolicy, FilterSender, SendLimit


@retried_on_deadlock
def bring_back(
    deletion: uuid.UUID, *, by: audit.By, told: Callable[[str], str] = addresses.to_unicode
) -> list[str]:
    """Undo one deletion: the rows return from the trash as they were, with hash, aliases, senders and roles.

    Returns a sentence for each thing that stays in the trash because its place is taken or gone; `told` gives the
    words for an address in it, since it may be one that the actor must not know of. Raises ValidationError when the
    domain or mailbox itself cannot come back. Dovecot need not be told: it remembers no “no such user”.
    """
    with transaction.atomic():
        rows = Trash.objects.filter(deletion=deletion, at__gte=trash.due())
        if not (head := rows.order_by("-id").first()):
            raise ValidationError(_("This is not in the trash any more."), code="gone")
        emails = list(_of(rows, Mailbox).values_list("name", flat=True))
        _bring_back_domain(_of(rows, Domain))
        trash.put_back(DkimKey, _of(rows, DkimKey))
        _bring_back_mailboxes(_of(rows, Mailbox), emails)
        left = _bring_back_aliases(_of(rows, Alias), told)
        left += _bring_back_senders(rows, told)
        for model in (AppPassword, SecondFactor, RecoveryCode, SendLimit):
            trash.put_back(model, _of(rows, model))
        _bring_back_filter(rows, emails, [head.name] if head.table == Domain._meta.db_table else [])
        domains = Domain.objects.values("name")
        trash.put_back(Role, _of(rows, Role).filter(Q(domain="") | Q(domain__in=domains)))
        if _of(rows, Role).exists():
            left.append(_("Roles for domains that are gone stay in the trash."))
        audit.record(by, "restore", trash.KINDS[head.table], head.name, domain=head.domain)
    return left


def _of(rows: QuerySet, model: type[Model]) -> QuerySet:
    return rows.filter(table=model._meta.db_table)


def mailboxes_of(deletions: list[Trash]) -> dict[uuid.UUID, int]:
    """How many mailboxes went with each deletion of mailboxes; one statement."""
    keys = [row.deletion for row in deletions if row.table == Mailbox._meta.db_table]
    went = _of(Trash.objects.filter(deletion__in=keys), Mailbox).order_by().values_list("deletion")
    return dict(went.annotate(number=Count("pk")))


def _bring_back_domain(rows: QuerySet) -> None:
    for name, row in rows.values_list("name", "row"):
        if Domain.objects.filter(name=name).exists():
            raise ValidationError(
                _("The domain %s was made again meanwhile, so the old one stays in the trash.") % name
            )
        if row["alias_of"] and not Domain.objects.filter(name=row["alias_of"]).exists():
            raise ValidationError(
                _("%(mirror)s mirrors %(target)s, which is gone. Bring that back first.")
                % {"mirror": addresses.to_unicode(name), "target": addresses.to_unicode(row["alias_of"])}
            )
    names = list(rows.values_list("name", flat=True))
    if trash.put_back(Domain, rows):
        Domain.objects.filter(name__in=names).update(mailbox_count=0, alias_count=0, quota_given=0)


def _bring_back_mailboxes(rows: QuerySet, emails: list[str]) -> None:
    taken = set()
    for start in range(0, len(emails), 1000):
        some = emails[start : start + 1000]
        taken |= set(Mailbox.objects.filter(email__in=some).values_list("email", flat=True))
        taken |= set(Alias.objects.filter(source__in=some).values_list("source", flat=True))
    if taken:
        raise ValidationError(
            ngettext(
                "%s was given away again meanwhile. Delete it first.",
                "These were given away again meanwhile: %s. Delete them first.",
                len(taken),
            )
            % ", ".join(sorted(taken)[:5])
        )
    _refuse_former_owners(rows, emails)
    given: dict[str, list] = {}
    for domain, quota in rows.values_list("domain", "row__quota"):
        given.setdefault(domain, []).append(quota or 0)
    for domain, quotas in given.items():
        Domain.objects.all().reserve(domain, mailboxes=len(quotas), quota_given=sum(quotas))
    trash.put_back(Mailbox, rows)


def _refuse_former_owners(rows: QuerySet, emails: list[str]) -> None:
    """The mail that is there is that of whoever had the address last; it was made anew, and theirs erased for that."""
    newest = rows.aggregate(newest=Max("id"))["newest"]
    others = Trash.objects.filter(table=Mailbox._meta.db_table, id__gt=newest or 0)
    since = set()
    for start in range(0, len(emails), 1000):
        since |= set(others.filter(name__in=emails[start : start + 1000]).values_list("name", flat=True))
    if since:
        raise ValidationError(
            ngettext(
                "%s was somebody else's meanwhile, whose mail is in the trash. Bring that back, or make it anew.",
                "These were somebody else's meanwhile, whose mail is in the trash: %s. Bring that back, or make them anew.",
                len(since),
            )
            % ", ".join(sorted(since)[:5])
        )


def _bring_back_aliases(rows: QuerySet, told: Callable[[str], str]) -> list[str]:
    """Those whose place is free; one that would go round in a circle by now comes back switched off."""
    all_of_them = list(rows.values_list("id", "domain", "row__source", "row__destination"))
    sources = {source for _id, _domain, source, _to in all_of_them}
    there = set(Alias.objects.filter(source__in=sources).values_list("source", "destination"))
    own = {to for _id, _domain, source, to in all_of_them if source == to}
    boxes = set(Mailbox.objects.filter(email__in=sources).values_list("email", flat=True)) - own
    domains = set(
        Domain.objects.filter(name__in={row[1] for row in all_of_them}).values_list("name", flat=True)
    )
    fits = [row for row in all_of_them if row[1] in domains and row[2:] not in there and row[2] not in boxes]
    for domain in {row[1] for row in fits}:
        Domain.objects.all().reserve(domain, aliases=sum(row[1] == domain for row in fits))
    if fits:
        trash.put_back(Alias, rows.filter(id__in=[row[0] for row in fits]))
    left = [
        _("%(source)s → %(to)s stays in the trash: its place is taken, or its domain is gone.")
        % {"source": told(source), "to": told(to)}
        for _id, _domain, source, to in all_of_them
        if (_id, _domain, source, to) not in fits
    ]
    for source in {row[2] for row in fits}:
        try:
            routing.check(
                source,
                list(Alias.objects.alive().filter(source=source).values_list("destination", flat=True)),
                told,
            )
        except ValidationError as error:
            Alias.objects.filter(
                source=source, destination__in=[r[3] for r in fits if r[2] == source]
            ).update(enabled=False)
            left.append(
                _("%(source)s is back, but switched off: %(why)s")
                % {"source": told(source), "why": error.messages[0]}
            )
    return left


def _bring_back_filter(rows: QuerySet, emails: list[str], domains: list[str]) -> None:
    """The policies and senders, and what waits in the quarantine."""
    for model in (FilterPolicy, FilterSender):
        trash.put_back(model, _of(rows, model))
    retention.bring_back(emails, Domain.objects.filter(name__in=domains))


def _bring_back_senders(rows: QuerySet, told: Callable[[str], str]) -> list[str]:
    """Those whose mailbox is there, and whose alias did not have to stay in the trash."""
    all_of_them = list(_of(rows, Sender).values_list("id", "row__mailbox_id", "row__address"))
    ids, sources = {row[1] for row in all_of_them}, {row[2] for row in all_of_them}
    boxes = set(Mailbox.objects.filter(pk__in=ids).values_list("pk", flat=True))
    there = set(Sender.objects.filter(mailbox__in=ids).values_list("mailbox_id", "address"))
    gone = set(_of(rows, Alias).filter(name__in=sources).values_list("name", flat=True))
    fits = [row for row in all_of_them if row[1] in boxes and row[1:] not in there and row[2] not in gone]
    if fits:
        trash.put_back(Sender, rows.filter(id__in=[row[0] for row in fits]))
    return [
        _("The right to send as %s stays in the trash.") % told(row[2])
        for row in all_of_them
        if row not in fits and row[1:] not in there
    ]
