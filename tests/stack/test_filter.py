"""The content filter with its real parts: what passes, what is refused or kept, for whom, and that nothing is lost or passes
unseen while a part of it is away."""

import email
import os
import re
import signal
import smtplib
import subprocess
import tempfile
import threading
import time
import zipfile
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from io import BytesIO
from pathlib import Path

import pytest

from accounts.models import Mailbox
from domains.models import Alias, Domain
from mailpanel.daemons import amavis, messenger, pdp
from mailpanel.daemons.clamav import test_file as eicar
from mailpanel.daemons.probing import Watch
from mailpanel.server import reasons
from mailpanel.server.models import FilterPolicy, FilterSender, Maddr, Msg, MsgRcpt, Quarantine
from mailpanel.stack import processes
from tests.environment import ON_MARIADB
from tests.stack.mail import MailServer, eventually
from tests.stack.private import Private, quick_hash

PASSWORD = "seven quiet herons"
STRANGER = "stranger@elsewhere.example.net"
ANNA, BEN, CARL, DORA = (f"{name}@filter.test" for name in ("anna", "ben", "carl", "dora"))
EXE = ("setup.exe", b"MZ harmless")
# as far as file(1) looks
WINDOWS_PROGRAM = (
    b"MZ".ljust(60, b"\0")
    + b"\x40\0\0\0PE\0\0\x4c\x01\x01".ljust(24, b"\0")
    + b"\xe0\0\2\1\x0b\1"
    + bytes(222)
)
DOCUMENT = ("[Content_Types].xml", "_rels/.rels", "word/document.xml", "word/vbaProject.bin")


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    hashed = quick_hash(PASSWORD)
    with django_db_blocker.unblock(), _private.orm():
        for name, target in (
            ("filter.test", None),
            ("filter-mirror.test", "filter.test"),
            ("lax.test", None),
        ):
            Domain.objects.create(name=name, alias_of_id=target)
        for address in (ANNA, BEN, CARL, DORA, "eve@lax.test"):
            Mailbox.objects.create(email=address, domain_id=address.partition("@")[2], password=hashed)
        for source, to in (("one@filter.test", "step@filter.test"), ("step@filter.test", CARL),
                           ("two@filter.test", CARL), ("two@filter.test", ANNA), ("@lax.test", CARL)):  # fmt: skip
            Alias.objects.create(source=source, destination=to, domain_id=source.partition("@")[2])
        # Carl wants everything, Dora no archive, and all of lax.test spam
        lover = {"bypass_spam_checks": "Y", "bypass_virus_checks": "Y", "bypass_banned_checks": "Y"}
        FilterPolicy.objects.create(scope=CARL, **lover)
        FilterPolicy.objects.create(scope=DORA, banned_rulenames="archives,macros")
        FilterPolicy.objects.create(scope="@lax.test", bypass_spam_checks="Y", spam_subject_tag2="[JUNK] ")


@pytest.fixture
def mail(people, mail):
    return mail


# --- messages -------------------------------------------------------------------------------------------------


def message(text="Good morning.", *, attached=None, sender=STRANGER, **headers) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, "you@filter.test", f"filtered {time.monotonic_ns()}"
    made["Date"], made["Message-ID"] = formatdate(), make_msgid(domain="elsewhere.example.net")
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    if attached:
        name, data = attached[0], attached[1]() if callable(attached[1]) else attached[1]
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return made


def virus() -> EmailMessage:
    return message(attached=("test.txt", eicar()))


def spam(**more) -> EmailMessage:
    return message(amavis.test_spam(), **more)


def packed(*names: str) -> bytes:
    with zipfile.ZipFile(made := BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return made.getvalue()


def nested(levels: int) -> bytes:
    data = b"x"
    for _level in range(levels):
        with zipfile.ZipFile(made := BytesIO(), "w") as archive:
            archive.writestr("a.zip", data)
        data = made.getvalue()
    return data


def bomb() -> bytes:
    """A megabyte that would be six hundred of them."""
    with (
        zipfile.ZipFile(made := BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.bin", "w") as file,
    ):
        for _megabyte in range(600):
            file.write(bytes(1_000_000))
    return made.getvalue()


def packed_by_7z(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / name).write_text("x")
        subprocess.run(["7zz", "a", "x.7z", name], cwd=place, check=True, capture_output=True)
        return (Path(place) / "x.7z").read_bytes()


def send(mail, made, *to, sender=STRANGER, client=None) -> tuple[int, str]:
    """The answer to the message, and its subject."""
    with client or mail.smtp() as client:
        assert client.mail(sender)[0] == 250
        assert {client.rcpt(address)[0] for address in to} == {250}
        code, mail.reply = client.data(made.as_bytes())
    return code, made["Subject"]


def arrived(mail, user, subject) -> email.message.Message:
    assert mail.arrives(subject, user, PASSWORD), subject
    return fetched(mail, user, subject)


def fetched(mail, user, subject):
    client = mail.imaps(user, PASSWORD)
    client.select("INBOX", readonly=True)
    number = client.search(None, "SUBJECT", f'"{subject}"')[1][0].split()[-1]
    data = client.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1]
    client.logout()
    return email.message_from_bytes(data)


def kept(subject) -> Msg | None:
    return Msg.objects.filter(subject=subject).first()


def kept_for(subject) -> set[str]:
    """Whose the message is in the quarantine."""
    rids = MsgRcpt.objects.filter(mail_id=kept(subject).mail_id, ds__in="DRB").values_list("rid", flat=True)
    return set(Maddr.objects.filter(id__in=list(rids)).values_list("email", flat=True))


# --- from outside ---------------------------------------------------------------------------------------------


def test_harmless_mail_arrives_with_its_score_and_without_what_others_claim(mail, private):
    made = message(
        X_Spam_Status="No, score=-100 required=5 tests=FORGED",
        X_Spam_Flag="NO",
        X_Virus_Scanned="by somebody else",
        Authentication_Results="mail.example.test; dmarc=pass header.from=elsewhere.example.net",
    )
    code, subject = send(mail, made, ANNA)
    assert code == 250
    got = arrived(mail, ANNA, subject)
    assert re.match(r"No, score=\S+ tagged_above=-999 required=5\b", got["X-Spam-Status"])
    assert "FORGED" not in str(got)
    assert got.get_all("X-Virus-Scanned") == ["by mail.example.test"]
    assert not [claim for claim in got.get_all("Authentication-Results", []) if "dmarc=pass" in claim]
    # the outer door saw who it was, and Amavis and the inner one were told
    assert len(got.get_all("Received")) == 4
    (line,) = [line for line in private.log("amavis").splitlines() if made["Message-ID"] in line]
    assert re.search(
        rf"\) Passed CLEAN {{RelayedInbound}}, \[127\.0\.\d+\.\d+\]:\d+ .*<{STRANGER}> -> <{ANNA}>, "
        r"Message-ID: <\S+>, Hits: \S+, size: \d+, queued_as: \w+, \d+ ms$",
        line,
    )
    assert not Msg.objects.filter(subject=subject).exists()  # only the quarantine is written down


def test_virus_is_refused_in_the_session(mail, private):
    before = private.log("postfix").count("status=bounced")
    code, subject = send(mail, virus(), ANNA)
    assert (code, b"INFECTED" in mail.reply) == (554, True)
    assert mail.settled()
    assert subject not in mail.subjects(ANNA, PASSWORD)
    assert private.log("postfix").count("status=bounced") == before
    assert kept(subject).content == "V"


def test_spam_is_kept_and_released_and_not_filtered_again(mail, private):
    code, subject = send(mail, spam(), ANNA)
    assert code == 250  # nobody learns to evade it
    assert eventually(lambda: kept(subject) is not None)
    row = kept(subject)
    assert (row.content, row.quar_type, row.originating) == ("S", "Q", "N")
    assert row.spam_level > 900
    assert kept_for(subject) == {ANNA}
    parts = Quarantine.objects.filter(mail_id=row.mail_id).order_by("chunk_ind")
    assert amavis.test_spam().encode() in b"".join(bytes(part.mail_text) for part in parts)
    assert mail.settled()
    assert subject not in mail.subjects(ANNA, PASSWORD)
    for secret in ("not its secret", "", row.secret_id[:-1]):
        with pytest.raises(pdp.Refused):
            pdp.release(row.mail_id, secret, [ANNA])
    pdp.release(row.mail_id, row.secret_id, [ANNA])
    got = arrived(mail, ANNA, subject)
    assert amavis.test_spam() in got.as_string()
    assert Msg.objects.filter(subject=subject).count() == 1


@pytest.mark.parametrize(
    ("attached", "code"),
    [
        (EXE, 554),
        (("letter.zip", packed("invoice.pdf.js")), 554),
        (("letter.txt", WINDOWS_PROGRAM), 554),
        (("letter.7z", lambda: packed_by_7z("invoice.pdf.js")), 554),
        (("letter.zip", packed("invoice.pdf")), 250),
        (("letter.pdf", b"%PDF-1.4"), 250),
    ],
    ids=["program", "packed script", "under another name", "packed otherwise", "archive", "document"],
)
def test_programs_are_refused(mail, attached, code):
    said, subject = send(mail, message(attached=attached), ANNA)
    assert said == code, mail.reply
    if code == 554:
        assert b"BANNED" in mail.reply
        assert kept(subject).content == "B"
    else:
        assert mail.arrives(subject, ANNA, PASSWORD)


@pytest.mark.parametrize(
    ("attached", "rule"), [(("a.zip", packed("x.txt")), "archives"), (("a.docx", packed(*DOCUMENT)), "macros")]
)  # fmt: skip
def test_sets_of_rules_of_a_mailbox(mail, attached, rule):
    """Dora has two others instead of the server's, and so may get programs."""
    assert send(mail, message(attached=attached), DORA)[0] == 554
    assert send(mail, message(attached=attached), ANNA)[0] == 250
    assert send(mail, message(attached=EXE), DORA)[0] == 250
    FilterPolicy.objects.filter(scope=DORA).update(banned_rulenames="")
    assert send(mail, message(attached=attached), DORA)[0] == 250
    FilterPolicy.objects.filter(scope=DORA).update(banned_rulenames="archives,macros")


@pytest.mark.parametrize("data", [lambda: nested(20), bomb], ids=["deep", "large"])
def test_what_cannot_be_unpacked_does_not_pass_unseen(mail, data):
    begin, data = time.monotonic(), data()
    code, subject = send(mail, message(attached=("a.zip", data)), ANNA)
    assert code == 554, mail.reply
    assert b"UNCHECKED: over limits" in mail.reply
    assert "too much to unpack" in reasons.words(mail.reply.decode())
    assert time.monotonic() - begin < 60
    assert (kept(subject).content, kept_for(subject)) == ("U", {ANNA})
    assert MsgRcpt.objects.get(mail_id=kept(subject).mail_id).content == "U"
    made = message(attached=("a.zip", data), sender=BEN)
    before = len(mail.subjects(BEN, PASSWORD))
    send(mail, made, ANNA, sender=BEN, client=mail.submission(BEN, PASSWORD))
    assert eventually(lambda: len(mail.subjects(BEN, PASSWORD)) == before + 1)
    assert not {subject, made["Subject"]} & set(mail.subjects(ANNA, PASSWORD))


# --- for whom -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made", [spam, virus, lambda: message(attached=EXE)], ids=["spam", "virus", "program"]
)
def test_two_recipients_get_what_each_has_chosen(mail, private, made):
    """And no stranger a notice of the other one's."""
    code, subject = send(mail, made(), ANNA, CARL)
    assert code == 250
    assert mail.arrives(subject, CARL, PASSWORD)
    assert mail.settled()
    assert subject not in mail.subjects(ANNA, PASSWORD)
    assert kept_for(subject) == {ANNA}
    assert f" to=<{STRANGER}>" not in private.log("postfix")


@pytest.mark.parametrize(
    "to", ["carl+tag@filter.test", "CARL@filter-mirror.test", "one@filter.test", "carl+x@filter-mirror.test", "who@lax.test"]
)  # fmt: skip
def test_other_addresses_of_one_mailbox_have_its_policy(mail, to):
    code, subject = send(mail, spam(), to)
    assert code == 250
    assert mail.arrives(subject, CARL, PASSWORD)


def test_list_has_that_of_its_domain(mail):
    _code, subject = send(mail, spam(), "two@filter.test")
    assert eventually(lambda: kept(subject) is not None)
    assert mail.settled()
    assert subject not in mail.subjects(CARL, PASSWORD)


def test_the_most_specific_decides_field_by_field(mail):
    eve = "eve@lax.test"
    assert mail.arrives(send(mail, spam(), eve)[1], eve, PASSWORD)
    assert send(mail, message(attached=EXE), eve)[0] == 554  # of the server
    FilterPolicy.objects.create(scope=eve, bypass_spam_checks="N", spam_kill_level=5000, spam_tag2_level=900)
    got = arrived(mail, eve, f"[JUNK] {send(mail, spam(), eve)[1]}")  # the words are those of the domain
    assert got["X-Spam-Flag"] == "YES"
    FilterPolicy.objects.filter(scope=eve).delete()


@pytest.mark.parametrize("scope", ["@.", "@filter.test", BEN])
def test_senders_who_are_let_through_or_barred(mail, scope):
    for sender, wb in (("good@friends.example", "W"), ("@foes.example", "B"), ("but@foes.example", "W")):
        FilterSender.objects.create(scope=scope, sender=sender, wb=wb)
    try:
        assert mail.arrives(send(mail, spam(), BEN, sender="good@friends.example")[1], BEN, PASSWORD)
        _code, subject = send(mail, message(), BEN, sender="anybody@foes.example")
        assert eventually(lambda: kept(subject) is not None)
        assert kept(subject).content == "S"
        assert mail.arrives(send(mail, message(), BEN, sender="but@foes.example")[1], BEN, PASSWORD)
        # no list lets a virus through
        assert send(mail, virus(), BEN, sender="good@friends.example")[0] == 554
    finally:
        FilterSender.objects.filter(scope=scope).delete()


@pytest.mark.parametrize(
    "sender",
    [b"\xe9\xff\xfe@x.example", b"x'; DROP TABLE user; --@x.example", b'"a\\"b@c"@x.example', b"%k?%a@x.example", b"\\\\@x.example"],
    ids=repr,
)  # fmt: skip
def test_a_hostile_sender_delays_nobody(mail, sender):
    with mail.smtp() as client:
        client.putcmd("NOOP")
        client.getreply()
        client.send(b"MAIL FROM:<" + sender + b">\r\n")
        taken = client.getreply()[0] == 250
        if taken:
            assert client.rcpt(ANNA)[0] == 250
            made = spam()
            assert client.data(made.as_bytes())[0] == 250
            assert eventually(lambda: kept(made["Subject"]) is not None)
    assert mail.arrives(send(mail, message(), ANNA)[1], ANNA, PASSWORD)


def test_header_of_another_alphabet_is_kept_as_it_is(mail):
    made = spam(X_Word="über")
    subject = f"Grüße 日本 {time.monotonic_ns()}"
    made.replace_header("Subject", subject)
    send(mail, made, ANNA)
    assert eventually(lambda: kept(subject) is not None)


@pytest.mark.parametrize("to", [b"\xe9@lax.test", b"x'y@lax.test", b'"a b"@lax.test', b"a%k?@lax.test", b"a\\\\b@lax.test"], ids=repr)  # fmt: skip
def test_a_hostile_recipient_delays_nobody(mail, to):
    """All of lax.test goes to Carl, also what no address of ours looks like."""
    made = message()
    with mail.smtp() as client:
        client.mail(STRANGER)
        client.send(b"RCPT TO:<" + to + b">\r\n")
        code = client.getreply()[0]
        assert code == 250 or code >= 500
        assert client.rcpt(ANNA)[0] == 250
        assert client.data(made.as_bytes())[0] == 250
    assert mail.arrives(made["Subject"], ANNA, PASSWORD)
    if code == 250:
        assert mail.arrives(made["Subject"], CARL, PASSWORD)


# --- from our own people --------------------------------------------------------------------------------------


def test_submitted_mail_is_looked_at_after_the_queue(mail, private):
    made = message(sender=ANNA)
    code, subject = send(mail, made, BEN, sender=ANNA, client=mail.submission(ANNA, PASSWORD))
    assert (code, b"queued as" in mail.reply) == (250, True)
    got = arrived(mail, BEN, subject)
    assert "ESMTPSA" in str(got.get_all("Received"))
    assert got["X-Virus-Scanned"]
    (line,) = [line for line in private.log("amavis").splitlines() if made["Message-ID"] in line]
    assert "Passed CLEAN {RelayedInternal}, ORIGINATING LOCAL [127.0." in line or "ORIGINATING" in line


@pytest.mark.parametrize("made", [virus, spam, lambda: message(attached=EXE)], ids=["virus", "spam", "program"])  # fmt: skip
def test_what_is_not_sent_comes_back_to_whoever_submitted_it(mail, made):
    before = len(mail.subjects(ANNA, PASSWORD))
    code, subject = send(mail, made(), BEN, sender=ANNA, client=mail.submission(ANNA, PASSWORD))
    assert code == 250
    assert eventually(lambda: len(mail.subjects(ANNA, PASSWORD)) == before + 1)
    assert mail.subjects(ANNA, PASSWORD)[-1] == "Not delivered: your message has come back"
    assert subject not in mail.subjects(BEN, PASSWORD)
    assert kept(subject).originating == "Y"


# --- parts away -----------------------------------------------------------------------------------------------


def kill(private, daemon: str) -> None:
    for pid in processes.found(f"{private.directory}/{daemon}"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("daemon", ["amavis", "clamd"])
def test_nothing_passes_unseen_while_a_part_is_away(mail, private, settings, daemon):
    kill(private, daemon)
    try:
        assert send(mail, message(), ANNA)[0] == 451
        assert send(mail, virus(), ANNA)[0] == 451
        _code, waits = send(mail, message(), BEN, sender=ANNA, client=mail.submission(ANNA, PASSWORD))
        assert eventually(lambda: "status=deferred" in private.log("postfix").rpartition(waits)[2])
        assert mail.queue() == 1
        assert waits not in mail.subjects(BEN, PASSWORD)
        settings.MAILPANEL_ALERT_TO = [CARL]  # that it is so can be told all the same
        alert = message(sender="postmaster@example.test")
        messenger.mail(alert, Watch(20))
        assert mail.arrives(alert["Subject"], CARL, PASSWORD)
    finally:
        private.manage("stack", "up")
    assert mail.arrives(waits, BEN, PASSWORD)
    assert mail.arrives(send(mail, message(), ANNA)[1], ANNA, PASSWORD)
    assert mail.settled()


def test_killed_in_the_midst_of_traffic(mail, private):
    """What was taken is delivered once or is in the quarantine; what was put off is the sender's to bring again."""
    taken, put_off = [], []

    def traffic(number):
        for made in (spam() if turn % 4 == 3 else message() for turn in range(10)):
            try:
                if number % 2:
                    code, subject = send(mail, made, BEN)
                else:
                    client = mail.submission(ANNA, PASSWORD)
                    code, subject = send(mail, made, BEN, sender=ANNA, client=client)
            except (OSError, smtplib.SMTPException):
                code, subject = 0, made["Subject"]
            (taken if code == 250 else put_off).append(
                (subject, made.get_content().strip() != "Good morning.")
            )

    threads = [threading.Thread(target=traffic, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(taken) > 8)
    kill(private, "amavis")
    assert eventually(lambda: put_off)
    private.manage("stack", "up")
    for thread in threads:
        thread.join()
    assert mail.settled()
    got = mail.subjects(BEN, PASSWORD)
    assert {subject: got.count(subject) for subject, bad in taken if not bad} == {subject: 1 for subject, bad in taken if not bad}  # fmt: skip
    assert not {subject for subject, bad in [*taken, *put_off] if bad} & set(got)
    assert [subject for subject, bad in taken if bad and not kept(subject)] == []
    assert len(taken) + len(put_off) == 50


# --- the other way round --------------------------------------------------------------------------------------


@pytest.mark.skipif(ON_MARIADB, reason="has nothing to do with the database")
def test_incoming_after_the_queue_and_submitted_before_it(private, django_db_blocker):
    other = Private(database="another")
    other.environment |= {"MAILPANEL_FILTER_INCOMING": "after-queue", "MAILPANEL_FILTER_SUBMITTED": "before-queue"}  # fmt: skip
    try:
        with django_db_blocker.unblock(), other.orm():
            other.migrate()
            Domain.objects.create(name="filter.test")
            for address in (ANNA, BEN):
                Mailbox.objects.create(email=address, domain_id="filter.test", password=quick_hash(PASSWORD))
            Alias.objects.create(source="both@filter.test", destination=ANNA, domain_id="filter.test")
            Alias.objects.create(source="both@filter.test", destination=BEN, domain_id="filter.test")
            other.up()
            mail = MailServer(other)
            for made in (virus, spam, lambda: message(attached=EXE)):
                assert send(mail, made(), ANNA)[0] == 250
                code, bad = send(mail, made(), BEN, sender=ANNA, client=mail.submission(ANNA, PASSWORD))
                assert code == 554
                assert kept(bad) is not None
            _code, good = send(mail, message(), "both@filter.test")
            assert mail.arrives(good, ANNA, PASSWORD)
            assert mail.settled()
            assert (mail.subjects(ANNA, PASSWORD), mail.subjects(BEN, PASSWORD)) == ([good], [good])
            assert sorted(Msg.objects.values_list("content", flat=True)) == ["B", "B", "S", "S", "V", "V"]
            assert "status=bounced" not in other.log("postfix")
    finally:
        other.remove()
