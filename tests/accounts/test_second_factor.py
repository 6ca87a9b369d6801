"""The second factor's own page, the duty to have one, and what the helpdesk may do about it."""

import base64
import contextlib
import re
from html import unescape

import pytest
from axes.models import AccessAttempt
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from accounts import lifecycle, second_factor
from accounts.audit import By
from accounts.models import Audit, Mailbox, RecoveryCode, Role, SecondFactor, Trash
from accounts.views.second_factor import ENROLMENT_SECONDS, FRESH_SECONDS
from mailpanel.daemons import DaemonError
from tests import authenticator
from tests.accounts.test_second_step import STEP, clock, type_code  # noqa: F401  clock is a fixture
from tests.accounts.test_sign_in import guess, is_in, sign_in
from tests.accounts.test_trash import bring_back, close, everything
from tests.authenticator import KEY, code, give, wrong
from tests.people import PASSWORD, find
from tests.shell import refused, shell

PAGE = "/second-factor/"
SET_UP = "/second-factor/set-up/"
CODES = "/second-factor/recovery-codes/"
OFF = "/second-factor/off/"
BY = By("user1@a.example", "192.0.2.1")


def elsewhere(name: str) -> Client:
    client = Client()
    client.force_login(find(name), backend="accounts.authentication.MailboxBackend")
    return client


def key_on(page) -> str:
    """The key as a person would type it, in hexadecimal."""
    typed = re.search(r'id="key"[^>]*>([A-Z2-7 ]+)<', page.content.decode())[1]
    return base64.b32decode(typed.replace(" ", "")).hex()


def begin(client) -> str:
    """Past the password, to the page with the key."""
    answer = client.post(SET_UP, {"current": PASSWORD}, follow=True)
    return key_on(answer)


def codes_on(page) -> list[str]:
    return re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", page.content.decode())


# --- setting up ---------------------------------------------------------------------------------------------


def test_set_up(world, as_):
    client, other = as_("user1"), elsewhere("user1")
    assert other.get("/").status_code == 200
    key = begin(client)
    assert not SecondFactor.objects.exists()
    answer = client.post(SET_UP, {"code": code(key)})
    codes = codes_on(answer)
    assert len(set(codes)) == 10
    factor = SecondFactor.objects.get()
    assert (factor.user, factor.key) == (find("user1"), key)
    # this session stays, with a new key; the others end
    assert client.get("/").status_code == 200
    assert not is_in(other)
    assert codes_on(client.get(PAGE)) == []
    row = Audit.objects.get()
    assert (row.actor, row.action, row.name) == ("user1@a.example", "factor_on", "user1@a.example")
    fresh = Client()
    sign_in(fresh)
    assert type_code(fresh, codes[0]).status_code == 302


def test_code_that_confirmed_is_used(world, as_, client):
    as_("user1")
    key = begin(client)
    used = code(key)
    client.post(SET_UP, {"code": used})
    fresh = Client()
    sign_in(fresh)
    assert type_code(fresh, used).status_code == 200
    assert not is_in(fresh)


@pytest.mark.parametrize("data", [{}, {"current": ""}, {"current": "wrong"}, {"code": "123456"}])
def test_password_is_asked_first(world, as_, data):
    client = as_("user1")
    answer = client.post(SET_UP, data, follow=True)
    assert b"<svg viewBox" not in answer.content
    assert "key" not in answer.context or answer.redirect_chain == []
    assert client.get(SET_UP).context["form"].fields.keys() == {"current"}


def test_set_up_shares_the_limit_of_wrong_passwords(world, as_, settings):
    client = as_("user1")
    for number in range(settings.MAILPANEL_SIGNIN_TRIES):
        client.post(SET_UP, {"current": f"wrong {number}"})
    assert client.post(SET_UP, {"current": PASSWORD}).status_code == 429


def test_what_was_typed_is_not_kept_with_a_wrong_password(world, as_):
    """django-axes keeps the form with each failure."""
    client = as_("user1")
    give("user1")
    client.force_login(find("user1"), backend="accounts.authentication.MailboxBackend")
    client.post(OFF, {"current": "nearly my password", "code": "271828"})
    client.post("/password/", {"current": "nearly my password", "new": "what I want instead"})
    client.post("/sign-in/", {"username": "user1@a.example", "password": "nearly my password"})
    kept = str(list(AccessAttempt.objects.values()))
    assert AccessAttempt.objects.get().failures_since_start == 2
    for text in ("nearly", "271828", "instead"):
        assert text not in kept


def test_pages_do_not_change_the_key_and_each_session_has_its_own(world, as_):
    client, other = as_("user1"), elsewhere("user1")
    key = begin(client)
    assert key_on(client.get(SET_UP)) == key_on(client.get(SET_UP)) == key
    assert begin(other) != key
    assert begin(elsewhere("user2")) != key
    # the key of another session, or one that the form brings, is none
    assert client.post(SET_UP, {"code": code(KEY), "key": KEY}).context["form"].errors
    assert not SecondFactor.objects.exists()
    assert client.post(SET_UP, {"code": code(key)}).status_code == 200
    assert SecondFactor.objects.get().key == key


def test_what_is_not_confirmed_counts_for_nothing(world, as_):
    begin(as_("user1"))
    assert sign_in(Client())["Location"] == "/"


def test_begun_and_left(world, as_, clock):  # noqa: F811
    client = as_("user1")
    key = begin(client)
    clock(ENROLMENT_SECONDS + 1)
    assert client.get(SET_UP).context["form"].fields.keys() == {"current"}
    client.post(SET_UP, {"code": code(key)})
    assert not SecondFactor.objects.exists()


def test_no_secret_where_none_belongs(world, as_, caplog):
    """Neither in the session nor in an address, a log, the audit or a page but its own."""
    client = as_("user1")
    answer = client.post(SET_UP, {"current": PASSWORD}, follow=True)
    key = key_on(answer)
    spelt = second_factor.typed_key(key).replace(" ", "")
    assert "no-store" in answer["Cache-Control"]
    held = str(dict(client.session.items())) + str(answer.redirect_chain) + answer.request["PATH_INFO"]
    codes = codes_on(client.post(SET_UP, {"code": code(key)}))
    told = "".join(client.get(path).content.decode() for path in ("/", PAGE, CODES, OFF))
    told += as_("root1").get(reverse("accounts:mailbox", args=["user1@a.example"])).content.decode()
    told += str(list(Audit.objects.values())) + caplog.text + held
    for secret in (key, spelt, second_factor.typed_key(key), *codes):
        assert secret not in told


def test_qr_code_is_drawn_without_style(world, as_):
    client = as_("user1")
    key = begin(client)
    page = client.get(SET_UP).content.decode()
    drawn = re.search(r"<svg viewBox.*?</svg>", page, re.DOTALL)[0]
    assert "style" not in drawn
    assert 'fill="#fff"' in drawn
    assert 'stroke="#000"' in drawn
    assert "http" not in drawn
    assert "otpauth" not in page
    assert key not in page


def test_name_in_the_app_is_an_address_as_people_write_it(world):
    import segno

    uris = []
    real = segno.make
    segno.make = lambda uri, **options: uris.append(uri) or real(uri, **options)
    try:
        second_factor.qr_code(KEY, Mailbox(email="lea@xn--bcher-kva.example"))
    finally:
        segno.make = real
    assert uris == [
        "otpauth://totp/mail.example.test%3Alea%40b%C3%BCcher.example"
        "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=mail.example.test"
    ]


# --- moving, new codes, taking off --------------------------------------------------------------------------


@pytest.fixture
def has_one(world, as_):
    """user1 has a second factor and is signed in."""
    give("user1")
    return as_("user1")


BOTH = lambda: {"current": PASSWORD, "code": code()}  # noqa: E731


def test_moving_to_another_phone(has_one):
    """The old key is in force until a code of the new one; then it is dead, and so are the old recovery codes."""
    old_hashes = set(RecoveryCode.objects.values_list("hash", flat=True))
    assert has_one.post(SET_UP, {"current": PASSWORD}).context["form"].errors.keys() == {"code"}
    key = key_on(has_one.post(SET_UP, BOTH(), follow=True))
    assert SecondFactor.objects.get().key == KEY
    assert has_one.post(SET_UP, {"code": code(after=30)}).context["form"].errors  # a code of the old key
    has_one.post(SET_UP, {"code": code(key)})
    assert SecondFactor.objects.get().key == key
    assert not old_hashes & set(RecoveryCode.objects.values_list("hash", flat=True))
    assert RecoveryCode.objects.count() == 10


def test_new_recovery_codes_kill_the_old(has_one, client):
    old = set(RecoveryCode.objects.values_list("hash", flat=True))
    new = codes_on(has_one.post(CODES, BOTH()))
    assert len(new) == 10
    assert not old & set(RecoveryCode.objects.values_list("hash", flat=True))
    assert [row.action for row in Audit.objects.all()] == ["new_codes"]
    second_factor.verify(find("user1"), new[0], by=BY)


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (lambda: {"current": PASSWORD}, {"code"}),
        (lambda: {"code": code()}, {"current"}),
        (lambda: {"current": PASSWORD, "code": wrong()}, {"code"}),
        (lambda: {"current": "wrong", "code": code()}, {"current"}),
    ],
)
@pytest.mark.parametrize("path", [OFF, CODES, SET_UP])
def test_both_factors_are_asked(has_one, path, data, fields):
    """A session alone, or one with the password, or one with the phone, changes nothing."""
    before = list(RecoveryCode.objects.values()), SecondFactor.objects.get().key
    answer = has_one.post(path, data())
    assert answer.context["form"].errors.keys() == fields
    assert (list(RecoveryCode.objects.values()), SecondFactor.objects.get().key) == before
    assert not Audit.objects.exists()


def test_wrong_password_spends_no_code(has_one):
    has_one.post(OFF, {"current": "wrong", "code": code()})
    assert SecondFactor.objects.get().last_t == -1
    assert has_one.post(OFF, BOTH()).status_code == 302


def test_codes_typed_here_are_throttled_with_those_at_the_sign_in(has_one):
    has_one.post(OFF, {"current": PASSWORD, "code": wrong()})
    fresh = Client()
    sign_in(fresh)
    assert type_code(fresh).status_code == 200
    assert not is_in(fresh)


def test_taking_off(has_one):
    other = elsewhere("user1")
    assert is_in(other)
    assert has_one.post(OFF, BOTH())["Location"] == PAGE
    assert not SecondFactor.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert has_one.get("/").status_code == 200
    assert not is_in(other)
    assert [row.action for row in Audit.objects.all()] == ["factor_off"]
    assert sign_in(Client())["Location"] == "/"
    assert has_one.get(OFF)["Location"] == PAGE


def test_session_of_before_does_not_come_to_life_again(world, as_):
    """Signed in by the password alone; then a second factor comes and goes."""
    before = elsewhere("user1")
    give("user1")
    second_factor.take_off(find("user1"), by=BY)
    assert not is_in(before)


def test_own_page_in_words(has_one):
    told = has_one.get(PAGE).content.decode()
    assert "10 of 10 left" in told
    assert "IMAP, POP3 and SMTP go on with the password" in told
    RecoveryCode.objects.filter(pk__in=[row.pk for row in RecoveryCode.objects.all()[:8]]).delete()
    assert "2 recovery codes are left." in has_one.get(PAGE).content.decode()
    assert "On" in has_one.get("/").content.decode()


# --- who must have one --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "name", "must"),
    [
        ("optional", "root1", False),
        ("optional", "user1", False),
        ("staff", "user1", False),
        ("staff", "help_a", True),
        ("staff", "dadm_a", True),
        ("staff", "root1", True),
        ("everyone", "user1", True),
    ],
)
def test_who_must_have_one(world, as_, settings, setting, name, must):
    settings.MAILPANEL_SECOND_FACTOR = setting
    assert second_factor.is_required(find(name)) is must
    answer = as_(name).get("/")
    assert (answer.status_code == 302) is must
    if must:
        assert answer["Location"] == SET_UP


def test_only_the_way_there_is_open(world, client, settings):
    from tests.accounts.test_access import MATRIX

    settings.MAILPANEL_SECOND_FACTOR = "staff"
    sign_in(client, "boss@a.example")
    open_now = {
        "accounts:password",
        "accounts:password_strength",
        "accounts:sign_out",
        "theme",
        "language",
        "accounts:sign_in",
    }
    open_now |= {"accounts:second_factor_set_up", "accounts:second_step", "accounts:trash_restore"}
    open_now |= {"server:healthz", "server:metrics"}  # for programs
    for line in MATRIX.strip().splitlines():
        route, on = line.split("|")[0].split()
        if route not in open_now:
            args = [] if on in ("-", "has-one") else on.split(",")
            url = reverse(route, args=[1] if route == "server:message" else args)
            for answer in (client.get(url), client.post(url, {})):
                assert (answer.status_code, answer["Location"]) == (302, SET_UP), url
    assert client.get("/password/").status_code == 200
    assert client.post("/sign-out/").status_code == 302


def test_no_dead_end(world, client, settings):
    """From the sign-in to the key without typing the password again, and then in."""
    settings.MAILPANEL_SECOND_FACTOR = "staff"
    sign_in(client, "boss@a.example")
    answer = client.get("/", follow=True)
    key = key_on(answer)
    assert client.get(PAGE)["Location"] == SET_UP
    assert client.post(SET_UP, {"code": code(key)}).status_code == 200
    assert client.get("/").status_code == 200
    assert "cannot be taken off" in client.get(PAGE).content.decode()
    assert client.post(OFF, {"current": PASSWORD, "code": code(key, 30)}).status_code == 403
    assert SecondFactor.objects.filter(user=find("dadm_a")).exists()


def test_password_is_asked_when_the_sign_in_is_a_while_ago(world, client, settings, clock):  # noqa: F811
    sign_in(client, "boss@a.example")
    client.get("/")
    clock(FRESH_SECONDS + 1)
    settings.MAILPANEL_SECOND_FACTOR = "staff"
    answer = client.get("/", follow=True)
    assert answer.context["form"].fields.keys() == {"current"}
    key = begin(client)
    client.post(SET_UP, {"code": code(key)})
    assert client.get("/").status_code == 200


def test_given_password_first_then_the_second_factor(world, client, settings):
    settings.MAILPANEL_SECOND_FACTOR = "everyone"
    Mailbox.objects.filter(email="user1@a.example").update(must_change_password=True)
    sign_in(client)
    assert client.get("/")["Location"] == "/password/"
    assert client.get(SET_UP)["Location"] == "/password/"
    client.post("/password/", {"current": PASSWORD, "new": "four violet anvils"})
    assert client.get("/")["Location"] == SET_UP


def test_cleared_and_required_leads_to_a_new_one(world, as_, client, settings):
    settings.MAILPANEL_SECOND_FACTOR = "staff"
    give("help_a")
    second_factor.take_off(find("help_a"), by=BY)
    sign_in(client, "help@a.example")
    assert client.get("/")["Location"] == SET_UP


# --- the helpdesk -------------------------------------------------------------------------------------------


def clear(email: str) -> str:
    return reverse("accounts:mailbox_second_factor", args=[email])


def unlock(email: str) -> str:
    return reverse("accounts:mailbox_unlock", args=[email])


def card(client, email="user1@a.example") -> str:
    answer = client.get(reverse("accounts:mailbox", args=[email]))
    return unescape(re.sub(r"<[^>]*>", "", answer.content.decode()))


def test_helpdesk_clears_it(world, as_):
    give("user1")
    owner = elsewhere("user1")
    waiting = Client()
    sign_in(waiting)
    client = as_("help_a")
    assert "On, authenticator app10 recovery codes left" in card(client)
    answer = client.post(clear("user1@a.example"), {"reason": "lost the phone"})
    assert answer["Location"] == reverse("accounts:mailbox", args=["user1@a.example"])
    assert not SecondFactor.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert not is_in(owner)
    assert type_code(waiting)["Location"] == "/sign-in/"
    row = Audit.objects.get()
    assert (row.actor, row.action, row.name) == ("help@a.example", "factor_clear", "user1@a.example")
    assert (row.domain, row.reason) == ("a.example", "lost the phone")
    sign_in(owner)
    told = unescape(re.sub(r"<[^>]*>", "", owner.get("/").content.decode()))
    assert "help@a.example cleared the second factor of user1@a.examplelost the phone" in told
    assert "Clear…" not in card(client)


def test_clearing_what_is_not_there(world, as_):
    client = as_("help_a")
    assert "There is none to clear" in client.get(clear("user1@a.example")).content.decode()
    assert client.post(clear("user1@a.example")).status_code == 200
    assert not Audit.objects.exists()


@pytest.mark.parametrize(
    ("actor", "target"),
    [
        ("help_a", "dadm_a"), ("help_a", "help_ab"), ("help_a", "chief"), ("help_a", "user1_b"), ("dadm_a", "dadm_ab"),
        ("dadm_a", "help_ab"), ("dadm_b", "user1"), ("help_all", "root1"), ("dadm_all", "root1"), ("user1", "user2"),
        ("help_a", "help_a"), ("root1", "root1"),
    ],
)  # fmt: skip
def test_rank_holds_for_clearing_and_unlocking(world, as_, client, actor, target):
    give(target)
    guess(client, 10, find(target).email)
    before = SecondFactor.objects.values().get(), find(target).sessions_ended, AccessAttempt.objects.count()
    email = find(target).email
    # the own one has a second factor, which clearing would take off without any code
    who = as_(actor)
    assert who.post(clear(email), {"reason": "me"}).status_code in (403, 404)
    assert who.post(unlock(email)).status_code in (403, 404)
    after = SecondFactor.objects.values().get(), find(target).sessions_ended, AccessAttempt.objects.count()
    assert after == before
    assert find(target).recovery_codes.count() == 10
    assert [row.action for row in Audit.objects.all()] == ["denied", "denied"]


def test_clearing_changes_nothing_else(world, as_):
    give("user1")
    give("user2", "ab" * 20)
    hostile = {
        "quota": "0",
        "enabled": "",
        "is_superuser": "1",
        "password": "x",
        "name": "Mallory",
        "user": "user2",
    }
    before = Mailbox.objects.filter(email="user1@a.example").values().get()
    as_("help_a").post(clear("user1@a.example"), hostile)
    after = Mailbox.objects.filter(email="user1@a.example").values().get()
    assert {key for key in after if after[key] != before[key]} == {"sessions_ended"}
    assert SecondFactor.objects.get().user == find("user2")
    assert find("user2").recovery_codes.count() == 10


def test_by_command(world):
    give("root1")
    owner = elsewhere("root1")
    assert "on, 10 of 10 recovery codes left" in shell("mailbox", "show", "root1@c.example").out
    shell("mailbox", "set", "root1@c.example", "--clear-second-factor")
    assert not SecondFactor.objects.exists()
    assert not is_in(owner)
    row = Audit.objects.get()
    assert (row.actor.partition(":")[0], row.action) == ("shell", "factor_clear")
    assert "Second factor" not in shell("mailbox", "show", "root1@c.example").out
    assert "has no second factor" in refused("mailbox", "set", "root1@c.example", "--clear-second-factor")


# --- unlocking ----------------------------------------------------------------------------------------------


def test_unlock_is_exact(world, as_, settings):
    """user1 and user2 are paused; one is unlocked."""
    for name in ("user1", "user2"):
        guess(Client(REMOTE_ADDR="203.0.113.40"), 11, f"{name}@a.example")
    give("user2")
    SecondFactor.objects.update(throttling_failure_count=7)
    client = as_("help_a")
    assert re.search(
        r"Sign-in is paused after 10 wrong passwords from 203\.0\.113\.40, until \d", card(client)
    )
    assert "Unlock now" in card(client)
    client.post(unlock("user1@a.example"))
    assert list(AccessAttempt.objects.values_list("username", "failures_since_start")) == [
        ("user2@a.example", 10)
    ]
    assert SecondFactor.objects.get().throttling_failure_count == 7
    row = Audit.objects.get()
    assert (row.actor, row.action, row.name) == ("help@a.example", "unlock", "user1@a.example")
    assert "paused" not in card(client)
    assert sign_in(Client(REMOTE_ADDR="203.0.113.40")).status_code == 302
    assert sign_in(Client(REMOTE_ADDR="203.0.113.40"), "user2@a.example").status_code == 429


def test_unlock_forgets_wrong_codes(world, as_):
    give("user1")
    SecondFactor.objects.update(throttling_failure_count=9, throttling_failure_timestamp="2030-01-01T00:00Z")
    client = as_("help_a")
    assert "Sign-in is paused after 9 wrong codes of the second factor, until" in card(client)
    client.post(unlock("user1@a.example"))
    assert "paused" not in card(client)
    second_factor.verify(find("user1"), code(), by=BY)


def test_pause_is_told_until_its_end(world, as_, settings, clock):  # noqa: F811
    settings.MAILPANEL_SIGNIN_TRIES = settings.AXES_FAILURE_LIMIT
    guess(Client(REMOTE_ADDR="203.0.113.40"), 9)
    assert "paused" not in card(as_("help_a"))
    guess(Client(REMOTE_ADDR="203.0.113.40"), 1)
    assert "paused" in card(as_("help_a"))
    clock(settings.MAILPANEL_SIGNIN_PAUSE_MINUTES * 60 + 2)
    assert "paused" not in card(as_("help_a"))


def test_guesses_from_everywhere_pause_nobody(world, as_):
    """Nine from each of three places: each is counted alone, and the page does not say what is not so."""
    for number in range(3):
        guess(Client(REMOTE_ADDR=f"203.0.113.{number}"), 9)
    assert "paused" not in card(as_("help_a"))


def test_who_may_not_unlock_sees_the_pause_without_the_button(world, as_):
    guess(Client(REMOTE_ADDR="203.0.113.40"), 10, "boss@a.example")
    told = card(as_("help_a"), "boss@a.example")
    assert "paused after 10 wrong passwords" in told
    assert "Unlock now" not in told


# --- the trash ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mailbox", "domain"])
def test_deleted_and_brought_back(world, kind):
    """With the mailbox, and with its domain; what hangs on others stays."""
    codes = give("user1")
    give("user1_b", "ab" * 20)
    before = everything()
    close(find("user1") if kind == "mailbox" else find("user1").domain)
    assert SecondFactor.objects.get().user == find("user1_b")
    assert RecoveryCode.objects.count() == 10
    bring_back()
    assert everything() == before
    second_factor.verify(find("user1"), code(), by=BY)
    second_factor.verify(find("user1"), codes[0], by=BY)


def test_address_made_anew_inherits_none(world, client):
    give("user1")
    close(find("user1"))
    fresh = Mailbox(email="user1@a.example", domain_id="a.example")
    with contextlib.suppress(DaemonError):  # no Dovecot is connected here
        lifecycle.open_mailbox(fresh, PASSWORD, by=BY, anew=True)
    Mailbox.objects.filter(email="user1@a.example").update(can_login=True)
    assert second_factor.of(find("user1")) is None
    assert sign_in(client)["Location"] == "/"


def test_page_of_the_trash_shows_no_key(world, as_):
    give("user1")
    close(find("user1"))
    assert KEY in str(list(Trash.objects.values_list("row", flat=True)))
    assert KEY not in as_("root1").get(reverse("accounts:trash")).content.decode()


def test_delete_page_names_it(world, as_):
    give("user1")
    url = reverse("accounts:mailbox_delete", args=["user1@a.example"])
    assert "second factor, with its recovery codes" in as_("dadm_a").get(url).content.decode()


# --- statements ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 300])
@pytest.mark.parametrize(("path", "statements"), [(PAGE, 4), ("/mailboxes/user1@a.example/", 20), ("/", 19)])
def test_statements_of_a_page(world, as_, django_assert_num_queries, number, path, statements):
    """However many recovery codes, wrong passwords and entries of the log."""
    give("user1")
    give("dadm_a", "ab" * 20)
    who = "user1" if path == "/" else "dadm_a"
    for name in ("user1", "dadm_a"):
        RecoveryCode.objects.bulk_create(
            RecoveryCode(mailbox=find(name), hash=f"{each:064}") for each in range(number)
        )
    AccessAttempt.objects.bulk_create(
        AccessAttempt(
            username="user1@a.example", ip_address="192.0.2.1", user_agent=str(each), failures_since_start=9
        )
        for each in range(number)
    )
    client = as_(who)
    client.get(path)
    with django_assert_num_queries(statements):
        client.get(path)


def test_the_mailbox_row_of_a_role_is_asked_for_once(world, as_, django_assert_num_queries, settings):
    """That somebody must have one costs no statement on the pages of who has it."""
    give("dadm_a")
    settings.MAILPANEL_SECOND_FACTOR = "staff"
    Role.objects.create(mailbox=find("dadm_a"), kind="admin", domain_id="b.example")
    client = as_("dadm_a")
    client.get(PAGE)
    with django_assert_num_queries(4):
        client.get(PAGE)


def test_refused_codes_say_what_to_do(world):
    with pytest.raises(ValidationError, match="clock"):
        second_factor.set_up(find("user1"), KEY, wrong(), by=BY)
    with pytest.raises(ValidationError, match="Sign in again"):
        second_factor.verify(find("user1"), authenticator.code(), by=BY)
