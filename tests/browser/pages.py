"""Every page there is, with somebody whom it is for: closed against the URLconf by test_pages.py."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from playwright.sync_api import Page

from tests import authenticator, people
from tests.browser.fill import IDN, LONG, RIGHT_TO_LEFT
from tests.waiting import message


class Shown(NamedTuple):
    route: str  # its name in the URLconf; several pages may have one
    who: str | None
    path: str
    note: str = ""  # what is special, and part of the test's name
    then: Callable[[Page], None] | None = None  # what to do there, to come to the page that is meant
    status: int = 200
    empty: bool = False  # on the server that has nothing yet

    def __str__(self):
        return f"{self.route} {self.who or 'nobody'} {self.note}".strip()


def send(page: Page, button: str):
    with page.expect_navigation():
        page.locator(button).click()


def fill(**fields: str) -> Callable[[Page], None]:
    """Fill the fields by their names and send the page's form."""

    def then(page: Page):
        for name, value in fields.items():
            page.locator(f'main [name="{name}"]').fill(value)
        send(page, "main form :is(.primary, .danger)")

    return then


def _paused(page: Page):
    while page.locator("[name=password]").is_visible():
        fill(username="nobody@a.example", password="not this one")(page)


def _halfway(page: Page):
    page.context.clear_cookies()
    page.goto("/sign-in/")
    fill(username="waiting@a.example", password=people.PASSWORD)(page)


def _recovery(page: Page):
    _halfway(page)
    send(page, ".below a")


def _wrong_code(page: Page):
    _halfway(page)
    fill(code="000000")(page)


def _prove(page: Page):
    """Both factors; the code is the next one, since that of now was used at the sign-in."""
    fill(current=people.PASSWORD, code=authenticator.code(after=30))(page)


def _enrol(page: Page):
    if page.locator("[name=current]").is_visible():
        fill(current=people.PASSWORD)(page)


def _wrong_first_code(page: Page):
    _enrol(page)
    fill(code="12")(page)


def _one_more(page: Page):
    send(page, "[value=add]")


def _check_now(page: Page):
    send(page, "main > form.actions button")


def _typed(page: Page):
    page.get_by_label("Type one").check()


def _faster(name: str, theirs: str, mine: str) -> Callable[[Page], None]:
    """Somebody else, in another window, saves first."""

    def then(page: Page):
        other = page.context.new_page()
        other.goto(page.url)
        fill(**{name: theirs})(other)
        other.close()
        fill(**{name: mine})(page)

    return then


def _open(page: Page):
    for summary in page.locator("main details > summary").all()[:4]:
        summary.click()


def _message(page: Page):
    """The first one of the list, with all that it can show."""
    send(page, "main .table tr:first-child .main a")
    _open(page)


def _menu(page: Page):
    page.locator(".account summary").click()


def _drawer(page: Page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.get_by_role("button", name="Menu").click()


def _bulk(do: str, all_of_them: bool = False, most: int = 1) -> Callable[[Page], None]:
    def then(page: Page):
        for box in page.locator("tbody .pick input").all()[:most]:
            box.check()
        if all_of_them:
            page.locator(".bulk [name=all]").check()
        send(page, f".bulk [value={do}]")

    return then


def _picked(page: Page):
    for box in page.locator("tbody .pick input").all()[:3]:
        box.check()
    page.mouse.move(0, 0)  # or one of the buttons that appear may lie under it, and fade


def _refused_senders(page: Page):
    page.locator("#id_of-senders").fill("no sender\nanother one")
    send(page, "main form:has(#id_of-senders) .actions button")


LOCAL = "a-name-of-sixty-four-letters-".ljust(64, "z")
A = "/domains/a.example/"
HELD = message(900)["queue_id"]

PAGES = [
    Shown("accounts:sign_in", None, "/sign-in/"),
    Shown("accounts:sign_in", None, "/sign-in/", "refused", fill(username="user1@a.example", password="wrong")),
    Shown("accounts:sign_in", None, "/sign-in/", "paused", _paused, status=429),
    Shown("accounts:second_step", None, "/sign-in/", "", _halfway),
    Shown("accounts:second_step", None, "/sign-in/", "recovery code", _recovery),
    Shown("accounts:second_step", None, "/sign-in/", "refused", _wrong_code),
    Shown("accounts:second_factor", "without@a.example", "/second-factor/", "off"),
    Shown("accounts:second_factor", "phone@a.example", "/second-factor/", "on"),
    Shown("accounts:second_factor", "lost@a.example", "/second-factor/", "few codes"),
    Shown("accounts:second_factor", "dadm_a", "/second-factor/", "staff"),
    Shown("accounts:second_factor_set_up", "without@a.example", "/second-factor/set-up/"),
    Shown("accounts:second_factor_set_up", "phone@a.example", "/second-factor/set-up/", "move"),
    Shown("accounts:second_factor_set_up", "enrolling@a.example", "/second-factor/set-up/", "key", _enrol),
    Shown("accounts:second_factor_set_up", "enrolling@a.example", "/second-factor/set-up/", "refused", _wrong_first_code),
    Shown("accounts:second_factor_codes", "phone@a.example", "/second-factor/recovery-codes/"),
    Shown("accounts:second_factor_codes", "moving@a.example", "/second-factor/recovery-codes/", "shown once", _prove),
    Shown("accounts:second_factor_off", "phone@a.example", "/second-factor/off/"),
    Shown("accounts:mailbox_second_factor", "help_a", "/mailboxes/lost@a.example/second-factor/"),
    Shown("accounts:mailbox_second_factor", "help_a", "/mailboxes/user1@a.example/second-factor/", "none"),
    Shown("accounts:mailbox", "help_a", "/mailboxes/lost@a.example/", "paused"),
    Shown("home", "phone@a.example", "/", "second factor"),
    Shown("home", "user1", "/"),
    Shown("home", "new@b.example", "/", "nothing yet"),
    Shown("home", "help_a", "/"),
    Shown("home", "dadm_a", "/"),
    Shown("home", "root1", "/"),
    Shown("home", "postmaster@example.test", "/", "first day", empty=True),
    Shown("home", "user1", "/mailboxes/user2@a.example/", "not found", status=404),
    Shown("accounts:password", "user1", "/password/"),
    Shown("accounts:password", "user1", "/password/", "refused", fill(current="wrong", new="short")),
    Shown("accounts:password", "given@a.example", "/password/", "must"),
    Shown("accounts:mailboxes", "help_a", "/mailboxes/"),
    Shown("accounts:mailboxes", "root1", "/mailboxes/?after=k"),
    Shown("accounts:mailboxes", "root1", "/mailboxes/?q=nobody-of-this-name", "nothing found"),
    Shown("accounts:mailboxes", "postmaster@example.test", "/mailboxes/", empty=True),
    Shown("accounts:mailboxes", "dadm_a", "/mailboxes/?show=full", "nearly full"),
    Shown("accounts:mailboxes", "root1", "/mailboxes/?show=never&q=new", "never, found"),
    Shown("accounts:search", "root1", "/search/?q=a"),
    Shown("accounts:search", "help_a", "/search/?q=nobody-of-this-name", "nothing found"),
    Shown("accounts:search", "help_a", "/search/", "nothing typed"),
    Shown("accounts:mailboxes", "root1", "/mailboxes/", "delete", _bulk("delete")),
    Shown("accounts:mailboxes", "dadm_a", A, "quota of all", _bulk("quota", all_of_them=True)),
    Shown("accounts:mailboxes", "dadm_a", "/mailboxes/?show=off", "switch on", _bulk("enable")),
    Shown("accounts:mailboxes", "dadm_a", "/mailboxes/?q=chief", "nobody", _bulk("disable")),
    Shown("accounts:mailbox", "help_a", "/mailboxes/user1@a.example/"),
    Shown("accounts:mailbox", "dadm_a", "/mailboxes/user2@a.example/", "alias as well"),
    Shown("accounts:mailbox", "dadm_a", "/mailboxes/user9@a.example/", "alias instead"),
    Shown("accounts:mailbox", "dadm_a", "/mailboxes/disabled@a.example/", "switched off"),
    Shown("accounts:mailbox", "dadm_a", "/mailboxes/boss@a.example/", "own"),
    Shown("accounts:mailbox", "root1", f"/mailboxes/{quote(f'{LOCAL}@{LONG}')}/", "long"),
    Shown("accounts:mailbox", "root1", f"/mailboxes/info@{RIGHT_TO_LEFT}/", "right to left"),
    Shown("accounts:mailbox_edit", "dadm_a", "/mailboxes/user1@a.example/edit/"),
    Shown("accounts:mailbox_edit", "dadm_a", "/mailboxes/user1@a.example/edit/", "refused", fill(quota="5 GG")),
    Shown("accounts:mailbox_edit", "dadm_a", "/mailboxes/given@a.example/edit/", "saved", fill(quota="2 GB")),
    Shown("accounts:mailbox_edit", "dadm_a", "/mailboxes/user2@a.example/edit/", "conflict", _faster("name", "Anna", "Änne")),
    Shown("accounts:mailbox_edit", "help_a", "/mailboxes/user1@a.example/edit/", "not allowed", status=403),
    Shown("accounts:mailbox_password", "help_a", "/mailboxes/user1@a.example/password/"),
    Shown("accounts:mailbox_password", "help_a", "/mailboxes/user2@a.example/password/", "shown once", fill(reason="Asked")),
    Shown("accounts:mailbox_password", "root1", "/mailboxes/user1_b@b.example/password/", "not found", status=404),
    Shown("accounts:mailbox_delete", "dadm_a", "/mailboxes/user1@a.example/delete/"),
    Shown("accounts:mailbox_delete", "dadm_a", "/mailboxes/user9@a.example/delete/", "no alias"),
    Shown("accounts:mailbox_state", "dadm_a", "/mailboxes/user1@a.example/state/"),
    Shown("accounts:mailbox_state", "dadm_a", "/mailboxes/given@a.example/state/", "no alias"),
    Shown("accounts:mailbox_roles", "dadm_a", "/mailboxes/user1@a.example/roles/"),
    Shown("accounts:mailbox_roles", "root1", "/mailboxes/both@a.example/roles/", "several"),
    Shown("accounts:mailbox_roles", "dadm_a", "/mailboxes/boss@a.example/roles/", "own"),
    Shown("accounts:mailbox_roles", "root1", f"/mailboxes/{quote(f'{LOCAL}@{LONG}')}/roles/", "long"),
    Shown("accounts:role_give", "dadm_a", "/mailboxes/user1@a.example/roles/give/?kind=admin&domain=a.example"),
    Shown("accounts:role_give", "root1", "/mailboxes/user1@a.example/roles/give/?kind=server", "server admin"),
    Shown("accounts:role_give", "root1", "/mailboxes/disabled@a.example/roles/give/?kind=helpdesk&everywhere=on", "cannot sign in"),
    Shown("accounts:role_give", "dadm_a", "/mailboxes/user1@a.example/roles/give/?kind=admin&domain=b.example", "refused"),
    Shown("accounts:role_give", "dadm_a", "/mailboxes/user9@a.example/roles/give/?kind=helpdesk&domain=a.example", "given", fill(reason="x")),
    Shown("accounts:role_take", "dadm_a", "/mailboxes/help@a.example/roles/helpdesk/a.example/"),
    Shown("accounts:role_take", "root1", "/mailboxes/root1@c.example/roles/server/all/", "own"),
    Shown("accounts:roles", "root1", "/roles/"),
    Shown("accounts:roles", "root1", "/roles/?kind=server&domain=empty.example", "nobody"),
    Shown("accounts:roles", "root1", "/roles/?domain=nowhere.example", "refused"),
    Shown("accounts:roles", "postmaster@example.test", "/roles/", empty=True),
    Shown("accounts:audit", "dadm_a", "/log/", "open", _open),
    Shown("accounts:audit", "root1", "/log/"),
    Shown("accounts:audit", "root1", "/log/?object=nobody@a.example", "nothing found"),
    Shown("accounts:audit", "root1", "/log/?object=nonsense&who=root&since=2026-03-02&until=2026-03-01", "refused"),
    Shown("accounts:audit", "postmaster@example.test", "/log/", empty=True),
    Shown("accounts:audit_own", "user1", "/log/own/", "open", _open),
    Shown("accounts:audit_own", "new@b.example", "/log/own/", "nothing yet"),
    Shown("accounts:audit_own", "dadm_a", "/log/own/"),
    Shown("accounts:trash", "dadm_a", "/trash/"),
    Shown("accounts:trash", "postmaster@example.test", "/trash/", empty=True),
    Shown("server:quarantine", "user1", "/quarantine/"),
    Shown("server:quarantine", "user1", "/quarantine/", "picked", _picked),
    Shown("server:quarantine", "new@b.example", "/quarantine/", "nothing yet"),
    Shown("server:quarantine", "dadm_a", "/quarantine/"),
    Shown("server:quarantine", "help_a", "/quarantine/?sender=nobody@nowhere.example", "nothing found"),
    Shown("server:quarantine", "root1", "/quarantine/?to=not+an+address&kind=V", "refused"),
    Shown("server:quarantine", "postmaster@example.test", "/quarantine/", empty=True),
    Shown("server:quarantine_message", "user1", "/quarantine/a-long-one.1/", "", _open),
    Shown("server:quarantine_message", "root1", "/quarantine/a-virus.1/", "virus"),
    Shown("server:quarantine_message", "user1", "/quarantine/a-virus.1/", "virus of one's own"),
    Shown("server:quarantine_message", "root1", "/quarantine/not-scanned.3/", "not scanned"),
    Shown("server:quarantine_message", "user1", "/quarantine/not-scanned.1/", "not scanned, of one's own"),
    Shown("server:quarantine_message", "new@b.example", "/quarantine/a-virus.1/", "not found", status=404),
    Shown("server:quarantine", "user1", "/quarantine/", "delete", _bulk("delete")),
    Shown("server:quarantine", "root1", "/quarantine/", "delete several", _bulk("delete", most=4)),
    Shown("server:quarantine", "root1", "/quarantine/?kind=V", "release a virus", _bulk("release")),
    Shown("server:filter", "root1", "/filter/"),
    Shown("server:filter", "postmaster@example.test", "/filter/", empty=True),
    Shown("accounts:filter_own", "user1", "/filter/own/"),
    Shown("accounts:filter_own", "user9", "/filter/own/", "no senders"),
    Shown("accounts:filter_own", "user9", "/filter/own/", "refused", _refused_senders),
    Shown("accounts:mailbox_filter", "dadm_a", "/mailboxes/user1@a.example/filter/"),
    Shown("accounts:mailbox_filter", "help_a", "/mailboxes/user1@a.example/filter/", "seen"),
    Shown("domains:domain_filter", "dadm_a", f"{A}filter/"),
    Shown("domains:domain_filter", "help_a", f"{A}filter/", "seen"),
    Shown("domains:domain_filter", "root1", "/domains/a-mirror.example/filter/", "mirror"),
    Shown("domains:domain_filter", "root1", f"/domains/{LONG}/filter/", "long"),
    Shown("server:messages", "root1", "/messages/"),
    Shown("server:messages", "help_a", "/messages/?address=user1@a.example&state=delivered", "found"),
    Shown("server:messages", "user1", "/messages/", "own"),
    Shown("server:messages", "user9", "/messages/?address=nobody@nowhere.example", "nothing found"),
    Shown("server:messages", "dadm_a", "/messages/?address=nonsense&since=2026-03-02&until=2026-03-01", "refused"),
    Shown("server:messages", "postmaster@example.test", "/messages/", empty=True),
    Shown("server:message", "root1", "/messages/?name=4FEEDBEEF03", "filtered", _message),
    Shown("server:message", "dadm_a", "/messages/?name=4FEEDBEEF01", "many recipients", _message),
    Shown("server:message", "user1", "/messages/?name=4FEEDBEEF02", "waits", _message),
    Shown("server:message", "root1", "/messages/?address=user1@a.example&state=refused", "refused", _message),
    Shown("server:message", "user1", "/messages/?address=win@prize-today.example&state=quarantined", "quarantined", _message),
    Shown("server:message", "dadm_a", "/messages/?address=kirsten@handwerk.example", "released", _message),
    Shown("server:traffic", "root1", "/traffic/"),
    Shown("server:traffic", "root1", "/traffic/?period=quarter", "quarter", _open),
    Shown("server:traffic", "root1", "/traffic/?period=day", "day"),
    Shown("server:traffic", "postmaster@example.test", "/traffic/", empty=True),
    Shown("domains:domain_messages", "dadm_a", f"{A}messages/"),
    Shown("domains:domain_messages", "dadm_a", "/domains/empty.example/messages/", "empty"),
    Shown("domains:domain_messages", "root1", f"/domains/{LONG}/messages/", "long"),
    Shown("domains:domain_traffic", "dadm_a", f"{A}traffic/?period=month", "month", _open),
    Shown("domains:domain_traffic", "dadm_a", "/domains/empty.example/traffic/", "empty"),
    Shown("server:status", "root1", "/status/"),
    Shown("server:status", "postmaster@example.test", "/status/", empty=True),
    Shown("server:probe", "root1", "/status/clamav/", "open", _open),
    Shown("server:probe", "root1", "/status/roundtrip/?period=week", "week", _open),
    Shown("server:probe", "root1", "/status/tls/?period=quarter", "quarter", _open),
    Shown("server:probe", "postmaster@example.test", "/status/imap/", empty=True),
    Shown("server:incidents", "root1", "/status/incidents/"),
    Shown("server:incidents", "root1", "/status/incidents/?probe=clamav", "of one probe"),
    Shown("server:incidents", "postmaster@example.test", "/status/incidents/", empty=True),
    Shown("server:queue", "root1", "/queue/"),
    Shown("server:queue", "root1", "/queue/?show=hold", "strangers' words"),
    Shown("server:queue", "root1", "/queue/?domain=far-away.example&q=timed", "filtered"),
    Shown("server:queue", "root1", "/queue/?q=nobody-of-this-name", "nothing found"),
    Shown("server:queue", "postmaster@example.test", "/queue/", empty=True),
    Shown("server:queue_message", "root1", f"/queue/{HELD}/"),
    Shown("server:queue", "root1", "/queue/", "delete one", _bulk("delete")),
    Shown("server:queue", "root1", "/queue/?show=deferred", "delete all", _bulk("delete", all_of_them=True)),
    Shown("server:queue", "root1", "/queue/", "held", _bulk("hold")),
    Shown("server:sending", "root1", "/sending/"),
    Shown("server:sending", "help_a", "/sending/?show=refused", "refused"),
    Shown("server:sending", "postmaster@example.test", "/sending/", empty=True),
    Shown("server:sending", "postmaster@example.test", "/sending/?show=refused", "nobody", empty=True),
    Shown("server:mailbox_limit", "dadm_a", "/mailboxes/stolen@a.example/sending/"),
    Shown("server:mailbox_limit", "dadm_a", "/mailboxes/user2@a.example/sending/", "refused", fill(per_hour="many")),
    Shown("server:mailbox_limit", "root1", "/mailboxes/newsletter@a.example/sending/", "of its own"),
    Shown("server:domain_limit", "root1", f"{A}sending/"),
    Shown("accounts:mailbox", "dadm_a", "/mailboxes/stolen@a.example/", "stopped"),
    Shown("server:alerts", "root1", "/status/alerts/"),
    Shown("server:alerts", "postmaster@example.test", "/status/alerts/", empty=True),
    Shown("domains:domains", "dadm_a", "/domains/"),
    Shown("domains:domains", "root1", "/domains/"),
    Shown("domains:domains", "root1", "/domains/", "menu", _menu),
    Shown("domains:domains", "root1", "/domains/", "drawer", _drawer),
    Shown("domains:domains", "postmaster@example.test", "/domains/", empty=True),
    Shown("domains:domain_new", "root1", "/domains/new/"),
    Shown("domains:domain_new", "root1", "/domains/new/", "refused", fill(name="not a domain", quota_pool="5 GG")),
    Shown("domains:domain", "help_a", A),
    Shown("domains:domain", "dadm_a", A),
    Shown("domains:domain", "dadm_a", "/domains/empty.example/", "empty"),
    Shown("domains:domain", "root1", "/domains/a-mirror.example/", "mirror"),
    Shown("domains:domain", "root1", "/domains/lager.example/", "sent on"),
    Shown("domains:domain", "root1", "/domains/off.example/", "switched off"),
    Shown("domains:domain", "root1", f"/domains/{IDN}/", "IDN"),
    Shown("domains:domain", "root1", f"/domains/{RIGHT_TO_LEFT}/", "right to left"),
    Shown("domains:domain", "root1", f"/domains/{LONG}/", "long"),
    Shown("domains:domain_edit", "dadm_a", f"{A}settings/"),
    Shown("domains:domain_edit", "root1", f"{A}settings/"),
    Shown("domains:domain_delete", "root1", f"/domains/{IDN}/delete/"),
    Shown("domains:domain_delete", "root1", f"{A}delete/", "mirrored"),
    Shown("domains:domain_delete", "root1", f"/domains/{IDN}/delete/", "refused", fill(name="another.example")),
    Shown("domains:domain_delete", "root1", f"/domains/{LONG}/delete/", "long"),
    Shown("domains:mailbox_new", "dadm_a", f"{A}mailboxes/new/"),
    Shown("domains:mailbox_new", "dadm_a", f"{A}mailboxes/new/", "typed", _typed),
    Shown("domains:mailbox_new", "dadm_a", f"{A}mailboxes/new/", "refused", fill(local="two words", quota="5 GG")),
    Shown("domains:mailbox_new", "root1", "/domains/full.example/mailboxes/new/", "full", fill(local="more", quota="1 GB")),
    Shown("domains:mailbox_new", "root1", f"/domains/{LONG}/mailboxes/new/", "long"),
    Shown("domains:domain_aliases", "dadm_a", f"{A}aliases/"),
    Shown("domains:domain_aliases", "dadm_a", "/domains/empty.example/aliases/", "empty"),
    Shown("domains:domain_aliases", "root1", "/domains/a-mirror.example/aliases/", "mirror"),
    Shown("domains:domain_aliases", "dadm_a", f"{A}aliases/?show=off", "switched off"),
    Shown("domains:domain_aliases", "dadm_a", "/domains/empty.example/aliases/?show=ending", "none ends"),
    Shown("domains:mailbox_new", "dadm_a", f"{A}mailboxes/new/", "alias", fill(local="info")),
    Shown("domains:domain_activity", "dadm_a", f"{A}activity/"),
    Shown("domains:domain_activity", "dadm_a", "/domains/empty.example/activity/", "empty"),
    Shown("domains:domain_activity", "root1", f"/domains/{LONG}/activity/", "long"),
    Shown("domains:domain_roles", "dadm_a", f"{A}roles/"),
    Shown("domains:domain_roles", "dadm_a", f"{A}roles/?person=nobody@a.example&kind=admin", "refused"),
    Shown("domains:domain_roles", "help_a", f"{A}roles/"),
    Shown("domains:domain_roles", "root1", f"/domains/{LONG}/roles/", "nobody"),
    Shown("domains:dns", "dadm_a", f"{A}dns/"),
    Shown("domains:dns", "help_a", f"{A}dns/"),
    Shown("domains:dns", "dadm_a", f"{A}dns/", "asked", _check_now),
    Shown("domains:dns", "dadm_a", "/domains/empty.example/dns/", "no key"),
    Shown("domains:dns", "root1", f"/domains/{IDN}/dns/", "IDN"),
    Shown("domains:dns", "root1", f"/domains/{LONG}/dns/", "long"),
    Shown("domains:dns", "root1", "/domains/off.example/dns/", "switched off"),
    Shown("domains:key_new", "dadm_a", "/domains/empty.example/dns/keys/new/"),
    Shown("domains:key_new", "dadm_a", f"{A}dns/keys/new/", "refused", fill(selector="two words")),
    Shown("domains:key_sign", "dadm_a", f"{A}dns/keys/202611/sign/"),
    Shown("domains:key_sign", "dadm_a", f"{A}dns/keys/202611/sign/", "not in DNS", fill(reason="x")),
    Shown("domains:key_retire", "dadm_a", f"{A}dns/keys/202604/retire/"),
    Shown("domains:key_delete", "dadm_a", f"{A}dns/keys/202501/delete/"),
    Shown("domains:key_delete", "dadm_a", f"{A}dns/keys/202604/delete/", "refused", fill(reason="x")),
    Shown("domains:alias_new", "dadm_a", f"{A}aliases/new/"),
    Shown("domains:alias_new", "dadm_a", f"{A}aliases/new/", "refused", fill(**{"to-0-address": "not an address"})),
    Shown("domains:alias_new", "dadm_a", f"{A}aliases/new/", "shadow", fill(local="user1", **{"to-0-address": "help@a.example"})),
    Shown("domains:aliases", "help_a", "/aliases/"),
    Shown("domains:aliases", "root1", "/aliases/"),
    Shown("domains:aliases", "dadm_a", "/aliases/?to=user1@a.example", "that lead to one"),
    Shown("domains:aliases", "root1", "/aliases/?q=nobody-of-this-name", "nothing found"),
    Shown("domains:aliases", "postmaster@example.test", "/aliases/", empty=True),
    Shown("domains:alias", "dadm_a", "/aliases/everybody@a.example/"),
    Shown("domains:alias", "dadm_a", "/aliases/everybody@a.example/", "one more", _one_more),
    Shown("domains:alias", "dadm_a", "/aliases/half@a.example/", "dead end"),
    Shown("domains:alias", "dadm_a", "/aliases/ring@a.example/", "circle"),
    Shown("domains:alias", "dadm_a", "/aliases/trade-fair@a.example/", "conflict", _faster("to-0-comment", "Hall 3", "Hall 4")),
    Shown("domains:alias", "dadm_a", "/aliases/@a.example/", "catch-all"),
    Shown("domains:alias", "dadm_a", "/aliases/user2@a.example/", "as well"),
    Shown("domains:alias", "help_a", "/aliases/everybody@a.example/"),
    Shown("domains:alias_delete", "dadm_a", "/aliases/everybody@a.example/delete/"),
    Shown("domains:alias_delete", "dadm_a", "/aliases/@a.example/delete/", "catch-all"),
    Shown("domains:alias_delete", "dadm_a", "/aliases/party@a.example/delete/", "deleted", fill()),
]  # fmt: skip
