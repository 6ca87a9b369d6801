"""Amavis' own protocol, AM.PDP (README.protocol of amavisd-new): release what it has put into the quarantine."""

import re
from urllib.parse import unquote_to_bytes

from mailpanel.daemons import Trouble, targets
from mailpanel.daemons.maillog import QUARANTINE
from mailpanel.daemons.probing import Watch
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Line

SECONDS = 20  # it hands the message to Postfix before it answers
ID = re.compile(r"[A-Za-z0-9_+-]{1,16}")
ADDRESS = re.compile(r"[!-;=?-~]{1,255}@[!-;=?-~]{1,255}")


class Refused(Trouble):
    """Amavis answered, and did not release this message. It may release others."""


def release(mail_id: str, secret_id: str, recipients: list[str], watch: Watch | None = None) -> None:
    """Deliver a message from the quarantine to these recipients alone. Raises Trouble; then nobody got it, unless there was
    no answer in time."""
    known = ID.fullmatch(mail_id) and ID.fullmatch(secret_id) and all(map(ADDRESS.fullmatch, recipients))
    if not known or not recipients:
        raise Refused(
            _("This message cannot be released: its number or a recipient has no form that Amavis knows.")
        )
    attributes = [
        ("request", "release"),
        ("mail_id", mail_id),
        ("secret_id", secret_id),
        ("quar_type", "Q"),
        # Amavis hands these two on to Postfix (XFORWARD), whose log says by them which message this was
        ("queue_id", f"{QUARANTINE}{mail_id}"),
        ("client_address", "127.0.0.1"),
        *(("recipient", f"<{address}>") for address in recipients),
    ]
    request = "".join(f"{name}={_encoded(value)}\r\n" for name, value in attributes)
    try:
        with Line(targets.find("amavis-release"), watch or Watch(SECONDS)) as line:
            line.send(f"{request}\r\n".encode(), "release")
            replies = _replies(line)
    except TimeoutError:
        raise Trouble(_("Amavis did not answer in time.")) from None
    if not replies or not all(reply.startswith(b"250 ") for reply in replies):
        said = b"; ".join(replies)[:200].decode("ascii", "replace") or "–"
        raise Refused(_("Amavis did not release the message: %(reply)s", reply=said))


def _replies(line: Line) -> list[bytes]:
    """The answers for the recipients, up to the empty line."""
    replies = []
    while said := line.line():
        name, _equals, value = said.partition(b"=")
        if name == b"setreply":
            replies.append(unquote_to_bytes(value))
    return replies


def _encoded(value: str) -> str:
    return "".join(
        chr(byte) if re.match(rb"[A-Za-z0-9<>@._+-]", bytes([byte])) else f"%{byte:02X}"
        for byte in value.encode()
    )
