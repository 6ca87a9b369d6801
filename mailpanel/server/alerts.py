"""Messages to people, by mail and by webhook: what they say, and that they leave."""

import logging
import threading
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, localtime, make_msgid

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone, translation

from domains.models import STEERING
from mailpanel.daemons import Trouble, messenger, probing
from mailpanel.daemons.probing import Watch
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _
from mailpanel.server.incidents import Outage
from mailpanel.server.models import Alert

log = logging.getLogger(__name__)

TRIES = 120  # one each minute
DEADLINE, OF_A_TRIAL = 10, 8  # seconds, for one message
ENOUGH = 40  # seconds of a minute, for all messages of one way
DOWN, CLEAR, TRIAL = Alert.About.DOWN, Alert.About.CLEAR, Alert.About.TRIAL


@dataclass(eq=False)
class Message:
    """As server.models.Alert keeps it, with what it says."""

    about: str
    way: str
    made: datetime
    said: dict
    outage: Outage | None = None
    sent: datetime | None = None
    tries: int = 0
    error: str = ""
    row: int | None = None  # its primary key, once it is written
    changed: bool = True  # since it was written

    @property
    def waits(self) -> bool:
        return self.sent is None and self.tries < TRIES


def ways() -> list[str]:
    """By which messages leave, as the settings say."""
    configured = {
        Alert.Way.MAIL: settings.MAILPANEL_ALERT_TO,
        Alert.Way.WEBHOOK: settings.MAILPANEL_ALERT_WEBHOOK,
    }
    return [way for way, there in configured.items() if there]


def trial(by: str) -> dict[str, str]:
    """Send a message now, by each way at the same time; by way, what went wrong, or nothing."""
    said, made = _trial(by), timezone.now()
    messages = [Message(TRIAL, way, made, said) for way in ways()]
    threads = [threading.Thread(target=_try, args=(message, OF_A_TRIAL), daemon=True) for message in messages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(OF_A_TRIAL + 2)
    Alert.objects.bulk_create(
        Alert(about=TRIAL, way=one.way, made=made, sent=one.sent, tries=1, error=one.error)
        for one in messages
    )
    return {one.way: "" if one.sent else one.error or "It hangs." for one in messages}


# --- what it says -------------------------------------------------------------------------------------------


def about(cause: Outage, affected: list[Outage], now: datetime) -> dict:
    """Of an incident: that it is down, or over once nothing of it is left. `affected` is all that it explains."""
    over = cause.ended and all(outage.ended for outage in affected)
    head = cause if over else next(one for one in (cause, *affected) if not one.ended)
    end = max(one.ended for one in (cause, *affected)) if over else now
    return _said(
        CLEAR if over else DOWN,
        title=_("%(name)s works again", name=_name(head))
        if over
        else _("%(name)s is down", name=_name(head)),
        probe=head.key,
        detail=head.detail,
        hint=Text("") if over else head.hint,
        command="" if over else head.command,
        since=cause.began,
        until=end if over else None,
        minutes=max(round((end - cause.began).total_seconds() / 60), 1),
        affected=[_name(one) for one in (cause, *affected) if one is not head],
    )


def _trial(by: str) -> dict:
    now = timezone.now()
    detail = _("%(who)s tries whether alerts arrive. Nothing is wrong.", who=by)
    return _said(TRIAL, _("A trial"), "", detail, Text(""), "", now, None, 0, [])


def _said(event, title, probe, detail, hint, command, since, until, minutes, affected) -> dict:
    """The fields of the webhook; `text` is all of it in lines, as the mail has it, too. In the server's language: the
    collector has nobody else's. Words of daemons are in there, so nothing that steers a terminal or a chat is left."""
    with translation.override(settings.LANGUAGE_CODE):
        when = _("Since %(since)s, for %(minutes)s minutes.", since=since, minutes=minutes)
        if until:
            when = _(
                "From %(since)s to %(until)s, %(minutes)s minutes.", since=since, until=until, minutes=minutes
            )
        others = _("Also affected: %(names)s", names=affected) if affected else ""
        url = f"{settings.MAILPANEL_URL}/status/"
        title = f"{settings.MAILPANEL_HOSTNAME}: {title}"
        lines = (title, "", detail, when if event != TRIAL else "", hint, command, others, "", url)
        lines = [_clean(line) for line in lines]
        return {
            "text": "\n".join(line for number, line in enumerate(lines) if line or number in (1, 7)),
            "event": str(event),
            "server": settings.MAILPANEL_HOSTNAME,
            "title": _clean(title),
            "probe": probe,
            "detail": _clean(detail),
            "hint": _clean(hint),
            "command": _clean(command),
            "since": since.isoformat(),
            "until": until and until.isoformat(),
            "affected": [_clean(name) for name in affected],
            "url": url,
        }


def _clean(text) -> str:
    """On one line, without control characters, and without Slack's <!channel> and <https://…|this>."""
    return STEERING.sub("?", str(text)).translate({ord("<"): "‹", ord(">"): "›"})


def _name(outage: Outage) -> Text:
    asked = probing.probes().get(outage.key)
    return asked.name if asked else Text("%(key)s", key=outage.key)


# --- that it leaves -----------------------------------------------------------------------------------------


class Sender:
    """Sends in a thread of its own for each way, so that none holds up the other or the round."""

    def __init__(self):
        self._threads: dict[str, threading.Thread] = {}

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads.values())

    def send(self, messages: list[Message]) -> None:
        """Those that wait, in the order in which they were made; by a way that is still busy, in the next minute."""
        for way in ways():
            waiting = [message for message in messages if message.way == way and message.waits]
            if waiting and not (way in self._threads and self._threads[way].is_alive()):
                self._threads[way] = threading.Thread(
                    target=_send, args=(waiting,), name=f"alerts by {way}", daemon=True
                )
                self._threads[way].start()

    def wait(self, seconds: float) -> None:
        for thread in self._threads.values():
            thread.join(seconds)


def _send(messages: list[Message]) -> None:
    watch = Watch(ENOUGH)
    for message in messages:
        if watch.passed < watch.seconds and _claimed(message):
            _try(message, DEADLINE)
            _record(message)


def _claimed(message: Message) -> bool:
    """Another collector of the cluster may have come first. While the database is away nobody can know, and twice is
    better than never."""
    if message.row is None:
        return True
    row = Alert.objects.filter(pk=message.row, sent=None, tries=message.tries)
    try:
        return bool(row.update(tries=message.tries + 1))
    except (DatabaseError, InterfaceError):
        return True
    finally:
        connection.close()


def _record(message: Message) -> None:
    if message.row is None:
        return  # it is written with its incident
    row = Alert.objects.filter(pk=message.row)
    try:
        row.update(sent=message.sent, tries=message.tries, error=message.error)
        message.changed = False
    except (DatabaseError, InterfaceError):
        message.changed = True
    finally:
        connection.close()


def _try(message: Message, seconds: float) -> None:
    try:
        if message.way == Alert.Way.MAIL:
            messenger.mail(_mail(message.said), Watch(seconds))
        else:
            messenger.post(settings.MAILPANEL_ALERT_WEBHOOK, message.said, Watch(seconds))
        message.sent, message.error = timezone.now(), ""
    except (Trouble, TimeoutError) as error:
        message.error = _error(error)
    except Exception:  # a fault of ours must not keep the others from being told
        log.exception("An alert by %s failed", message.way)
        message.error = _error(Trouble(_("The panel failed. What happened stands in its log.")))
    if message.error:
        log.warning("An alert by %s did not leave: %s", message.way, message.error)
    message.tries, message.changed = message.tries + 1, True


def _error(error: Exception) -> str:
    with translation.override(settings.LANGUAGE_CODE):
        detail = error.detail if isinstance(error, Trouble) else _("There was no answer in time.")
        return STEERING.sub("?", str(detail))[:255]


def _mail(said: dict) -> EmailMessage:
    message = EmailMessage()
    message["From"] = messenger.sender()
    message["To"] = ", ".join(settings.MAILPANEL_ALERT_TO)
    message["Subject"] = said["title"]
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = make_msgid(domain=settings.MAILPANEL_HOSTNAME)
    message["Auto-Submitted"] = "auto-generated"  # so that no vacation note answers (RFC 3834)
    message.set_content(said["text"] + "\n", cte="quoted-printable")
    return message
