"""Nothing leaves to a sender whom somebody has forged: whatever is wrong with a message from outside is told while its
sender waits, or nobody is told."""

import base64

import pytest

from accounts.models import Mailbox
from domains.models import Alias, Domain
from mailpanel.daemons import amavis
from mailpanel.daemons.clamav import test_file as eicar
from tests.stack.mail import Line, eventually
from tests.stack.next_hop import NextHop
from tests.stack.private import quick_hash

pytestmark = pytest.mark.once

PASSWORD = "seven quiet herons"
FORGED = "forged@victim.example"
ADDRESS = "127.0.3.30"


@pytest.fixture(scope="module")
def people(_outside, django_db_blocker):
    with django_db_blocker.unblock(), _outside.private.orm():
        Domain.objects.create(name="quiet.test")
        for local, columns in {
            "anna": {}, "full": {"quota": 1}, "off": {"enabled": False}, "mute": {"can_login": False}, "sieve": {},
        }.items():  # fmt: skip
            Mailbox.objects.create(
                email=f"{local}@quiet.test", domain_id="quiet.test", password=quick_hash(PASSWORD), **columns
            )
        for source, destination in (
            ("dead", "off@quiet.test"), ("nowhere", "nobody@quiet.test"), ("circle", "circle2@quiet.test"),
            ("circle2", "circle@quiet.test"), ("tofull", "full@quiet.test"),
        ):  # fmt: skip
            Alias.objects.create(
                source=f"{source}@quiet.test", destination=destination, domain_id="quiet.test"
            )


@pytest.fixture
def private(people, outside):
    outside.records[("victim.example.", "A")] = [ADDRESS]
    return outside.private


@pytest.fixture
def victim(private):
    """The server of whom the mail pretends to be from."""
    server = NextHop((ADDRESS, 25))
    server.knows = {FORGED}
    yield server
    server.stop()


def offered(mail, to: str, head: str = "", text: str = "Hello.", size: str = "") -> bytes:
    """The last answer to a message of that sender."""
    with Line(mail.port["smtp"]) as line:
        line.until(rb"^220 ")
        line.say("EHLO client.example.net")
        said = line.say(f"MAIL FROM:<{FORGED}>{size}")
        if said.startswith(b"250"):
            said = line.say(f"RCPT TO:<{to}>")
        if said.startswith(b"250"):
            line.say("DATA", rb"^354 ")
            said = line.say(f"From: {FORGED}\r\nSubject: forged\r\n{head}\r\n{text}\r\n.")
        return said


def nothing_left(mail, private, victim) -> bool:
    assert victim.messages == []
    return f"to=<{FORGED}>" not in private.log("postfix")


ANNA = "anna@quiet.test"
REFUSED = {
    "virus": (ANNA, "", eicar().decode()),
    "program": (ANNA, 'MIME-Version: 1.0\r\nContent-Type: text/plain; name="setup.exe"\r\n', "MZ"),
    "too many hops": (ANNA, "Received: by x; Sat, 28 Nov 2026 00:00:00 +0000\r\n" * 60, ""),
    "disabled": ("off@quiet.test", "", ""),
    "unknown": ("nobody@quiet.test", "", ""),
    "alias to somebody disabled": ("dead@quiet.test", "", ""),
    "alias to nobody": ("nowhere@quiet.test", "", ""),
    "alias in a circle": ("circle@quiet.test", "", ""),
    "elsewhere": ("anna@other.example", "", ""),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused_while_the_sender_waits(mail, private, victim, why):
    to, head, text = REFUSED[why]
    assert offered(mail, to, head, text)[:1] == b"5"
    assert mail.settled()
    assert nothing_left(mail, private, victim)


def test_too_large(mail, private, victim):
    assert offered(mail, ANNA, size=" SIZE=60000000").startswith(b"552 ")
    assert nothing_left(mail, private, victim)


def test_spam_is_kept_and_nobody_is_told(mail, private, victim):
    assert offered(mail, ANNA, text=amavis.test_spam()).startswith(b"250 ")
    assert mail.settled()
    assert nothing_left(mail, private, victim)


def test_full(mail, private, victim, outside):
    """Refused at the door, where its size is told; or else it waits for room."""
    for to in ("full@quiet.test", "tofull@quiet.test"):
        assert offered(mail, to, size=" SIZE=9000").startswith(b"552 ") or to.startswith("to")
        assert offered(mail, to)[:3] in (b"250", b"552")
    assert eventually(lambda: "The mailbox is full" in private.log("postfix"))
    assert nothing_left(mail, private, victim)
    Mailbox.objects.filter(email="full@quiet.test").update(quota=None)
    private.doveadm("auth", "cache", "flush", "full@quiet.test")
    outside.retry()
    assert mail.settled()
    assert nothing_left(mail, private, victim)


@pytest.mark.parametrize("action", ['reject "no"', 'ereject "no"'])
def test_a_script_cannot_reject_what_was_taken(mail, private, victim, action):
    word = action.split()[0]
    script = f'require "{word}"; {action};'.encode()
    token = base64.b64encode(f"\0sieve@quiet.test\0{PASSWORD}".encode()).decode()
    with mail.sieve() as line:
        assert line.say(f'AUTHENTICATE "PLAIN" "{token}"', rb"^(OK|NO)").startswith(b"OK")
        line.send(f'PUTSCRIPT "{word}" {{{len(script)}+}}\r\n')
        stored = line.say(script + b"\r\n", rb"^(OK|NO)").startswith(b"OK")
        if stored:
            line.say(f'SETACTIVE "{word}"', rb"^(OK|NO)")
    assert offered(mail, "sieve@quiet.test").startswith(b"250 ")
    assert mail.settled()
    assert nothing_left(mail, private, victim)
    assert not stored


def test_the_victim_can_be_written_to(mail, private, victim):
    """The control: from one of our people mail gets there."""
    mail.deliver(FORGED, sender=ANNA, client=mail.submission(ANNA, PASSWORD))
    assert eventually(lambda: victim.messages)
