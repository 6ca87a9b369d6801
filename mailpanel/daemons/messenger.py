"""How messages of the panel leave: mail to a mail server, alerts also by a POST to a web server. Each within a deadline for all of it, and
with a limit on what is read; raises Trouble and TimeoutError, whose words hold no secret."""

import json
import re
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import unquote, urlsplit

from django.conf import settings

from mailpanel.daemons import Trouble, targets
from mailpanel.daemons.dialects import Smtp, without_tls
from mailpanel.daemons.probing import Watch
from mailpanel.daemons.targets import Account, Target
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Line


class Host(Target):
    """A server that we write to as ourselves, from whatever address."""

    source = None


class _Smtp(Smtp):
    name = settings.MAILPANEL_HOSTNAME


def sender() -> str:
    """The address at the other host, where there is one, since few take mail from anybody else."""
    user = unquote(urlsplit(settings.MAILPANEL_ALERT_SMTP).username or "")
    return user if "@" in user else settings.MAILPANEL_POSTMASTER


class Unanswered(Trouble):
    """The whole message was handed over, and then there was no answer: it may have been taken."""


def post_here(message: EmailMessage, to: str, watch: Watch) -> None:
    """To a mailbox of this server, by its own Postfix and past the filter, which might find in it what it tells of."""
    with _Smtp(Host("smtp", _inner_door() or _own_postfix()), watch) as line:
        line.greet()
        _hand_over(line, message, settings.MAILPANEL_POSTMASTER, [to])


def mail(message: EmailMessage, watch: Watch) -> None:
    """To those of MAILPANEL_ALERT_TO."""
    if settings.MAILPANEL_ALERT_SMTP:
        url = urlsplit(settings.MAILPANEL_ALERT_SMTP)
        with _Smtp(Host("smtp", (url.hostname, url.port)), watch) as line:
            _introduce(line, url)
            _hand_over(line, message, sender(), settings.MAILPANEL_ALERT_TO)
        return
    for door in filter(None, (_own_postfix(), _inner_door())):
        with _Smtp(Host("smtp", door), watch) as line:
            line.greet()  # the same machine or network, and its certificate is for another name
            try:
                _hand_over(line, message, sender(), settings.MAILPANEL_ALERT_TO)
                return
            except _PutOff as trouble:
                put_off = trouble
    raise put_off


class _PutOff(Trouble):
    """Who and for whom was taken, but not the message: so a door does whose filter is away."""


def _hand_over(line: _Smtp, message: EmailMessage, by: str, to: list[str]) -> None:
    line.say(f"MAIL FROM:<{by}>", b"250")
    for address in to:
        line.say(f"RCPT TO:<{address}>", b"25")
    line.say("DATA", b"354")
    data = re.sub(rb"(?m)^\.", b"..", message.as_bytes(policy=SMTP))
    line.send(data + b"\r\n.\r\n", "DATA")
    try:
        code, words = line.any_reply()
    except TimeoutError:
        raise Unanswered(_("There was no answer in time.")) from None
    except Trouble as error:
        raise Unanswered(error.detail, error.hint, error.command) from None
    if code.startswith(b"4"):
        raise _PutOff(line.unexpected(code + b" " + words[-1]).detail)
    if code != b"250":
        raise line.unexpected(code + b" " + words[-1])
    with suppress(Trouble, TimeoutError):  # it has left
        line.leave()


def _own_postfix() -> tuple[str, int]:
    """From loopback, from where one may send anywhere; the probes ask at the outward address for that very reason."""
    host, port = targets.find("smtp").address
    if settings.PRIVATE_COPY or "smtp" in settings.MAILPANEL_PROBE_TARGETS:
        return host, port
    return "127.0.0.1", port


def _inner_door() -> tuple[str, int] | None:
    """Where our own Postfix takes mail that needs no filter, so that it can be told that the filter is down."""
    if "smtp" in settings.MAILPANEL_PROBE_TARGETS:
        return None
    return "127.0.0.1", settings.MAILPANEL_PORTS["reinject"] if settings.PRIVATE_COPY else 10025


def _introduce(line: _Smtp, url) -> None:
    """A password goes through TLS alone."""
    if url.scheme == "smtps":
        line.secure(name=url.hostname)
        line.greet()
    else:
        line.greet()
        if b"STARTTLS" in line.able:
            line.say("STARTTLS", b"220")
            line.secure(name=url.hostname)
            line.ehlo()
        elif url.username:
            raise without_tls(line)
    if url.username:
        _sign_in(line, Account(unquote(url.username), settings.MAILPANEL_ALERT_SMTP_PASSWORD))


def _sign_in(line: _Smtp, account: Account) -> None:
    try:
        line.sign_in(account)
    except Trouble:  # some answer with what they were told
        raise Trouble(
            _("%(where)s refuses the name or the password for alerts.", where=line.target)
        ) from None


def post(url: str, body: dict, watch: Watch) -> None:
    """As JSON. Where it leads elsewhere, nobody follows."""
    parts = urlsplit(url)
    data = json.dumps(body).encode()
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
        "User-Agent: mailpanel",
        "Connection: close",
    ]
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with Line(Host("webhook", (parts.hostname, port)), watch) as line:
        if parts.scheme == "https":
            line.secure(name=parts.hostname)
        line.send("\r\n".join([*head, "", ""]).encode() + data, "POST")
        if not re.match(rb"HTTP/1\.[01] 2\d\d\b", said := line.line()):
            raise line.unexpected(said)
