"""A real Chromium, and a panel of its own behind gunicorn. Whatever goes wrong in the browser fails the test."""

import pytest
from playwright.sync_api import sync_playwright

from tests import authenticator, people
from tests.browser.server import Panel
from tests.environment import ON_MARIADB

CHROMIUM = "/usr/bin/chromium"
# no name but localhost leads anywhere, so nothing leaves the machine
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
]  # fmt: skip
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation",
    event => tellViolation(`${event.effectiveDirective} ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`));
"""


def pytest_configure(config):
    config.addinivalue_line("markers", "both_databases: a browser test that runs on MariaDB, too")


def pytest_collection_modifyitems(config, items):
    """On MariaDB only those that write or read in some way of their own: how a page looks does not change with it."""
    if ON_MARIADB:
        left_out = [
            item
            for item in items
            if "tests/browser/" in str(item.path) and not item.get_closest_marker("both_databases")
        ]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def live():
    panel = Panel("full")
    yield panel
    panel.stop()


@pytest.fixture(scope="session")
def live_empty():
    panel = Panel("empty")
    yield panel
    panel.stop()


# Not for the session: while it runs, Django takes this thread for one with an event loop.
@pytest.fixture(scope="package")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def sessions(browser):
    """sessions(panel, "dadm_a"): the cookies of one of the cast, signed in once by the form."""
    kept = {}

    def cookies(panel: Panel, who: str) -> dict:
        if (panel, who) not in kept:
            context = browser.new_context(base_url=panel.url)
            context.set_default_timeout(10_000)
            page = context.new_page()
            page.goto("/sign-in/")
            sign_in(page, who)
            kept[panel, who] = context.storage_state()
            context.close()
        return kept[panel, who]

    return cookies


def sign_in(page, who: str, password: str = people.PASSWORD):
    page.get_by_label("Address").fill(people.CAST.get(who, [who])[0])
    page.get_by_label("Password", exact=True).fill(password)
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in").click()
    if "/second-factor/" in page.url:
        page.get_by_label("Six digits").fill(authenticator.code())
        with page.expect_navigation():
            page.get_by_role("button", name="Go on").click()


class Visit:
    """One browser profile with an empty cache, and what was seen in it."""

    def __init__(self, context):
        self.context = context
        self.problems, self.requests = [], []
        context.expose_binding("tellViolation", lambda _source, text: self.problems.append(f"CSP: {text}"))
        context.add_init_script(TELL_VIOLATIONS)
        context.on("page", self._watch)
        context.on("requestfinished", lambda request: self.requests.append(request))
        context.on("requestfailed", self._failed)
        self.page = context.new_page()

    def _watch(self, page):
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("dialog", self._dialog)

    def _console(self, message):
        # the status of the page itself is for the test to judge
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _dialog(self, dialog):
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # left for another page
            self.problems.append(f"request: {request.url} {request.failure}")

    def weight(self) -> int:
        """Bytes of all answers so far, as they came over the wire."""
        return sum(request.sizes()["responseBodySize"] for request in self.requests)


@pytest.fixture(scope="package")
def open_browser(browser, sessions):
    """open_browser(panel, "dadm_a"): a profile of its own, signed in as one of the cast (None: nobody)."""

    def as_(panel: Panel, who: str | None, **options) -> Visit:
        state = sessions(panel, who) if who else None
        context = browser.new_context(base_url=panel.url, storage_state=state, **options)
        context.set_default_timeout(10_000)
        return Visit(context)

    return as_


@pytest.fixture
def visit(open_browser, live):
    """visit("dadm_a", "/domains/"): a page as one of the cast sees it. At the end of the test, nothing may have gone
    wrong: no violation of the policy, no error of a script, no dialog, no failed request."""
    visits = []

    def go(who: str | None, path: str, panel: Panel = live, **options) -> Visit:
        visits.append(open_browser(panel, who, **options))
        visits[-1].page.goto(path)
        return visits[-1]

    yield go
    problems = []
    for seen in visits:
        seen.context.close()
        problems += seen.problems
    assert problems == []
