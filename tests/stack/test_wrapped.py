"""However a virus or a program is wrapped, it is found or the message is refused; and what is made to cost much costs
little, and holds up nobody's mail."""

import base64
import binascii
import gzip
import re
import tarfile
import threading
import time
import zipfile
from io import BytesIO

import pytest

from accounts.models import Mailbox
from domains.models import Domain
from mailpanel.daemons.clamav import test_file as eicar
from tests.stack.mail import Line, eventually
from tests.stack.private import quick_hash

pytestmark = pytest.mark.once

PASSWORD = "seven quiet herons"
ANNA, BEN = "anna@wrapped.test", "ben@wrapped.test"
MIXED = 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b0"\r\n'


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.create(name="wrapped.test")
        for email in (ANNA, BEN):
            Mailbox.objects.create(email=email, domain_id="wrapped.test", password=quick_hash(PASSWORD))


@pytest.fixture
def mail(people, mail):
    return mail


def send(mail, name: str, head: str, body: bytes, to: str = ANNA) -> bytes:
    """The answer to a message from outside, as it is written here."""
    with Line(mail.port["smtp"]) as line:
        line.until(rb"^220 ")
        line.say("EHLO client.example.net")
        line.say("MAIL FROM:<x@elsewhere.example.net>")
        line.say(f"RCPT TO:<{to}>")
        line.say("DATA", rb"^354 ")
        line.send(f"From: x@elsewhere.example.net\r\nSubject: {name}\r\n{head}\r\n")
        line.send(body)
        return line.say(b"\r\n.\r\n")


# --- wrappings ------------------------------------------------------------------------------------------------


def encoded(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def attached(data: bytes, name="test.txt", kind="application/octet-stream") -> bytes:
    return (
        f'Content-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + encoded(data)


def part(content: bytes) -> tuple[str, bytes]:
    return MIXED, b"--b0\r\n\r\nhello\r\n--b0\r\n" + content + b"\r\n--b0--\r\n"


def zipped(data: bytes, name="test.txt") -> bytes:
    with zipfile.ZipFile(made := BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return made.getvalue()


def tarred(data: bytes) -> bytes:
    with tarfile.open(fileobj=(made := BytesIO()), mode="w:xz") as archive:
        info = tarfile.TarInfo("test.txt")
        info.size = len(data)
        archive.addfile(info, BytesIO(data))
    return made.getvalue()


def uuencoded(data: bytes) -> bytes:
    lines = (binascii.b2a_uu(data[at : at + 45]).rstrip() for at in range(0, len(data), 45))
    return b"\r\n".join([b"begin 644 test.txt", *lines, b"`", b"end", b""])


def in_levels(number: int, leaf: bytes) -> tuple[str, bytes]:
    """A multipart in a multipart, and so on."""
    begin = b"".join(
        b'--b%d\r\nContent-Type: multipart/mixed; boundary="b%d"\r\n\r\n' % (at, at + 1)
        for at in range(number)
    )
    end = b"".join(b"\r\n--b%d--\r\n" % at for at in range(number, -1, -1))
    return MIXED, begin + b"--b%d\r\n" % number + leaf + end


def forwarded(number: int, leaf: bytes, first=b"Subject: x") -> tuple[str, bytes]:
    """A message in a message, and so on; `first` is the first line of each."""
    head = first + b"\r\nContent-Type: message/rfc822\r\n\r\n"
    return (
        "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n",
        head * (number - 1) + first + b"\r\n" + leaf,
    )


def wrappings() -> dict[str, tuple[str, bytes]]:
    data = eicar()
    leaf = attached(data)
    name, value = "application/octet-stream", encoded(data)
    return {
        "attached": part(leaf),
        "in the text": ("", data),
        "uuencoded": ("", uuencoded(data)),
        "gz": part(attached(gzip.compress(data), "a.gz")),
        "tar.xz": part(attached(tarred(data), "a.txz")),
        "zip in zip": part(attached(zipped(zipped(data), "a.zip"), "b.zip")),
        "message": part(b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\nMIME-Version: 1.0\r\n" + leaf),
        "message file": part(attached(b"Subject: in\r\nMIME-Version: 1.0\r\n" + leaf, "a.eml")),
        "message in zip": part(attached(zipped(b"X-Odd: in\r\n" + leaf, "a.eml"), "a.zip")),
        "message alone": forwarded(1, leaf),
        "message of odd headers": forwarded(1, leaf, b"X-Odd: 1"),
        "message like no message": forwarded(1, leaf, b"\xef\xbb\xbfX-Odd: 1"),
        "message like an image": forwarded(1, leaf, b"GIF89a: 1"),
        "messages": forwarded(10, leaf, b"X-Odd: 1"),
        "part of a message": part(
            b"Content-Type: message/partial; id=1; number=1; total=1\r\n\r\nX-Odd: 1\r\n" + leaf
        ),
        "42 levels": in_levels(42, leaf),
        "1000 levels": in_levels(1000, leaf),
        "never closed": (MIXED, b"--b0\r\n" + leaf),
        "two boundaries": (
            'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"; boundary="b0"\r\n',
            b"--b0\r\n" + leaf + b"\r\n--b0--\r\n",
        ),
        "two encodings": (
            f"MIME-Version: 1.0\r\nContent-Type: {name}\r\nContent-Transfer-Encoding: 7bit\r\n"
            "Content-Transfer-Encoding: base64\r\n",
            value,
        ),
        "behind 100,000 headers": (
            "".join(f"X-H{n}: v\r\n" for n in range(100_000)) + leaf.partition(b"\r\n\r\n")[0].decode() + "\r\n",
            value,
        ),
        "behind 10,000 parts": (
            MIXED,
            b"--b0\r\n\r\nx\r\n" * 10_000 + b"--b0\r\n" + leaf + b"\r\n--b0--\r\n",
        ),
        "behind 10,000 parameters": (
            f"MIME-Version: 1.0\r\nContent-Type: {name}"
            + "".join(f";\r\n name*{n}=a" for n in range(10_000))
            + "\r\nContent-Transfer-Encoding: base64\r\n",
            value,
        ),
    }  # fmt: skip


WRAPPINGS = wrappings()


@pytest.mark.parametrize("name", WRAPPINGS)
def test_virus_however_it_is_wrapped(mail, name):
    head, body = WRAPPINGS[name]
    assert b" INFECTED: " in send(mail, f"wrapped {name}", head, body), name
    harmless = body.replace(eicar(), b"hello").replace(encoded(eicar()), encoded(b"hello"))
    if harmless != body:  # the control; what is packed has one in test_filter
        said = send(mail, f"harmless {name}", head, harmless)
        assert said.startswith(b"250 "), said


@pytest.mark.parametrize("number", [20, 200])
def test_more_messages_than_anybody_looks_through(mail, number):
    said = send(mail, "deep", *forwarded(number, attached(eicar())))
    assert said.startswith(b"554 "), said
    assert b"UNCHECKED: over limits" in said


@pytest.mark.parametrize("first", [b"Subject: x", b"X-Odd: 1", b"\xef\xbb\xbfSubject: x"])
@pytest.mark.parametrize("how", ["message", "message file"])
def test_program_that_is_forwarded(mail, first, how):
    inner = first + b"\r\n" + attached(b"MZ harmless", "setup.exe")
    content = (
        b"Content-Type: message/rfc822\r\n\r\n" + inner if how == "message" else attached(inner, "a.eml")
    )
    said = send(mail, "program", *part(content))
    assert said.startswith(b"554 "), said
    assert b"BANNED" in said
    fine = content.replace(b"setup.exe", b"setup.txt").replace(
        encoded(inner), encoded(inner.replace(b"exe", b"txt"))
    )
    assert send(mail, "no program", *part(fine)).startswith(b"250 ")


def test_a_report_of_a_delivery_is_no_program(mail):
    """What other servers return has two parts of the kind message/."""
    report = (
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.elsewhere.example.net\r\n\r\n"
        b"Final-Recipient: rfc822; x@elsewhere.example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
        b"--b0\r\nContent-Type: message/rfc822\r\n\r\nSubject: what came back\r\n\r\nhello"
    )
    assert send(mail, "report", *part(report)).startswith(b"250 ")
    assert mail.arrives("report", ANNA, PASSWORD)


# --- bombs ----------------------------------------------------------------------------------------------------

BOMBS = {
    "100,000 headers": lambda: ("".join(f"X-H{n}: v\r\n" for n in range(100_000)), b"x"),
    "100,000 addresses": lambda: (
        "To: " + ",\r\n ".join(f"u{n}@elsewhere.example.net" for n in range(100_000)) + "\r\n",
        b"x",
    ),
    "a header of 3 MB": lambda: (f"X-Long: {'y' * 3_000_000}\r\n", b"x"),
    "10,000 parameters": lambda: (
        "MIME-Version: 1.0\r\nContent-Type: text/plain"
        + "".join(f";\r\n name*{n}=a" for n in range(10_000))
        + "\r\n",
        b"x",
    ),
    "10,000 parts": lambda: (MIXED, b"--b0\r\n\r\nx\r\n" * 10_000 + b"--b0--\r\n"),
    "42 levels": lambda: in_levels(42, b"\r\nx"),
    "1000 levels": lambda: in_levels(1000, b"\r\nx"),
    "a line of 20 MB": lambda: ("", b"x" * 20_000_000),
    "HTML of open elements": lambda: (
        "MIME-Version: 1.0\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n",
        encoded(b"<div>" * 300_000),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb(mail, private, name):
    """It is answered, and goes somewhere, while others' mail is taken."""
    head, body = BOMBS[name]()
    before = len(private.log("amavis"))
    begin, over, others = time.monotonic(), threading.Event(), []

    def meanwhile():
        while not over.is_set():
            others.append(send(mail, "meanwhile", "", b"hello", BEN)[:3])

    thread = threading.Thread(target=meanwhile)
    thread.start()
    try:
        said = send(mail, f"bomb {name}", head, body)
    finally:
        over.set()
        thread.join()
    assert said[:3] in (b"250", b"554"), said
    assert set(others) == {b"250"}
    assert time.monotonic() - begin < 60
    assert mail.settled()
    if said[:3] == b"250":
        assert mail.arrives(f"bomb {name}", ANNA, PASSWORD)
    assert not re.search(r"TROUBLE|child_timeout", private.log("amavis")[before:])


def test_a_million_recipients(mail):
    """As many as one message may have; then later, and in time not at all."""
    codes = set()
    with Line(mail.port["smtp"]) as line:
        line.until(rb"^220 ")
        line.say("EHLO client.example.net")
        line.say("MAIL FROM:<x@elsewhere.example.net>")
        taken = 0
        for number in range(1100):
            said = line.say(f"RCPT TO:<anna+{number}@wrapped.test>")
            taken += said.startswith(b"250")
            codes.add(said[:9])
    assert (taken, codes) == (1000, {b"250 2.1.5", b"452 4.5.3"})
    assert eventually(lambda: mail.rcpt(ANNA) == 250)
