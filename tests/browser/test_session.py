"""Cookies, where a sign-in leads, and what is left after the sign-out."""

from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import sign_in

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "///evil.example",
    "https:evil.example",
    "http:///evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://panel.example@evil.example/",
    "https://panel.example.evil.example/",
    "\thttps://evil.example/",
    "/%09/evil.example/../..",
]


def test_sign_in_leads_nowhere_else(visit, live):
    seen = visit(None, "/sign-in/")
    for target in ELSEWHERE:
        seen.context.clear_cookies()
        seen.page.goto(f"/sign-in/?next={quote(target, safe='')}")
        seen.page.evaluate("target => { document.querySelector('[name=next]').value = target }", target)
        sign_in(seen.page, "user1")
        assert seen.page.url.startswith(f"{live.url}/"), target
        assert "/sign-in/" not in seen.page.url
    assert {urlsplit(request.url).netloc for request in seen.requests} == {urlsplit(live.url).netloc}


def test_sign_in_leads_to_the_page_that_was_asked_for(visit, live):
    page = visit(None, "/domains/a.example/?q=u").page
    assert page.url == f"{live.url}/sign-in/?next=/domains/a.example/%3Fq%3Du"
    sign_in(page, "dadm_a")
    expect(page).to_have_url(f"{live.url}/domains/a.example/?q=u")


def test_cookies(visit):
    seen = visit(None, "/sign-in/")
    before = {cookie["name"]: cookie["value"] for cookie in seen.context.cookies()}
    sign_in(seen.page, "user1")
    seen.page.locator(".account summary").click()
    seen.page.get_by_role("button", name="Dark").click()
    expect(seen.page.locator("html")).to_have_attribute("data-theme", "dark")
    cookies = {cookie["name"]: cookie for cookie in seen.context.cookies()}
    assert cookies.keys() == {"mailpanel_session", "mailpanel_csrf", "mailpanel_device", "mailpanel_theme"}
    for name, cookie in cookies.items():
        assert cookie["sameSite"] == "Lax"
        assert cookie["path"] == "/"
        assert cookie["domain"] == "localhost"  # with a Domain it would begin with a dot
        assert cookie["httpOnly"] or name == "mailpanel_theme"
        assert len(cookie["value"]) < 4000
    assert before["mailpanel_csrf"] != cookies["mailpanel_csrf"]["value"]


def test_a_session_from_elsewhere_is_not_taken_over(visit, live):
    seen = visit(None, "/sign-in/")
    seen.context.add_cookies([{"name": "mailpanel_session", "value": "a" * 32, "url": live.url}])
    sign_in(seen.page, "user1")
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("Mehmet Yıldırım")
    assert "a" * 32 not in {cookie["value"] for cookie in seen.context.cookies()}


@pytest.mark.parametrize("path", ["/", "/domains/a.example/", "/mailboxes/user1@a.example/", "/password/"])
def test_nothing_is_left_after_the_sign_out(visit, path):
    """Back shows nothing, a reload neither, and the old cookie opens nothing any more."""
    seen = visit(None, "/sign-in/")
    page = seen.page
    sign_in(page, "dadm_a")
    heading = page.get_by_role("heading", level=1)
    expect(heading).not_to_contain_text("Sign in to")
    page.goto(path)
    cookies = seen.context.cookies()
    page.locator(".account summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(heading).to_contain_text("Sign in to")
    page.go_back()
    expect(heading).to_contain_text("Sign in to")
    seen.context.add_cookies(cookies)
    page.goto(path)
    expect(heading).to_contain_text("Sign in to")
