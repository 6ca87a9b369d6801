"""The probes of Dovecot's doors: for mail programs, for Postfix, and for the panel."""

import json
from urllib.parse import urlsplit

from django.conf import settings

from mailpanel.daemons import Trouble, dovecot, targets
from mailpanel.daemons.dialects import Lmtp, secured
from mailpanel.daemons.probing import MAIL, READING, Watch, probe
from mailpanel.daemons.targets import Target
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Line


@probe("imap", READING, _("IMAP"))
def imap(watch: Watch) -> Text:
    with secured("imap", watch) as line:
        return _inbox_by_imap(line)


@probe("imaps", READING, _("IMAP with TLS (imaps)"))
def imaps(watch: Watch) -> Text:
    with secured("imaps", watch) as line:
        return _inbox_by_imap(line)


@probe("pop3", READING, _("POP3"))
def pop3(watch: Watch) -> Text:
    with secured("pop3", watch) as line:
        return _inbox_by_pop3(line)


@probe("pop3s", READING, _("POP3 with TLS (pop3s)"))
def pop3s(watch: Watch) -> Text:
    with secured("pop3s", watch) as line:
        return _inbox_by_pop3(line)


@probe("managesieve", READING, _("ManageSieve"))
def managesieve(watch: Watch) -> Text:
    with secured("managesieve", watch) as line:
        line.sign_in(targets.account())
        line.say("NOOP")
        return _("STARTTLS, no sign-in without it, and filters can be changed.")


def _inbox_by_imap(line: Line) -> Text:
    line.sign_in(targets.account())
    line.say("EXAMINE INBOX")
    return _("No sign-in without TLS; signs in and opens the inbox.")


def _inbox_by_pop3(line: Line) -> Text:
    line.sign_in(targets.account())
    line.say("STAT")
    return _("No sign-in without TLS; signs in and counts the inbox.")


@probe("lmtp", MAIL, _("Delivery (LMTP)"))
def lmtp(watch: Watch) -> Text:
    """Asks for two recipients and sends nothing."""
    known, unknown = targets.account().address, targets.nobody()
    with Lmtp(targets.find("lmtp"), watch) as line:
        line.greet()
        line.say("MAIL FROM:<>", b"250")
        if (code := line.code(f"RCPT TO:<{known}>")) >= 300:
            raise _wrong_answer(line.target, known, str(code))
        if (code := line.code(f"RCPT TO:<{unknown}>")) < 500:
            raise _wrong_answer(line.target, unknown, str(code))
        line.say("RSET", b"250")
        line.leave()
    return _("Takes mail for a mailbox that exists, and refuses it for one that does not.")


@probe("quota-status", MAIL, _("Quota before delivery"))
def quota_status(watch: Watch) -> Text:
    """The mailbox of the probes has a quota that this size does not fit into; who does not exist is for Postfix to say."""
    known, unknown = targets.account().address, targets.nobody()
    with Line(targets.find("quota-status"), watch) as line:
        for recipient, size, wanted in ((known, 0, "DUNNO"), (known, 10**12, "552"), (unknown, 0, "DUNNO")):
            question = (
                f"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={recipient}\nsize={size}\n\n"
            )
            line.send(question.encode(), "smtpd_access_policy")
            answer = line.line()
            if line.line() or not answer.startswith(b"action="):
                raise line.unexpected(answer)
            if not answer.startswith(f"action={wanted}".encode()):
                raise _wrong_answer(line.target, recipient, answer.decode("ascii", "replace")[7:67])
    return _("Refuses what does not fit into a mailbox, before it is taken.")


@probe("doveadm", READING, _("Dovecot's interface for the panel"))
def doveadm(watch: Watch) -> Text:
    known, unknown = targets.account().address, targets.nobody()
    where, tls = _api()
    body = json.dumps(
        [["user", {"userMask": [known]}, "known"], ["user", {"userMask": [unknown]}, "unknown"]]
    )
    with Line(where, watch) as line:
        if tls:
            line.secure()
        head = [f"{name}: {value}" for name, value in dovecot.headers().items()]
        line.send(
            "\r\n".join(["POST /doveadm/v1 HTTP/1.0", *head, f"Content-Length: {len(body)}", "", body]).encode(),
            "POST",
        )  # fmt: skip
        status = line.line()
        if b" 401" in status[:14] or b" 403" in status[:14]:
            raise Trouble(
                _("Dovecot refuses the panel's key."),
                _("So passwords that were changed go on to work for minutes, and sessions stay. MAILPANEL_DOVEADM_API_KEY and doveadm_api_key have to be the same."),
                "sudo doveconf doveadm_api_key",
            )  # fmt: skip
        if not status.startswith(b"HTTP/1.") or b" 200" not in status[:14]:
            raise line.unexpected(status)
        while line.line():
            pass
        answer = line.until(b"")
    try:
        kinds = {tag: kind for kind, _detail, tag in json.loads(answer)}
    except (ValueError, TypeError):
        raise line.unexpected(answer) from None
    if kinds.get("known") != "doveadmResponse":
        raise _wrong_answer(where, known, str(kinds.get("known")))
    if kinds.get("unknown") != "error":
        raise _wrong_answer(where, unknown, str(kinds.get("unknown")))
    return _("Knows who exists, and does what the panel asks: ends sessions, forgets old passwords.")


def _api() -> tuple[Target, bool]:
    if not settings.MAILPANEL_DOVEADM_URL:
        raise Trouble(
            _("No Dovecot is connected to this panel."),
            _("So passwords that were changed go on to work for minutes, and sessions stay. Start the daemons, or set MAILPANEL_DOVEADM_URL."),
            targets.start("dovecot"),
        )  # fmt: skip
    url = urlsplit(settings.MAILPANEL_DOVEADM_URL)
    tls = url.scheme == "https"
    return Target("doveadm", (url.hostname, url.port or (443 if tls else 80))), tls


def _wrong_answer(where: Target, recipient: str, said: str) -> Trouble:
    return Trouble(
        _("%(where)s answers “%(said)s” for %(recipient)s.", where=where, said=said, recipient=recipient),
        _("It looks the address up in the database: see whether that answers, and whether it is the panel's. A mailbox of the probes that was changed is put right by this."),
        "manage.py probe_account",
    )  # fmt: skip
