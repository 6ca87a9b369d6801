"""Postfix' queue as a list was asked for: filtered, counted, one page of it. In memory, since it stands in no table."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple
from urllib.parse import urlencode

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from domains import addresses
from mailpanel import paging
from mailpanel.daemons import queue
from mailpanel.daemons.probing import Watch
from mailpanel.daemons.queue import Message
from mailpanel.paging import Page

LOOK, DO = 10, 25  # seconds: to read the queue, and to change it
LONGEST = 200  # characters of what is searched for
MOST = 4  # reasons and domains that are counted by name
QUEUES = {
    "deferred": gettext_lazy("Waiting"),
    "active": gettext_lazy("Under way"),
    "hold": gettext_lazy("On hold"),
    "incoming": gettext_lazy("Just arrived"),
}
# What differs between two recipients who are refused for the same reason.
_OWN_PART = re.compile(r"<[^>]*>|\[[^\]]*\]|\(in reply to[^)]*\)|\b(?=\w*\d)\w{10,}\b")


class Group(NamedTuple):
    """Messages that have something in common; `query` is the list of them."""

    words: str
    count: int
    query: str


@dataclass(frozen=True)
class Listing:
    asked: dict  # request.GET or POST

    @cached_property
    def all(self) -> queue.Queue:
        """Raises Trouble, here and wherever it is needed."""
        return queue.listed(Watch(LOOK))

    def _asked(self, name: str) -> str:
        return self.asked.get(name, "").strip()[:LONGEST]

    @property
    def q(self) -> str:
        return self._asked("q")

    @property
    def show(self) -> str:
        return show if (show := self._asked("show")) in QUEUES else ""

    @property
    def newest_first(self) -> bool:
        return self._asked("sort") == "newest"

    @property
    def filters(self) -> dict[str, str]:
        """What the list is narrowed to, beside the queue."""
        return {name: value for name in ("sender", "domain", "reason", "q") if (value := self._asked(name))}

    @cached_property
    def matching(self) -> list[Message]:
        """What the filters leave, over all queues."""
        tests = [_TESTS[name](value.lower()) for name, value in self.filters.items()]
        until = int(self.asked["until"]) if _NUMBER.fullmatch(self.asked.get("until", "")) else None
        return [
            message
            for message in self.all.messages
            if (until is None or message.arrival <= until) and all(test(message) for test in tests)
        ]

    @cached_property
    def rows(self) -> list[Message]:
        return [message for message in self.matching if self.show in ("", message.queue)]

    @cached_property
    def page(self) -> Page:
        turn = -1 if self.newest_first else 1
        return paging.of_memory(
            self.rows, lambda message: (turn * message.arrival, message.id), self.kept(after=True)
        )

    # --- for the templates ---

    def kept(self, *, after: bool = False) -> dict[str, str]:
        places = {name: self._asked(name) for name in ("after", "before") if after}
        now = {"show": self.show, "sort": "newest" if self.newest_first else ""} | self.filters | places
        return {name: value for name, value in now.items() if value}

    def query(self, **changes: str) -> str:
        return "?" + urlencode({name: value for name, value in (self.kept() | changes).items() if value})

    @property
    def here(self) -> str:
        return self.query()

    @property
    def turned(self) -> str:
        return self.query(sort="" if self.newest_first else "newest")

    @property
    def chips(self) -> list[tuple[str, str, int, bool]]:
        """(words, query string, how many, whether it is this one)."""
        counts = Counter(message.queue for message in self.matching)
        chips = [(_("All"), self.query(show=""), len(self.matching), not self.show)]
        return chips + [
            (words, self.query(show=name), counts[name], self.show == name) for name, words in QUEUES.items()
        ]

    @cached_property
    def reasons(self) -> list[Group]:
        counts = Counter(why(message.reason) for message in self.rows if message.reason)
        return [Group(words, count, self.query(reason=words)) for words, count in counts.most_common(MOST)]

    @cached_property
    def domains(self) -> list[Group]:
        counts = Counter(domain for message in self.rows for domain in domains_of(message))
        return [
            Group(addresses.to_unicode(name), count, self.query(domain=name))
            for name, count in counts.most_common(MOST)
        ]

    @property
    def filtered(self) -> bool:
        return bool(self.filters or self.show)


@lru_cache(maxsize=4096)
def why(reason: str) -> str:
    """A reason without the addresses and numbers of this one message, so that like ones are counted together."""
    return re.sub(r"\s+", " ", _OWN_PART.sub("…", reason)).strip(" :.")[:LONGEST]


def domains_of(message: Message) -> set[str]:
    """Where it is to go."""
    return {address.rpartition("@")[2].lower() for address, _why in message.recipients}


_NUMBER = re.compile(r"\d{1,12}", re.ASCII)
_TESTS: dict[str, Callable[[str], Callable[[Message], bool]]] = {
    "sender": lambda wanted: lambda message: message.sender.lower() == wanted,
    "domain": lambda wanted: lambda message: wanted in domains_of(message),
    "reason": lambda wanted: lambda message: why(message.reason).lower() == wanted,
    "q": lambda wanted: lambda message: any(wanted in text for text in _words(message)),
}


def _words(message: Message):
    yield message.id.lower()
    yield message.sender.lower()
    for address, reason in message.recipients:
        yield address.lower()
        yield reason.lower()
