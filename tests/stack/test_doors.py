"""What each door says to those who come with old or weak TLS, too slowly, with too much, or as if from elsewhere."""

import re
import ssl
import subprocess
import time
from socket import inet_aton

import pytest

from accounts.models import Mailbox
from domains.models import Domain
from tests.stack.mail import Line, eventually
from tests.stack.private import quick_hash

pytestmark = pytest.mark.once

PASSWORD = "seven quiet herons"
USER = "user@doors.test"
# What a client says before TLS begins, and the answer; the first one is the greeting.
FIRST = {
    "smtp": (("", rb"^220 "), ("EHLO x", rb"^250 "), ("STARTTLS", rb"^220 ")),
    "submission": (("", rb"^220 "), ("EHLO x", rb"^250 "), ("STARTTLS", rb"^220 ")),
    "imap": (("", rb"^\* OK"), ("a STARTTLS", rb"^a OK")),
    "pop3": (("", rb"^\+OK"), ("STLS", rb"^\+OK")),
    "managesieve": (("", rb"^OK"), ("STARTTLS", rb"^OK")),
    "smtps": (),
    "imaps": (),
    "pop3s": (),
}
# No certificate, no encryption, no key of its own for each connection (forward secrecy). What is weaker still, such as RC4
# and 3DES, our own OpenSSL does not know any more, so that it cannot be tried.
WEAK = ["aNULL", "eNULL", "kRSA", "PSK", "SRP"]


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.create(name="doors.test")
        Mailbox.objects.create(email=USER, domain_id="doors.test", password=quick_hash(PASSWORD))


@pytest.fixture
def mail(people, mail):
    return mail


def reload(private) -> None:
    subprocess.run(["postfix", "-c", private.etc / "postfix", "reload"], check=True, capture_output=True)
    private.doveadm("reload")


# --- TLS ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_keys(_private):
    """The daemons have an RSA certificate, too, so that what only that allows can be tried."""
    certificate, key = _private.directory / "tls" / "rsa.pem", _private.directory / "tls" / "rsa.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    main, conf = _private.etc / "postfix" / "main.cf", _private.etc / "dovecot" / "dovecot.conf"
    before = {path: path.read_text() for path in (main, conf)}
    main.write_text(
        re.sub(
            r"^(smtpd_tls_chain_files = .*)", rf"\1, {key}, {certificate}", before[main], flags=re.MULTILINE
        )
    )
    conf.write_text(f"{before[conf]}\nssl_alt_cert = <{certificate}\nssl_alt_key = <{key}\n")
    reload(_private)
    yield
    for path, text in before.items():
        path.write_text(text)
    reload(_private)


def client(ciphers="ALL:@SECLEVEL=0", version=ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.minimum_version = made.maximum_version = version
    made.set_ciphers(ciphers)
    return made


def shake(mail, door: str, trust: ssl.SSLContext) -> ssl.SSLSocket:
    line = Line(mail.port[door])
    for command, answer in FIRST[door]:
        line.say(command, answer) if command else line.until(answer)
    return trust.wrap_socket(line.socket, server_hostname="localhost")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("door", FIRST)
def test_old_tls_is_refused(mail, door):
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError, match="ALERT|EOF"):  # the server ended it, not we
            shake(mail, door, client(version=version))
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        with shake(mail, door, client(version=version)) as taken:
            assert (taken.version(), taken.compression()) == (name, None)


@pytest.mark.parametrize("door", FIRST)
def test_weak_ciphers_are_refused(mail, two_keys, door):
    def with_rsa() -> bool:
        with shake(mail, door, client("ECDHE+aRSA:@SECLEVEL=0")) as taken:
            return "RSA" in taken.cipher()[0]

    assert eventually(with_rsa)
    for weak in WEAK:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            print(weak, shake(mail, door, client(f"{weak}:@SECLEVEL=0")).cipher())


def said_to_a_negotiation(mail, door) -> str:
    kind = {"submission": "smtp", "managesieve": "sieve"}.get(door, door)
    starttls = [] if door.endswith("s") else ["-starttls", kind]
    with subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{mail.port[door]}", "-tls1_2", *starttls],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as asking:  # fmt: skip
        said = ""
        while "Extended master secret" not in said:
            line = asking.stdout.readline()
            assert line, said
            said += line
        asking.stdin.write("R\n")
        asking.stdin.flush()
        said += asking.stdout.read()
    assert "RENEGOTIATING" in said
    return said


@pytest.mark.parametrize("door", FIRST)
def test_nobody_negotiates_anew(mail, door):
    # with a greeting in between it ends in another way
    assert eventually(lambda: "no renegotiation" in said_to_a_negotiation(mail, door), 30)


# --- too slow, too much ---------------------------------------------------------------------------------------


@pytest.fixture
def little_time(private):
    """Five minutes are three seconds."""
    main = private.etc / "postfix" / "main.cf"
    before = main.read_text()
    main.write_text(f"{before}\nsmtpd_timeout = 3s\n")
    reload(private)
    yield
    main.write_text(before)
    reload(private)


@pytest.mark.parametrize("what", ["command", "message"])
def test_who_says_a_little_now_and_then_is_not_waited_for(mail, private, little_time, what):
    with Line(mail.port["smtp"]) as line:
        line.until(rb"^220 ")
        line.say("EHLO client.example.net")
        if what == "message":
            line.say("MAIL FROM:<x@elsewhere.example.net>")
            line.say(f"RCPT TO:<{USER}>")
            line.say("DATA", rb"^354 ")
        begin = time.monotonic()
        try:
            while time.monotonic() - begin < 60:
                line.send("x")
                time.sleep(0.3)
        except OSError:
            pass
        assert time.monotonic() - begin < 30
        assert b"421" in line.received or line.until(rb"^421 ").startswith(b"421 ")
    assert "timeout after " + {"command": "EHLO", "message": "DATA"}[what] in private.log("postfix")
    assert mail.arrives(mail.deliver(USER), USER, PASSWORD)  # the control


@pytest.mark.parametrize(
    ("door", "command"),
    [("smtp", "NOOP"), ("smtp", "VRFY x"), ("smtp", "NONSENSE"), ("submission", "RSET"), ("submission", "AUTH PLAIN x")],
)  # fmt: skip
def test_who_says_much_and_sends_nothing_is_cut_off(mail, door, command):
    said = []
    with Line(mail.port[door]) as line:
        line.until(rb"^220 ")
        line.say("EHLO client.example.net")
        while len(said) < 200 and not (said and said[-1][:3] in (b"421", b"")):
            said.append(line.say(command))
    assert said[-1].startswith(b"421 4.7.0 ")
    assert len(said) <= 80


# --- as if from elsewhere -------------------------------------------------------------------------------------

FORGED = "192.0.2.66"
TAKEN = rf"rip={FORGED}|\[{FORGED}\]|session=<forged>"  # for the client's, in a log
PROXIED = (
    f"PROXY TCP4 {FORGED} 127.0.0.1 1 25\r\n".encode(),
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + inet_aton(FORGED) + inet_aton("127.0.0.1") + b"\0\x19\0\x19",
)
CLAIMS = {
    "imap": [("a ID (\"x-originating-ip\" \"%s\" \"x-connected-ip\" \"%s\" \"x-session-id\" \"forged\")", rb"^a ")],
    "pop3": [("XCLIENT ADDR=%s PORT=9 SESSION=forged", rb"^[+-]")],
    "managesieve": [("XCLIENT ADDR=%s PORT=9 SESSION=forged", rb"^(OK|NO|BYE)")],
    "smtp": [("EHLO x", rb"^250 "), ("XCLIENT ADDR=%s", rb"^\d"), ("XFORWARD ADDR=%s", rb"^\d")],
    "submission": [("EHLO x", rb"^250 "), ("XCLIENT ADDR=%s LOGIN=user", rb"^\d")],
}  # fmt: skip


@pytest.mark.parametrize("header", PROXIED, ids=["text", "binary"])
@pytest.mark.parametrize("door", CLAIMS)
def test_a_proxys_header_is_no_proof_of_an_address(mail, private, door, header):
    with Line(mail.port[door]) as line:
        line.send(header + b"z LOGOUT\r\nLOGOUT\r\nQUIT\r\n")
        line.until(rb"^never")  # to the end
    assert not re.search(TAKEN, private.log("postfix") + private.log("dovecot"))


@pytest.mark.parametrize("door", CLAIMS)
def test_nobody_says_that_he_comes_from_elsewhere(mail, private, door):
    before = {name: len(private.log(name)) for name in ("postfix", "dovecot")}
    with Line(mail.port[door]) as line:
        line.until(FIRST[door][0][1])
        for command, answer in CLAIMS[door]:
            line.say(command.replace("%s", FORGED), answer)
    time.sleep(0.5)
    for name, start in before.items():
        assert not re.search(TAKEN, private.log(name)[start:])
