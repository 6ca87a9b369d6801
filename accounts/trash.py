"""Deleting moves rows to the trash: set-based, in the caller's transaction, so that undo comes with it."""

import uuid

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet


def move(rows: QuerySet, *, deletion: uuid.UUID, actor: str, name: str, domain: str) -> int:
    """Copy the rows into `trash` as JSON and delete them; two statements, however many rows. Returns how many.

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
