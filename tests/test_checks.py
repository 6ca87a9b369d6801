"""The start is refused where the tables would cut, confuse or hide what they hold."""

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.models import Mailbox
from domains.models import Domain
from mailpanel.checks import tables_as_the_daemons_need_them
from tests.environment import ON_MARIADB


def problems():
    return {error.id: error.msg for error in tables_as_the_daemons_need_them(None, databases=["default"])}


@pytest.fixture
def altered(transactional_db):
    """Run DDL, and undo it by the second statement."""
    undo = []

    def alter(statement, back):
        with connection.cursor() as cursor:
            cursor.execute(statement)
        undo.append(back)

    yield alter
    Mailbox.objects.all().delete()
    with connection.cursor() as cursor:
        for statement in undo:
            cursor.execute(statement)


def test_fresh_tables_are_fine(db):
    assert problems() == {}
    call_command("check", databases=["default"])


@pytest.mark.skipif(not ON_MARIADB, reason="SQLite does not hold to widths and has one collation")
def test_narrow_column(altered):
    altered(
        "ALTER TABLE user MODIFY password VARCHAR(64) NOT NULL",
        "ALTER TABLE user MODIFY password VARCHAR(255) NOT NULL DEFAULT '{CRYPT}!'",
    )
    assert "user.password holds 64 characters and needs 255" in problems()["mailpanel.E004"]


@pytest.mark.skipif(not ON_MARIADB, reason="SQLite does not hold to widths and has one collation")
def test_collation_that_confuses(altered):
    altered(
        "ALTER TABLE alias MODIFY destination VARCHAR(255) COLLATE utf8mb4_unicode_ci NOT NULL",
        "ALTER TABLE alias MODIFY destination VARCHAR(255) COLLATE utf8mb4_nopad_bin NOT NULL",
    )
    assert "alias.destination is in the collation " in problems()["mailpanel.E005"]


@pytest.mark.skipif(not ON_MARIADB, reason="every integer of SQLite has 64 bits")
@pytest.mark.parametrize("was", ["INT NULL", "INT UNSIGNED NULL", "MEDIUMINT NULL"])
def test_column_that_holds_no_large_quota(altered, was):
    """As other panels have it: without strict mode 5 GB would become 2 GB."""
    altered(f"ALTER TABLE user MODIFY quota {was}", "ALTER TABLE user MODIFY quota BIGINT NULL")
    assert "user.quota holds no numbers of 64 bits" in problems()["mailpanel.E007"]


@pytest.mark.skipif(not ON_MARIADB, reason="a setting of the server")
def test_sql_mode_that_cuts(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.sql_mode")
        before = cursor.fetchone()[0]
        cursor.execute("SET GLOBAL sql_mode = ''")
        try:
            assert "strict" in problems()["mailpanel.E002"]
        finally:
            cursor.execute("SET GLOBAL sql_mode = %s", [before])


@pytest.mark.skipif(not ON_MARIADB, reason="SQLite cannot drop a constraint")
def test_missing_constraint_names_the_rows(altered):
    add = next(c for c in Mailbox._meta.constraints if c.name == "user_email_form")
    with connection.schema_editor(collect_sql=True) as editor:
        editor.add_constraint(Mailbox, add)
    altered("ALTER TABLE user DROP CONSTRAINT user_email_form", editor.collected_sql[0].replace("%", "%%"))
    Domain.objects.create(name="a.example")
    Mailbox.objects.bulk_create(
        [Mailbox(email=email, domain_id="a.example") for email in ("User9@A.example", "fine@a.example")]
    )
    problem = problems()["mailpanel.E006"]
    assert "User9@A.example" in problem
    assert "fine@a.example" not in problem
    Mailbox.objects.all().delete()
    Domain.objects.all().delete()
