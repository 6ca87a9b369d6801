"""What people see when something is away or wrong: a sentence, never a traceback, and nothing half done."""

import sqlite3
import threading
import time

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse

from accounts import lifecycle
from accounts.models import Audit, Mailbox
from tests import people
from tests.environment import ON_MARIADB


@pytest.fixture
def committed(transactional_db):
    people.settle()


@pytest.fixture
def browser(committed):
    """A client that gets the error page, as a browser does."""
    client = Client(raise_request_exception=False)
    client.force_login(people.find("dadm_a"), backend="accounts.authentication.MailboxBackend")
    client.get("/")
    return client


NEW = {"local": "fresh", "how": "none", "name": "", "quota": ""}
URL = "/domains/a.example/mailboxes/new/"


def is_friendly(answer):
    page = answer.content.decode()
    assert answer.status_code == 503
    assert answer["Retry-After"] == "10"
    assert "cannot reach its database" in page
    assert "Traceback" not in page
    assert "OperationalError" not in page
    return True


@pytest.mark.skipif(ON_MARIADB, reason="SQLite's lock")
def test_sqlite_locked_for_a_moment_is_waited_for(browser):
    other = sqlite3.connect(connection.settings_dict["NAME"], check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(1.5, lambda: other.execute("ROLLBACK"))
    timer.start()
    answer = browser.post(URL, NEW)
    timer.join()
    other.close()
    assert answer.status_code == 302
    assert Mailbox.objects.filter(email="fresh@a.example").exists()


@pytest.mark.skipif(ON_MARIADB, reason="SQLite's lock")
def test_sqlite_locked_for_long_is_told(browser):
    connection.ensure_connection()
    connection.connection.execute("PRAGMA busy_timeout = 300")
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = browser.post(URL, NEW)
    assert is_friendly(answer)
    assert "Nothing was saved" in answer.content.decode()
    assert browser.get("/domains/a.example/").status_code == 200  # reading goes on meanwhile
    other.execute("ROLLBACK")
    other.close()
    assert not Mailbox.objects.filter(email="fresh@a.example").exists()
    connection.close()
    assert browser.post(URL, NEW).status_code == 302


@pytest.mark.skipif(not ON_MARIADB, reason="a server that goes away")
def test_mariadb_away_and_back(browser):
    from tests.environment import SERVER

    SERVER.stop()
    try:
        begin = time.monotonic()
        assert is_friendly(browser.post(URL, NEW))
        assert is_friendly(browser.get("/"))
        assert time.monotonic() - begin < 10
    finally:
        SERVER.start()
        connection.close()  # a server does so between requests; the test client does not
    assert browser.get("/").status_code == 200
    assert not Mailbox.objects.filter(email="fresh@a.example").exists()
    assert browser.post(URL, NEW).status_code == 302
    assert Audit.objects.filter(action="create").count() == 1


@pytest.mark.skipif(not ON_MARIADB, reason="a row lock")
def test_row_locked_by_somebody_is_told_within_seconds(browser):
    from tests.environment import SERVER

    other = SERVER.connect(connection.settings_dict["NAME"])
    other.cursor().execute("UPDATE user SET name = 'held' WHERE email = 'user1@a.example'")
    begin = time.monotonic()
    url = reverse("accounts:mailbox_edit", args=["user1@a.example"])
    answer = browser.post(url, {"name": "New", "quota": "", "enabled": "on", "can_login": "on"})
    assert is_friendly(answer)
    assert time.monotonic() - begin < 8
    other.rollback()
    other.close()
    assert people.find("user1").name == "user1"


def test_error_in_the_middle_undoes_all(browser, monkeypatch):
    def fail(*args, **kwargs):
        raise OperationalError(2013, "Lost connection during query")

    with monkeypatch.context() as patched:
        patched.setattr(lifecycle.audit, "record", fail)
        assert is_friendly(browser.post(URL, NEW))
    assert not Mailbox.objects.filter(email="fresh@a.example").exists()
    from domains.models import Domain

    assert (
        Domain.objects.get(name="a.example").mailbox_count
        == Mailbox.objects.filter(domain="a.example").count()
    )


def test_any_other_error_is_a_plain_page(browser, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("secret-detail")

    monkeypatch.setattr(lifecycle, "open_mailbox", fail)
    answer = browser.post(URL, NEW)
    assert answer.status_code == 500
    assert "Something broke in the panel" in answer.content.decode()
    assert "secret-detail" not in answer.content.decode()


@pytest.mark.parametrize(
    "path", ["/nope/", "/.git/HEAD", "/static/../settings.py", "/__debug__/", "/admin/", "/mailboxes/%00/"]
)
def test_no_such_page(browser, path):
    answer = browser.get(path)
    assert answer.status_code == 404
    assert "Nothing here" in answer.content.decode()


def test_headers_of_every_answer(browser, settings):
    for answer in (browser.get("/"), browser.get("/nope/"), Client().get("/sign-in/"), Client().get("/")):
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == "same-origin"
        assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


def test_pages_for_people_are_not_stored(browser):
    for url in ("/", "/mailboxes/", "/password/", "/domains/a.example/", "/mailboxes/user1@a.example/"):
        assert "no-store" in browser.get(url)["Cache-Control"]


def test_dovecot_away_is_said_and_the_change_is_kept(browser, settings):
    settings.MAILPANEL_DOVEADM_URL = "http://127.0.0.1:1"
    url = reverse("accounts:mailbox_state", args=["user1@a.example"])
    page = browser.post(url, {"state": "no-sign-in"}, follow=True).content.decode()
    assert "Dovecot did not answer" in page
    assert people.find("user1").can_login is False
