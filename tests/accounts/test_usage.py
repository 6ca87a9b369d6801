"""What Dovecot writes is joined to the mailboxes, on SQLite from a file of its own."""

import re
import sqlite3
import time

import pytest
from django.db import connection
from django.urls import reverse

from accounts.models import LastLogin, MailboxUsage
from mailpanel.sqlite.base import dovecot_file
from tests import people
from tests.shell import shell


def as_dovecot(*statements):
    """Write past Django, as Dovecot does; Django has its file open read-only."""
    if connection.vendor == "sqlite":
        file = sqlite3.connect(dovecot_file(connection.settings_dict["NAME"]))
        with file:
            for statement in statements:
                file.execute(statement)
        file.close()
    else:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def usage(email, size):
    return f"INSERT INTO mailbox_usage (email, bytes, messages) VALUES ('{email}', {size}, 1)"


def sign_in(email, service, time):
    return f"INSERT INTO last_login (email, service, address, time) VALUES ('{email}', '{service}', '192.0.2.1', {time})"


@pytest.fixture
def world(transactional_db):
    """Committed: within the transaction of a test, SQLite would go on showing the other file as it was."""
    people.settle()
    yield
    as_dovecot("DELETE FROM mailbox_usage", "DELETE FROM last_login")


def test_joined_to_the_mailbox(world, as_):
    email, now = "user1@a.example", int(time.time())
    as_dovecot(
        usage(email, 300 * 2**20),
        sign_in(email, "imap", now + 60),
        sign_in(email, "smtp", now),
        sign_in(email, "pop3", 1_700_000_000),  # by a former owner of the address
    )
    page = as_("dadm_a").get(reverse("domains:domain", args=["a.example"]))
    row = next(row for row in page.context["mailboxes"] if row.email == email)
    assert (row.usage.bytes, row.last_sign_in.service_name) == (300 * 2**20, "IMAP")
    assert "<b>300 MB</b> of 1 GB" in page.content.decode()
    assert {login.mailbox for login in LastLogin.objects.all()} == {people.find("user1")}
    own = as_("user1").get("/").content.decode()
    assert "300 MB" in own
    assert "POP3" not in own


def test_odd_values_are_shown(world, as_):
    """Whatever stands there, the page stands too."""
    as_dovecot(usage("user1@a.example", -5), usage("user2@a.example", 10**18), usage("gone@a.example", 7))
    page = as_("dadm_a").get(reverse("domains:domain", args=["a.example"])).content.decode()
    assert "<b>0 B</b> of 1 GB" in page
    for email in ("user1@a.example", "user2@a.example", "user9@a.example"):
        assert as_("dadm_a").get(reverse("accounts:mailbox", args=[email])).status_code == 200
    assert MailboxUsage.objects.count() == 3


def test_quota_below_what_is_in_use_is_set_only_knowingly(world, as_):
    as_dovecot(usage("user1@a.example", 900 * 2**20))
    url, client = reverse("accounts:mailbox_edit", args=["user1@a.example"]), as_("dadm_a")
    page = client.get(url).content.decode()
    assert "900 MB are in use." in page
    assert 'name="full"' not in page
    seen = re.search(r'name="seen" value="([^"]*)"', page)[1]
    data = {"seen": seen, "name": "", "quota": "500 MB", "enabled": "on", "can_login": "on"}
    page = client.post(url, data).content.decode()
    assert "900 MB are in the mailbox, more than this quota." in page
    assert 'name="full"' in page
    assert people.find("user1").quota == 2**30
    assert client.post(url, data | {"full": "on"}).status_code == 302
    assert people.find("user1").quota == 500 * 2**20
    assert "<b>900 MB</b> of 500 MB" in client.get("/domains/a.example/").content.decode()
    # what is above it already is no reason to ask again; unlimited is no limit
    page = client.get(url).content.decode()
    seen = re.search(r'name="seen" value="([^"]*)"', page)[1]
    assert client.post(url, data | {"seen": seen, "name": "Una"}).status_code == 302
    assert client.post(url, data | {"seen": seen, "name": "Una", "quota": ""}).status_code in (200, 302)
    told = shell("mailbox", "set", "user1@a.example", "--quota", "500M")
    assert "900 MB are in it, more than its quota" in told.out


def test_django_cannot_write_dovecots_file(world):
    if connection.vendor != "sqlite":
        pytest.skip("one database on MariaDB")
    with connection.cursor() as cursor, pytest.raises(Exception, match="readonly"):
        cursor.execute("INSERT INTO dovecot.mailbox_usage (email) VALUES ('x@a.example')")
