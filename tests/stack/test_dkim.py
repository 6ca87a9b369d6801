"""Signing with the real Amavis: whose mail, with which key, from which moment on; verified by a program that is not ours
against the record that the panel shows."""

import email
import os
import re
import signal
import socket
import subprocess
import time
from email.utils import formatdate, make_msgid

import dkim as verifier
import pytest

from accounts import audit
from accounts.models import Mailbox, Sender
from domains import dkim, records
from domains.models import DkimKey, Domain
from tests.daemons.test_resolver import Nameserver
from tests.stack.mail import eventually
from tests.stack.private import quick_hash

PASSWORD = "seven quiet herons"
ANNA, BEN, SHOP = "anna@signed.test", "ben@other-signed.test", "shop@other-signed.test"
BY = audit.By("root1@signed.test")
MIRROR, DARK_MIRROR = "signed-mirror.test", "dark-mirror.test"


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    """Two domains with a key each, two mirrors, and a domain without a key that signs."""
    with django_db_blocker.unblock(), _private.orm():
        for name, columns in {
            "signed.test": {},
            "other-signed.test": {},
            "unsigned.test": {},
            MIRROR: {"alias_of_id": "signed.test"},
            DARK_MIRROR: {"alias_of_id": "signed.test", "enabled": False},
        }.items():
            domain = Domain.objects.create(name=name, **columns)
            made = dkim.make(domain, "first", by=BY)
            if name != "unsigned.test":
                dkim.let_sign(made, by=BY)
        for address in (ANNA, BEN, "una@unsigned.test"):
            Mailbox.objects.create(
                email=address, domain_id=address.partition("@")[2], password=quick_hash(PASSWORD)
            )
        Sender.objects.create(mailbox=Mailbox.objects.get(email=ANNA), address=SHOP)


@pytest.fixture
def mail(people, mail):
    return mail


def signed(
    mail, user=ANNA, *, header=None, to=None, envelope=None, body="Good morning.", client=None
) -> bytes:
    """What arrives of a message that was sent by its author, or with another header than his."""
    subject = f"signed {time.monotonic_ns()}"
    head = (
        f"{header or f'From: Somebody <{user}>'}\r\nTo: <{to or user}>\r\nSubject: {subject}\r\n"
        f"Date: {formatdate()}\r\nMessage-ID: {make_msgid(domain='client.example.net')}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    )
    with client or mail.submission(user, PASSWORD) as client:
        client.sendmail(
            envelope or user, [to or user], f"{head}\r\n{body}\r\n".encode(), mail_options=["BODY=8BITMIME"]
        )
    return fetched(mail, to or user, subject)


def fetched(mail, user: str, subject: str) -> bytes:
    assert mail.arrives(subject, user, PASSWORD), subject
    client = mail.imaps(user, PASSWORD)
    try:
        client.select("INBOX", readonly=True)
        (number,) = client.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
        return client.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1]
    finally:
        client.logout()


def by_whom(message: bytes) -> list[tuple[str, str]]:
    """(d, s) of each signature, each of which has to be good."""
    fields = email.message_from_bytes(message).get_all("DKIM-Signature", [])
    found = [(tags["d"], tags["s"]) for tags in map(records.tags, fields)]
    for number in range(len(found)):
        assert verifier.DKIM(message).verify(idx=number, dnsfunc=published), fields[number]
    return found


def published(name: bytes, timeout=0) -> bytes | None:
    selector, _middle, domain = name.decode().rstrip(".").partition("._domainkey.")
    key = DkimKey.objects.filter(domain=domain, selector=selector).first()
    return records.of_key(key).value.encode() if key else None


def test_what_somebody_sends_is_signed_and_verifies(mail):
    message = signed(mail)
    assert by_whom(message) == [("signed.test", "first")]
    tags = records.tags(email.message_from_bytes(message)["DKIM-Signature"])
    assert (tags["a"], tags["c"]) == ("rsa-sha256", "relaxed/relaxed")
    assert "x" not in tags
    names = re.sub(r"\s", "", tags["h"]).split(":")
    assert names.count("from") == names.count("subject") == 2
    assert not {"received", "sender"} & set(names)
    # a second From, which a mail program might show, makes it void
    assert not verifier.verify(b"From: evil@other.test\r\n" + message, dnsfunc=published)
    assert not verifier.verify(message.replace(b"Good morning", b"Good evening"), dnsfunc=published)


def test_by_the_other_door_too(mail):
    assert by_whom(signed(mail, client=mail.smtps(ANNA, PASSWORD))) == [("signed.test", "first")]


def test_letters_of_eight_bits_and_long_lines(mail):
    body = "Grüße – 你好.\r\n" + "long " * 180 + "\r\n.\r\n..two dots\r\n\r\n\r\n"
    assert by_whom(signed(mail, body=body)) == [("signed.test", "first")]


def test_each_domain_and_mirror_signs_with_its_own(mail):
    assert by_whom(signed(mail, BEN)) == [("other-signed.test", "first")]
    message = signed(mail, header=f"From: anna@{MIRROR}", envelope=f"anna@{MIRROR}")
    assert by_whom(message) == [(MIRROR, "first")]


def test_the_next_message_is_signed_with_the_new_key(mail):
    domain = Domain.objects.get(name="signed.test")
    before = signed(mail)
    dkim.let_sign(dkim.make(domain, "second", by=BY), by=BY)
    assert by_whom(signed(mail)) == [("signed.test", "second")]
    assert by_whom(before) == [("signed.test", "first")]  # its record is still published
    dkim.let_sign(domain.dkim_keys.get(selector="first"), by=BY)
    assert by_whom(signed(mail)) == [("signed.test", "first")]


def test_a_first_key_signs_at_once_and_a_retired_one_no_more(mail):
    una, key = "una@unsigned.test", DkimKey.objects.get(domain="unsigned.test")
    assert by_whom(signed(mail, una)) == []
    dkim.let_sign(key, by=BY)
    assert by_whom(signed(mail, una)) == [("unsigned.test", "first")]
    dkim.retire(key, by=BY)
    assert by_whom(signed(mail, una)) == []


def test_what_comes_from_outside_is_not_signed(mail):
    for header in (f"From: {BEN}", "From: stranger@elsewhere.example.net"):
        message = signed(
            mail, header=header, envelope="stranger@elsewhere.example.net", to=ANNA, client=mail.smtp()
        )
        assert by_whom(message) == []


@pytest.mark.parametrize(
    "header",
    [
        f"From: {BEN}", f"From: {BEN}\r\nSender: {ANNA}", f"Sender: {BEN}\r\nFrom: x@remote.test", f"From: {ANNA}, {BEN}",
        f"From: {ANNA}\r\nFrom: {BEN}", f"From: {BEN}\r\nResent-From: {ANNA}", f"From: anna@{DARK_MIRROR}", "From: a@signed.test.evil.test",
        "From: undisclosed:;",
    ],
)  # fmt: skip
def test_nobody_signs_in_the_name_of_others(mail, header):
    assert by_whom(signed(mail, header=header)) == []


@pytest.mark.parametrize(
    ("header", "by"),
    [
        (f'From: "{BEN}" <{ANNA}>', "signed.test"),
        ("From: Sales <Sales@SIGNED.test>", "signed.test"),
        (f"From: {SHOP}", "other-signed.test"),  # granted by `sender`
        (f"From: {SHOP.replace('@', '+tag@')}", "other-signed.test"),
    ],
)
def test_signed_by_the_domain_of_the_author(mail, header, by):
    assert by_whom(signed(mail, header=header)) == [(by, "first")]


def test_a_grant_is_of_one_address_and_one_person(mail):
    """Ben's colleague may send as Anna's shared address; that does not make his mail Anna's."""
    carl = Mailbox.objects.create(
        email="carl@other-signed.test", domain_id="other-signed.test", password=quick_hash(PASSWORD)
    )
    Sender.objects.create(mailbox=carl, address="team@signed.test")
    Sender.objects.create(mailbox=Mailbox.objects.get(email=ANNA), address="team@signed.test")
    message = signed(mail, carl.email, header="From: team@signed.test")
    assert by_whom(message) == [("signed.test", "first")]
    # as the envelope's sender it is Anna's, too, and she may not send as Carl
    message = signed(mail, ANNA, header=f"From: {carl.email}", envelope="team@signed.test")
    assert by_whom(message) == []


def test_without_its_key_a_message_waits(mail, private):
    key = DkimKey.objects.get(domain="signed.test", selector="first")
    DkimKey.objects.filter(pk=key.pk).update(private_key="not a key")
    try:
        subject = mail.deliver(ANNA, sender=ANNA, client=mail.submission(ANNA, PASSWORD))
        assert eventually(lambda: "cannot be read, so the message waits" in private.log("amavis"))
        assert subject not in mail.subjects(ANNA, PASSWORD)
    finally:
        DkimKey.objects.filter(pk=key.pk).update(private_key=key.private_key)
    subprocess.run(["postqueue", "-c", private.etc / "postfix", "-f"], check=True)
    assert by_whom(fetched(mail, ANNA, subject)) == [("signed.test", "first")]


def test_results_in_our_name_are_taken_out(mail):
    forged = "Authentication-Results: mail.example.test; dkim=pass header.d=bank.example\r\n"
    forged += "Authentication-Results: (x) MAIL.example.test 1; spf=pass\r\nAuthentication-Results: other.example; dkim=pass\r\n"
    for sender, client in (
        ("stranger@elsewhere.example.net", mail.smtp()),
        (ANNA, mail.submission(ANNA, PASSWORD)),
    ):
        message = signed(mail, header=f"{forged}From: {ANNA}", envelope=sender, to=ANNA, client=client)
        found = email.message_from_bytes(message).get_all("Authentication-Results", [])
        assert [text.partition(";")[0] for text in found] == ["other.example"]


# --- what others have signed ----------------------------------------------------------------------------------

ELSEWHERE = "signer@elsewhere-signed.test"


@pytest.fixture
def on_a_host(private):
    """Amavis verifies, as on a host, and asks a nameserver that knows one record."""
    nameservers, started = [], []

    def restart(name: str, text: str):
        quoted = " ".join(f'"{part}"' for part in records.strings(text))
        nameservers.append(Nameserver({(f"{name}.", "TXT"): [quoted]}))
        extra = private.etc / "amavis" / "host.conf"
        extra.write_text(
            "$enable_dkim_verification = 1; require Net::DNS;\n"
            f"$Amavis::dns_resolver = Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => {nameservers[-1].port});\n"
            "require Mail::DKIM::DNS; Mail::DKIM::DNS::resolver($Amavis::dns_resolver);\n1;\n"
        )
        end(int((private.directory / "amavis" / "run" / "amavisd.pid").read_text()))
        files = ["-c", private.etc / "amavis" / "amavisd.conf", "-c", extra]
        with (private.directory / "log" / "amavis.out").open("ab") as out:
            silent = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out}
            started.append(subprocess.Popen(["amavisd", *files, "foreground"], **silent))
        assert eventually(lambda: greets(private.port["amavis"]))

    yield restart
    for process in started:
        process.terminate()
        process.wait(30)
    for server in nameservers:
        server.door.close()
    private.manage("stack", "up")


def end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    assert eventually(lambda: not os.path.exists(f"/proc/{pid}"))


def greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as door:
            return door.recv(4) == b"220 "
    except OSError:
        return False


def test_what_others_signed_is_verified_and_told(mail, on_a_host):
    """The key is made by the panel, the signature by another program; no results in our name but Amavis' own."""
    made = dkim.make(Domain.objects.create(name="elsewhere-signed.test"), "k", by=BY)
    on_a_host(records.of_key(made).name, records.of_key(made).value)
    for body, result in (("Good morning.", "dkim=pass"), ("Good evening.", "dkim=fail")):
        subject = f"verified {time.monotonic_ns()}"
        text = f"From: {ELSEWHERE}\r\nTo: {ANNA}\r\nSubject: {subject}\r\n\r\nGood morning.\r\n".encode()
        text = verifier.sign(text, b"k", b"elsewhere-signed.test", made.private_key.encode()) + text
        forged = b"Authentication-Results: mail.example.test; dkim=pass header.d=bank.example\r\n"
        with mail.smtp() as client:
            client.sendmail(
                "stranger@elsewhere.example.net",
                [ANNA],
                forged + text.replace(b"Good morning.", body.encode()),
            )
        (told,) = email.message_from_bytes(fetched(mail, ANNA, subject)).get_all("Authentication-Results")
        assert told.startswith("mail.example.test")
        assert (result in told, "header.d=elsewhere-signed.test" in told) == (True, True)
