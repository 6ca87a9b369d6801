"""A panel whose daemons all hang, and people who look at its status."""

import re
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar

from tests import people
from tests.browser.server import Panel
from tests.daemons.fakes import Fake, silent

PLACES = ("smtp", "submission", "smtps", "imap", "imaps", "pop3", "pop3s", "managesieve", "lmtp", "clamd")
SECONDS = 30  # that each probe waits


class Viewer:
    def __init__(self, panel: Panel):
        self.url = panel.url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(self, path: str, **headers: str) -> str:
        asked = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310  it is http
        with self._opener.open(asked, timeout=SECONDS) as answer:
            return answer.read().decode()

    def post(self, path: str, page: str, **fields: str) -> str:
        """The page that it leads to; `page` is where the form stands."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(page))[1]
        sent = urllib.parse.urlencode(fields | {"csrfmiddlewaretoken": token}).encode()
        with self._opener.open(self.url + path, sent, timeout=SECONDS) as answer:
            return answer.read().decode()

    def sign_in(self) -> "Viewer":
        self.post("/sign-in/", "/sign-in/", username="postmaster@example.test", password=people.PASSWORD)
        return self

    def check_now(self) -> str:
        return self.post("/status/check/", "/status/", probe="all")


@contextmanager
def hanging(name: str):
    """The panel, and the fakes that take a connection and say nothing."""
    with ExitStack() as ending:
        fakes = {place: ending.enter_context(Fake(silent)) for place in PLACES}
        panel = Panel(
            name,
            "empty",
            MAILPANEL_PROBE_SECONDS=str(SECONDS),
            MAILPANEL_PROBE_PASSWORD="of a mailbox that nobody asks for here",
            MAILPANEL_PROBE_TARGETS=",".join(f"{place}={fake.place}" for place, fake in fakes.items()),
        )
        ending.callback(panel.stop)
        yield panel, fakes
