"""Limits on how much one client does: they bite with 421 and 450, and everybody else gets through."""

import itertools
import smtplib
import subprocess
from contextlib import ExitStack

import pytest

from accounts.models import Mailbox
from domains.models import Domain
from tests.stack.mail import eventually
from tests.stack.private import quick_hash

pytestmark = pytest.mark.once

FRIEND = "127.0.0.2"  # of mynetworks
USER, PASSWORD = "anvil@anvil.example", "seven quiet herons"
clients = (f"127.44.{a}.{b}" for a in itertools.count(1) for b in range(1, 255))
# tighter than any test that runs beside could bear, so each limit alone and for its test only
LOOSE = {
    "smtpd_client_connection_count_limit": "50", "smtpd_client_connection_rate_limit": "0",
    "smtpd_client_new_tls_session_rate_limit": "0", "smtpd_client_message_rate_limit": "0",
    "smtpd_client_recipient_rate_limit": "0", "smtpd_client_auth_rate_limit": "0",
}  # fmt: skip


@pytest.fixture
def limit(private, mail):
    """limit(name): this one limit is 3, and no other."""
    main = private.etc / "postfix" / "main.cf"
    before = main.read_text()

    def at_three(name: str):
        settings = LOOSE | {name: "3"}
        others = [line for line in before.splitlines(keepends=True) if line.split(" ")[0] not in settings]
        main.write_text("".join(others) + "".join(f"{key} = {value}\n" for key, value in settings.items()))
        reload()

    def reload():
        subprocess.run(["postfix", "-c", main.parent, "reload"], check=True, stderr=subprocess.DEVNULL)

    yield at_three
    main.write_text(before)
    reload()


@pytest.fixture
def inbox(private):
    Domain.objects.get_or_create(name="anvil.example")
    Mailbox.objects.get_or_create(
        email=USER, defaults={"domain_id": "anvil.example", "password": quick_hash(PASSWORD)}
    )
    return USER


def connect(mail, source, port="smtp"):
    return mail.smtp(port, source=source)


def bites(tries) -> int:
    """The code at which it ends; 0 if it never does. `tries` gives the codes of one client."""
    return next((code for code in tries if code >= 400), 0)


def at_once(mail, source):
    """As many connections as are let in, up to five."""
    with ExitStack() as open_ones:
        for _number in range(5):
            yield _greeted(lambda: open_ones.enter_context(connect(mail, source)))


def one_after_the_other(mail, source):
    for _number in range(5):
        yield _greeted(lambda: connect(mail, source).quit())


def with_tls(mail, source):
    for _number in range(5):
        yield _greeted(lambda: mail.smtp(source=source, tls=True).quit())


def messages(mail, source):
    with connect(mail, source) as client:
        for _number in range(5):
            yield client.mail("stranger@elsewhere.example.net")[0]
            client.rset()


def recipients(mail, source):
    with connect(mail, source) as client:
        client.mail("stranger@elsewhere.example.net")
        for _number in range(5):
            yield client.rcpt(USER)[0]


def sign_ins(mail, source):
    for _number in range(5):
        with mail.smtp("submission", source=source, tls=True) as client:
            try:
                yield client.login(USER, PASSWORD)[0]
            except smtplib.SMTPAuthenticationError as error:
                yield error.smtp_code


def _greeted(begin) -> int:
    try:
        begin()
        return 220
    except smtplib.SMTPServerDisconnected:
        return 421
    except smtplib.SMTPResponseException as error:
        return error.smtp_code


@pytest.mark.parametrize(
    ("name", "what", "code"),
    [
        ("connection_count", at_once, 421), ("connection_rate", one_after_the_other, 421),
        ("new_tls_session_rate", with_tls, 421), ("message_rate", messages, 450), ("recipient_rate", recipients, 450),
        ("auth_rate", sign_ins, 450),
    ],
)  # fmt: skip
def test_a_limit_bites_one_client_and_nobody_else(limit, mail, inbox, name, what, code):
    limit(f"smtpd_client_{name}_limit")
    # Postfix has read it as soon as a client is stopped by it; each try is a client that is not counted yet
    assert eventually(lambda: bites(what(mail, next(clients))) == code)
    assert bites(itertools.islice(what(mail, next(clients)), 2)) == 0
    assert bites(what(mail, FRIEND)) == 0
    assert mail.rcpt(USER, source=next(clients)) == 250


def test_an_ordinary_client_meets_none_of_them(mail, inbox):
    """As rendered: twenty messages in a row, at once and by TLS."""
    source = next(clients)
    with mail.smtp(source=source, tls=True) as client:
        for _number in range(20):
            assert client.mail("stranger@elsewhere.example.net")[0] == 250
            assert client.rcpt(USER)[0] == 250
            client.rset()
