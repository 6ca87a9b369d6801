"""Postfix: its three doors. Its queue has a module of its own."""

from mailpanel.daemons import State, Trouble, targets
from mailpanel.daemons.dialects import secured
from mailpanel.daemons.probing import MAIL, Watch, probe
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _

# A domain that nobody has (RFC 2606), so that what a broken server would take leads nowhere.
STRANGER = "stranger@example.invalid"
ELSEWHERE = "somebody@elsewhere.invalid"


@probe("smtp", MAIL, _("SMTP"))
def smtp(watch: Watch) -> Text:
    with secured("smtp", watch) as line:
        if b"AUTH" in line.able:
            raise Trouble(
                _("%(where)s offers to sign in, which only the ports for people should.", where=line.target),
                _("Whoever guesses passwords does it there. Take smtpd_sasl_auth_enable out of the service smtp in master.cf."),
                "sudo postconf -P 'smtp/inet/smtpd_sasl_auth_enable=no'",
            )  # fmt: skip
        line.say(f"MAIL FROM:<{STRANGER}>", b"250")
        code = line.code(f"RCPT TO:<{ELSEWHERE}>")
        line.say("RSET", b"250")
        if code < 300:
            raise _open_relay(line)
        if code < 500:  # a database that does not answer, most of the time
            raise Trouble(
                _("%(where)s puts strangers off with %(code)s instead of refusing them.", where=line.target, code=str(code)),
                _("It cannot look up which domains are its own. See whether the database answers; after that, reload Postfix."),
                targets.last_words("postfix"),
                state=State.WARN,
            )  # fmt: skip
    return _("STARTTLS, no sign-in, and no relay for strangers.")


def _open_relay(line) -> Trouble:
    return Trouble(
        _("%(where)s takes mail from a stranger for a stranger: it is an open relay.", where=line.target),
        _("Junk will be sent through it within hours. If the address that this asks from is in mynetworks on purpose, name another one in MAILPANEL_PROBE_TARGETS."),
        "sudo postconf mynetworks smtpd_relay_restrictions",
    )  # fmt: skip


@probe("submission", MAIL, _("Submission"))
def submission(watch: Watch) -> Text:
    with secured("submission", watch) as line:
        _for_people(line)
    return _("STARTTLS, sign-in under it alone, and nothing without a sign-in.")


@probe("smtps", MAIL, _("Submission with TLS (smtps)"))
def smtps(watch: Watch) -> Text:
    with secured("smtps", watch) as line:
        _for_people(line)
    return _("TLS from the first byte on, and nothing without a sign-in.")


def _for_people(line) -> None:
    if b"AUTH" not in line.able:
        raise Trouble(
            _("%(where)s offers no way to sign in, so nobody can send.", where=line.target),
            _("Postfix asks Dovecot who may. See whether Dovecot runs; after that, reload Postfix."),
            targets.last_words("postfix"),
        )
    if line.code(f"MAIL FROM:<{STRANGER}>") < 300 and line.code(f"RCPT TO:<{ELSEWHERE}>") < 300:
        raise _open_relay(line)
    line.say("RSET", b"250")


@probe("sasl", MAIL, _("Sign-in for sending"))
def sasl(watch: Watch) -> Text:
    """Through submission, since that is the way on which Postfix asks Dovecot. A wrong password is never tried: it would
    stand in the log each minute, and count against the address that it comes from."""
    account = targets.account()
    with secured("submission", watch) as line:
        line.sign_in(account)
    return _("Dovecot knows the mailbox of the probes and lets it send.")
