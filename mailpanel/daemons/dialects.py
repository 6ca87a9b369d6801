"""How SMTP, IMAP, POP3 and ManageSieve are spoken, as far as the probes need it (RFC 5321, 3207, 4954, 9051, 1939, 2595,
5804). Each dialect greets, tells what it can do, starts TLS, signs in and says goodbye."""

import base64
import re
from contextlib import contextmanager

from mailpanel.daemons import State, Trouble, targets
from mailpanel.daemons.probing import Watch
from mailpanel.daemons.targets import Account
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Line, Untrusted


def opened(name: str, watch: Watch, *, verify: bool = True) -> Line:
    """A connection that has greeted, with TLS if that comes first on this port."""
    target = targets.find(name)
    line = DIALECTS[name](target, watch)
    try:
        if target.tls:
            line.secure(verify=verify)
        line.greet()
        return line
    except BaseException:
        line.close()
        raise


@contextmanager
def secured(name: str, watch: Watch):
    """A connection under TLS, as far as to the sign-in; at the end it says goodbye.

    A certificate that is not to be trusted raises Trouble (WARN), if the program behind it is alive: whether mail is
    served is one fact, whether mail programs believe the server's name is another one, of the probe `tls`.
    """
    line = None
    try:
        try:
            line = opened(name, watch)
            if not line.target.tls:
                line.start_tls()
        except Untrusted as trouble:
            if targets.find(name).tls:
                opened(name, watch, verify=False).close()  # is it alive? Nothing is said to it
            trouble.state = State.WARN
            raise
        yield line
        line.leave()
    finally:
        if line:
            line.close()


class Smtp(Line):
    name = "probe.invalid"  # that we give

    def greet(self) -> None:
        self.reply(b"220")
        self.ehlo()

    def ehlo(self) -> None:
        words = self.say(f"EHLO {self.name}", b"250")
        self.able = {word.split(b" ")[0].upper(): word.upper().split(b" ")[1:] for word in words[1:]}

    def start_tls(self) -> None:
        if b"STARTTLS" not in self.able:
            raise without_tls(self)
        if b"AUTH" in self.able:
            raise sign_in_in_clear(self)
        self.say("STARTTLS", b"220")
        self.secure()
        self.ehlo()

    def sign_in(self, account: Account) -> None:
        token = base64.b64encode(f"\0{account.address}\0{account.password}".encode())
        self.send(b"AUTH PLAIN " + token + b"\r\n", "AUTH")
        code, words = self.any_reply()
        if code == b"535":
            raise targets.refused(account.address, account.password)
        if code != b"235":
            raise self.unexpected(code + b" " + words[-1])

    def leave(self) -> None:
        self.say("QUIT", b"221")

    def say(self, command: str, wanted: bytes) -> list[bytes]:
        """The words of the reply. `wanted` is how its code begins."""
        self.send(command.encode() + b"\r\n", command.split(" ")[0])
        return self.reply(wanted)

    def code(self, command: str) -> int:
        self.send(command.encode() + b"\r\n")
        return int(self.any_reply()[0])

    def reply(self, wanted: bytes) -> list[bytes]:
        code, words = self.any_reply()
        if not code.startswith(wanted):
            raise self.unexpected(code + b" " + words[-1])
        return words

    def any_reply(self) -> tuple[bytes, list[bytes]]:
        words = []
        while True:
            line = self.line()
            if not re.match(rb"[2-5]\d\d(?:[ -]|$)", line):
                raise self.unexpected(line)
            words.append(line[4:])
            if line[3:4] != b"-":
                return line[:3], words


class Lmtp(Smtp):
    def ehlo(self) -> None:
        self.say(f"LHLO {self.name}", b"250")


class Imap(Line):
    def greet(self) -> None:
        line = self.line()
        if not line.upper().startswith(b"* OK"):  # * BYE is no service, * PREAUTH nobody asked for
            raise self.unexpected(line)
        self._learn(self.say("CAPABILITY"))

    def start_tls(self) -> None:
        if b"STARTTLS" not in self.able:
            raise without_tls(self)
        if b"LOGINDISABLED" not in self.able or any(word.startswith(b"AUTH=") for word in self.able):
            raise sign_in_in_clear(self)
        self.say("STARTTLS")
        self.secure()
        self._learn(self.say("CAPABILITY"))

    def sign_in(self, account: Account) -> None:
        token = base64.b64encode(f"\0{account.address}\0{account.password}".encode())
        self.send(b"MP AUTHENTICATE PLAIN\r\n", "AUTHENTICATE")
        if not (line := self.line()).startswith(b"+"):
            raise self.unexpected(line)
        self.send(token + b"\r\n", "AUTHENTICATE")
        done = self._answer()[-1]
        if done.upper().startswith(b"MP NO") and b"UNAVAILABLE" not in done.upper():
            raise targets.refused(account.address, account.password)
        if not done.upper().startswith(b"MP OK"):
            raise self.unexpected(done)

    def leave(self) -> None:
        self.say("LOGOUT")

    def say(self, command: str) -> list[bytes]:
        """The lines of the answer, which has to be OK."""
        self.send(f"MP {command}\r\n".encode(), command.split(" ")[0])
        lines = self._answer()
        if not lines[-1].upper().startswith(b"MP OK"):
            raise self.unexpected(lines[-1])
        return lines

    def _answer(self) -> list[bytes]:
        lines = [self.line()]
        while not lines[-1].startswith(b"MP "):
            if not lines[-1].startswith((b"* ", b"+")) and len(lines) == 1:
                raise self.unexpected(lines[-1])
            lines.append(self.line())
        return lines

    def _learn(self, lines: list[bytes]) -> None:
        self.able = {word for line in lines if b"CAPABILITY" in line.upper() for word in line.upper().split()}


class Pop3(Line):
    def greet(self) -> None:
        self._ok()
        self._learn()

    def start_tls(self) -> None:
        if b"STLS" not in self.able:
            raise without_tls(self)
        if b"USER" in self.able or self.able.get(b"SASL"):
            raise sign_in_in_clear(self)
        self.say("STLS")
        self.secure()
        self._learn()

    def sign_in(self, account: Account) -> None:
        self.say(f"USER {account.address}")
        self.send(f"PASS {account.password}\r\n".encode(), "PASS")
        line = self.line()
        if line.startswith(b"-ERR [AUTH]"):
            raise targets.refused(account.address, account.password)
        if not line.startswith(b"+OK"):
            raise self.unexpected(line)

    def leave(self) -> None:
        self.say("QUIT")

    def say(self, command: str) -> None:
        self.send(command.encode() + b"\r\n", command.split(" ")[0])
        self._ok()

    def _ok(self) -> None:
        if not (line := self.line()).startswith(b"+OK"):
            raise self.unexpected(line)

    def _learn(self) -> None:
        self.say("CAPA")
        self.able = {}
        while (line := self.line()) != b".":
            word, *more = line.upper().split()
            self.able[word] = more


class Sieve(Line):
    def greet(self) -> None:
        self._learn()

    def start_tls(self) -> None:
        if b"STARTTLS" not in self.able:
            raise without_tls(self)
        if self.able.get(b"SASL", b'""') != b'""':
            raise sign_in_in_clear(self)
        self.say("STARTTLS")
        self.secure()
        self._learn()  # it tells once more, by itself

    def sign_in(self, account: Account) -> None:
        token = base64.b64encode(f"\0{account.address}\0{account.password}".encode())
        self.send(b'AUTHENTICATE "PLAIN" "' + token + b'"\r\n', "AUTHENTICATE")
        line = self.line()
        if line.startswith(b"NO") and b"UNAVAILABLE" not in line and b"TRYLATER" not in line:
            raise targets.refused(account.address, account.password)
        if not line.startswith(b"OK"):
            raise self.unexpected(line)

    def leave(self) -> None:
        self.say("LOGOUT")

    def say(self, command: str) -> None:
        self.send(command.encode() + b"\r\n")
        if not (line := self.line()).startswith(b"OK"):
            raise self.unexpected(line)

    def _learn(self) -> None:
        self.able = {}
        while not (line := self.line()).startswith(b"OK"):
            if not line.startswith(b'"'):  # NO and BYE, too
                raise self.unexpected(line)
            word, _blank, value = line.partition(b" ")
            self.able[word.strip(b'"').upper()] = value
        if b"IMPLEMENTATION" not in self.able:
            raise self.unexpected(line)


DIALECTS: dict[str, type[Line]] = {
    "smtp": Smtp, "submission": Smtp, "smtps": Smtp, "imap": Imap, "imaps": Imap, "pop3": Pop3, "pop3s": Pop3,
    "managesieve": Sieve,
}  # fmt: skip


# --- what is wrong in all of them -----------------------------------------------------------------------------


def without_tls(line: Line) -> Trouble:
    return Trouble(
        _("%(where)s offers no STARTTLS.", where=line.target),
        _("Its certificate or key cannot be read, or TLS is switched off in its configuration."),
        targets.last_words(line.target.unit),
    )


def sign_in_in_clear(line: Line) -> Trouble:
    return Trouble(
        _("%(where)s takes passwords without TLS.", where=line.target),
        _("Everybody on the way can read them. Put back the setting that the panel's configuration has (%(setting)s).", setting=_CLEAR[line.target.unit]),
        "manage.py stack render DIR --system",
    )  # fmt: skip


_CLEAR = {"postfix": "smtpd_tls_auth_only = yes", "dovecot": "disable_plaintext_auth = yes, ssl = required"}
