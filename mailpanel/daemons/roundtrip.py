"""The proof that mail works: one message from the mailbox of the probes to itself, and back."""

import re
import secrets
import time
from email.message import EmailMessage
from email.utils import format_datetime, localtime

from django.conf import settings

from mailpanel.daemons import Trouble, targets
from mailpanel.daemons.dialects import Imap, Smtp, secured
from mailpanel.daemons.probing import TRIP, Watch, probe
from mailpanel.daemons.targets import Account
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _

_FORGOTTEN = 3600  # seconds; what an interrupted trip has left is deleted by a later one


@probe("roundtrip", TRIP, _("Round trip"), times=3)
def roundtrip(watch: Watch) -> Text:
    account, token = targets.account(), secrets.token_hex(16)
    with secured("submission", watch) as line:
        line.sign_in(account)
        _submit(line, account, token)
    watch.stage(_("Submitted with TLS"))
    with secured("imaps", watch) as line:
        line.sign_in(account)
        number = _wait(line, watch, token)
        watch.stage(_("Delivered"))
        message = _fetch(line, number)
        watch.stage(_("Fetched by IMAP"))
        _check(message, token)
        _delete(line, token)
    watch.stage(_("Checked and deleted"))
    return _("A message came from the sender to the reader in %(seconds)s seconds.", seconds=watch.passed)


def _submit(line: Smtp, account: Account, token: str) -> None:
    message = EmailMessage()
    message["From"] = message["To"] = account.address
    message["Subject"] = "Probe of the mail server"
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = _message_id(token)
    message["Auto-Submitted"] = "auto-generated"  # so that no vacation note answers (RFC 3834)
    message.set_content(f"The panel sends this to itself, and deletes it.\n{token}\n")
    line.say(f"MAIL FROM:<{account.address}>", b"250")
    line.say(f"RCPT TO:<{account.address}>", b"250")
    line.say("DATA", b"354")
    line.send(message.as_bytes().replace(b"\n", b"\r\n") + b".\r\n", "DATA")
    line.reply(b"250")


def _message_id(token: str) -> str:
    return f"<{token}.probe@{settings.MAILPANEL_HOSTNAME}>"


def _wait(line: Imap, watch: Watch, token: str) -> int:
    line.say("SELECT INBOX")
    try:
        while not (found := _numbers(line, f'HEADER Message-ID "{_message_id(token)}"')):
            time.sleep(min(0.1, watch.left))
            line.calm()
        return found[0]
    except (TimeoutError, Trouble) as trouble:
        if isinstance(trouble, Trouble) and watch.passed < watch.seconds:
            raise
        raise Trouble(
            _("A message was taken %(seconds)s seconds ago and has not arrived.", seconds=watch.passed),
            _("It waits in the queue, or a filter or Dovecot is slow. The reason stands in the queue."),
            "sudo postqueue -p"
            if not targets.postfix_etc()
            else f"sudo postqueue -c {targets.postfix_etc()} -p",
        ) from None


def _numbers(line: Imap, search: str) -> list[int]:
    found = [row for row in line.say(f"UID SEARCH {search}") if row.startswith(b"* SEARCH")]
    return [int(number) for row in found for number in row.split()[2:]]


def _fetch(line: Imap, number: int) -> list[bytes]:
    return line.say(f"UID FETCH {number} BODY.PEEK[]")


def _check(message: list[bytes], token: str) -> None:
    """It came under TLS and signed in (ESMTPSA, RFC 3848), by LMTP, from whom it says, and unchanged."""
    text = b"\n".join(message)
    for wanted, what in (
        (rb"\bwith ESMTPSA\b", "ESMTPSA"),
        (rb"\bwith LMTP\b", "LMTP"),
        (rb"^Return-Path: <%b>" % re.escape(settings.PROBE_ADDRESS.encode()), "Return-Path"),
        (rb"^%b$" % token.encode(), "text"),
    ):
        if not re.search(wanted, text, re.MULTILINE):
            raise Trouble(
                _("The message arrived, but not as it was sent: its %(what)s is missing.", what=what),
                _(
                    "Another program has changed it on its way, or it was not taken by the door for our own people."
                ),
                targets.last_words("postfix"),
            )


def _delete(line: Imap, token: str) -> None:
    line.calm()
    numbers = _numbers(line, f'HEADER Message-ID "{_message_id(token)}"')
    numbers += _numbers(line, f"OLDER {_FORGOTTEN}")  # RFC 5032
    listed = ",".join(map(str, dict.fromkeys(numbers)))
    line.say(f"UID STORE {listed} +FLAGS.SILENT (\\Deleted)")
    line.say(f"UID EXPUNGE {listed}")
