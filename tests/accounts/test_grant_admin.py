import json

import pytest

from accounts import passwords
from accounts.models import Audit, Mailbox
from tests.people import find
from tests.shell import refused, shell

pytestmark = pytest.mark.usefixtures("world")


@pytest.mark.parametrize(
    "argv",
    [
        ["mailbox", "set", "chief@a.example", "--disable"],
        ["mailbox", "set", "chief@a.example", "--no-login"],
        ["mailbox", "delete", "chief@a.example", "--yes"],
        ["domain", "set", "a.example", "--disable"],
        ["domain", "delete", "a.example", "--yes"],
        ["grant_admin", "chief@a.example", "--revoke"],
    ],
    ids=" ".join,
)
def test_the_last_server_admin_stays(argv):
    Mailbox.objects.exclude(email="chief@a.example").update(is_superuser=False)
    assert refused(*argv) == "This would leave no server admin who can sign in. Make another one first."


def test_one_of_several_server_admins_may_go():
    shell("mailbox", "delete", "chief@a.example", "--yes")
    shell("grant_admin", "root1@c.example", "--revoke")
    assert list(Mailbox.objects.filter(is_superuser=True).values_list("email", flat=True)) == [
        "root2@c.example"
    ]


def test_grant_admin_is_the_way_back_in(dovecot):
    Mailbox.objects.update(is_superuser=False)
    Mailbox.objects.filter(email="user1@a.example").update(enabled=False, can_login=False)
    assert shell("grant_admin", "user1@a.example") == ("user1@a.example is a server admin.\n", "")
    found = find("user1")
    assert (found.is_superuser, found.is_active) == (True, True)
    [row] = Audit.objects.all()
    assert (row.action, row.name) == ("change", "user1@a.example")
    assert row.after == {"is_superuser": True, "enabled": True, "can_login": True}


def test_grant_admin_says_what_is_missing_still():
    Mailbox.objects.filter(email="user1_off").delete()
    Mailbox.objects.filter(email="user1@off.example").update(password=passwords.UNUSABLE)
    told = json.loads(shell("grant_admin", "user1@off.example", "--json").out)
    assert told == {
        "address": "user1@off.example",
        "server_admin": True,
        "still_missing": [
            "It has no password yet: manage.py mailbox set user1@off.example --password-stdin",
            "off.example is switched off, so nobody there can sign in: manage.py domain set off.example --enable",
        ],
    }


def test_grant_admin_refuses_who_is_not_there():
    assert refused("grant_admin", "nobody@a.example") == "There is no mailbox nobody@a.example here."
    assert "more than one" in refused("grant_admin", "a@b@c.example")
