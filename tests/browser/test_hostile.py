"""Text that would like to be markup, script, a template, a format or SQL: it is shown as text, everywhere."""

from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fill import HOSTILE, hostile
from tests.browser.pages import HELD
from tests.browser.server import Panel

TEXTS = [*hostile(), HOSTILE[1] * 150]  # the last one: 5,000 characters and more


@pytest.fixture(scope="module")
def besieged():
    panel = Panel("besieged")
    yield panel
    panel.stop()


def assert_harmless(page: Page):
    """What runs or is blocked is seen by the fixture `visit`; here, that nothing of it has become an element."""
    assert (
        page.locator(
            "img, script:not([src]), svg[onload], [onerror], [onfocus], textarea:not([name]), main b:text('bold')"
        ).count()
        == 0
    )
    assert "9359" not in page.locator("body").inner_text()


@pytest.mark.both_databases
@pytest.mark.parametrize("number", range(len(hostile())))
def test_in_the_database(visit, besieged, number):
    page = visit("root1", "/", besieged).page
    domain, text = f"h{number}.example", hostile()[number]
    paths = [
        f"/mailboxes/person@{domain}/",
        f"/mailboxes/person@{domain}/edit/",
        f"/mailboxes/person@{domain}/password/",
        f"/mailboxes/person@{domain}/second-factor/",
    ]
    paths += [
        f"/domains/{domain}/{part}"
        for part in ("", "settings/", "aliases/", "aliases/new/", "mailboxes/new/")
    ]
    paths += [f"/aliases/alias@{domain}/", f"/domains/relay-{domain}/", f"/domains/relay-{domain}/settings/"]
    paths += [
        f"/domains/{domain}/activity/",
        f"/domains/{domain}/roles/",
        f"/mailboxes/person@{domain}/roles/",
    ]
    paths += ["/status/", "/status/imap/", "/status/smtp/", "/status/incidents/", "/status/alerts/"]
    paths += ["/queue/", "/queue/?show=hold", f"/queue/{HELD}/", "/sending/"]
    paths += [f"/mailboxes/person@{domain}/filter/", "/quarantine/", f"/quarantine/hostile-{number}.1/"]
    paths += [
        "/messages/",
        f"/messages/{900_000 + number}/",
        f"/domains/{domain}/messages/",
        f"/domains/{domain}/traffic/",
        f"/messages/?address={quote(text)}&name=x",
    ]
    paths += ["/domains/", "/mailboxes/", "/aliases/", "/roles/", "/log/", f"/log/?domain={domain}"]
    for path in paths:
        assert page.goto(path).status == 200, path
        page.locator("main details").evaluate_all("all => all.forEach(one => one.open = true)")
        assert_harmless(page)
    page.goto(paths[0])
    # letter for letter, in a box of its own for the direction of writing
    assert page.locator("h1 bdi").text_content() == text
    page.goto(paths[1])
    assert page.get_by_label("Name").input_value() == text.replace("\n", "")
    page = visit(f"person@{domain}", "/", besieged).page
    assert_harmless(page)
    expect(page.locator(".log")).to_contain_text(text.strip()[:20])
    for path in ("/filter/own/", "/quarantine/", f"/quarantine/hostile-{number}.1/"):
        assert page.goto(path).status == 200
        assert_harmless(page)
    assert page.goto("/log/own/").status == 200
    assert_harmless(page)
    reasons = page.locator(".log li .second bdi").all_text_contents()
    assert reasons.count(text) == 5  # letter for letter: four reasons, and a role of that name
    assert page.goto(f"/aliases/alias@{domain}/").status == 200
    assert page.get_by_label("Comment on person@").input_value() == text


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_typed_into_forms(visit, besieged, number):
    text = TEXTS[number]
    page = visit("root1", "/", besieged).page
    for path, fields in {
        "/domains/new/": ["name", "description", "default_quota", "alias_of", "transport"],
        "/domains/hosted.example/settings/": ["default_quota", "quota_pool", "alias_of", "transport"],
        "/domains/a.example/mailboxes/new/": ["name", "local", "quota"],
        "/mailboxes/user9@a.example/edit/": ["name", "quota"],
        "/domains/a.example/aliases/new/": ["local", "to-0-address", "to-0-comment"],
        "/aliases/info@a.example/": ["to-0-address", "to-0-comment"],
        "/password/": ["current", "new"],
    }.items():
        page.goto(path)
        for field in fields:
            page.locator(f'main [name="{field}"]').fill(text)
        with page.expect_navigation() as answer:
            page.locator("main form .primary").click()
        assert answer.value.status == 200, path
        expect(page.get_by_role("alert")).to_contain_text("Nothing was saved.")
        assert_harmless(page)


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_in_addresses_of_pages(visit, besieged, number):
    text = quote(TEXTS[number][:1000], safe="")
    page = visit("root1", f"/mailboxes/?q={text}", besieged).page
    assert_harmless(page)
    assert page.locator("#filter").input_value() == TEXTS[number][:1000]
    short = quote(TEXTS[number][:150], safe="")  # six times in one address
    for path, status in {
        f"/domains/a.example/?q={text}": 200,
        f"/mailboxes/?after={text}&before={text}": 200,
        f"/domains/?after={text}": 200,
        f"/aliases/?before={text}": 200,
        f"/log/?object={short}&who={short}&domain={short}&did={short}&since={short}&until={short}": 200,
        f"/log/?before={text}": 200,
        f"/log/own/?after={text}": 200,
        f"/quarantine/?to={short}&sender={short}&kind={short}&mine={short}": 200,
        f"/quarantine/?after={text}": 200,
        f"/quarantine/{short}/": 404,
        f"/mailboxes/{short}/filter/": 404,
        f"/roles/?kind={short}&domain={short}&after={short}": 200,
        f"/domains/a.example/roles/?person={short}&kind={short}": 200,
        f"/mailboxes/user1@a.example/roles/give/?kind={short}&domain={short}": 200,
        f"/mailboxes/user1@a.example/roles/{short}/{short}/": 404,
        f"/mailboxes/{text}/": 404,
        f"/domains/{text}/": 404,
        f"/aliases/{text}/": 404,
        f"/queue/?q={short}&sender={short}&domain={short}&reason={short}&show={short}&after={short}": 200,
        f"/queue/{text}/": 404,
        f"/sending/?after={text}&show={short}": 200,
        f"/mailboxes/{text}/sending/": 404,
        f"/domains/{text}/sending/": 404,
        f"/{text}": 404,
    }.items():
        assert page.goto(path).status == status, path
        assert_harmless(page)
    page = visit(None, f"/sign-in/?next={text}", besieged).page
    page.get_by_label("Address").fill(TEXTS[number])
    page.get_by_label("Password", exact=True).fill(TEXTS[number])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    assert_harmless(page)
