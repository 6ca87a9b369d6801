"""Servers that behave, and servers that do not: each a function that gets a connection."""

import base64
import binascii
import contextlib
import re
import socket
import struct
import threading
import time


class Conversation:
    """One connection, as the server has it. What the probe said is kept, also what came under TLS."""

    def __init__(self, door: socket.socket, fake: "Fake"):
        self.door, self.fake, self.early = door, fake, b""

    def say(self, *lines: str | bytes) -> None:
        for line in lines:
            self.door.sendall(line if isinstance(line, bytes) else line.encode() + b"\r\n")

    def hear(self) -> bytes:
        """The next line; empty at the end."""
        while b"\n" not in self.early:
            if not (more := self.raw()):
                return b""
            self.early += more
        line, _end, self.early = self.early.partition(b"\n")
        return line.rstrip(b"\r") or b"\n"

    def raw(self) -> bytes:
        more = self.door.recv(65536)
        self.fake.heard += more
        return more

    def secure(self) -> None:
        self.door = self.fake.context.wrap_socket(self.door, server_side=True)


class Fake:
    """Listens on loopback while it is used as a context. `still_open` are connections that the probe has not ended."""

    def __init__(self, behave, context=None, port: int = 0):
        self.behave, self.context = behave, context
        self.heard, self.connections, self.still_open = b"", 0, 0
        self.listener = socket.create_server(("127.0.0.1", port), backlog=50)
        self.port = self.listener.getsockname()[1]
        self._ended = threading.Event()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self._ended.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                door, _peer = self.listener.accept()
                self.connections += 1
                self.still_open += 1
                threading.Thread(target=self._serve, args=[door], daemon=True).start()

    def _serve(self, door):
        conversation = Conversation(door, self)
        try:
            with contextlib.suppress(OSError, ValueError):
                self.behave(conversation)
            self._until_gone(conversation.door)
        finally:
            conversation.door.close()
            self.still_open -= 1

    def _until_gone(self, door):
        """A server that has lost its wits does not hang up; the probe has to."""
        while not self._ended.is_set():
            try:
                door.settimeout(0.05)
                if not door.recv(65536):
                    return
            except TimeoutError:
                continue
            except (OSError, ValueError):
                return


# --- that do not behave ---------------------------------------------------------------------------------------


def silent(_it):
    pass


def dripping(it):
    while True:
        it.say(b"2")
        time.sleep(0.1)


def endless(it):
    """A megabyte and more without a line end."""
    for _number in range(2000):
        it.say(b"x" * 1024)


def endless_lines(it):
    for _number in range(100_000):
        it.say("220-more")


def closing(it):
    it.door.close()


def resetting(it):
    it.door.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    it.door.close()


def saying(data: bytes):
    def behave(it):
        it.say(data)

    return behave


# --- that behave ----------------------------------------------------------------------------------------------


def answering(greeting: str, answers: list[tuple[str, str]], at_once: bool = False):
    """A server that greets, and answers each line by the first pattern that fits. An answer may be several lines; `TLS` in
    it stands for the handshake, `CUT` for the end, `HANG` for silence."""

    def behave(it):
        if at_once:
            it.secure()
        _act(it, greeting)
        while line := it.hear():
            said = line.decode("latin-1")
            for pattern, answer in answers:
                if found := re.fullmatch(pattern, said, re.IGNORECASE):
                    if not _act(it, found.expand(answer)):
                        return
                    break

    return behave


def _act(it, text: str) -> bool:
    for part in re.split(r"(?m)^(TLS|CUT|HANG)\n?", text):
        if part == "TLS":
            it.secure()
        elif part in ("CUT", "HANG"):
            if part == "CUT":
                it.door.close()
            return False
        elif lines := part.strip("\n"):
            it.say("\r\n".join(lines.split("\n")))  # in one packet
    return True


SMTP = [
    ("EHLO .*", "250-fake\n250-STARTTLS\n250 8BITMIME"),
    ("STARTTLS", "220 go on\nTLS"),
    ("RCPT TO:.*", "554 5.7.1 relay access denied"),
    ("QUIT", "221 bye"),
    (".*", "250 ok"),
]
SUBMISSION = [
    ("AUTH PLAIN .*", "235 welcome"),
    ("MAIL FROM:<stranger.*", "530 5.7.0 sign in first"),
    *SMTP,
]
# After STARTTLS this one offers AUTH, and before it does not.
IMAP = [
    (r"(\S+) CAPABILITY", "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\n\\1 OK done"),
    (r"(\S+) STARTTLS", "\\1 OK go on\nTLS"),
    (r"(\S+) AUTHENTICATE PLAIN", "+ "),
    (r"(\S+) LOGOUT", "* BYE\n\\1 OK bye"),
    (r"(MP) \S.*", "\\1 OK done"),
    (r"[A-Za-z0-9+/=]{8,}", "MP OK welcome"),
]
POP3 = [
    ("CAPA", "+OK\nSTLS\nSASL\n."),
    ("STLS", "+OK go on\nTLS"),
    (".*", "+OK"),
]
_SIEVE = '"IMPLEMENTATION" "fake"\n"SASL" ""\n"STARTTLS"\nOK'
SIEVE = [("STARTTLS", f"OK\nTLS\n{_SIEVE}"), (".*", "OK")]
LMTP = [
    ("LHLO .*", "250 fake"),
    ("RCPT TO:<.*-unknown@.*", "550 5.1.1 unknown"),
    ("QUIT", "221 bye"),
    (".*", "250 ok"),
]


def submission(greeting="220 fake ESMTP", *, at_once=False):
    def behave(it):
        if at_once:
            it.secure()
        it.say(greeting)
        able = ["250-fake", "250-STARTTLS", "250 8BITMIME"]
        while line := it.hear().decode("latin-1"):
            if line.startswith("EHLO"):
                under_tls = hasattr(it.door, "cipher")
                it.say(*(["250-fake", "250 AUTH PLAIN"] if under_tls else able))
            else:
                answer = next(answer for pattern, answer in SUBMISSION if re.fullmatch(pattern, line))
                _act(it, answer)

    return behave


def quota(it):
    recipient = size = ""
    while line := it.hear().decode():
        name, _is, value = line.partition("=")
        if name == "recipient":
            recipient = value
        elif name == "size":
            size = value
        elif line == "\n":
            full = size != "0" and "unknown" not in recipient
            it.say(f"action={'552 5.2.3 too large' if full else 'DUNNO'}", "")


def clamd(answers: dict[bytes, bytes] | None = None):
    """By command; without `answers` one that finds the test virus."""
    good = {b"zPING": b"PONG\0", b"zVERSION": b"ClamAV 1.4.6\0"}

    def behave(it):
        command = it.raw()
        name = command.split(b"\0")[0]
        if name == b"zINSTREAM" and name not in (answers or {}):
            it.say(b"stream: Eicar-Test-Signature FOUND\0" if b"EICAR" in command else b"stream: OK\0")
        else:
            it.say((good | (answers or {})).get(name, b"UNKNOWN COMMAND\0"))
        it.door.close()

    return behave


def amavis(verdicts: dict[bytes, str] | None = None):
    """Answers a message by the first word that is in it; without `verdicts` one that knows the test texts."""
    known = {b"EICAR": "554 5.7.0 INFECTED", b"GTUBE": "554 5.7.0 spam", b"": "250 2.6.0 Ok"}

    def behave(it):
        it.say("220 fake ESMTP amavisd-new")
        while command := it.hear():
            it.say({b"DATA": "354 go on", b"QUIT": "221 bye"}.get(command, "250 ok"))
            if command == b"DATA":
                message = b""
                while (line := it.hear()) not in (b".", b""):
                    message += line if b" " in line else b64(line)
                it.say(next(said for word, said in (verdicts or known).items() if word in message))

    return behave


def b64(line: bytes) -> bytes:
    """The line itself and, where it is one of an attachment, what it stands for."""
    with contextlib.suppress(binascii.Error):
        return line + base64.b64decode(line, validate=True)
    return line


def doveadm(it):
    while (line := it.hear()) not in (b"", b"\n"):
        pass
    body = b'[["doveadmResponse",{},"known"],["error",{"exitCode":67},"unknown"]]'
    it.say("HTTP/1.1 200 OK", "Connection: close", "", body)
    it.door.close()
    assert line


GOOD = {
    "smtp": answering("220 fake ESMTP", SMTP),
    "submission": submission(),
    "smtps": submission(at_once=True),
    "imap": answering("* OK fake", IMAP),
    "imaps": answering("* OK fake", IMAP, at_once=True),
    "pop3": answering("+OK fake", POP3),
    "pop3s": answering("+OK fake", POP3, at_once=True),
    "managesieve": answering(_SIEVE, SIEVE),
    "lmtp": answering("220 fake LMTP", LMTP),
    "quota-status": quota,
    "clamd": clamd(),
    "amavis": amavis(),
    "doveadm": doveadm,
}
