"""Mail to other servers: found by their names in the DNS, tried again, encrypted where they can, and returned in words."""

import re

import dkim as verifier
import pytest

from accounts import audit
from accounts.models import Mailbox
from domains import dkim, records
from domains.models import DkimKey, Domain
from tests.stack.mail import eventually
from tests.stack.next_hop import NextHop
from tests.stack.private import quick_hash
from tests.stack.world import OTHER

PASSWORD = "seven quiet herons"
ANNA, BEN = "anna@sends.test", "ben@sends.test"
BY = audit.By("root1@sends.test")


@pytest.fixture(scope="module")
def people(_outside, django_db_blocker):
    with django_db_blocker.unblock(), _outside.private.orm():
        Domain.objects.create(name="sends.test")
        for email in (ANNA, BEN):
            Mailbox.objects.create(email=email, domain_id="sends.test", password=quick_hash(PASSWORD))


@pytest.fixture
def private(people, outside):
    return outside.private


@pytest.fixture
def send(mail):
    """send(to): by Anna's mail program; the subject."""

    def by_anna(to: str) -> str:
        return mail.deliver(to, sender=ANNA, client=mail.submission(ANNA, PASSWORD))

    return by_anna


@pytest.fixture
def bounce(mail):
    """bounce(subject): the text of what came back to Anna about it, and not to anybody else."""

    def text(subject: str) -> str:
        with mail.imaps(ANNA, PASSWORD) as client:
            assert eventually(lambda: _about(client, subject))
            (found,) = _about(client, subject)
        with mail.imaps(BEN, PASSWORD) as client:
            assert _about(client, subject) == []
        return found

    return text


def _about(client, subject: str) -> list[str]:
    """What a mail server wrote about the message of that subject."""
    client.select("INBOX", readonly=True)
    numbers = client.search(None, "FROM", "MAILER-DAEMON", "TEXT", f'"{subject}"')[1][0].split()
    return [client.fetch(number, "(BODY.PEEK[])")[1][0][1].decode() for number in numbers]


@pytest.fixture
def servers():
    """servers(address): a small server at port 25 of it that knows somebody@all.example."""
    started = []

    def start(address: str) -> NextHop:
        started.append(NextHop((address, 25)))
        started[-1].knows = {"somebody@all.example"}
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_to_the_server_that_the_domain_names(send, outside):
    text = outside.other.message(send("anna@other.example"))
    assert text.startswith(f"Return-Path: <{ANNA}>\n")
    assert "using TLSv1.3" in text  # as the other server saw it


def test_filtered_and_signed_on_its_way(send, outside, private):
    """From the sign-in through the filter to another server, whose check of the signature would pass."""
    domain = Domain.objects.get(name="sends.test")
    dkim.let_sign(dkim.make(domain, "first", by=BY), by=BY)
    text = outside.other.message(send("anna@other.example"))
    assert "\nX-Virus-Scanned: " in text
    record = records.of_key(DkimKey.objects.get(domain=domain)).value.encode()
    asked = []

    def answer(name, timeout=5):
        asked.append(name)
        return record

    assert verifier.verify(text.replace("\n", "\r\n").encode(), dnsfunc=answer)
    assert asked == [b"first._domainkey.sends.test."]


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r.\r", b"\r\n.\r", b"\n.\r", b"\r.\n", b"a\rb\nc\r\rd"], ids=repr
)  # fmt: skip
def test_nothing_odd_leaves(outside, servers, mail, end):
    """Another server that takes less for the end of a message would find a second one in it, from us and in any name."""
    outside.records[("all.example.", "A")] = ["127.0.3.9"]
    server = servers("127.0.3.9")
    with mail.submission(ANNA, PASSWORD) as client:
        client.mail(ANNA)
        client.rcpt("somebody@all.example")
        client.docmd("DATA")
        client.send(b"Subject: outer\r\n\r\nouter" + end + b"MAIL FROM:<ceo@all.example>\r\nx\ry\r\n.\r\n")
        assert client.getreply()[0] == 250
    assert eventually(lambda: server.messages)
    assert mail.settled()
    (message,) = server.messages
    assert "MAIL FROM:<ceo@all.example>" in message
    assert re.findall(r"(?<!\r)\n|\r(?!\n)", message) == []
    assert not re.search(r"^\.\r$", message, re.MULTILINE)


def test_the_best_server_first_then_the_next_one(send, outside, servers, mail):
    outside.records |= {
        ("all.example.", "MX"): ["20 second.all.example.", "10 first.all.example.", "30 third.all.example."],
        ("first.all.example.", "A"): ["127.0.3.1"],
        ("second.all.example.", "A"): ["127.0.3.2"],
        ("third.all.example.", "A"): ["127.0.3.3"],
    }
    second, third = servers("127.0.3.2"), servers("127.0.3.3")
    send("somebody@all.example")
    assert eventually(lambda: second.messages)  # the first one is down
    first = servers("127.0.3.1")
    send("somebody@all.example")
    assert eventually(lambda: first.messages)
    assert mail.settled()
    assert [len(server.messages) for server in (first, second, third)] == [1, 1, 0]


def test_a_domain_without_mx_has_mail_at_its_address(send, outside, servers):
    outside.records[("all.example.", "A")] = ["127.0.3.4"]
    server = servers("127.0.3.4")
    send("somebody@all.example")
    assert eventually(lambda: server.messages)  # and in clear, since that server knows no TLS


@pytest.mark.parametrize(
    ("records", "code", "words"),
    [
        ({("null.example.", "MX"): ["0 ."], ("null.example.", "A"): ["127.0.3.5"]}, 556, "does not accept mail"),
        ({}, 550, "Domain not found"),
    ],
)  # fmt: skip
def test_a_slip_of_the_pen_is_told_at_once(outside, mail, records, code, words):
    outside.records |= records
    with mail.submission(ANNA, PASSWORD) as client:
        client.mail(ANNA)
        said = client.rcpt("somebody@null.example")
        assert (said[0], words in said[1].decode()) == (code, True), said
        assert client.rcpt("anna@other.example")[0] == 250  # the others can still be written to


def test_a_domain_that_takes_no_mail_any_more_is_not_tried_for_days(outside, mail, bounce):
    """It came to that after the message was taken; or the message came from a program of this machine."""
    outside.records[("null.example.", "MX")] = ["0 ."]
    outside.records[("null.example.", "A")] = ["127.0.3.5"]
    subject = mail.deliver("somebody@null.example", sender=ANNA, client=mail.smtp(source="127.0.0.2"))
    text = bounce(subject)
    assert "does not accept mail" in text


def test_waits_while_the_other_server_is_down(send, outside, servers, mail, private):
    outside.records |= {
        ("all.example.", "MX"): ["10 late.all.example."],
        ("late.all.example.", "A"): ["127.0.3.6"],
    }
    send("somebody@all.example")
    assert eventually(lambda: "127.0.3.6]:25: Connection refused" in private.log("postfix"))
    assert mail.queue() == 1
    server = servers("127.0.3.6")
    outside.retry()
    assert eventually(lambda: server.messages)
    assert mail.settled()


@pytest.mark.parametrize("trouble", ["SERVFAIL", "SILENCE"])
def test_waits_while_the_resolver_is_in_trouble(outside, mail, private, trouble):
    """Nothing is returned for it."""
    outside.records[("other.example.", "MX")] = trouble
    before = len(private.log("postfix"))
    subject = mail.deliver("anna@other.example", sender=ANNA, client=mail.smtp(source="127.0.0.2"))
    assert eventually(lambda: "status=deferred" in private.log("postfix")[before:])
    assert "status=bounced" not in private.log("postfix")[before:]
    outside.records[("other.example.", "MX")] = [f"10 {OTHER}."]
    outside.retry()
    assert outside.other.message(subject)


def test_returned_with_words(send, bounce):
    text = bounce(send("refused@other.example"))
    assert "Subject: Not delivered: your message has come back" in text
    assert "charset=utf-8" in text
    assert "will not be tried again" in text
    assert "no such person" in text  # the other server's own
    assert "<refused@other.example>" in text
    assert "To: anna@sends.test" in text


def test_returned_by_the_other_server(send, bounce):
    assert "unknown user" in bounce(send("nobody@other.example"))


def test_a_domain_that_names_us_and_is_not_ours(outside, mail, bounce):
    outside.records[("gone.example.", "MX")] = ["10 mail.example.test."]
    subject = mail.deliver("somebody@gone.example", sender=ANNA, client=mail.smtp(source="127.0.0.2"))
    assert "loops back to myself" in bounce(subject)


def test_strangers_still_cannot_relay(outside, mail):
    assert mail.rcpt("anna@other.example") == 554
    with mail.submission() as client:
        assert client.mail(ANNA)[0] in (530, 553)
