"""What no stranger may do: relay, smuggle, sign in without TLS, slip commands in before TLS, pretend to be elsewhere."""

import base64
import json
import re
import smtplib
import socket
import ssl
from pathlib import Path

import pytest

from accounts.models import Mailbox
from domains.models import Alias, Domain
from tests.stack.mail import Line, eventually
from tests.stack.private import quick_hash

FORMS = json.loads((Path(__file__).parent.parent / "data" / "relay.json").read_text())
PASSWORD = "seven quiet herons"
USER = "user@hosted.example"
TOKEN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module", autouse=True)
def before(_private) -> int:
    """How much Postfix had logged when this file began."""
    return len(_private.log("postfix"))


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    hashed = quick_hash(PASSWORD)
    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.create(name="hosted.example")
        for email in (USER, "victim@hosted.example"):
            Mailbox.objects.create(email=email, domain_id="hosted.example", password=hashed)
        Domain.objects.create(name="caught.example")
        Alias.objects.create(source="@caught.example", destination=USER, domain_id="caught.example")
        Domain.objects.create(name="mirror.example", alias_of_id="caught.example")
        Domain.objects.get_or_create(name="example.test")
        Mailbox.objects.update_or_create(
            email="postmaster@example.test", defaults={"domain_id": "example.test", "enabled": True}
        )


@pytest.fixture
def mail(people, mail):
    return mail


def smtp(mail, port="smtp", *, hello="EHLO client.example.net", source=None) -> Line:
    line = Line(mail.port[port], source)
    line.until(rb"^220 ")
    if hello:
        line.say(hello)
    return line


# --- relaying -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "sender", "recipient"), FORMS["refused"], ids=lambda text: text[:24])
def test_no_relay(mail, title, sender, recipient):
    with smtp(mail) as line:
        said = line.say(f"MAIL FROM:{sender}")
        if said.startswith(b"250"):
            said = line.say(f"RCPT TO:{recipient}")
        assert said[:1] in b"45", f"{title}: {said}"
        assert line.say("DATA").startswith((b"503", b"554"))


@pytest.mark.parametrize(
    "recipient",
    [
        "relaytest%victim.example.net@{}", "victim.example.net!relaytest@{}", '"relaytest@victim.example.net"@{}', "relaytest@victim.example.net@{}",
        '"relaytest%victim.example.net"@{}', "@{}:relaytest@victim.example.net", "relaytest%victim.example.net%hosted.example@{}",
        "relaytest@victim.example.net%{}", "relaytest@{}.victim.example.net", "relaytest@sub.{}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["caught.example", "relayed.example", "mirror.example"])
def test_no_relay_by_way_of_a_domain_that_takes_everybody(mail, next_hop, name, recipient):
    """The server behind a relay domain might take the way that is hidden in an address, and believe us."""
    next_hop.knows = Everybody()
    transport = f"smtp:[127.0.0.1]:{next_hop.port}"
    Domain.objects.update_or_create(name="relayed.example", defaults={"transport": transport})
    with smtp(mail) as line:
        line.say("MAIL FROM:<spam@victim.example.net>")
        said = line.say(f"RCPT TO:<{recipient.format(name)}>")
        assert said.startswith((b"554 5.7.1", b"501 5.1.3")), said
        assert line.say(f"RCPT TO:<anybody@{name}>").startswith(b"250")  # the control


class Everybody(set):
    def __contains__(self, _address):
        return True


@pytest.mark.parametrize("recipient", FORMS["accepted"])
def test_legitimate_mail_is_taken_by_the_same_door(mail, recipient):
    with smtp(mail) as line:
        line.say("MAIL FROM:<stranger@victim.example.net>")
        assert line.say(f"RCPT TO:{recipient}").startswith(b"250")


def test_who_is_in_mynetworks_would_relay(mail):
    """The control of all this: the same mail from the one address that is let through gets as far as the bar that keeps
    test mail on this machine."""
    assert mail.rcpt("relaytest@victim.example.net", source="127.0.0.2") == 550
    assert b"5.1.2" in mail.reply
    assert b"private copy" in mail.reply
    assert mail.rcpt("relaytest@victim.example.net") == 554
    assert b"Relay access denied" in mail.reply
    assert mail.rcpt("nobody@hosted.example", source="127.0.0.2") == 550


@pytest.mark.parametrize("door", ["submission", "smtps"])
@pytest.mark.parametrize("sender", [USER, "x@victim.example.net", ""])
def test_nobody_submits_without_signing_in(mail, door, sender):
    with getattr(mail, door)() as client:
        assert client.mail(sender)[0] in (530, 553, 554)
        assert client.rcpt(USER)[0] == 503


# --- smuggling ------------------------------------------------------------------------------------------------

ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\r\n",
]


@pytest.mark.parametrize("end", ENDS, ids=repr)
@pytest.mark.parametrize("who", ["stranger", "mynetworks", "signed in"])
def test_no_second_message_hides_in_the_first(mail, private, end, who):
    name = f"smuggled {ENDS.index(end)} {who}"
    with _at(mail, who) as line:
        line.say(f"MAIL FROM:<{USER if who == 'signed in' else 'x@victim.example.net'}>")
        line.say("RCPT TO:<victim@hosted.example>")
        line.say("DATA")
        line.send(b"Subject: outer\r\n\r\nouter body" + end)
        line.send(b"MAIL FROM:<ceo@hosted.example>\r\nRCPT TO:<victim@hosted.example>\r\nDATA\r\n")
        line.send(f"Subject: {name}\r\n\r\ninner\r\n.\r\nQUIT\r\n")
        said = line.until(rb"^221 ")
    assert said.count(b"queued as") == 1
    assert mail.settled()
    assert name not in mail.subjects("victim@hosted.example", PASSWORD)


def _at(mail, who) -> Line:
    if who != "signed in":
        return smtp(mail, source="127.0.0.2" if who == "mynetworks" else None)
    line = smtp(mail, "submission")
    line.say("STARTTLS", rb"^220 ")
    line.start_tls(mail.trust)
    line.say("EHLO client.example.net", rb"^250 ")
    assert line.say(f"AUTH PLAIN {TOKEN}").startswith(b"235")
    return line


def test_no_second_message_hides_in_a_chunk(mail):
    """Its length is told, so that no end counts; and none comes to count when it is handed on to the filter."""
    with smtp(mail) as line:
        for end in ENDS:
            line.say("MAIL FROM:<x@victim.example.net>")
            line.say("RCPT TO:<victim@hosted.example>")
            body = b"Subject: outer\r\n\r\nouter body" + end
            body += b"MAIL FROM:<ceo@hosted.example>\r\nRCPT TO:<victim@hosted.example>\r\nDATA\r\n"
            body += b"Subject: smuggled in a chunk\r\n\r\ninner\r\n.\r\n"
            line.send(f"BDAT {len(body)} LAST\r\n".encode() + body)
            assert line.until(rb"^\d{3} ").count(b"queued as") == 1
            assert line.say("NOOP") == b"250 2.0.0 Ok\r\n"
    assert mail.settled()
    assert "smuggled in a chunk" not in mail.subjects("victim@hosted.example", PASSWORD)


def test_commands_ahead_of_their_turn(mail):
    with smtp(mail) as line:
        line.send(
            "MAIL FROM:<x@victim.example.net>\r\nRCPT TO:<victim@hosted.example>\r\nDATA\r\n"
            "Subject: too early\r\n\r\n.\r\n"
        )
        assert b"554 5.5.0" in line.until(rb"^(554|354) ")
    assert "too early" not in mail.subjects("victim@hosted.example", PASSWORD)


# --- TLS and signing in ---------------------------------------------------------------------------------------


def test_sign_in_is_offered_under_tls_alone(mail):
    with smtp(mail, hello=None) as line:
        assert b"AUTH" not in line.say("EHLO x.example.net", rb"^250 ")
        assert line.say(f"AUTH PLAIN {TOKEN}").startswith(b"503")
    with mail.smtp(tls=True) as client:  # nor on port 25 with TLS
        assert "auth" not in client.esmtp_features
    with smtp(mail, "submission", hello=None) as line:
        assert b"AUTH" not in line.say("EHLO x.example.net", rb"^250 ")
        assert line.say(f"AUTH PLAIN {TOKEN}").startswith(b"530")
    with mail.submission() as client:
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]


def test_no_password_in_clear_at_imap_pop_and_sieve(mail):
    with Line(mail.port["imap"]) as line:
        assert b"LOGINDISABLED" in line.until(rb"^\* OK")
        assert b"PRIVACYREQUIRED" in line.say(f'a LOGIN {USER} "{PASSWORD}"', rb"^a ")
        assert b"PRIVACYREQUIRED" in line.say(f"b AUTHENTICATE PLAIN {TOKEN}", rb"^b ")
    with Line(mail.port["pop3"]) as line:
        line.until(rb"^\+OK")
        capabilities = line.say("CAPA", rb"^\.")
        assert b"USER" not in capabilities
        assert b"PLAIN" not in capabilities
        assert line.say(f"USER {USER}", rb"^[+-]").startswith(b"-ERR")
        assert line.say(f"AUTH PLAIN {TOKEN}", rb"^[+-]").startswith(b"-ERR")
    with Line(mail.port["managesieve"]) as line:
        assert b'"SASL" ""' in line.until(rb"^OK")
        assert line.say(f'AUTHENTICATE "PLAIN" "{TOKEN}"', rb"^(OK|NO|BYE)").startswith(b"NO")


@pytest.mark.parametrize("tls", [True, False])
def test_not_even_from_the_servers_own_address(mail, tls):
    """Dovecot takes a client on its very address for secure; the queries do not."""
    client = mail.imap(tls=tls, source="127.0.0.1")
    if tls:
        assert client.login(USER, PASSWORD)[0] == "OK"
        client.logout()
    else:
        with pytest.raises(client.error, match="AUTHENTICATIONFAILED"):
            client.login(USER, PASSWORD)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["smtps", "imaps", "pop3s"])
def test_old_tls_is_refused(mail, name):
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(mail.private.info()["ca_file"])
    trust.minimum_version, trust.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    trust.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", mail.port[name]), 10) as plain,
        pytest.raises(ssl.SSLError, match="ALERT|EOF"),  # the server ended it, not we
    ):
        trust.wrap_socket(plain, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", mail.port[name]), 10) as plain:
        assert mail.trust.wrap_socket(plain, server_hostname="mail.example.test").version() in (
            "TLSv1.2",
            "TLSv1.3",
        )


INJECTED = {
    "smtp": (rb"^220 ", "STARTTLS\r\nNOOP injected\r\n", rb"^220 ", "EHLO x.example.net", rb"^250 "),
    "submission": (rb"^220 ", "STARTTLS\r\nNOOP injected\r\n", rb"^220 ", "EHLO x.example.net", rb"^250 "),
    "imap": (rb"^\* OK", "a STARTTLS\r\nb NOOP\r\n", rb"^a OK", "c CAPABILITY", rb"^c "),
    "pop3": (rb"^\+OK", "STLS\r\nNOOP\r\n", rb"^\+OK", "CAPA", rb"^\.\r\n"),
    "managesieve": (rb"^OK", 'STARTTLS\r\nNOOP "injected"\r\n', rb"^OK", 'NOOP "mine"', rb"^OK.*mine"),
}


@pytest.mark.parametrize("name", INJECTED)
def test_nothing_said_before_tls_is_answered_in_it(mail, name):
    greeting, both, go_on, question, end = INJECTED[name]
    with Line(mail.port[name]) as line:
        line.until(greeting)
        if "smtp" in name or name == "submission":
            line.say("EHLO x.example.net", rb"^250 ")
        line.send(both)
        assert re.search(go_on, line.until(go_on), re.MULTILINE) or name in ("smtp", "submission")
        try:
            line.start_tls(mail.trust)
        except (ssl.SSLError, OSError):  # the connection was cut, which is an answer too
            return
        if name == "managesieve":
            line.until(rb"^OK")
        said = line.say(question, end)
        assert b"injected" not in said
        assert not re.search(rb"^(b OK|250 2\.0\.0)", said, re.MULTILINE)
        assert name != "pop3" or said.startswith(b"+OK\r\nCAPA")


def test_what_was_said_before_tls_is_forgotten(mail):
    with smtp(mail) as line:
        line.say("MAIL FROM:<x@victim.example.net>")
        line.say("STARTTLS", rb"^220 ")
        line.start_tls(mail.trust)
        assert line.say(f"RCPT TO:<{USER}>").startswith(b"503")


# --- the rest -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["smtp", "submission"])
def test_commands_that_are_closed(mail, port):
    with smtp(mail, port, hello=None) as line:
        offered = line.say("EHLO client.example.net", rb"^250 ").upper()
        for word in (b"VRFY", b"ETRN", b"XCLIENT", b"XFORWARD", b"SMTPUTF8") + (b"DSN",) * (port == "smtp"):
            assert word not in offered
        for command in (
            f"VRFY {USER}", f"EXPN {USER}", "ETRN hosted.example", "XCLIENT ADDR=127.0.0.2", "XFORWARD ADDR=127.0.0.2",
        ):  # fmt: skip
            assert line.say(command)[:1] == b"5"


def test_a_proxys_header_is_no_proof_of_an_address(mail, private):
    line = Line(mail.port["smtp"])
    line.until(rb"^220 ")
    assert line.say("PROXY TCP4 127.0.0.2 127.0.0.1 1 25")[:1] in b"5"
    line.close()
    assert mail.rcpt("relaytest@victim.example.net") == 554


def test_mail_begins_with_helo(mail):
    with smtp(mail, hello=None) as line:
        assert line.say("MAIL FROM:<x@victim.example.net>").startswith(b"503")
        assert line.say("HELO client.example.net").startswith(b"250")
        assert line.say("MAIL FROM:<x@victim.example.net>").startswith(b"250")


def test_guessing_addresses_ends_at_twenty(mail):
    codes = []
    with smtp(mail) as line:
        line.say("MAIL FROM:<x@victim.example.net>")
        while len(codes) < 30:
            codes.append(line.say(f"RCPT TO:<guess{len(codes)}@hosted.example>")[:3])
            if codes[-1] == b"421":
                break
    assert len(codes) <= 21
    assert codes[-1] == b"421"
    assert set(codes[:-1]) == {b"550"}


def test_a_message_that_is_too_large(mail):
    with mail.smtp() as client:
        assert int(client.esmtp_features["size"]) == 52428800
        assert client.mail("x@victim.example.net", ["SIZE=52428801"])[0] == 552


def test_the_test_file_of_all_scanners_is_found(private):
    test_file = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE" + b"!$H+H*"

    def scan(data: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(str(private.directory / "clamav" / "run" / "clamd.sock"))
            door.sendall(b"zINSTREAM\0" + len(data).to_bytes(4) + data + bytes(4))
            return door.recv(1000)

    assert scan(test_file) == b"stream: Eicar-Test-Signature.UNOFFICIAL FOUND\0"
    attached = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert b"FOUND" in scan(b"Subject: x\r\nMIME-Version: 1.0\r\n" + attached + base64.encodebytes(test_file))
    assert scan(b"nothing bad") == b"stream: OK\0"


def test_bounces_to_strangers_never_happened(mail, private, before):
    """After all the refusals of this file: nothing was accepted that then had to be returned."""
    assert eventually(lambda: mail.queue() == 0)
    assert "status=bounced" not in private.log("postfix")[before:]
    assert smtplib.SMTP("localhost", mail.port["smtp"]).noop()[0] == 250
