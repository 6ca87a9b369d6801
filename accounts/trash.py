"""Deleting moves rows to the trash: set-based, in the caller's transaction, so that undo comes with it.

Bringing back is as set-based: the rows return as they were, with their ids, hashes and dates. Where a name was given
away meanwhile, the newer one stays and the older one waits in the trash until the purge.
"""

import uuid

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Model, QuerySet


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


def put_back(model: type[Model], rows: QuerySet) -> int:
    """Insert the trashed `rows` into the table of `model` and take them out of the trash; two statements."""
    first = rows.values_list("row", flat=True).first()
    if first is None:
        return 0
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
    return returned
