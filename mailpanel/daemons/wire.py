"""A connection that cannot hang: one deadline for all of it, and a limit on what is read."""

import os
import socket
import ssl
from functools import lru_cache

from django.conf import settings

from mailpanel.daemons import State, Trouble, targets
from mailpanel.daemons.probing import Watch
from mailpanel.daemons.targets import Target
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _

MOST_BYTES, MOST_LINES = 65536, 100


class Untrusted(Trouble):
    """The handshake ended at the certificate. Nothing was said through it."""


class Line:
    """Text lines to a program and back. Raises Trouble with cause and next step; used as a context, it is closed
    whatever happens."""

    def __init__(self, target: Target, watch: Watch):
        self.target, self.watch = target, watch
        self._received, self._bytes, self._lines = b"", 0, 0
        self._after = ""  # the last command
        self.socket = self._connect()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def close(self) -> None:
        self.socket.close()

    # --- beginning ------------------------------------------------------------------------------------------

    def _connect(self) -> socket.socket:
        where = self.target
        try:
            if where.on_port:
                return socket.create_connection(where.address, self.watch.left, source_address=where.source)
            door = socket.socket(socket.AF_UNIX)
            try:
                door.settimeout(self.watch.left)
                door.connect(where.address)
            except BaseException:
                door.close()
                raise
            return door
        except (TimeoutError, BlockingIOError):
            raise self._trouble(
                _(
                    "%(where)s takes no connection within %(seconds)s seconds.",
                    where=where,
                    seconds=self.watch.seconds,
                ),
                _(
                    "It hangs or is overloaded, or a firewall drops what is sent there. Look what it said last."
                ),
            ) from None
        except (ConnectionRefusedError, FileNotFoundError):
            raise Trouble(
                _("Nobody listens at %(where)s.", where=where),
                _(
                    "%(program)s is not running, or listens elsewhere. Start it; if it ends again, its log says why.",
                    program=where.unit,
                ),
                targets.start(where.unit),
            ) from None
        except PermissionError:
            raise self._not_allowed() from None
        except OSError as error:
            raise self._trouble(
                _(
                    "%(where)s cannot be reached: %(reason)s.",
                    where=where,
                    reason=error.strerror or str(error),
                ),
                _("Look at the network and at the firewall between here and there."),
            ) from None

    def _not_allowed(self) -> Trouble:
        directory = os.path.dirname(self.target.address)
        return Trouble(
            _("The panel may not use the socket %(where)s, so this is not known.", where=self.target),
            _("Its program lets in the group that the directory or the socket belongs to. Put the panel's user into it, and start the panel anew."),
            f"ls -ld {directory} {self.target}",
            state=State.WARN,
        )  # fmt: skip

    # --- reading and writing --------------------------------------------------------------------------------

    def send(self, data: bytes, after: str = "") -> None:
        """`after` is what it is called in a sentence, where that is not its first word."""
        self._after = after or data.split(b"\r\n")[0].decode("ascii", "replace")
        try:
            self.socket.settimeout(self.watch.left)
            self.socket.sendall(data)
        except TimeoutError:
            raise self._silent() from None
        except OSError:  # the peer has gone, but what it said before can often be read still
            self.watch.left  # noqa: B018

    def line(self) -> bytes:
        """The next line without its end."""
        while b"\n" not in self._received:
            self._receive()
        line, _newline, self._received = self._received.partition(b"\n")
        self._lines += 1
        if self._lines > MOST_LINES:
            raise self._endless()
        return line.rstrip(b"\r")

    def calm(self) -> None:
        """Count anew what is read: for a conversation that goes on as long as it is well."""
        self._bytes = self._lines = 0

    def until(self, end: bytes) -> bytes:
        """All that comes up to `end`, which is a terminator other than a line end, or empty for the end of it all."""
        while not end or end not in self._received:
            if not self._receive(or_end=not end):
                return self._received
        answer, _end, self._received = self._received.partition(end)
        return answer

    def _receive(self, or_end: bool = False) -> bytes:
        try:
            self.socket.settimeout(self.watch.left)
            more = self.socket.recv(16384)
        except TimeoutError:
            raise self._silent() from None
        except OSError:
            more = b""
        if not more and not or_end:
            raise self._cut()
        self._received += more
        self._bytes += len(more)
        if self._bytes > MOST_BYTES:
            raise self._endless()
        return more

    # --- TLS ------------------------------------------------------------------------------------------------

    def secure(self, *, verify: bool = True, name: str = "") -> None:
        """`name` is that of somebody else's server, whom the system's authorities know; without it, it is one of ours.
        Raises Untrusted for the certificate, Trouble for everything else."""
        if self._received:
            raise Trouble(
                _("%(where)s says something in clear between STARTTLS and the handshake.", where=self.target),
                _("A mail program could take it for the server's word under TLS. Something between here and there meddles, or the program has a known hole: bring it up to date."),
                targets.last_words(self.target.unit),
            )  # fmt: skip
        self._after = "TLS"
        try:
            self.socket.settimeout(self.watch.left)
            context = ssl.create_default_context() if name else trusting() if verify else _blind()
            self.socket = context.wrap_socket(
                self.socket, server_hostname=name or settings.MAILPANEL_HOSTNAME
            )
        except ssl.SSLCertVerificationError as error:
            detail, hint, command = _about_certificate(
                error, self.target, name or settings.MAILPANEL_HOSTNAME
            )
            raise Untrusted(detail, hint, command) from None
        except TimeoutError:
            raise self._silent() from None
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or error.__class__.__name__
            raise Trouble(
                _("TLS with %(where)s fails: %(reason)s.", where=self.target, reason=str(reason)),
                _(
                    "It speaks no TLS there, or only versions that are too old, or cannot read its key. Its log says which."
                ),
                targets.last_words(self.target.unit),
            ) from None

    # --- sentences ------------------------------------------------------------------------------------------

    def unexpected(self, said: bytes) -> Trouble:
        """Something was said that no healthy program says here."""
        after = self._after
        excerpt = said[:60].decode("latin-1").encode("unicode_escape").decode()
        detail = (
            _(
                "%(where)s answers “%(excerpt)s” to %(command)s.",
                where=self.target,
                excerpt=excerpt,
                command=after,
            )
            if after
            else _("%(where)s greets with “%(excerpt)s”.", where=self.target, excerpt=excerpt)
        )
        return self._trouble(
            detail,
            _("Another program has this port or socket, or this one is in trouble. Its log tells the rest."),
        )

    def _silent(self) -> Trouble:
        seconds = self.watch.seconds
        if self._received:
            detail = _(
                "%(where)s says too little in %(seconds)s seconds.", where=self.target, seconds=seconds
            )
        elif self._after:
            detail = _(
                "%(where)s does not answer %(command)s within %(seconds)s seconds.",
                where=self.target,
                command=self._after,
                seconds=seconds,
            )
        else:
            detail = _(
                "%(where)s takes the connection and says nothing for %(seconds)s seconds.",
                where=self.target,
                seconds=seconds,
            )
        return self._trouble(
            detail, _("It hangs, is overloaded, or waits for another program. Look what it said last, then start it anew.")
        )  # fmt: skip

    def _cut(self) -> Trouble:
        detail = (
            _("%(where)s ends the connection after %(command)s.", where=self.target, command=self._after)
            if self._after
            else _("%(where)s takes the connection and ends it without a word.", where=self.target)
        )
        return self._trouble(detail, _("It breaks down while it answers. Its log says why."))

    def _endless(self) -> Trouble:
        return self._trouble(
            _("%(where)s sends more than any healthy program does, and no end of it.", where=self.target),
            _("Another program has this port or socket. See which one."),
            f"sudo ss -lntp 'sport = :{self.target.address[1]}'" if self.target.on_port else f"sudo ss -lxp src {self.target}",
        )  # fmt: skip

    def _trouble(self, detail: Text, hint: Text, command: str = "") -> Trouble:
        return Trouble(detail, hint, command or targets.last_words(self.target.unit))


def trusting() -> ssl.SSLContext:
    """Verifies by the private copy's authority, by that of the settings, or by those that the system trusts."""
    path = settings.MAILPANEL_PROBE_CA
    return _trusting(path, os.stat(path).st_mtime_ns if path and os.path.exists(path) else 0)


@lru_cache(maxsize=2)  # reading the system's authorities takes long
def _trusting(path: str, _changed: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=path if _changed else None)


def _blind() -> ssl.SSLContext:
    """To see whether a program is alive behind a certificate that is not to be trusted. No password goes there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _about_certificate(
    error: ssl.SSLCertVerificationError, where: Target, host: str
) -> tuple[Text, Text, str]:
    """By OpenSSL's number (X509_V_ERR_…)."""
    show = f"openssl s_client -connect {where} -servername {host} -showcerts"
    if where.name in _STARTTLS:
        show += f" -starttls {_STARTTLS[where.name]}"
    told = {"where": where, "host": host}
    renew = "sudo make run" if settings.PRIVATE_COPY else "sudo certbot renew"
    match error.verify_code:
        case 10:
            return (
                _("The certificate of %(where)s has ended.", **told),
                _(
                    "Nobody renewed it, or the program was not started anew after that. Renew it, then restart the program."
                ),
                renew,
            )
        case 9:
            return (
                _("The certificate of %(where)s is not valid yet.", **told),
                _("It was made for later, or the clock of this machine is wrong."),
                "timedatectl",
            )
        case 62 | 64:
            return (
                _("The certificate of %(where)s is not for %(host)s.", **told),
                _(
                    "Mail programs are told that name and refuse this certificate. Get one with the name in it, or set MAILPANEL_HOSTNAME to the right one."
                ),
                show,
            )
        case 18:
            return (
                _("%(where)s has a self-signed certificate, which no mail program trusts.", **told),
                _("Get one from an authority that mail programs know."),
                show,
            )
        case 19 | 20 | 21 | 2:
            return (
                _("The certificate of %(where)s leads to no authority that is trusted here.", **told),
                _(
                    "The file with the certificate lacks the intermediate ones, or the authority is an own one: then name its file in MAILPANEL_PROBE_CA."
                ),
                show,
            )
        case 23:
            return (
                _("The certificate of %(where)s was revoked.", **told),
                _("Get a new one from its authority."),
                renew,
            )
        case 66 | 67 | 68:
            return (
                _("The certificate of %(where)s has a key or a signature that is too weak.", **told),
                _("Mail programs of today refuse it. Get a new one, with a key of 2048 bits or more."),
                show,
            )
    return (
        _("The certificate of %(where)s is refused: %(reason)s.", **told, reason=error.verify_message),
        _("Look at it and at its chain."),
        show,
    )


_STARTTLS = {"smtp": "smtp", "submission": "smtp", "imap": "imap", "pop3": "pop3", "managesieve": "sieve"}
