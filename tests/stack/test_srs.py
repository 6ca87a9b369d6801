"""Mail that is forwarded to another server leaves with a sender of ours (SRS), so that the SPF record of the first sender is
not used by a server that it does not name. What comes back finds the way, and nobody else gets mail through by it."""

import base64
import re
import subprocess

import pytest

from accounts.models import Mailbox
from domains.models import Alias, Domain
from mailpanel.stack import processes
from tests.stack.mail import Line, eventually
from tests.stack.next_hop import NextHop
from tests.stack.private import quick_hash

PASSWORD = "seven quiet herons"
ANNA, SIEVE = "anna@srs.test", "sieve@srs.test"
STRANGER = "Stranger+tag@elsewhere.example.net"
# The sender on the envelope of what was forwarded: our signature, the day, and whom it stands for.
OF_STRANGER = re.compile(
    r"Return-Path: <SRS0=[^=]{8}=[^=]+=elsewhere\.example\.net=Stranger\+tag@mail\.example\.test>\n"
)


@pytest.fixture(scope="module")
def people(_outside, django_db_blocker):
    with django_db_blocker.unblock(), _outside.private.orm():
        Domain.objects.create(name="srs.test")
        Domain.objects.create(name="mirror.srs.test", alias_of_id="srs.test")
        Domain.objects.create(name="off.srs.test", enabled=False)
        for email in (ANNA, SIEVE):
            Mailbox.objects.create(email=email, domain_id="srs.test", password=quick_hash(PASSWORD))
        for source, destination in (
            ("forward", "anna@other.example"), ("late", "nobody@other.example"), ("refused", "refused@other.example"),
            ("local", ANNA), ("both", ANNA), ("both", "anna@other.example"),
        ):  # fmt: skip
            Alias.objects.create(source=f"{source}@srs.test", destination=destination, domain_id="srs.test")


@pytest.fixture
def private(people, outside):
    outside.records[("elsewhere.example.net.", "MX")] = ["10 mx.other.example."]
    return outside.private


def inbox(mail, user: str, subject: str) -> str:
    """The message, once it is there."""
    with mail.imaps(user, PASSWORD) as client:

        def found():
            client.select("INBOX", readonly=True)
            return client.search(None, "SUBJECT", f'"{subject}"')[1][0].split()

        assert eventually(found)
        return client.fetch(found()[0], "(BODY.PEEK[])")[1][0][1].decode().replace("\r\n", "\n")


def srs_address(mail, outside) -> str:
    """One that is valid, as a server sees it to which mail was forwarded."""
    text = outside.other.message(mail.deliver("forward@srs.test", sender=STRANGER))
    return re.match(r"Return-Path: <(.+)>", text)[1]


# --- out ------------------------------------------------------------------------------------------------------


def test_forwarded_by_an_alias(mail, outside):
    text = outside.other.message(mail.deliver("forward@srs.test", sender=STRANGER))
    assert OF_STRANGER.match(text)
    assert f"\nFrom: {STRANGER}\n" in text  # what people see is as it was
    assert mail.settled()


def test_forwarded_by_a_sieve_script(mail, outside):
    script = b'redirect "anna@other.example";'
    token = base64.b64encode(f"\0{SIEVE}\0{PASSWORD}".encode()).decode()
    with mail.sieve() as line:
        assert line.say(f'AUTHENTICATE "PLAIN" "{token}"', rb"^(OK|NO)").startswith(b"OK")
        line.send(f'PUTSCRIPT "on" {{{len(script)}+}}\r\n')
        assert line.say(script + b"\r\n", rb"^(OK|NO)").startswith(b"OK")
        assert line.say('SETACTIVE "on"', rb"^(OK|NO)").startswith(b"OK")
    assert OF_STRANGER.match(outside.other.message(mail.deliver(SIEVE, sender=STRANGER)))


def test_forwarded_a_second_time(mail, outside):
    """The sender is already one that another forwarder made: it is shortened to the two ends (SRS1)."""
    first = "SRS0=abcd=XY=elsewhere.example.net=bob@forwarder.example"
    text = outside.other.message(mail.deliver("forward@srs.test", sender=first))
    assert re.match(
        r"Return-Path: <SRS1=[^=]{8}=forwarder\.example==abcd=XY=elsewhere\.example\.net=bob@mail\.example\.test>\n", text
    )  # fmt: skip


@pytest.mark.parametrize("local", ['"odd name"', '"a\\"b"', '"(x)"', "50%off", "a!b"])
def test_names_that_cannot_be_carried_stay(mail, outside, local):
    """Made a part of another address they would be somebody else's; so this mail is sent on as it came."""
    text = outside.other.message(mail.deliver("forward@srs.test", sender=f"{local}@elsewhere.example.net"))
    assert text.startswith(f"Return-Path: <{local}@elsewhere.example.net>\n")


@pytest.mark.parametrize("local", ["o'hara", "a=b", "x" * 64, "{b}$c|`?", "a-b_c~"])
def test_names_that_are_hard_to_carry(mail, outside, local):
    """There and back: a bounce to what was made of them is taken, and is for them."""
    outside.records[("hard.example.", "MX")] = ["10 mx.other.example."]
    text = outside.other.message(mail.deliver("forward@srs.test", sender=f"{local}@hard.example"))
    made = re.match(r"Return-Path: <(.+)>\n", text)[1]
    assert "hard.example" in made
    assert "SRS0=" in made
    before = len(mail.private.log("postfix"))
    mail.deliver(made, sender="")
    expected = f"to=<{local}@hard.example>, orig_to="
    assert eventually(lambda: expected in mail.private.log("postfix")[before:])
    assert mail.settled()


@pytest.fixture
def server(outside):
    server = NextHop(("127.0.3.9", 25))
    server.knows = {"somebody@relayed.srs.test", "anna@other.example"}
    yield server
    server.stop()


def test_a_server_behind_ours_gets_the_first_sender(mail, outside, server):
    """It looks at our address and not at SPF."""
    Domain.objects.create(name="relayed.srs.test", transport="smtp:[127.0.3.9]:25")
    mail.deliver("somebody@relayed.srs.test", sender=STRANGER)
    assert eventually(lambda: STRANGER in server.senders)


def test_by_way_of_a_provider(mail, outside, server, private):
    """relayhost holds for what is forwarded, too."""
    etc = private.etc / "postfix"
    subprocess.run(["postconf", "-c", etc, "-e", "relayhost=[127.0.3.9]"], check=True)
    outside.postfix("reload")
    try:
        for sender in (STRANGER, ANNA):
            mail.deliver("forward@srs.test", sender=sender, client=mail.smtp(source="127.0.0.2"))
        assert eventually(lambda: len(server.messages) == 2)
        assert sorted(sender[:5] for sender in server.senders) == ["SRS0=", "anna@"]
    finally:
        subprocess.run(["postconf", "-c", etc, "-X", "relayhost"], check=True)
        outside.postfix("reload")


def test_what_stays_here_keeps_its_sender(mail, outside):
    """Also the copy that stays, of a message that is forwarded, too."""
    text = inbox(mail, ANNA, mail.deliver("local@srs.test", sender=STRANGER))
    assert text.startswith(f"Return-Path: <{STRANGER}>\n")
    assert "SRS" not in text
    subject = mail.deliver("both@srs.test", sender=STRANGER)
    assert inbox(mail, ANNA, subject).startswith(f"Return-Path: <{STRANGER}>\n")
    assert OF_STRANGER.match(outside.other.message(subject))


@pytest.mark.parametrize(
    "sender",
    [
        ANNA,
        "anna+tag@srs.test",
        "Anna@SRS.test",
        "anna@mirror.srs.test",
        "x@off.srs.test",
        "root@mail.example.test",
    ],
)
def test_our_own_are_never_rewritten(mail, outside, sender):
    subject = mail.deliver("forward@srs.test", sender=sender, client=mail.smtp(source="127.0.0.2"))
    assert outside.other.message(subject).lower().startswith(f"return-path: <{sender}>\n".lower())


def test_a_mail_program_of_ours(mail, outside):
    for to in ("forward@srs.test", "anna@other.example"):
        subject = mail.deliver(to, sender=ANNA, client=mail.submission(ANNA, PASSWORD))
        assert outside.other.message(subject).startswith(f"Return-Path: <{ANNA}>\n")


def test_a_bounce_has_no_sender_and_gets_none(mail, outside):
    text = outside.other.message(mail.deliver("forward@srs.test", sender=""))
    assert text.startswith("Return-Path: <>\n")


# --- back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["late@srs.test", "refused@srs.test"], ids=["by the other server", "by ours"])
def test_a_bounce_finds_the_first_sender(mail, outside, to):
    """Who is Anna over there, and wrote to an alias of ours that leads to nobody."""
    subject = mail.deliver(to, sender="anna@other.example")
    text = outside.other.message(subject)
    assert "MAILER-DAEMON" in text
    assert text.startswith("Return-Path: <>\n")
    assert "\nX-Original-To: anna@other.example\n" in text or "Delivered-To: anna@other.example" in text
    assert mail.settled()


def test_an_answer_to_the_address_is_taken_for_three_weeks(mail, outside):
    address = srs_address(mail, outside)
    for form in (address, address.lower(), address.replace("mail.example.test", "MAIL.example.test")):
        assert mail.rcpt(form, sender="") == 250


def test_forged_addresses_are_refused(mail, outside):
    """No backscatter, and no relay: a signature of ours, for somebody else, of another day, at another name."""
    address = srs_address(mail, outside)
    _srs0, signature, day, domain, rest = address.split("=")
    _local, _at, host = rest.rpartition("@")
    wrong = [
        f"SRS0={'A' * 8}={day}={domain}={rest}", f"SRS0={signature[:4]}={day}={domain}={rest}", f"SRS0=={day}={domain}={rest}",
        f"SRS0={signature}={day}=other.example=anna@{host}", f"SRS0={signature}={day}={domain}=victim@{host}",
        f"SRS0={signature}=AA={domain}={rest}", f"SRS0={signature}={day}={domain}@{host}", f"SRS0=x@{host}", f"SRS1=x=y@{host}",
        f"SRS1={signature}=other.example=={day}={domain}={rest}",
    ]  # fmt: skip
    for forged in wrong:
        assert mail.rcpt(forged, sender="") == 550, forged
    # another name than the server's
    assert mail.rcpt(address.replace(f"@{host}", "@srs.test"), sender="") == 550
    assert mail.rcpt(address.replace(f"@{host}", "@mailxexample.test"), sender="") == 554
    assert mail.rcpt(address, sender="") == 250


def test_the_second_hop_is_for_this_machine_alone(mail, private):
    with Line(private.port["srs"], "127.0.9.9") as line:
        line.until(rb"^220 ")
        line.say("EHLO client.example.net", rb"^250 ")
        line.say("MAIL FROM:<x@elsewhere.example.net>")
        assert line.say("RCPT TO:<anna@other.example>").startswith(b"554")
        assert b"AUTH" not in line.say("EHLO client.example.net", rb"^250 ")


# --- down -----------------------------------------------------------------------------------------------------


def test_while_postsrsd_is_away_mail_waits(mail, outside, private):
    """What is forwarded, and nothing else; and then it all arrives, once."""
    address = srs_address(mail, outside)
    assert mail.settled()
    processes.end(f"{private.directory}/postsrsd", within=5)
    try:
        subject = mail.deliver("both@srs.test", sender=STRANGER)
        inbox(mail, ANNA, subject)
        assert outside.other.message(
            mail.deliver("anna@other.example", sender=ANNA, client=mail.submission(ANNA, PASSWORD))
        )
        assert mail.rcpt(address, sender="") == 451
        assert mail.rcpt("nobody@srs.test") == 550
        log = private.log("postfix")
        assert eventually(lambda: re.search(r"relay=127\.0\.0\.1.*status=deferred", private.log("postfix")))
        assert eventually(lambda: mail.queue() == 1)
    finally:
        private.manage("stack", "up")
        outside.open()
    outside.retry()
    assert OF_STRANGER.match(outside.other.message(subject))
    assert mail.settled()
    assert private.log("postfix")[len(log) :].count("status=bounced") == 0
    assert len(outside.other._with(subject)) == 1
