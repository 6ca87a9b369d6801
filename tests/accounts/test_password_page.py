"""The own password: the current one is asked for, the policy speaks, nothing is saved by half."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts import passwords
from accounts.models import Audit, Mailbox
from tests.people import PASSWORD, find

URL = "/password/"
NEW = "four violet anvils"


def test_change(world, as_):
    client, elsewhere = as_("user1"), Client()
    elsewhere.force_login(find("user1"), backend="accounts.authentication.MailboxBackend")
    answer = client.post(URL, {"current": PASSWORD, "new": NEW}, follow=True)
    mailbox = find("user1")
    assert passwords.verify(NEW, mailbox.password)
    assert not passwords.verify(PASSWORD, mailbox.password)
    assert mailbox.password_changed is not None
    assert client.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302
    # no Dovecot is connected in this test, and the page says so instead of promising
    assert "No Dovecot is connected" in answer.content.decode()
    row = Audit.objects.get()
    assert (row.actor, row.action, row.name) == ("user1@a.example", "password", "user1@a.example")
    assert NEW not in str(Audit.objects.values())


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"new": NEW}, "current"),
        ({"current": "", "new": NEW}, "current"),
        ({"current": "wrong", "new": NEW}, "current"),
        ({"current": PASSWORD}, "new"),
        ({"current": PASSWORD, "new": "short"}, "new"),
        ({"current": PASSWORD, "new": PASSWORD}, "new"),
        ({"current": PASSWORD, "new": " " * 14}, "new"),
        ({"current": PASSWORD, "new": "\u00a0" * 14}, "new"),
        ({"current": PASSWORD, "new": "\u200b" * 14}, "new"),
        ({"current": PASSWORD, "new": "user1@a.example"}, "new"),
        ({"current": PASSWORD, "new": "a.example2026"}, "new"),
        ({"current": PASSWORD, "new": "1qaz2wsx3edc"}, "new"),
        ({"current": PASSWORD, "new": "x" * 10_000}, "new"),
        ({"current": PASSWORD, "new": "abc\x00defgh123456"}, "new"),
    ],
)
def test_refused(world, as_, data, field):
    client = as_("user1")
    before = find("user1").password
    answer = client.post(URL, data)
    assert answer.status_code == 200
    assert answer.context["form"].errors.keys() >= {field}
    assert find("user1").password == before
    assert client.get("/").status_code == 200
    assert not Audit.objects.exists()
    assert NEW.encode() not in answer.content


def test_scheme_text_is_just_text(world, as_):
    as_("user1").post(URL, {"current": PASSWORD, "new": "{PLAIN}hunter2hunter2"})
    stored = find("user1").password
    assert stored.startswith("{ARGON2ID}")
    assert passwords.verify("{PLAIN}hunter2hunter2", stored)
    assert not passwords.verify("hunter2hunter2", stored)


def test_bcrypt_refuses_what_it_would_cut(world, as_, settings):
    settings.MAILPANEL_PASSWORD_SCHEME = "BLF-CRYPT"
    client = as_("user1")
    long = "seventy-three bytes are too many for bcrypt, which reads only the first 72"
    answer = client.post(URL, {"current": PASSWORD, "new": long})
    assert "72" in " ".join(answer.context["form"].errors["new"])
    assert client.post(URL, {"current": PASSWORD, "new": long[:60]}).status_code == 302
    assert find("user1").password.startswith("{BLF-CRYPT}")


def test_strength_is_told_while_typing(world, as_):
    client = as_("user1")
    weak = client.post(reverse("accounts:password_strength"), {"new": "aaaaaaaaaaaa"})
    strong = client.post(reverse("accounts:password_strength"), {"new": "four violet anvils hum"})
    assert 'value="4"' in strong.content.decode()
    assert 'value="4"' not in weak.content.decode()
    assert b"four violet" not in strong.content
    assert not Audit.objects.exists()


def test_the_session_of_the_page_needs_the_current_row(world, as_):
    client = as_("user1")
    Mailbox.objects.filter(email="user1@a.example").update(enabled=False)
    assert client.post(URL, {"current": PASSWORD, "new": NEW}).status_code == 302
    assert not passwords.verify(NEW, find("user1").password)
