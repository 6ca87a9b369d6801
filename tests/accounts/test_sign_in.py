"""Signing in by the browser: one answer for all refusals, guesses slowed down, sessions that end."""

import re
import time

import pytest
from axes.models import AccessAttempt
from django.core import signing
from django.test import Client
from django.urls import reverse

from accounts import passwords
from accounts.authentication import DEVICE_COOKIE, client_address
from accounts.models import Mailbox, Role
from domains.models import Domain
from tests.people import PASSWORD, find, hashed

URL = "/sign-in/"


def sign_in(client, address="user1@a.example", password=PASSWORD, **extra):
    return client.post(URL, {"username": address, "password": password}, **extra)


def is_in(client) -> bool:
    return client.get("/").status_code == 200


def test_right_password(world, client):
    answer = sign_in(client)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert is_in(client)


@pytest.mark.parametrize("address", ["USER1@A.Example", " user1@a.example ", "user1@a。example"])
def test_spellings_of_the_address(world, client, address):
    assert sign_in(client, address).status_code == 302


def test_refusals_look_the_same(world, client):
    cases = [
        ("user1@a.example", "wrong"),
        ("nobody@a.example", "wrong"),
        ("disabled@a.example", PASSWORD),
        ("user1@off.example", PASSWORD),
        ("alias1@a.example", "x"),
        ("not an address", "x"),
        ("user1@a.example", hashed()),  # the stored hash is not the password
    ]
    pages = set()
    for address, password in cases:
        answer = sign_in(client, address, password)
        assert answer.status_code == 200
        page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())
        pages.add(page.replace(address, ""))
        assert not is_in(client)
    assert len(pages) == 1


@pytest.mark.parametrize(
    "stored",
    [
        "{CRYPT}!",
        "{BLF-CRYPT}garbage",
        "{ARGON2ID}$argon2id$v=19$m=x",
        "{UNKNOWN}x",
        "{SHA512-CRYPT}$6$",
        "{PLAIN}x",
    ],
)
def test_malformed_row_is_a_failed_sign_in(world, client, stored):
    Mailbox.objects.filter(email="user1@a.example").update(password=stored)
    assert sign_in(client, password="x").status_code == 200
    assert not is_in(client)
    assert sign_in(client, "user2@a.example").status_code == 302


@pytest.mark.parametrize(
    "password", ["", "\0", "x" * 10_000, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
def test_odd_passwords_never_break_it(world, client, password):
    assert sign_in(client, password=password).status_code == 200
    assert not is_in(client)


def test_every_refusal_costs_one_hash_of_the_default_scheme(world, client, monkeypatch):
    """Or its time would tell which accounts exist. Counted, since a clock tells more of the machine."""
    Mailbox.objects.filter(email="user9@a.example").update(password="{SSHA}YQAxhvkFDS9YFAhxXMmQ7PlLVjJzYWx0")
    Mailbox.objects.filter(email="user2@a.example").update(password="{BLF-CRYPT}garbage")
    hashes = []
    real = passwords.verify_secret
    monkeypatch.setattr(
        passwords, "verify_secret", lambda text, *rest: hashes.append(text) or real(text, *rest)
    )
    for name in ("user1", "nobody", "disabled", "user9", "user2"):
        hashes.clear()
        sign_in(client, f"{name}@a.example", "wrong password")
        assert len(hashes) == 1, name
        assert f"m={passwords.ARGON2_MEMORY},".encode() in hashes[0]


def test_weak_hash_is_renewed(world, client):
    weak = "{SHA512-CRYPT}$6$rounds=1000$abcdefgh$"
    from passlib.hash import sha512_crypt

    stored = "{SHA512-CRYPT}" + sha512_crypt.using(rounds=1000, salt="abcdefgh").hash(PASSWORD)
    assert stored.startswith(weak)
    Mailbox.objects.filter(email="user1@a.example").update(password=stored)
    assert sign_in(client).status_code == 302
    renewed = find("user1").password
    assert renewed.startswith("{ARGON2ID}")
    assert passwords.verify(PASSWORD, renewed)
    assert is_in(client)


# --- throttle -----------------------------------------------------------------------------------------------


def guess(client, times, address="user1@a.example", **extra):
    return [sign_in(client, address, f"wrong {i}", **extra).status_code for i in range(times)]


def test_guessing_is_stopped_before_the_hash(world, client, settings, monkeypatch):
    hashes = []
    verify = passwords.verify
    monkeypatch.setattr(passwords, "verify", lambda *a: hashes.append(1) or verify(*a))
    statuses = guess(client, 30)
    assert statuses.count(200) == settings.MAILPANEL_SIGNIN_TRIES - 1
    assert set(statuses[settings.MAILPANEL_SIGNIN_TRIES :]) == {429}
    assert len(hashes) == settings.MAILPANEL_SIGNIN_TRIES
    right = sign_in(client)
    assert right.status_code == 429
    assert int(right["Retry-After"]) == settings.MAILPANEL_SIGNIN_PAUSE_MINUTES * 60
    assert sign_in(client, "user2@a.example").status_code == 302  # another account from there is free


def test_pause_looks_the_same_for_an_unknown_account(world, client):
    assert guess(client, 11)[-1] == 429
    assert guess(client, 11, "nobody@a.example")[-1] == 429


def test_spellings_do_not_multiply_the_tries(world, client, settings):
    for i in range(settings.MAILPANEL_SIGNIN_TRIES):
        sign_in(client, ["user1@a.example", "USER1@a.example", " user1@A.EXAMPLE"][i % 3], "wrong")
    assert sign_in(client).status_code == 429


def test_forwarded_header_of_a_stranger_is_not_believed(world, client, settings):
    for i in range(settings.MAILPANEL_SIGNIN_TRIES):
        sign_in(client, password="wrong", HTTP_X_FORWARDED_FOR=f"198.51.100.{i}", REMOTE_ADDR="127.0.0.2")
    assert sign_in(client, REMOTE_ADDR="127.0.0.2", HTTP_X_FORWARDED_FOR="198.51.100.99").status_code == 429
    assert set(AccessAttempt.objects.values_list("ip_address", flat=True)) == {"127.0.0.2"}
    assert (
        sign_in(Client(), REMOTE_ADDR="198.51.100.1").status_code == 302
    )  # the one whose address was forged


def test_trusted_proxy_is_believed_one_step(world, rf, settings):
    import ipaddress

    settings.MAILPANEL_TRUSTED_PROXIES = [ipaddress.ip_network("127.0.0.0/8")]
    request = rf.get("/", REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.9, 198.51.100.7")
    assert client_address(request) == "198.51.100.7"
    assert (
        client_address(rf.get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="203.0.113.9"))
        == "192.0.2.1"
    )
    assert client_address(rf.get("/", REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="nonsense")) == ""


def test_ipv6_network_counts_as_one_source(world, client, settings):
    for i in range(settings.MAILPANEL_SIGNIN_TRIES):
        sign_in(client, password="wrong", REMOTE_ADDR=f"2001:db8::{i + 1:x}")
    assert sign_in(client, REMOTE_ADDR="2001:db8::ffff").status_code == 429
    assert sign_in(client, REMOTE_ADDR="2001:db8:0:1::1").status_code == 302


def test_one_address_cannot_go_through_all_accounts(world, client, settings):
    settings.MAILPANEL_SIGNIN_TRIES_PER_ADDRESS = 12
    for name in ("user1", "user2", "user9", "help"):
        guess(client, 3, f"{name}@a.example")
    assert sign_in(client, "boss@a.example").status_code == 429
    assert sign_in(client, "boss@a.example", REMOTE_ADDR="192.0.2.8").status_code == 302


def test_owner_gets_in_while_others_guess(world, client, settings):
    """From another address at once, and on a known device even from the address of the guesser."""
    owner = Client()
    assert sign_in(owner).status_code == 302
    owner.post("/sign-out/")
    guess(client, settings.MAILPANEL_SIGNIN_TRIES + 2)
    assert sign_in(Client()).status_code == 429
    assert sign_in(owner).status_code == 302
    assert sign_in(Client(), REMOTE_ADDR="192.0.2.77").status_code == 302


def test_known_device_has_a_limit_of_its_own(world, client, settings):
    sign_in(client)
    client.post("/sign-out/")
    guess(client, settings.MAILPANEL_SIGNIN_TRIES + 1)
    assert sign_in(client).status_code == 429
    assert guess(client, 1, "user2@a.example") == [200]  # it is known for its own account alone


def test_forged_device_cookie_is_none(world, client, settings):
    guess(client, settings.MAILPANEL_SIGNIN_TRIES)
    client.cookies[DEVICE_COOKIE] = signing.dumps(
        ["user1@a.example", "x"], key="another key", salt="accounts.device"
    )
    assert sign_in(client).status_code == 429


def test_password_page_shares_the_limit(world, as_, settings):
    client = as_("user1")
    for i in range(settings.MAILPANEL_SIGNIN_TRIES):
        client.post(reverse("accounts:password"), {"current": f"wrong {i}", "new": "a new long password"})
    assert (
        client.post(
            reverse("accounts:password"), {"current": PASSWORD, "new": "a new long password"}
        ).status_code
        == 429
    )


# --- sessions -----------------------------------------------------------------------------------------------


def test_session_key_changes_at_sign_in(world, client, settings):
    client.cookies[settings.SESSION_COOKIE_NAME] = "attackerchosen"
    sign_in(client)
    assert client.cookies[settings.SESSION_COOKIE_NAME].value != "attackerchosen"


@pytest.mark.parametrize(
    "change",
    [
        lambda: Mailbox.objects.filter(email="user1@a.example").update(enabled=False),
        lambda: Mailbox.objects.filter(email="user1@a.example").update(can_login=False),
        lambda: Mailbox.objects.filter(email="user1@a.example").update(password="{CRYPT}!"),
        lambda: Domain.objects.filter(name="a.example").update(enabled=False),
    ],
    ids=["disabled", "no sign-in", "password", "domain off"],
)
def test_session_ends_at_once(world, client, change):
    sign_in(client)
    assert is_in(client)
    change()
    assert client.get("/").status_code == 302


def test_sign_out_kills_the_session(world, client, settings):
    sign_in(client)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    client.post("/sign-out/")
    replay = Client()
    replay.cookies[settings.SESSION_COOKIE_NAME] = cookie
    assert replay.get("/").status_code == 302


@pytest.mark.parametrize("staff", [False, True])
def test_idle_and_absolute_limits(world, client, settings, monkeypatch, staff):
    if staff:
        Role.objects.create(mailbox=find("user1"), kind="helpdesk", domain_id="a.example")
    idle = settings.MAILPANEL_STAFF_SESSION_IDLE_MINUTES if staff else settings.MAILPANEL_SESSION_IDLE_MINUTES
    hours = settings.MAILPANEL_STAFF_SESSION_HOURS if staff else settings.MAILPANEL_SESSION_HOURS
    begin, clock = time.time(), [0.0]
    monkeypatch.setattr(time, "time", lambda: begin + clock[0])
    sign_in(client)
    assert is_in(client)
    clock[0] = idle * 60 - 1
    assert is_in(client)
    clock[0] += idle * 60 + 1
    assert not is_in(client)
    sign_in(client)
    start = clock[0]
    while clock[0] < start + hours * 3600:
        assert is_in(client)
        clock[0] += idle * 60 * 0.9
    assert not is_in(client)


def test_cookies(world, client):
    answer = sign_in(client)
    for name in ("mailpanel_session", DEVICE_COOKIE):
        cookie = answer.cookies[name]
        assert cookie["httponly"]
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "")
        assert len(cookie.output()) < 4096


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "///evil.example", "https:evil.example",
        "http:///evil.example", "javascript:alert(1)", "data:text/html,x", "https://testserver@evil.example/",
        "https://testserver.evil.example/", "\t//evil.example", "%2f%2fevil.example/..", "/%09/evil.example",
    ],
)  # fmt: skip
def test_next_leads_only_to_ourselves(world, client, target):
    answer = client.post(
        f"{URL}?next={target}", {"username": "user1@a.example", "password": PASSWORD, "next": target}
    )
    assert answer.status_code == 302
    assert re.match(r"/(?![/\\])", answer["Location"])


def test_next_is_followed(world, client):
    answer = client.post(URL, {"username": "user1@a.example", "password": PASSWORD, "next": "/password/"})
    assert answer["Location"] == "/password/"


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_REMOTE_USER": "root1@c.example"}, {"REMOTE_USER": "root1@c.example"}, {"HTTP_X_FORWARDED_USER": "root1"},
        {"HTTP_AUTHORIZATION": "Basic cm9vdDE6"},
    ],
)  # fmt: skip
def test_identity_headers_are_ignored(world, client, headers):
    assert client.get("/", **headers).status_code == 302


def test_post_without_token_is_refused(world):
    strict = Client(enforce_csrf_checks=True)
    assert sign_in(strict).status_code == 403
    strict.get(URL)
    strict.cookies["mailpanel_csrf"] = "x" * 32
    assert sign_in(strict).status_code == 403
    assert strict.get("/").status_code == 302


def test_given_password_must_be_changed_first(world, client):
    Mailbox.objects.filter(email="user1@a.example").update(must_change_password=True)
    sign_in(client)
    assert client.get("/")["Location"] == "/password/"
    assert client.get("/password/").status_code == 200
    client.post("/password/", {"current": PASSWORD, "new": "four violet anvils"})
    assert client.get("/").status_code == 200


def test_no_account_before_the_operator_made_one(db, client):
    assert not Mailbox.objects.exists()
    for address, password in (
        ("admin@example.test", "admin"),
        ("postmaster@example.test", "password"),
        ("root", "root"),
    ):
        assert sign_in(client, address, password).status_code == 200
