"""The whole way of a new domain, in a browser that runs no script."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests import people
from tests.browser.conftest import sign_in

NEW = "eleven brown paper boats"


@pytest.fixture
def go(visit):
    """Where the pages lead, and a heading to recognise the next one by."""

    def at(who, path) -> Page:
        return visit(who, path, java_script_enabled=False).page

    return at


def heading(page: Page):
    return page.get_by_role("heading", level=1)


def told(page: Page):
    return page.get_by_role("status")


def press(page: Page, name: str):
    page.get_by_role("button", name=name, exact=True).click()


def follow(page: Page, name: str):
    page.get_by_role("link", name=name, exact=True).click()


@pytest.mark.both_databases
def test_a_domain_from_nothing_to_a_changed_password(go):
    page = go(None, "/sign-in/")
    sign_in(page, "root2")
    follow(page, "New domain")
    page.get_by_label("Domain", exact=True).fill("größe.example")
    page.get_by_label("Description").fill("Made without script")
    page.get_by_label("Quota of a new mailbox").fill("2 GB")
    press(page, "Make the domain")
    expect(heading(page)).to_contain_text("größe.example")
    expect(told(page)).to_contain_text("größe.example is there.")

    page.get_by_role("main").get_by_role("link", name="New mailbox").first.click()
    page.get_by_label("Name").fill("Élodie Größ")
    page.get_by_label("Address", exact=True).fill("Elodie")
    expect(page.get_by_label("Quota")).to_have_value("2 GB")
    page.get_by_label("Type one").check()
    page.get_by_label("Password to begin with").fill(NEW)
    press(page, "Make the mailbox")
    expect(told(page)).to_have_text("elodie@größe.example is there and receives mail.")

    follow(page, "Edit")
    page.get_by_label("Quota").fill("0.5 GB")
    press(page, "Save")
    expect(page.get_by_role("main")).to_contain_text("0 B of 512 MB")

    # an alias with two destinations
    follow(page, "größe.example")
    page.get_by_role("navigation", name="Parts of").get_by_role("link", name="Aliases").click()
    page.get_by_role("main").get_by_role("link", name="New alias").first.click()
    page.get_by_label("Address", exact=True).fill("team")
    page.get_by_label("Destination", exact=True).fill("elodie@größe.example")
    press(page, "One more")
    page.get_by_label("Destination", exact=True).last.fill("someone@outside.example")
    page.get_by_label("Comment on").last.fill("Until the summer")
    press(page, "Make the alias")
    expect(heading(page)).to_contain_text("team@größe.example")
    expect(page.get_by_text("Outside", exact=True)).to_have_count(1)
    page.get_by_label("Remove elodie").check()
    press(page, "Save")
    expect(told(page)).to_have_text("team@größe.example is saved and takes effect at once.")
    row = page.get_by_role("row").filter(has_text="team")
    expect(row).to_contain_text("someone@outside.example")
    expect(row).not_to_contain_text("elodie")

    # off, and on again
    page.get_by_label("Find a mailbox").fill("elodie@")
    page.get_by_label("Find a mailbox").press("Enter")
    page.get_by_role("main").get_by_role("link", name="elodie").click()
    page.get_by_role("link", name="Switch off…").click()
    press(page, "Switch the mailbox off")
    expect(heading(page)).to_contain_text("Switched off")
    press(page, "Switch on")
    expect(heading(page)).to_contain_text("Active")

    page.locator(".account summary").click()
    press(page, "Sign out")
    expect(heading(page)).to_contain_text("Sign in to")

    # the password was somebody else's, so another one comes first
    sign_in(page, "elodie@xn--gre-6ka8i.example", NEW)
    expect(heading(page)).to_have_text("Change your password")
    page.get_by_label("Current password").fill(NEW)
    page.get_by_label("New password", exact=True).fill("twelve green glass bottles")
    press(page, "Change the password")
    expect(told(page)).to_contain_text("Your password is changed. The old one has stopped working")
    expect(heading(page)).to_have_text("Élodie Größ")


def test_change_the_password_and_stay_signed_in(go):
    page = go("user1_b", "/password/")
    page.get_by_label("Current password").fill(people.PASSWORD)
    page.get_by_label("New password", exact=True).fill(NEW)
    press(page, "Change the password")
    expect(told(page)).to_contain_text("Your password is changed.")
    page.reload()
    expect(heading(page)).to_have_text("user1_b")
    expect(told(page)).to_have_count(0)


@pytest.mark.parametrize(("choice", "theme"), [("Dark", "dark"), ("Light", "light"), ("System", None)])
def test_theme(go, choice, theme):
    page = go("user1", "/password/")
    page.locator(".account summary").click()
    press(page, choice)
    expect(page).to_have_url(re.compile("/password/$"))
    assert page.locator("html").get_attribute("data-theme") == theme
    expect(page.get_by_role("button", name=choice, include_hidden=True)).to_have_attribute(
        "aria-pressed", "true"
    )


def test_what_needs_script_is_not_shown(go):
    page = go("help_a", "/mailboxes/user2@a.example/password/")
    press(page, "Make a new password")
    expect(page.locator("#password")).to_have_text(re.compile(r"^\S{12,}"))
    for name in ("Copy", "Print"):
        expect(page.get_by_role("button", name=name)).to_be_hidden()
    page.goto("/password/")
    expect(page.get_by_role("button", name="Show the password")).to_be_hidden()


def test_lists_go_on_to_the_next_page_and_back(go):
    page = go("dadm_a", "/domains/a.example/")
    first = page.get_by_role("row").nth(1).inner_text()
    follow(page, "Next")
    expect(page.get_by_role("row")).to_have_count(51)
    assert page.get_by_role("row").nth(1).inner_text() > first
    follow(page, "Back")
    assert page.get_by_role("row").nth(1).inner_text() == first


def test_bulk(go):
    """The bar comes with the first tick, by CSS; what it does is asked on a page of its own."""
    page = go("dadm_a", "/mailboxes/?q=given")
    bar = page.get_by_role("group", name="What to do with the selected mailboxes")
    expect(bar).to_be_hidden()
    expect(page.get_by_label("Select all on this page")).to_be_hidden()
    page.get_by_label("Select given@a.example").check()
    bar.get_by_role("button", name="Switch off…").click()
    page.get_by_label("Reason").fill("Moves")
    page.get_by_role("button", name="Switch off 1 mailbox").click()
    expect(page.get_by_role("status")).to_contain_text("1 mailbox is switched off.")
    page.get_by_label("Select given@a.example").check()
    bar.get_by_role("button", name="Switch on…").click()
    page.get_by_role("button", name="Switch on 1 mailbox").click()
    expect(page.get_by_role("status")).to_contain_text("1 mailbox is switched on.")


def test_check_now(go):
    """The page is there at once, says that somebody looks, and comes again by itself until it is over."""
    page = go("root1", "/status/clock/")
    expect(page.locator("main")).to_contain_text("This is not checked here.")
    with page.expect_navigation() as answer:
        press(page, "Check now")
    assert answer.value.url.endswith("/status/clock/?look")
    expect(page.locator("main")).not_to_contain_text("This is not checked here.", timeout=20_000)
    page.goto("/status/")
    with page.expect_navigation() as answer:
        press(page, "Check now: Clock")
    assert answer.value.url.endswith("/status/?look")
