"""What people do without a mouse: everything by Tab, Enter, Space and the arrows, and the focus can be seen."""

import base64
import re

import pytest
from playwright.sync_api import Page, expect

from tests import authenticator, people

PHONE = {"viewport": {"width": 390, "height": 844}}


def focused(page: Page) -> str:
    """The name of the focused element, as a screen reader has it, more or less; empty where nothing has the focus."""
    return page.evaluate(
        """() => {
            const e = document.activeElement, named = e.labels && e.labels.length ? e.labels[0].cloneNode(true) : e.cloneNode(true);
            if (e === document.body) return "";
            for (const hidden of named.querySelectorAll("[aria-hidden], input")) hidden.remove();
            const words = document.createTreeWalker(named, NodeFilter.SHOW_TEXT), text = [];
            while (words.nextNode()) text.push(words.currentNode.data);
            return e.getAttribute("aria-label") || text.join(" ").trim().replace(/\\s+/g, " ");
        }"""
    )


def outlined(page: Page) -> bool:
    """The focused element shows that it is: an outline, and not below another element or outside the window."""
    return page.evaluate(
        """() => {
            const e = document.activeElement, box = e.getBoundingClientRect();
            const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            const seen = at && (e.contains(at) || at.contains(e) || [...(e.labels || [])].some(l => l.contains(at)));
            return seen && getComputedStyle(e).outlineStyle !== "none" && parseFloat(getComputedStyle(e).outlineWidth) >= 2;
        }"""
    )


def tab_to(page: Page, name: str, key: str = "Tab"):
    """Press Tab until the focus is on what has this name; on the way, it can always be seen."""
    passed = []
    for _step in range(60):
        page.keyboard.press(key)
        if not (now := focused(page)):
            continue  # between the last and the first
        passed.append(now)
        assert outlined(page), f"no focus to be seen at “{passed[-1]}”"
        if passed[-1] == name:
            return
    raise AssertionError(f"“{name}” is not among {passed}")


def press_enter(page: Page):
    """Where that leads to another page, or to the same one with what was wrong."""
    with page.expect_navigation():
        page.keyboard.press("Enter")
    await_focus(page)


def await_focus(page: Page):
    """The browser puts it into a field a moment after the page is there, and what is typed before goes nowhere."""
    expect(page.locator("[autofocus]:not(:focus)")).to_have_count(0)


def type_into(page: Page, name: str, text: str):
    tab_to(page, name)
    page.keyboard.type(text)


def test_sign_in(visit):
    page = visit(None, "/sign-in/").page
    await_focus(page)
    assert focused(page) == "Address"
    page.keyboard.type("user1@a.example")
    type_into(page, "Password", people.PASSWORD)
    press_enter(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Mehmet Yıldırım")


@pytest.mark.parametrize("look", ["light", "dark", pytest.param("phone", marks=pytest.mark.both_databases)])
def test_second_factor(visit, look):
    """From the own page to the key, by a code to the recovery codes; then in again with a code, and with one of those."""
    options = PHONE if look == "phone" else {"color_scheme": look}
    who = f"keys-{look}@a.example"
    page = visit(who, "/", **options).page
    tab_to(page, "Second factor A code from your phone beside the password Off")
    press_enter(page)
    tab_to(page, "Set it up…")
    press_enter(page)
    type_into(page, "Current password", people.PASSWORD)
    press_enter(page)
    key = base64.b32decode(page.locator("#key").inner_text().replace(" ", "")).hex()
    type_into(page, "Six digits from the app", "12345")
    press_enter(page)
    assert focused(page) == "Six digits from the app"
    page.keyboard.press("Control+a")
    page.keyboard.type(authenticator.code(key))
    press_enter(page)
    expect(page.get_by_role("status")).to_contain_text("The second factor is on.")
    recovery = page.locator("#codes").inner_text().split()
    assert len(recovery) == 10
    tab_to(page, "I have noted them")
    press_enter(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("On")

    page = visit(None, "/sign-in/?next=/password/", **options).page
    await_focus(page)
    for text, ask_no_more in ((authenticator.code(key, 30), False), (recovery[0], True)):
        page.keyboard.type(who)
        type_into(page, "Password", people.PASSWORD)
        press_enter(page)
        if text == recovery[0]:
            tab_to(page, "Use a recovery code")
            press_enter(page)
        assert focused(page) in ("Six digits", "Recovery code")
        page.keyboard.type(text)
        if ask_no_more:
            tab_to(page, "Do not ask on this device for 30 days")
            page.keyboard.press("Space")
        tab_to(page, "Go on")
        press_enter(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("Change your password")
        page.locator(".account summary").click()
        with page.expect_navigation():
            page.get_by_role("button", name="Sign out").click()
        page.goto("/sign-in/?next=/password/")
        await_focus(page)
    page.keyboard.type(who)
    type_into(page, "Password", people.PASSWORD)
    press_enter(page)  # this device is not asked any more
    expect(page.get_by_role("heading", level=1)).to_have_text("Change your password")


def test_skip_link(visit):
    page = visit("dadm_a", "/").page
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    assert outlined(page)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")


def test_account_menu_and_theme(visit):
    page = visit("dadm_a", "/domains/").page
    tab_to(page, "Katarzyna Wójcik-Brandt account menu")
    page.keyboard.press("Enter")
    tab_to(page, "Change my password")
    tab_to(page, "Dark")
    press_enter(page)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page).to_have_url(re.compile("/domains/$"))
    tab_to(page, "Katarzyna Wójcik-Brandt account menu")
    page.keyboard.press("Enter")
    tab_to(page, "Sign out")


def test_account_menu_closes_with_escape(visit):
    page = visit("dadm_a", "/domains/").page
    tab_to(page, "Katarzyna Wójcik-Brandt account menu")
    page.keyboard.press("Enter")
    tab_to(page, "Change my password")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Change my password")).to_be_hidden()
    assert focused(page) == "Katarzyna Wójcik-Brandt account menu"


def test_make_a_mailbox(visit):
    page = visit("dadm_a", "/domains/a.example/").page
    tab_to(page, "New mailbox")
    press_enter(page)
    type_into(page, "Name", "Typed by Keyboard")
    type_into(page, "Address", "two words")
    press_enter(page)
    # the first field with an error has the focus, and says what is wrong
    assert focused(page) == "Address"
    assert page.evaluate("document.activeElement.getAttribute('aria-invalid')") == "true"
    described = page.evaluate(
        "document.activeElement.getAttribute('aria-describedby').split(' ').map(id => document.getElementById(id).textContent.trim())"
    )
    assert "There is a blank in the address." in described
    assert outlined(page)
    page.keyboard.press("Control+a")
    page.keyboard.type("by-keyboard")
    tab_to(page, "Generate one and show it once")
    page.keyboard.press("ArrowDown")
    assert focused(page) == "Type one"
    type_into(page, "Password to begin with", "eleven brown paper boats")
    tab_to(page, "Make the mailbox")
    press_enter(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Typed by Keyboard")
    expect(page.get_by_role("status")).to_have_text("by-keyboard@a.example is there and receives mail.")


def test_make_an_alias(visit):
    page = visit("dadm_a", "/domains/a.example/aliases/").page
    tab_to(page, "New alias")
    press_enter(page)
    type_into(page, "Address", "keyboard-team")
    type_into(page, "Destination", "user1@a.example")
    tab_to(page, "One more")
    press_enter(page)
    # the new row has the focus
    assert focused(page) == "Destination"
    assert page.evaluate("document.activeElement.value") == ""
    page.keyboard.type("not an address")
    press_enter(page)
    assert focused(page) == "Destination"
    assert page.evaluate("document.activeElement.value") == "not an address"
    page.keyboard.press("Control+a")
    page.keyboard.type("user2@a.example")
    tab_to(page, "Make the alias")
    press_enter(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("keyboard-team@a.example")
    expect(page.get_by_label("Destination", exact=True)).to_have_count(3)


def test_find_in_the_log(visit):
    page = visit("dadm_a", "/log/").page
    type_into(page, "Address or domain", "nonsense")
    press_enter(page)
    # the field with the error has the focus
    assert focused(page) == "Address or domain"
    page.keyboard.press("Control+a")
    page.keyboard.type("everybody@a.example")
    press_enter(page)
    expect(page.locator(".log li")).to_have_count(1)
    tab_to(page, "everybody@a.example")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("cell", name="Reads along")).to_be_visible()


def test_give_a_role(visit):
    page = visit("dadm_a", "/mailboxes/user2@a.example/").page
    tab_to(page, "Change… Roles")
    press_enter(page)
    tab_to(page, "Helpdesk: resets passwords of people without a role")
    tab_to(page, "See what follows…")
    press_enter(page)
    type_into(page, "Reason", "Second floor")
    tab_to(page, "Give the role")
    press_enter(page)
    expect(page.get_by_role("status")).to_have_text("user2@a.example is helpdesk of a.example now.")
    tab_to(page, "Take away… helpdesk of a.example")
    press_enter(page)
    tab_to(page, "Take the role away")
    press_enter(page)
    expect(page.get_by_role("main")).to_contain_text("No role: looks after the own mailbox alone.")


def test_undo_a_deletion(visit):
    page = visit("dadm_a", "/aliases/internship@a.example/delete/").page
    tab_to(page, "Delete the alias")
    press_enter(page)
    tab_to(page, "Undo")
    press_enter(page)
    expect(page.get_by_role("status")).to_contain_text("internship@a.example is back.")
    expect(page.get_by_role("heading", level=1)).to_contain_text("internship@a.example")


def test_change_the_password(visit):
    """Of somebody who is in no other test: all other sessions end with it."""
    page = visit("all@full.example", "/").page
    tab_to(page, "Password Never changed")
    press_enter(page)
    type_into(page, "Current password", "wrong")
    type_into(page, "New password", "eleven brown paper boats")
    press_enter(page)
    assert focused(page) == "Current password"
    page.keyboard.type(people.PASSWORD)
    type_into(page, "New password", "eleven brown paper boats")
    tab_to(page, "Change the password")
    press_enter(page)
    expect(page.get_by_role("status")).to_contain_text("Your password is changed.")


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_drawer_on_a_phone(visit, java_script_enabled):
    """A popover: it opens, holds the way to everywhere, and Escape closes it, with the focus where it was."""
    page = visit("dadm_a", "/domains/a.example/", java_script_enabled=java_script_enabled, **PHONE).page
    drawer = page.get_by_role("navigation", name="Main")
    expect(drawer).to_be_hidden()
    tab_to(page, "Menu")
    page.keyboard.press("Enter")
    expect(drawer).to_be_visible()
    tab_to(page, "Aliases")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    assert focused(page) == "Menu"
    page.keyboard.press("Enter")
    tab_to(page, "Mailboxes")
    press_enter(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Mailboxes")
