"""How a mail program and other mail servers meet the daemons: connections, one message, one mailbox."""

import base64
import imaplib
import itertools
import poplib
import re
import smtplib
import socket
import ssl
import time
from email.message import EmailMessage
from functools import cached_property

from tests.stack.private import Private

# Dovecot slows down an address that failed to sign in, so each connection comes from one of its own.
addresses = (f"127.0.{a}.{b}" for a in itertools.count(1) for b in range(1, 255))
PATIENCE = 120  # seconds, for a machine that has other things to do, and for Dovecot, which looks twice for its database


class Bound:
    """A client of imaplib or poplib that comes from an address of its own."""

    def __init__(self, host, port, source, **arguments):
        self._source = source
        super().__init__(host, port, **arguments)

    def _create_socket(self, timeout):
        plain = socket.create_connection((self.host, self.port), PATIENCE, source_address=(self._source, 0))
        wrap = getattr(self, "ssl_context", None) or getattr(self, "context", None)
        return wrap.wrap_socket(plain, server_hostname=self.host) if wrap else plain


class Imap(Bound, imaplib.IMAP4):
    pass


class Imaps(Bound, imaplib.IMAP4_SSL):
    pass


class Pop(Bound, poplib.POP3):
    pass


class Pops(Bound, poplib.POP3_SSL):
    pass


class MailServer:
    def __init__(self, private: Private):
        self.private, self.port = private, private.port

    @cached_property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.private.info()["ca_file"])

    # --- connections ----------------------------------------------------------------------------------------

    def smtp(self, port="smtp", *, source=None, tls=False, patience=PATIENCE) -> smtplib.SMTP:
        """From another server: outside of mynetworks, unless `source` says otherwise."""
        client = smtplib.SMTP(
            "localhost", self.port[port], "client.example.net", patience, (source or next(addresses), 0)
        )
        client.ehlo()
        if tls:
            client.starttls(context=self.trust)
            client.ehlo()
        return client

    def submission(self, user=None, password=None) -> smtplib.SMTP:
        client = self.smtp("submission", tls=True)
        if user:
            client.login(user, password)
        return client

    def sign_in_code(self, user, password) -> int:
        """The answer to one AUTH PLAIN at submission; login() of smtplib would try other ways, too."""
        token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        with self.submission() as client:
            return client.docmd("AUTH PLAIN", token)[0]

    def smtps(self, user=None, password=None) -> smtplib.SMTP_SSL:
        client = smtplib.SMTP_SSL(
            "localhost",
            self.port["smtps"],
            "client.example.net",
            timeout=PATIENCE,
            source_address=(next(addresses), 0),
            context=self.trust,
        )
        client.ehlo()
        if user:
            client.login(user, password)
        return client

    def imap(self, *, tls=True, source=None) -> imaplib.IMAP4:
        client = Imap("localhost", self.port["imap"], source or next(addresses))
        if tls:
            client.starttls(self.trust)
        return client

    def imaps(self, user=None, password=None) -> imaplib.IMAP4_SSL:
        client = Imaps("localhost", self.port["imaps"], next(addresses), ssl_context=self.trust)
        if user:
            client.login(user, password)
        return client

    def pop(self, *, tls=True) -> poplib.POP3:
        client = Pop("localhost", self.port["pop3"], next(addresses))
        if tls:
            client.stls(self.trust)
        return client

    def pops(self) -> poplib.POP3_SSL:
        return Pops("localhost", self.port["pop3s"], next(addresses), context=self.trust)

    def sieve(self, *, tls=True) -> "Line":
        line = Line(self.port["managesieve"])
        line.until(rb"^OK")
        if tls:
            line.say("STARTTLS", rb"^OK")
            line.start_tls(self.trust)
            line.until(rb"^OK")
        return line

    # --- the usual ------------------------------------------------------------------------------------------

    def rcpt(
        self, recipient: str, *, sender="stranger@elsewhere.example.net", source=None, client=None
    ) -> int:
        """The code that a server gets for one recipient."""
        with client or self.smtp(source=source) as client:
            client.mail(sender)
            code, self.reply = client.rcpt(recipient)
            return code

    def deliver(
        self, recipient: str, *, sender="stranger@elsewhere.example.net", client=None, text="Hello."
    ) -> str:
        """Send one message, as another server or by `client`; the subject by which to find it again."""
        message = EmailMessage()
        message["From"], message["To"] = sender, "somebody@example.test"
        message["Subject"] = subject = f"message {time.monotonic_ns()}"
        message.set_content(text)
        with client or self.smtp() as client:
            client.sendmail(sender, [recipient], message.as_bytes())
        return subject

    def subjects(self, user: str, password: str) -> list[str]:
        """Of all messages in the inbox, by IMAP."""
        client = self.imaps(user, password)
        try:
            return _subjects(client)
        finally:
            client.logout()

    def arrives(self, subject: str, user: str, password: str) -> bool:
        client = self.imaps(user, password)
        try:
            return eventually(lambda: subject in _subjects(client))
        finally:
            client.logout()

    def queue(self) -> int:
        """Messages that Postfix holds."""
        spool = self.private.directory / "postfix" / "spool"
        return sum(1 for queue in ("incoming", "active", "deferred") for _ in _files(spool / queue))

    def settled(self) -> bool:
        """Everything that was accepted has gone somewhere."""
        return eventually(lambda: self.queue() == 0)


def _subjects(client: imaplib.IMAP4) -> list[str]:
    client.select("INBOX", readonly=True)
    found = client.search(None, "ALL")[1][0]
    if not found:
        return []
    headers = "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
    parts = client.fetch(found.replace(b" ", b",").decode(), headers)[1]
    return [part[1].decode().strip().removeprefix("Subject: ") for part in parts if isinstance(part, tuple)]


class Line:
    """A raw connection, for what no well-behaved client says."""

    def __init__(self, port: int, source: str | None = None):
        self.socket = socket.create_connection(
            ("127.0.0.1", port), PATIENCE, source_address=(source or next(addresses), 0)
        )
        self.received = b""

    def until(self, pattern: bytes) -> bytes:
        """What comes up to the line that matches, or to the end of the connection."""
        lines = b""
        while True:
            while b"\n" in self.received:
                line, _newline, self.received = self.received.partition(b"\n")
                lines += line + b"\n"
                if re.match(pattern, line):
                    return lines
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return lines + self.received
            self.received += more

    def send(self, data: str | bytes) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def say(self, command: str | bytes, pattern: bytes = rb"^\d{3} ") -> bytes:
        self.send(command if isinstance(command, bytes) else command + "\r\n")
        return self.until(pattern)

    def start_tls(self, trust: ssl.SSLContext) -> None:
        self.socket = trust.wrap_socket(self.socket, server_hostname="localhost")

    def close(self) -> None:
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()


def eventually(condition, within: float = PATIENCE) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _files(directory):
    return (path for path in directory.rglob("*") if path.is_file())
