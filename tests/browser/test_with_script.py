"""What is smoother with script: the strength of a password as it is typed, showing and copying it, and "/"."""

import re

from playwright.sync_api import expect

SECRET = "correct-horse-battery"


def test_strength_follows_the_typing(visit):
    seen = visit("user1", "/password/")
    page, meter, words = (
        seen.page,
        seen.page.get_by_role("meter"),
        seen.page.locator("#strength").get_by_role("status"),
    )
    assert meter.get_attribute("value") == "0"
    page.get_by_label("New password", exact=True).press_sequentially("short")
    expect(words).to_contain_text("Not yet.")
    page.get_by_label("New password", exact=True).fill("mehmet yıldırım")
    expect(words).to_contain_text(re.compile("name", re.I))
    page.get_by_label("New password", exact=True).fill(f"{SECRET} {SECRET[::-1]}")
    expect(words).to_contain_text("Strong.")
    expect(meter).to_have_attribute("value", "4")
    sent = [request for request in seen.requests if "strength" in request.url]
    assert 3 <= len(sent) < len("short") + 3  # it waits for a pause in the typing
    assert {request.method for request in sent} == {"POST"}
    assert all(request.url.startswith(page.url.removesuffix("/password/") + "/") for request in seen.requests)
    assert not any("horse" in request.url for request in seen.requests)
    assert page.url.endswith("/password/")


def test_strength_keeps_nothing(visit):
    """No answer for the meter is kept by the browser, and going back does not bring the passwords."""
    seen = visit("user1", "/password/")
    page = seen.page
    page.get_by_label("Current password").fill(SECRET)
    with page.expect_response("**/strength/") as answer:
        page.get_by_label("New password", exact=True).fill(SECRET)
    assert "no-store" in answer.value.headers["cache-control"]
    page.get_by_role("link", name="Cancel").click()
    page.go_back()
    expect(page.get_by_label("New password", exact=True)).to_have_value("")


def test_show_the_password(visit):
    page = visit("user1", "/password/").page
    field, button = (
        page.get_by_label("New password", exact=True),
        page.get_by_role("button", name="Show the new password"),
    )
    field.fill(SECRET)
    expect(field).to_have_attribute("type", "password")
    button.click()
    expect(field).to_have_attribute("type", "text")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(field).to_have_attribute("type", "password")


def test_copy_the_new_password(visit):
    page = visit(
        "help_a", "/mailboxes/user2@a.example/password/", permissions=["clipboard-read", "clipboard-write"]
    ).page
    page.get_by_label("Reason").fill("called from the office")
    page.get_by_role("button", name="Make a new password").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#password").inner_text()


def test_only_the_handout_is_printed(visit):
    page = visit("help_a", "/mailboxes/user2@a.example/password/").page
    page.get_by_role("button", name="Make a new password").click()
    page.emulate_media(media="print")
    expect(page.get_by_role("article")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_hidden()
    expect(page.get_by_role("banner")).to_be_hidden()


def test_slash_leads_to_the_search(visit):
    page = visit("help_a", "/").page
    find = page.get_by_role("searchbox", name="Find a mailbox")
    page.get_by_role("heading", level=1).click()  # home has its own search box, and begins in it
    page.keyboard.press("/")
    expect(find).to_be_focused()
    page.keyboard.type("user1@/")
    expect(find).to_have_value("user1@/")  # typed, where one types
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/search/\?q=user1%40%2F$"))


def test_a_tick_in_the_head_selects_the_page(visit):
    page = visit("dadm_a", "/domains/a.example/").page
    bar = page.get_by_role("group", name="What to do with the selected mailboxes")
    expect(bar).to_be_hidden()
    page.get_by_label("Select all on this page").check()
    expect(bar).to_contain_text("selected")
    assert page.locator("tbody .pick :checked").count() == 50
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()
    expect(page.get_by_label("Select all on this page")).not_to_be_checked()


def test_a_row_of_the_status_refreshes_by_itself(visit, live):
    """Somebody else asks for a look at one probe; the page that was open before shows it without being touched."""
    page = visit("root1", "/status/").page
    page.clock.install()
    page.reload()
    row, others = page.locator("#probe-memory"), page.locator("#probe-disks")
    expect(row).to_contain_text("load 0.21 for each processor")  # as it was written for the test
    others.evaluate("row => row.dataset.touched = 'no'")
    page.evaluate("document.documentElement.dataset.loaded = 'once'")
    other = visit("root1", "/status/memory/").page
    other.get_by_role("button", name="Check now").click()
    expect(other.locator("#standing")).not_to_contain_text("load 0.21", timeout=20_000)
    expect(row).to_contain_text("load 0.21")
    page.clock.fast_forward(20_000)
    expect(row).not_to_contain_text("load 0.21")
    expect(others).to_have_attribute("data-touched", "no")  # what has not changed stays as it is
    assert page.locator("html").get_attribute("data-loaded") == "once"


def test_check_now_changes_rows_alone(visit):
    seen = visit("root1", "/status/")
    page = seen.page
    page.evaluate("document.documentElement.dataset.loaded = 'once'")
    version = page.locator("#fresh").get_attribute("hx-get")
    button = page.get_by_role("button", name="Check now: Disks")
    button.focus()
    with page.expect_response("**/status/check/") as answer:
        page.keyboard.press("Enter")
    assert answer.value.status == 200
    expect(button).to_be_focused()  # although its row came anew
    expect(page.locator("#fresh")).not_to_have_attribute("hx-get", version)
    expect(page.locator("#probe-disks .time")).not_to_have_text("Checking…", timeout=20_000)
    assert page.locator("html").get_attribute("data-loaded") == "once"
    assert len([one for one in seen.requests if one.is_navigation_request()]) == 1


def test_copy_the_command_of_a_row(visit):
    page = visit("root1", "/status/", permissions=["clipboard-read", "clipboard-write"]).page
    row = page.locator("#probe-clamav")
    row.get_by_role("button", name="Copy").click()
    expect(row.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "sudo systemctl restart clamav-daemon"
