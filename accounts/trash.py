"""Deleting moves rows to the trash: set-based, in the caller's transaction, so that undo comes with it.

Bringing back is as set-based: the rows return as they were, with their ids, hashes and dates. Where a name was given
away meanwhile, the newer one stays and the older one waits in the trash until the purge.
"""

import logging
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.models import Exists, Max, Model, OuterRef, QuerySet
from django.utils import timezone

from accounts import audit, search
from accounts.models import Mailbox, Trash
from mailpanel.daemons import DaemonError, dovecot
from mailpanel.server import retention

# The kinds of objects that are deleted by themselves, by their tables.
KINDS = {"domain": "domain", "user": "mailbox", "alias": "alias"}
_FAILURES = 3  # in a row, and Dovecot is taken to be away

log = logging.getLogger(__name__)


def move(rows: QuerySet, *, deletion: uuid.UUID, actor: str, name: str, domain: str) -> int:
    """Copy the rows into `trash` as JSON and delete them, and the words they are found by; returns how many.

    Two statements, however many rows, and one for the words of each thousand.

    `name` and `domain` are the columns from which each row's name and domain are taken.
    """
    meta = rows.model._meta
    quote = connection.ops.quote_name
    columns = ", ".join(f"'{field.column}', {quote(field.column)}" for field in meta.concrete_fields)
    chosen = rows.order_by().values("pk")
    try:
        where, params = chosen.query.sql_with_params()
    except EmptyResultSet:  # a filter that Django knows to match nothing
        return 0
    search.forget(rows)
    table, key = quote(meta.db_table), quote(meta.pk.column)
    now = "UTC_TIMESTAMP(6)" if connection.vendor == "mysql" else "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO trash (deletion, at, actor, {quote('table')}, name, domain, {quote('row')}) "  # noqa: S608
            f"SELECT %s, {now}, %s, %s, {name}, {domain}, JSON_OBJECT({columns}) "
            f"FROM {table} WHERE {key} IN (SELECT * FROM ({where}) chosen)",
            [deletion.hex, actor[:255], meta.db_table, *params],
        )
        moved = cursor.rowcount
        cursor.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT * FROM ({where}) chosen)", params)  # noqa: S608
    return moved


def put_back(model: type[Model], rows: QuerySet) -> int:
    """Insert the trashed `rows` into the table of `model` and take them out of the trash; two statements."""
    first = rows.values_list("row", flat=True).first()
    if first is None:
        return 0
    keys = list(rows.values_list(f"row__{model._meta.pk.column}", flat=True))
    quote = connection.ops.quote_name
    extract = "JSON_VALUE" if connection.vendor == "mysql" else "JSON_EXTRACT"
    columns = [field.column for field in model._meta.concrete_fields if field.column in first]
    values = ", ".join(f"{extract}({quote('row')}, '$.{column}')" for column in columns)
    where, params = rows.order_by().values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))}) "  # noqa: S608
            f"SELECT {values} FROM trash WHERE id IN (SELECT * FROM ({where}) chosen)",
            params,
        )
        returned = cursor.rowcount
        cursor.execute(f"DELETE FROM trash WHERE id IN (SELECT * FROM ({where}) chosen)", params)  # noqa: S608
    search.remember(model, keys)
    return returned


def due() -> datetime:
    """What was deleted before this moment cannot be brought back any more, and waits for the purge."""
    return timezone.now() - timedelta(days=settings.MAILPANEL_TRASH_DAYS)


def deletions() -> QuerySet:
    """One row for each deletion that can be brought back: the object itself, after which nothing else went."""
    later = Trash.objects.filter(deletion=OuterRef("deletion"), id__gt=OuterRef("id"))
    return Trash.objects.filter(at__gte=due()).exclude(Exists(later))


def purge(before: datetime, *, by: audit.By) -> int:
    """End what was deleted before this moment: Dovecot erases the mail, then the rows go. Returns how many deletions.

    Each mailbox leaves the trash as soon as its mail is erased, so that a crash costs nothing but the rest of the run.
    Raises DaemonError at the end if some have to wait for the next run, because Dovecot did not erase their mail.
    """
    ended, failures, last_error = 0, 0, None
    newest = Trash.objects.filter(at__lt=before).values("deletion").annotate(head=Max("id"))
    for deletion, head in newest.order_by("head").values_list("deletion", "head"):
        rows = Trash.objects.filter(deletion=deletion)
        try:
            mailboxes = rows.filter(table=Mailbox._meta.db_table).exclude(id=head)
            while batch := mailboxes[:500]:
                for mailbox in batch:
                    _erase(mailbox)
            _end(Trash.objects.get(id=head), rows, by)
            ended, failures = ended + 1, 0
        except DaemonError as error:
            log.warning("Deletion %s waits in the trash: %s", deletion, error)
            failures, last_error = failures + 1, error
            if failures == _FAILURES:
                break
    if last_error:
        raise last_error
    return ended


def _end(head: Trash, rows: QuerySet, by: audit.By) -> None:
    if head.table == Mailbox._meta.db_table:
        _erase_mail(head)
    with transaction.atomic():
        audit.record(by, "purge", KINDS[head.table], head.name, domain=head.domain)
        rows.delete()


def _erase(mailbox: Trash) -> None:
    _erase_mail(mailbox)
    mailbox.delete()


def _erase_mail(mailbox: Trash) -> None:
    """Unless the address was given away again since: the former owner's mail was erased then."""
    again = Trash.objects.filter(table=mailbox.table, name=mailbox.name, id__gt=mailbox.id)
    if not again.exists() and not Mailbox.objects.filter(email=mailbox.name).exists():
        dovecot.erase(mailbox.name)
        retention.erase(mailbox.name)
