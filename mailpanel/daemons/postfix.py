"""Postfix: its three doors, and its queue."""

import json
import os
import selectors
import subprocess
import time
from collections import Counter

from mailpanel.daemons import State, Trouble, targets
from mailpanel.daemons.dialects import secured
from mailpanel.daemons.probing import MAIL, Watch, probe
from mailpanel.daemons.text import Text, ngettext
from mailpanel.daemons.text import Text as _

# A domain that nobody has (RFC 2606), so that what a broken server would take leads nowhere.
STRANGER = "stranger@example.invalid"
ELSEWHERE = "somebody@elsewhere.invalid"
_LINES = 20_000  # of the queue that are read
_WAITS, _STUCK = 1800, 4 * 3600  # seconds
_READABLE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}


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


# --- the queue ------------------------------------------------------------------------------------------------


@probe("queue", MAIL, _("Queue"))
def queue(watch: Watch) -> Text:
    rows, more = _listed(watch)
    sizes = Counter(row["queue_name"] for row in rows)
    waiting = sum(sizes.values()) - sizes["hold"]
    if not rows:
        return _("The queue is empty.")
    age = (
        max(time.time() - min(row["arrival_time"] for row in rows if row["queue_name"] != "hold"), 0)
        if waiting
        else 0
    )
    reasons = Counter(
        recipient["delay_reason"][:120] for row in rows for recipient in row["recipients"] if "delay_reason" in recipient
    )  # fmt: skip
    by_queue = [f"{name} {sizes[name]}" for name in sorted(sizes)]
    detail = ngettext(
        "%(number)s message (%(queues)s); the oldest waits for %(minutes)s minutes.",
        "%(number)s messages (%(queues)s); the oldest waits for %(minutes)s minutes.",
        len(rows), queues=", ".join(by_queue), minutes=int(age // 60),
    )  # fmt: skip
    if age < _WAITS and not more:
        return detail
    hint = (
        _("The most frequent reason: “%(reason)s”.", reason=_plain(reasons.most_common(1)[0][0]))
        if reasons
        else _("Postfix has not tried to deliver it yet: its queue manager may be stuck.")
    )
    state = State.BAD if age >= _STUCK else State.WARN
    raise Trouble(detail, hint, f"{_postqueue()} -p", state=state)


def _plain(said: str) -> str:
    """Other servers' words, without what could steer a terminal or turn the writing around."""
    return "".join(letter if letter.isprintable() else "?" for letter in said)


def _postqueue() -> str:
    etc = targets.postfix_etc()
    return f"sudo postqueue -c {etc}" if etc else "sudo postqueue"


def _listed(watch: Watch) -> tuple[list[dict], bool]:
    """The messages, and whether there are more than were read."""
    etc = targets.postfix_etc()
    command = ["postqueue", *(["-c", str(etc)] if etc else []), "-j"]
    try:
        process = subprocess.Popen(
            command, env=_READABLE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except FileNotFoundError:
        raise Trouble(
            _("There is no Postfix on this machine, so its queue is not seen from here."), state=State.OFF
        ) from None
    with process:
        try:
            lines = _lines(process, watch)
        except TimeoutError:
            raise Trouble(
                _("Postfix does not tell its queue within %(seconds)s seconds.", seconds=watch.seconds),
                _("It hangs, or the disk with the queue is slow or full."),
                targets.last_words("postfix"),
            ) from None
        finally:
            process.kill()
    rows, said = [], ""
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:  # the program's own words
            said = line.decode(errors="replace")
            break
    if "unauthorized" in said or "denied" in said:
        raise Trouble(
            _("The panel may not look into the queue of Postfix, so this is not known."),
            _("Postfix shows the queue of a private copy to root alone; on a host, put the panel's user into authorized_mailq_users."),
            "sudo postconf authorized_mailq_users",
            state=State.OFF if targets.postfix_etc() else State.WARN,
        )  # fmt: skip
    if said:
        raise Trouble(
            _("Postfix does not tell its queue: “%(said)s”.", said=_plain(said)[:150]),
            _("Postfix is not running, or in trouble. Start it; its log says more."),
            targets.start("postfix"),
        )
    return rows, len(lines) >= _LINES


def _lines(process: subprocess.Popen, watch: Watch) -> list[bytes]:
    """At most _LINES of them. Raises TimeoutError."""
    said, lines = b"", []
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while len(lines) < _LINES:
            if not waiting.select(watch.left):
                raise TimeoutError
            more = os.read(process.stdout.fileno(), 65536)
            if not more:
                return lines + said.splitlines()
            *whole, said = (said + more).split(b"\n")
            lines += whole
    return lines[:_LINES]
