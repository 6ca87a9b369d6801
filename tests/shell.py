"""The operators' commands, as a test runs them: in this process, or as a process of their own."""

import io
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.management.commands.demo_data import as_dovecot
from accounts.models import Audit, Mailbox, Role, Sender, Trash
from domains.models import Alias, Domain

MANAGE = Path(__file__).parent.parent / "manage.py"


class Output(NamedTuple):
    out: str
    err: str


def shell(*argv: str, stdin: bytes | str = b"") -> Output:
    """What the command printed. CommandError where it would have ended with another code than 0."""
    out, err = io.StringIO(), io.StringIO()
    with standard_input(stdin):
        call_command(*argv, stdout=out, stderr=err)
    return Output(out.getvalue(), err.getvalue())


@contextmanager
def standard_input(content: bytes | str):
    content = content.encode() if isinstance(content, str) else content
    with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(content))):
        yield


def refused(*argv: str, stdin: bytes | str = b"", code: int = 1) -> str:
    """The reason of a command that has to end with this code and to leave every table as it was."""
    before = held()
    with pytest.raises(CommandError) as caught:
        shell(*argv, stdin=stdin)
    assert caught.value.returncode == code
    assert held() == before
    return str(caught.value)


def held() -> dict:
    """Every row that a command could change."""
    tables = (Domain, Mailbox, Alias, Role, Sender, Audit, Trash)
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in tables}


def process(*argv: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess:
    """The command on the database of this test, which has to have committed its rows."""
    return subprocess.run(
        [sys.executable, MANAGE, *argv],
        input=stdin,
        capture_output=True,
        env=os.environ | {"MAILPANEL_DATABASE_URL": database_url()} | environment,
        timeout=60,
        check=False,
    )


def database_url() -> str:
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    socket = quote(values["OPTIONS"]["unix_socket"], safe="")
    return f"mysql://{values['USER']}@localhost/{values['NAME']}?unix_socket={socket}"


def counters(name: str) -> tuple[int, int, int]:
    """(mailboxes, alias destinations, bytes promised), as the row of the domain says."""
    return Domain.objects.values_list("mailbox_count", "alias_count", "quota_given").get(name=name)


def audited() -> list[tuple]:
    """(actor's kind, action, kind, name) of each audit row, the first first."""
    rows = Audit.objects.order_by("pk").values_list("actor", "action", "kind", "name")
    return [(actor.partition(":")[0], *rest) for actor, *rest in rows]


def forget_what_dovecot_wrote() -> None:
    """What as_dovecot() put there: no test's transaction takes that back."""
    as_dovecot("DELETE FROM mailbox_usage WHERE email <> %s", [("",)])
    as_dovecot("DELETE FROM last_login WHERE email <> %s", [("",)])
