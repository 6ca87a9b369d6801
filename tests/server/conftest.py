"""Probes that see what they are told to, in the places of the real ones."""

import threading

import pytest
from django.db import connections

from mailpanel.daemons import Trouble, probing
from mailpanel.daemons.text import Text as _


class Stand:
    """What each probe sees now, and how often it was asked."""

    def __init__(self):
        self.sees, self.asked, self.gate = {}, [], threading.Event()
        self.gate.set()

    def put(self, **sees) -> None:
        """put(smtp="Fine.", imap=Trouble(…)): it is these that there are."""
        for key, seen in sees.items():
            if key not in probing._registered:
                probing.probe(key, probing.GROUND, _("Probe %(key)s", key=key))(self._look(key))
            self.sees[key] = seen

    def _look(self, key):
        def look(watch):
            self.asked.append(key)
            self.gate.wait(watch.left)
            seen = self.sees[key]
            if isinstance(seen, Trouble):
                raise seen
            return _(seen)

        return look


@pytest.fixture
def stand(monkeypatch, settings):
    settings.MAILPANEL_PROBE_SECONDS = 2
    probing.probes()
    monkeypatch.setattr(probing, "_registered", {})
    stand = Stand()
    yield stand
    stand.gate.set()
    for thread in threading.enumerate():
        if thread.name == "check now" or thread.name.startswith("probe "):
            thread.join(5)
    connections.close_all()


DOWN = Trouble(_("Nobody listens at %(where)s.", where="port 25"), _("Start it."), "start it")
