"""Who is on a blocklist stays outside, and hears by which one; our own people, and those whom the operator lets in, do not."""

import time

import pytest

from accounts.models import Mailbox
from domains.models import Domain
from tests.stack.private import quick_hash

pytestmark = pytest.mark.once

PASSWORD = "seven quiet herons"
ANNA = "anna@door.test"
LISTED, TEXT = "127.0.88.9", "Junk was seen from here; see https://list.example/127.0.88.9"


@pytest.fixture(scope="module")
def people(_outside, django_db_blocker):
    with django_db_blocker.unblock(), _outside.private.orm():
        Domain.objects.create(name="door.test")
        Mailbox.objects.create(email=ANNA, domain_id="door.test", password=quick_hash(PASSWORD))
        Domain.objects.get_or_create(name="example.test")
        Mailbox.objects.update_or_create(
            email="postmaster@example.test", defaults={"domain_id": "example.test", "enabled": True}
        )


@pytest.fixture
def private(people, outside):
    return outside.private


@pytest.fixture
def listed(outside):
    """listed(client, answer): what the first list says of it; the address is new to the server, which remembers."""

    def says(client: str, answer, text: str = "", zone: str = "list.example") -> str:
        name = ".".join(reversed(client.split("."))) + f".{zone}."
        outside.records[(name, "A")] = answer
        if text:
            outside.records[(name, "TXT")] = [f'"{text}"']
        return client

    return says


def test_refused_by_name_and_in_the_words_of_the_list(mail, listed):
    client = listed(LISTED, ["127.0.0.2"], TEXT)
    assert mail.rcpt(ANNA, source=client) == 554
    said = mail.reply.decode()
    assert f"[{LISTED}] is on the blocklist list.example ({TEXT})." in said
    assert "postmaster@mail.example.test still takes your mail" in said


def test_without_words_of_its_own(mail, listed):
    assert mail.rcpt(ANNA, source=listed("127.0.88.10", ["127.0.0.4"], zone="second.example")) == 554
    assert b"is on the blocklist second.example." in mail.reply


def test_the_key_to_a_list_that_is_paid_for_is_not_told(mail, listed, private):
    key, before = "0123456789abcdef0123456789", len(private.log("postfix"))
    assert (
        mail.rcpt(ANNA, source=listed("127.0.88.13", ["127.0.0.2"], "Junk.", f"{key}.zen.keyed.example"))
        == 554
    )
    assert b"is on the blocklist zen.keyed.example (Junk.). Ask there" in mail.reply
    assert key not in private.log("postfix")[before:]


def test_who_is_on_none_comes_in(mail, outside):
    assert mail.rcpt(ANNA, source="127.0.88.11") == 250
    asked = {name for name, _kind in outside.nameserver.asked}
    assert {"11.88.0.127.list.example.", "11.88.0.127.second.example."} <= asked


def test_who_is_listed_can_still_ask_why(mail, listed):
    """As the refusal says; but that opens no way to anybody else."""
    client = listed("127.0.88.12", ["127.0.0.2"])
    for address in ("postmaster@door.test", "postmaster@mail.example.test", "postmaster"):
        assert mail.rcpt(address, source=client) == 250
    with mail.smtp(source=client) as connection:
        connection.mail("stranger@elsewhere.example.net")
        assert connection.rcpt("postmaster@door.test")[0] == 250
        assert connection.rcpt(ANNA)[0] == 554
        assert connection.rcpt("postmaster@other.example")[0] == 554


def test_who_may_send_with_our_addresses(mail):
    """A service that sends the newsletter: named in MAILPANEL_SENDERS_FROM, and let through no more than others."""
    assert mail.rcpt(ANNA, sender=ANNA, source="127.0.78.5") == 250
    assert mail.rcpt(ANNA, sender=ANNA, source="127.0.79.5") == 553
    assert mail.rcpt("anna@other.example", sender=ANNA, source="127.0.78.5") == 554


@pytest.mark.parametrize("code", ["127.0.0.10", "127.0.0.11"])
def test_a_dialled_up_line_may_submit_and_not_deliver(mail, listed, monkeypatch, code):
    """The policy lists hold the addresses of people at home: among them, our own."""
    client = listed(f"127.0.88.{30 + int(code[-2:])}", [code])
    assert mail.rcpt(ANNA, source=client) == 554
    monkeypatch.setattr("tests.stack.mail.addresses", iter([client, client]))
    for door in ("submission", "smtps"):
        with getattr(mail, door)(ANNA, PASSWORD) as connection:
            assert connection.sock.getsockname()[0] == client
            assert connection.mail(ANNA)[0] == 250
            assert connection.rcpt(ANNA)[0] == 250


@pytest.mark.parametrize(
    ("number", "code", "zone"),
    [
        (51, "127.255.255.254", "list.example"), (52, "127.255.255.252", "list.example"), (53, "127.0.0.1", "list.example"),
        (54, "127.0.1.2", "second.example"), (55, "127.0.0.12", "second.example"), (56, "198.51.100.7", "list.example"),
    ],
)  # fmt: skip
def test_what_is_no_listing(mail, listed, number, code, zone):
    """That the list does not answer our resolver, or that its domain was sold and answers everything."""
    assert mail.rcpt(ANNA, source=listed(f"127.0.88.{number}", [code], zone=zone)) == 250


@pytest.mark.parametrize(("number", "trouble"), [(61, "SERVFAIL"), (62, "GARBAGE"), (63, "SILENCE")])
def test_a_list_in_trouble_refuses_nobody(mail, listed, number, trouble):
    begin = time.monotonic()
    assert mail.rcpt(ANNA, source=listed(f"127.0.88.{number}", trouble)) == 250
    # resolv.conf says one second, twice
    assert time.monotonic() - begin < 20


def test_who_is_let_in_whatever_the_lists_say(mail, listed, outside):
    assert mail.rcpt(ANNA, source=listed("127.0.77.5", ["127.0.0.2"])) == 250
    assert "5.77.0.127.list.example." not in {name for name, _kind in outside.nameserver.asked}
    assert mail.rcpt("anna@other.example", source="127.0.77.5") == 554  # let in, not let through
