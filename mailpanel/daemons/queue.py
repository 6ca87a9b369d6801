"""Postfix' queue: what waits in it, and what can be done about it.

The helper of deploy/queue does what root alone may do; the panel speaks to it over a socket, and gives it a word and queue
ids. Without it, the queue can still be read and tried again by `postqueue`, as far as Postfix lets the panel's user.
"""

import json
import os
import re
import selectors
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from mailpanel.daemons import State, Trouble, targets
from mailpanel.daemons.probing import MAIL, Watch, probe
from mailpanel.daemons.text import Text, ngettext, plain
from mailpanel.daemons.text import Text as _

MESSAGES = 20_000  # of the queue that are read
_BYTES = 32 * 2**20  # of its listing: a message may have a thousand recipients
_SHOWN = 64 * 1024  # bytes of one message
_WAITS, _STUCK = 1800, 4 * 3600  # seconds
_READABLE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
# As Postfix writes them: short ones are hexadecimal, long ones have digits and consonants. Never “ALL”, nor an option.
ID = re.compile(r"[0-9A-F]{6,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{12,24}")
HOLD, RELEASE, RETRY, DELETE = ACTIONS = ("hold", "release", "retry", "delete")
EACH = 200  # messages that are tried again one by one; of more, the whole queue is
_DONE = b"= 0"  # the helper's last line, with the status of what it ran
_DID = re.compile(rb"postsuper: (\w+): (?:placed on hold|released from hold|removed)")


@dataclass(frozen=True, slots=True)
class Message:
    """One message; the sender is empty for a bounce. Addresses and reasons are strangers' words, made plain."""

    id: str
    queue: str  # active, deferred, hold, incoming
    arrival: int  # Unix time
    size: int
    sender: str
    recipients: tuple[tuple[str, str], ...]  # (address, why it waits)

    @property
    def since(self) -> datetime:
        return datetime.fromtimestamp(min(self.arrival, 2**33), UTC)

    @property
    def reason(self) -> str:
        return next((why for _address, why in self.recipients if why), "")


@dataclass(frozen=True)
class Queue:
    messages: list[Message]
    complete: bool  # False: there are more than were read


class Gone(Exception):
    """The message is not in the queue any more."""


# --- for the page ---------------------------------------------------------------------------------------------


def listed(watch: Watch) -> Queue:
    """At most MESSAGES of them. Raises Trouble."""
    with _asked("list", (), watch) as reading:
        whole = _read(reading, watch, lines := []) is not None
    messages, said = [], ""
    for line in lines:
        try:
            # whoever writes an address need not write UTF-8
            messages.append(_message(json.loads(line.decode(errors="replace"), strict=False)))
        except (ValueError, KeyError, TypeError):  # the program's own words
            said = line.decode(errors="replace")
            break
    if said:
        raise _unwilling(said)
    return Queue(messages, whole)


def show(identity: str, watch: Watch) -> str:
    """Envelope and headers of one message, without its body. Raises Gone and Trouble."""
    with _asked("show", (identity,), watch) as reading:
        _read(reading, watch, lines := [], most=_SHOWN)
    text = b"\n".join(lines).decode(errors="replace")
    if not text.startswith("*** ENVELOPE"):
        if "No such file" in text:
            raise Gone
        raise _unwilling(text)
    return "\n".join(plain(line.expandtabs(4)) for line in text.splitlines())


def act(action: str, identities: list[str], watch: Watch) -> tuple[set[str], Trouble | None]:
    """Do one of ACTIONS to these messages; the ids of those to which it was done, and what kept it from going on to the end.
    Raises Trouble if nothing was done."""
    if action == RETRY:
        return retry(identities, watch), None
    lines, trouble = [], None
    with _asked(action, identities, watch) as reading:
        try:
            if _read(reading, watch, lines, count=2 * MESSAGES) != _DONE:
                wrong = [
                    line for line in lines if line.startswith((b"mailpanel-queue:", b"postsuper: fatal"))
                ]
                trouble = _unwilling((wrong or [b"postsuper: ended early"])[0].decode(errors="replace"))
        except Trouble as error:
            trouble = error
    done = {found[1].decode() for line in lines if (found := _DID.match(line))}
    if trouble and not done:
        raise trouble
    return done, trouble


def retry(identities: list[str], watch: Watch) -> set[str]:
    """Have these tried now; of more than EACH, everything. Postfix does not say which of them were there."""
    if len(identities) > EACH:
        retry_all(watch)
    else:
        _scheduled("retry", identities, watch)
    return set(identities)


def retry_all(watch: Watch) -> None:
    _scheduled("retry-all", (), watch)


def _scheduled(word: str, identities, watch: Watch) -> None:
    with _asked(word, identities, watch) as reading:
        _read(reading, watch, lines := [])
    if lines:  # it has nothing to say where all is well
        raise _unwilling(lines[0].decode(errors="replace"))


def _message(row: dict) -> Message:
    sender = row["sender"]
    return Message(
        id=plain(row["queue_id"]),
        queue=plain(row["queue_name"]),
        arrival=int(row["arrival_time"]),
        size=int(row["message_size"]),
        sender="" if sender == "MAILER-DAEMON" else plain(sender),
        recipients=tuple(
            (plain(to["address"]), plain(to.get("delay_reason", ""))[:500]) for to in row["recipients"]
        ),
    )


# --- how it is asked ------------------------------------------------------------------------------------------


def _helper() -> Path:
    """Its socket."""
    if settings.PRIVATE_COPY:
        return settings.MAILPANEL_VAR / "queue" / "socket"
    return Path("/run/mailpanel-queue/socket")


@contextmanager
def _asked(word: str, identities, watch: Watch) -> Iterator[int]:
    """The file descriptor at which the answer is read. Raises Trouble."""
    if not all(map(ID.fullmatch, identities)):
        raise ValueError("not a queue id")
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(watch.left)
        try:
            line.connect(str(_helper()))
            line.sendall("\n".join((word, *identities, "", "")).encode())
            line.shutdown(socket.SHUT_WR)
        except OSError:
            if word not in _DIRECTLY:
                raise _no_helper() from None
            with _directly(word, identities) as process:
                yield process.stdout.fileno()
            return
        yield line.fileno()


# What Postfix lets everybody do: `postqueue` takes one id, so of several everything is tried.
_DIRECTLY = {"list": "-j", "retry": "-i", "retry-all": "-f"}


@contextmanager
def _directly(word: str, identities) -> Iterator[subprocess.Popen]:
    """Without the helper: what Postfix lets everybody do."""
    option = "-f" if len(identities) > 1 else _DIRECTLY[word]
    arguments = [option, *identities] if option == "-i" else [option]
    etc = targets.postfix_etc()
    command = ["postqueue", *(["-c", str(etc)] if etc else []), *arguments]
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
            yield process
        finally:
            process.kill()


def _read(
    reading: int, watch: Watch, lines: list[bytes], *, count: int = MESSAGES, most: int = _BYTES
) -> bytes | None:
    """Put so many lines and about `most` bytes into `lines`, but the helper's last one, which is returned (empty where there
    is none); None if there are more. Raises Trouble, and then what was read before is there, too."""
    said, length = b"", 0
    with selectors.DefaultSelector() as waiting:
        waiting.register(reading, selectors.EVENT_READ)
        while len(lines) < count and length <= most:
            try:
                ready = waiting.select(watch.left)
            except TimeoutError:
                ready = False
            if not ready:
                raise _slow(watch)
            more = os.read(reading, 65536)
            length += len(more)
            *whole, said = (said + more).split(b"\n")
            lines += filter(None, whole if more else [said])
            if not more:
                return lines.pop() if lines and lines[-1].startswith(b"= ") else b""
    del lines[count:]
    return None


def _slow(watch: Watch) -> Trouble:
    return Trouble(
        _("Postfix does not tell its queue within %(seconds)s seconds.", seconds=watch.seconds),
        _("It hangs, or the disk with the queue is slow or full."),
        targets.last_words("postfix"),
    )


def _unwilling(said: str) -> Trouble:
    """What the program said instead of doing what it was asked."""
    if "unauthorized" in said or "denied" in said:
        return Trouble(
            _("The panel may not look into the queue of Postfix, so this is not known."),
            _("Postfix shows the queue of a private copy to root alone; on a host, put the panel's user into authorized_mailq_users."),
            "sudo postconf authorized_mailq_users",
            state=State.OFF if targets.postfix_etc() else State.WARN,
        )  # fmt: skip
    return Trouble(
        _("Postfix does not tell its queue: “%(said)s”.", said=plain(said)[:150]),
        _("Postfix is not running, or in trouble. Start it; its log says more."),
        targets.start("postfix"),
    )


def _no_helper() -> Trouble:
    return Trouble(
        _("The panel may read the queue, but not change it or look into a message: only root may."),
        _("The helper mailpanel-queue does this for the panel, and it does not run here. deploy/README.md says how it is installed."),
        targets.start("mailpanel-queue"),
    )  # fmt: skip


# --- the probe ------------------------------------------------------------------------------------------------


@probe("queue", MAIL, _("Queue"))
def queue(watch: Watch) -> Text:
    found = listed(watch)
    if not found.messages:
        return _("The queue is empty.")
    sizes = Counter(message.queue for message in found.messages)
    waiting = [message.arrival for message in found.messages if message.queue != "hold"]
    age = max(time.time() - min(waiting), 0) if waiting else 0
    by_queue = [f"{name} {sizes[name]}" for name in sorted(sizes)]
    detail = ngettext(
        "%(number)s message (%(queues)s); the oldest waits for %(minutes)s minutes.",
        "%(number)s messages (%(queues)s); the oldest waits for %(minutes)s minutes.",
        len(found.messages), queues=", ".join(by_queue), minutes=int(age // 60),
    )  # fmt: skip
    if age < _WAITS and found.complete:
        return detail
    reasons = Counter(why[:120] for message in found.messages for _to, why in message.recipients if why)
    hint = (
        _("The most frequent reason: “%(reason)s”.", reason=reasons.most_common(1)[0][0])
        if reasons
        else _("Postfix has not tried to deliver it yet: its queue manager may be stuck.")
    )
    raise Trouble(detail, hint, f"{_postqueue()} -p", state=State.BAD if age >= _STUCK else State.WARN)


def _postqueue() -> str:
    etc = targets.postfix_etc()
    return f"sudo postqueue -c {etc}" if etc else "sudo postqueue"
