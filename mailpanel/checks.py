"""What must be right before the panel starts: `manage.py check --database default`, and every start of the server.

The tables are read by programs that are not ours, and may have been made or changed by hands that are not ours: here
a column that would cut a hash, or a row that no daemon would find, is told before it costs mail.
"""

from importlib import metadata

from django.apps import apps
from django.core.checks import Error, Tags, register
from django.db import connections
from django.db.models import CheckConstraint

from domains.models import AddressField

APPS = ("domains", "accounts", "server")


@register(Tags.security)
def passlib_is_libpass(app_configs, **kwargs) -> list[Error]:
    try:
        version = metadata.version("passlib")
    except metadata.PackageNotFoundError:
        return []
    return [
        Error(
            f"The old passlib {version} is installed beside libpass; both write the same directory.",
            hint="pip uninstall passlib libpass, then pip install -r requirements.txt.",
            id="mailpanel.E001",
        )
    ]


@register(Tags.database)
def tables_as_the_daemons_need_them(app_configs, databases=None, **kwargs) -> list[Error]:
    found = []
    for alias in databases or []:
        connection = connections[alias]
        tables = set(connection.introspection.table_names())
        if connection.vendor == "mysql":
            found += _strict_mode(connection)
        for app in APPS:
            for model in apps.get_app_config(app).get_models():
                if model._meta.managed and model._meta.db_table in tables:
                    found += _columns(connection, model)
                    found += _constraints(connection, model)
    return found


def _strict_mode(connection) -> list[Error]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.sql_mode")
        mode = cursor.fetchone()[0]
    if "STRICT_" in mode:
        return []
    return [
        Error(
            "MariaDB runs without strict SQL mode: it would cut a value that is too long and only warn.",
            hint="Put sql_mode = STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION into [mysqld].",
            id="mailpanel.E002",
        )
    ]


def _columns(connection, model) -> list[Error]:
    """Missing; on MariaDB also narrower than the model says, or in a collation that takes one address for another."""
    table, found = model._meta.db_table, []
    actual = _actual_columns(connection, table)
    for field in model._meta.concrete_fields:
        if field.column not in actual:
            found.append(_wrong(table, field.column, "is missing", "Run manage.py migrate.", "E003"))
            continue
        if (column := actual[field.column]) is None:
            continue
        width = column.internal_size
        if field.max_length and width and 0 < width < field.max_length:
            problem = f"holds {width} characters and needs {field.max_length}"
            found.append(
                _wrong(table, field.column, problem, "ALTER TABLE … MODIFY the column, then migrate.", "E004")
            )
        kind = connection.introspection.get_field_type(column.type_code, column)
        if "BigInteger" in field.get_internal_type() and "Big" not in kind:
            hint = "ALTER TABLE … MODIFY the column to BIGINT: 2 GB is the most that an INT holds."
            found.append(_wrong(table, field.column, "holds no numbers of 64 bits", hint, "E007"))
        wanted = field.db_parameters(connection).get("collation")
        if isinstance(field, AddressField) and wanted not in (None, column.collation):
            collation = column.collation or "that is the default of this database"
            problem = f"is in the collation {collation}, which may take one address for another"
            hint = f"It must be {wanted}. Convert the column; look for rows that differ in case only."
            found.append(_wrong(table, field.column, problem, hint, "E005"))
    return found


def _actual_columns(connection, table: str) -> dict:
    """Name -> what the server says of it; None on SQLite, which holds to no width and has one collation."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM pragma_table_xinfo(%s)", [table])
            return dict.fromkeys(name for (name,) in cursor.fetchall())
        return {
            column.name: column for column in connection.introspection.get_table_description(cursor, table)
        }


def _constraints(connection, model) -> list[Error]:
    table = model._meta.db_table
    wanted = [constraint for constraint in model._meta.constraints if isinstance(constraint, CheckConstraint)]
    present = _constraint_names(connection, table)
    found = []
    for constraint in wanted:
        if constraint.name not in present:
            odd = model.objects.exclude(constraint.condition)
            rows = ", ".join(str(row) for row in odd.order_by("pk")[:5]) or "none so far"
            found.append(
                Error(
                    f"The constraint {constraint.name} of the table {table} is missing. Rows out of form: {rows}.",
                    hint="Correct these rows, then add the constraint again (manage.py sqlmigrate shows it).",
                    id="mailpanel.E006",
                )
            )
    return found


def _constraint_names(connection, table: str) -> str | dict:
    """Something in which the name of each constraint is found."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":  # Django's introspection does not read a GLOB there
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = %s", [table])
            return cursor.fetchone()[0]
        return connection.introspection.get_constraints(cursor, table)


def _wrong(table: str, column: str, problem: str, hint: str, number: str) -> Error:
    return Error(f"The column {table}.{column} {problem}.", hint=hint, id=f"mailpanel.{number}")
