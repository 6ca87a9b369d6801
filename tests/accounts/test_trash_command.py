import json
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Audit, Mailbox, Trash
from domains.models import Alias
from tests.shell import refused, shell

pytestmark = pytest.mark.usefixtures("world")


def test_list_and_restore(dovecot):
    shell("mailbox", "delete", "user1@a.example", "--yes")
    shell("alias", "delete", "secret@b.example")
    listed = json.loads(shell("trash", "list", "--json").out)
    assert [(row["name"], row["kind"]) for row in listed] == [
        ("secret@b.example", "alias"),
        ("user1@a.example", "mailbox"),
    ]
    told = shell("trash", "list", "--search", "SECRET").out
    assert "secret@b.example" in told
    assert "user1" not in told
    assert shell("trash", "restore", "User1@A.example").out == "user1@a.example is back.\n"
    assert Mailbox.objects.filter(email="user1@a.example").exists()
    shell("trash", "restore", "secret@b.example")
    assert Alias.objects.filter(source="secret@b.example").exists()
    assert shell("trash", "list", "--json").out.strip() == "[]"
    assert Audit.objects.filter(action="restore", actor__startswith="shell:").count() == 2


def test_what_is_not_there_is_told():
    assert refused("trash", "restore", "nobody@a.example") == (
        "There is nothing of the name nobody@a.example in the trash."
    )
    assert refused("trash", "restore", "user1@a.example").startswith("There is nothing")


def test_purge(dovecot):
    shell("alias", "delete", "info@a.example")
    assert shell("trash", "purge").out == "0 deletions are ended for good.\n"
    Trash.objects.update(at=timezone.now() - timedelta(days=31))
    assert json.loads(shell("trash", "purge", "--json").out) == {"purged": 1}
    assert not Trash.objects.exists()


def test_purge_without_dovecot():
    shell("mailbox", "delete", "user1@a.example", "--yes")
    Trash.objects.update(at=timezone.now() - timedelta(days=31))
    assert "stays in the trash; run this again" in refused("trash", "purge")
    assert Trash.objects.filter(name="user1@a.example").exists()
