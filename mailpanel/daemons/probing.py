"""The probes side by side, each with a deadline.

A new probe is one function in a module of this package:

    @probe("imap", READING, _("IMAP"))
    def imap(watch: Watch) -> Text: ...

It returns the sentence for all well, or raises Trouble. It waits for nothing longer than `watch.left`. Threads, and not
one loop for all, so that a probe reads from top to bottom and may use any library that takes a time limit.
"""

import functools
import importlib
import logging
import pkgutil
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.conf import settings

import mailpanel.daemons
from mailpanel.daemons import Probe, State, Trouble
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _

log = logging.getLogger(__name__)

# In the order in which people read them.
TRIP, FILTER, MAIL, READING, GROUND = GROUPS = (
    _("Round trip"),
    _("Filter"),
    _("Mail in and out"),
    _("Reading"),
    _("What it stands on"),
)
GRACE = 0.5  # seconds beyond the deadline, to come to a sentence about it


class Watch:
    """The deadline of one probe, and the stages that it has gone through."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._begin = self._stage = time.monotonic()
        self.stages: list[tuple[Text, float]] = []

    @property
    def left(self) -> float:
        """Seconds, more than none. Raises TimeoutError."""
        left = self._begin + self.seconds - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    @property
    def passed(self) -> float:
        return time.monotonic() - self._begin

    def stage(self, name: Text) -> None:
        """What was done since the last stage."""
        now = time.monotonic()
        self.stages.append((name, now - self._stage))
        self._stage = now


@dataclass(frozen=True)
class Asked:
    """A registered probe."""

    key: str
    group: Text
    name: Text
    look: Callable[[Watch], Text]
    times: int  # its deadline, in deadlines of the others


_registered: dict[str, Asked] = {}
_stuck: dict[str, threading.Thread] = {}


def probe(key: str, group: Text, name: Text, *, times: int = 1):
    def register(look: Callable[[Watch], Text]) -> Callable[[Watch], Text]:
        _registered[key] = Asked(key, group, name, look, times)
        return look

    return register


@functools.cache
def _import_all() -> None:
    for module in pkgutil.iter_modules(mailpanel.daemons.__path__, "mailpanel.daemons."):
        importlib.import_module(module.name)


def probes() -> dict[str, Asked]:
    """All there are, by key, in the order of the page."""
    _import_all()
    return dict(sorted(_registered.items(), key=lambda item: GROUPS.index(item[1].group)))


def look(keys: Iterable[str] | None = None) -> list[Probe]:
    """One round: all probes at once, or those of `keys` (KeyError for one that is not there). Never raises otherwise, and
    takes as long as the slowest of them, at most its deadline and a moment."""
    order = list(probes() if keys is None else keys)
    return sorted(each(order), key=lambda seen: order.index(seen.key))


def each(keys: Iterable[str] | None = None) -> Iterator[Probe]:
    """The same, each as soon as it has ended."""
    known = probes()
    ended = queue.SimpleQueue()
    waiting = {key: _Run(known[key], ended) for key in (known if keys is None else keys)}
    for run in waiting.values():
        run.start()
    while waiting:
        try:
            seen = ended.get(timeout=max(min(run.left for run in waiting.values()), 0))
            del waiting[seen.key]
            yield seen
        except queue.Empty:
            for run in [run for run in waiting.values() if run.left <= 0]:
                del waiting[run.asked.key]
                yield run.given_up()


@dataclass
class _Run:
    asked: Asked
    ended: queue.SimpleQueue

    def __post_init__(self):
        self.watch = Watch(self.asked.times * settings.MAILPANEL_PROBE_SECONDS)
        # a daemon thread, so that one which hangs in the kernel does not keep the process from its end
        self.thread = threading.Thread(target=self._look, name=f"probe {self.asked.key}", daemon=True)

    def start(self) -> None:
        """Unless that of an earlier round is still stuck: so at most one thread of a probe is ever lost."""
        before = _stuck.pop(self.asked.key, None)
        if before and before.is_alive():
            self.thread = before
        else:
            self.thread.start()

    @property
    def left(self) -> float:
        """Seconds until it is given up."""
        return self.watch.seconds + GRACE - self.watch.passed

    def given_up(self) -> Probe:
        if self.thread.is_alive():
            _stuck[self.asked.key] = self.thread
        return self._probe(
            State.BAD,
            _("This was not answered within %(seconds)s seconds.", seconds=self.watch.seconds),
            _("Something hangs that knows no time limit, such as a disk. Look what the kernel says."),
            "sudo dmesg --level=err,warn | tail",
        )

    def _look(self) -> None:
        self.ended.put(self._seen())

    def _seen(self) -> Probe:
        try:
            return self._probe(State.OK, self.asked.look(self.watch))
        except Trouble as trouble:
            return self._probe(trouble.state, trouble.detail, trouble.hint, trouble.command)
        except TimeoutError:
            return self._probe(
                State.BAD, _("This was not answered within %(seconds)s seconds.", seconds=self.watch.seconds)
            )
        except Exception:  # a fault of ours in one probe must not cost the round
            log.exception("The probe %s failed", self.asked.key)
            return self._probe(
                State.BAD,
                _("The probe itself failed."),
                _("This is a fault of the panel. What happened stands in its log."),
            )

    def _probe(
        self,
        state: State,
        detail: Text,
        hint: Text | None = None,
        command: str = "",
    ) -> Probe:
        asked, watch = self.asked, self.watch
        return Probe(
            key=asked.key,
            group=asked.group,
            name=asked.name,
            state=state,
            detail=detail,
            hint=hint or Text(""),
            command=command,
            seconds=watch.passed,
            stages=tuple(watch.stages),
        )
