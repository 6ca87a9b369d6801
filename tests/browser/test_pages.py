"""Every page, as people with each role see it: accessible, within the policy, narrow enough for a phone, and light."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.template.loader import render_to_string
from playwright.sync_api import expect

from tests.accounts.test_access import MATRIX
from tests.browser.pages import PAGES
from tests.browser.server import Panel

AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
    "preload": False,  # it would fetch the style sheets for rules that are not among these
}
# the first page of a route in all four, the others in the first two
LOOKS = [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]
FIRST_VISIT = 50_000  # bytes over the wire, with an empty cache


def test_every_page_is_visited():
    """Which routes render a page is read from the role matrix, which is closed against the URLconf."""
    renders = {line.split()[0] for line in MATRIX.strip().splitlines() if "200" in line.split("|")[1]}
    for_people = {route for route in renders if not route.endswith(("_export", ":healthz"))}
    assert {shown.route for shown in PAGES} == for_people


@pytest.fixture(scope="module")
def windows(open_browser):
    """One window for each of the cast, with its cache off: a new one for each page takes longer than the page."""
    visits = {}

    def of(panel, who, locale="en-GB"):
        if (panel, who, locale) not in visits:
            visits[panel, who, locale] = seen = open_browser(panel, who, locale=locale)
            cache = seen.context.new_cdp_session(seen.page)
            cache.send("Network.enable")
            cache.send("Network.setCacheDisabled", {"cacheDisabled": True})
        return visits[panel, who, locale]

    yield of
    for seen in visits.values():
        seen.context.close()


@pytest.mark.parametrize("shown", PAGES, ids=str)
def test_page(windows, request, shown):
    seen = windows(request.getfixturevalue("live_empty" if shown.empty else "live"), shown.who)
    page = seen.page
    seen.requests.clear()
    seen.problems.clear()
    page.set_viewport_size({"width": 1280, "height": 900})
    answer = page.goto(shown.path)
    assert seen.weight() < FIRST_VISIT
    if shown.who:
        assert "no-store" in answer.headers["cache-control"]
    if shown.then:
        shown.then(page)
        sent = [request for request in seen.requests if request.is_navigation_request()]
        answer = [request for request in sent if not request.redirected_to][-1].response()
    assert answer.status == shown.status
    assert not shown.who or "/sign-in/" not in answer.url
    assert_accessible(page, LOOKS if first_of_its_route(shown) else LOOKS[:2])
    assert sideways(page, 320) == []
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert sideways(page, 640) == []
    assert seen.problems == []


@pytest.mark.parametrize("shown", [shown for shown in PAGES if shown.then is None], ids=str)
def test_page_in_the_longest_language(windows, request, shown):
    panel = request.getfixturevalue("live_empty" if shown.empty else "live")
    seen = windows(panel, shown.who, "de-DE")
    seen.problems.clear()
    seen.page.goto(shown.path)
    assert seen.page.locator("html").get_attribute("lang") == "de"
    assert sideways(seen.page, 320) == []
    assert seen.problems == []


@pytest.fixture(scope="module")
def away():
    panel = Panel("away", "empty")
    yield panel
    panel.stop()


def test_database_away(visit, away):
    seen = visit("postmaster@example.test", "/domains/new/", away)
    page, file = seen.page, away.directory / "database" / "mail.sqlite3"
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    page.get_by_label("Domain", exact=True).fill("lost.example")
    for send, words in (
        (lambda: page.get_by_role("button", name="Make the domain").click(), "Nothing was saved."),
        (lambda: page.goto("/domains/"), "Try again in a moment."),
    ):
        with page.expect_navigation() as answer:
            send()
        assert (answer.value.status, answer.value.headers["retry-after"]) == (503, "10")
        expect(page.locator("main")).to_contain_text(words)
        assert_accessible(page, LOOKS[:2])
    file.rmdir()
    file.with_suffix(".away").rename(file)
    page.get_by_role("link", name="Try now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Domains")


def test_something_broke(visit, live):
    """No request breaks the panel, so its page is put where one would."""
    page = visit(None, "/sign-in/").page
    page.route(
        f"{live.url}/broken/",
        lambda route: route.fulfill(
            status=500, body=render_to_string("errors/500.html"), content_type="text/html"
        ),
    )
    page.goto("/broken/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Something broke in the panel")
    assert_accessible(page, LOOKS[:2])


def assert_accessible(page, looks):
    page.evaluate(AXE_SCRIPT)  # from outside, so that the policy of the page stays as it is
    found = []
    for width, scheme in looks:
        page.set_viewport_size({"width": width, "height": 900})
        # as high as the page is long, or axe takes what a bar lies over for what cannot be reached
        page.set_viewport_size(
            {"width": width, "height": page.evaluate("document.documentElement.scrollHeight")}
        )
        page.emulate_media(color_scheme=scheme)
        found += [f"{width} {scheme} {told}" for told in violations(page)]
    assert found == []


def first_of_its_route(shown) -> bool:
    return shown == next(other for other in PAGES if other.route == shown.route)


def violations(page) -> list[str]:
    """What axe finds. Of long tables the first rows: the others are of the same kind."""
    found = page.evaluate(
        "([context, options]) => axe.run(context, options)", [{"exclude": "tbody tr:nth-child(n + 13)"}, AXE]
    )
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def sideways(page, width: int) -> list[str]:
    """What makes the page scroll sideways at this width: how wide it is, and the elements that reach beyond."""
    page.set_viewport_size({"width": width, "height": 900})
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] : [
            `${document.documentElement.scrollWidth} px`,
            ...[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.outerHTML.slice(0, 100))]"""
    )
