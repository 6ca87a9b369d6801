"""Amavis, which asks ClamAV and SpamAssassin about each message: whether it does, and release from its quarantine (AM.PDP)."""

import logging
import re
import secrets
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext

from mailpanel.daemons import DaemonError, State, Trouble, targets
from mailpanel.daemons.clamav import test_file
from mailpanel.daemons.dialects import Smtp
from mailpanel.daemons.postfix import STRANGER
from mailpanel.daemons.probing import FILTER, Watch, probe
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Line

log = logging.getLogger(__name__)

# Known to the door of the probes alone (deploy/amavis); what is for the second one is not shown to ClamAV.
PROBE, SPAM = "probe@probe.invalid", "spam@probe.invalid"
RULES = Path("/var/lib/spamassassin")  # where sa-update puts them, one directory for each version
OLD = timedelta(days=14)
DEADLINE = 20  # seconds; a large message takes a while


def test_spam() -> str:
    """The text that every spam filter knows (GTUBE). In two pieces, so that no filter takes this source for it."""
    return "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@probe("amavis", FILTER, _("Amavis"))
def amavis(watch: Watch) -> Text:
    with _opened(watch) as line:
        _passes(line, PROBE)
        code = _verdict(line, PROBE, attached=test_file())
        if code < 400:
            raise Trouble(
                _("Amavis lets the test virus pass."),
                _("It does not ask ClamAV, or ClamAV has no signatures. Look at @av_scanners in amavisd.conf and at the row of ClamAV."),
                targets.last_words("amavis"),
            )  # fmt: skip
        line.leave()
    return _("Lets a harmless message pass and refuses one with the test virus.")


@probe("spamassassin", FILTER, _("SpamAssassin"))
def spamassassin(watch: Watch) -> Text:
    with _opened(watch) as line:
        _passes(line, SPAM)
        code = _verdict(line, SPAM, text=test_spam())
        if code < 400:
            raise Trouble(
                _("The test spam passes."),
                _("SpamAssassin was not loaded, or without its rules. The second command says what is wrong with them."),
                f"{targets.last_words('amavis')}; sudo -u amavis spamassassin --lint",
            )  # fmt: skip
        line.leave()
    return _rules() or _("Knows the test spam and lets a harmless message pass.")


def _opened(watch: Watch) -> Smtp:
    line = Smtp(targets.find("amavis"), watch)
    try:
        line.greet()
        return line
    except BaseException:
        line.close()
        raise


def _passes(line: Smtp, recipient: str) -> None:
    code = _verdict(line, recipient, text="Nothing is wrong with this text.")
    if code >= 500:
        raise Trouble(
            _("Amavis refuses a harmless message."),
            _("A rule of SpamAssassin or a signature of ClamAV takes everything for bad. Its log names it."),
            targets.last_words("amavis"),
        )


def _verdict(line: Smtp, recipient: str, *, text: str = "", attached: bytes = b"") -> int:
    """The code that one message gets. Raises Trouble where it is put off: then so is everybody's mail."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = STRANGER, recipient
    message["Subject"] = "Probe of the content filter"
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = f"<{secrets.token_hex(8)}.probe@{settings.MAILPANEL_HOSTNAME}>"
    message.set_content(text + "\n")
    if attached:
        message.add_attachment(attached, maintype="application", subtype="octet-stream", filename="probe.txt")
    line.say(f"MAIL FROM:<{STRANGER}>", b"250")
    code = line.code(f"RCPT TO:<{recipient}>")
    if code < 300:
        line.say("DATA", b"354")
        line.send(message.as_bytes() + b"\r\n.\r\n", "DATA")
        code = int(line.any_reply()[0])
    if 400 <= code < 500:
        raise Trouble(
            _("Amavis puts mail off instead of looking at it."),
            _("It cannot reach ClamAV or the database, so it lets nothing pass; the mail waits with its senders and in the queue. See those rows; its log says more."),
            targets.last_words("amavis"),
        )  # fmt: skip
    return code


def _rules() -> Text | None:
    """How old the rules are, where sa-update has put them on this machine."""
    if settings.PRIVATE_COPY or not RULES.is_dir():
        return None
    channels = [path.stat().st_mtime for path in RULES.glob("*/updates_spamassassin_org.cf")]
    update = "sudo systemctl start mailpanel-sa-update; sudo journalctl -n 30 -u mailpanel-sa-update"
    if not channels:
        raise Trouble(
            _("SpamAssassin works with the rules that came with the package; none were fetched since."),
            _("New spam needs new rules, which sa-update fetches once a day. Its timer is not switched on, or it cannot reach its server."),
            update,
            state=State.WARN,
        )  # fmt: skip
    made = datetime.fromtimestamp(max(channels), UTC)
    if datetime.now(UTC) - made > OLD:
        raise Trouble(
            _("The rules of SpamAssassin are of %(made)s.", made=made),
            _(
                "sa-update fetches new ones once a day. Its timer does not run, or it cannot reach its server."
            ),
            update,
            state=State.WARN,
        )
    return _("Knows the test spam and lets a harmless message pass; rules of %(made)s.", made=made)


# --- the quarantine -------------------------------------------------------------------------------------------


def release(mail_id: str, secret_id: str, recipients: list[str]) -> None:
    """Send a quarantined message on to these recipients, past the filter. What became of it is not written down by
    Amavis (msgrcpt.rs). Raises DaemonError."""
    for address in recipients:
        if not re.fullmatch(r"[!-;=?-~]+@[!-;=?-~]+", address):
            raise ValueError(f"no address to release to: {address!r}")
    if not recipients or not re.fullmatch(r"[\w+-]{1,16}", mail_id, re.ASCII):
        raise ValueError("nothing to release")
    lines = ["request=release", f"mail_id={mail_id}", f"secret_id={secret_id}", "quar_type=Q"]
    lines += [f"recipient=<{address}>" for address in recipients]
    watch = Watch(DEADLINE)
    try:
        with Line(targets.find("amavis-release"), watch) as line:
            line.send("\r\n".join([*lines, "", ""]).encode(), "release")
            answer = line.line()
    except (Trouble, TimeoutError) as error:
        log.warning("release of %s: %s", mail_id, error)
        raise DaemonError(gettext("Amavis did not answer.")) from error
    if not answer.startswith(b"setreply=250 "):
        log.warning("release of %s: %r", mail_id, answer)
        raise DaemonError(gettext("Amavis did not release the message."))
