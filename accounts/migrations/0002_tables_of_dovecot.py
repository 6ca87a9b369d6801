"""The two tables that Dovecot writes. On SQLite they live in a file of their own, which the database backend makes."""

from django.db import migrations

TABLES = {
    "mailbox_usage": "email VARCHAR(255) COLLATE utf8mb4_nopad_bin NOT NULL PRIMARY KEY, "
    "bytes BIGINT NOT NULL DEFAULT 0, messages BIGINT NOT NULL DEFAULT 0",
    # The address is part of the key: ON DUPLICATE KEY UPDATE touches the time alone, so it would keep the first one.
    "last_login": "email VARCHAR(255) COLLATE utf8mb4_nopad_bin NOT NULL, service VARCHAR(16) NOT NULL, "
    "address VARCHAR(45) NOT NULL, time BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (email, service, address)",
}


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "mysql":
        for table, columns in TABLES.items():
            schema_editor.execute(f"CREATE TABLE {table} ({columns}) CHARACTER SET utf8mb4")


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "mysql":
        for table in TABLES:
            schema_editor.execute(f"DROP TABLE {table}")


class Migration(migrations.Migration):
    atomic = False  # MariaDB commits each CREATE TABLE by itself
    dependencies = [("accounts", "0001_tables")]
    operations = [migrations.RunPython(make, drop)]
