"""An Amavis that releases, or does not: its side of AM.PDP."""

import re
from contextlib import contextmanager
from urllib.parse import unquote

from django.test import override_settings

from tests.daemons.fakes import Fake


class Amavis:
    def __init__(self):
        self.asked: list[list[tuple[str, str]]] = []
        self.answer = "250 2.0.0 Ok%2C queued as 4ABC"

    def serve(self, it):
        while True:
            attributes = []
            while (line := it.hear()) not in (b"", b"\n"):
                name, _equals, value = line.decode("ascii").partition("=")
                attributes.append((name, unquote(value)))
            if not line:
                return
            self.asked.append(attributes)
            self.reply(it, attributes)

    def reply(self, it, attributes):
        for name, _value in attributes:
            if name == "recipient":
                it.say(f"setreply={re.sub(' ', '%20', self.answer)}")
        it.say("")

    @property
    def recipients(self) -> list[str]:
        return [value for asked in self.asked for name, value in asked if name == "recipient"]


@contextmanager
def listening():
    amavis = Amavis()
    fake = Fake(lambda it: amavis.serve(it))
    with fake, override_settings(MAILPANEL_PROBE_TARGETS={"amavis-release": fake.place}):
        yield amavis
