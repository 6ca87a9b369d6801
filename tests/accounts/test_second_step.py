"""Signing in with a second factor: nobody is in before the code, and each code is good once, for one person."""

import re
import threading
import time
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.core import signing
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import second_factor
from accounts.audit import By
from accounts.authentication import HALFWAY_SECONDS, TRUST_COOKIE
from accounts.models import Audit, Mailbox, RecoveryCode, SecondFactor
from accounts.passwords import make_hash
from tests import authenticator, people
from tests.accounts.test_access import MATRIX, deleted
from tests.accounts.test_lifecycle import race
from tests.accounts.test_sign_in import guess, is_in, sign_in
from tests.authenticator import code, give, wrong
from tests.people import PASSWORD, find

STEP = "/sign-in/second-factor/"
HOME = "/"
BY = By("user1@a.example", "192.0.2.1")


@pytest.fixture
def codes(world):
    """user1 has a second factor; these are the recovery codes."""
    return give("user1")


@pytest.fixture
def clock(monkeypatch):
    """clock(seconds) moves the time, for this process, from where it is."""
    moved, real_time, real_now = [0.0], time.time, timezone.now
    monkeypatch.setattr(time, "time", lambda: real_time() + moved[0])
    monkeypatch.setattr(timezone, "now", lambda: real_now() + timedelta(seconds=moved[0]))

    def move(seconds: float):
        moved[0] += seconds

    return move


def type_code(client, text=None, **more):
    return client.post(STEP, {"code": code() if text is None else text} | more)


def refused(answer) -> bool:
    return answer.status_code == 200 and "code" in answer.context["form"].errors


def test_codes_are_those_of_the_rfc(monkeypatch):
    """RFC 6238, appendix B: the last six digits of its eight."""
    for moment, expected in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert authenticator.code() == expected
        assert second_factor._step_of(authenticator.KEY, expected) == moment // 30


def test_password_and_code(codes, client):
    answer = sign_in(client)
    assert (answer.status_code, answer["Location"]) == (302, STEP)
    assert not is_in(client)
    assert find("user1").last_login is None
    assert "user1@a.example" in client.get(STEP).content.decode()
    assert type_code(client)["Location"] == HOME
    assert is_in(client)
    assert find("user1").last_login is not None


def test_without_a_second_factor_nothing_is_asked(codes, client):
    assert sign_in(client, "user2@a.example")["Location"] == HOME
    assert client.get(STEP)["Location"] == "/sign-in/"


def test_wrong_password_tells_nothing_of_the_second_factor(codes, client):
    pages = set()
    for address in ("user1@a.example", "user2@a.example"):
        page = sign_in(client, address, "wrong").content.decode()
        pages.add(re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page).replace(address, ""))
    assert len(pages) == 1


def test_where_one_wanted_to_go(codes, client):
    client.post("/sign-in/", {"username": "user1@a.example", "password": PASSWORD, "next": "/password/"})
    assert type_code(client, next="https://evil.example/")["Location"] == "/password/"


def test_nowhere_else_after_the_code(codes, client):
    target = "//evil.example"
    client.post("/sign-in/", {"username": "user1@a.example", "password": PASSWORD, "next": target})
    assert type_code(client)["Location"] == HOME


def test_session_key_changes_at_both_steps(codes, client, settings):
    name = settings.SESSION_COOKIE_NAME
    client.cookies[name] = "attackerchosen"
    sign_in(client)
    known = client.cookies[name].value  # a session that there is
    sign_in(client)
    halfway = client.cookies[name].value
    client.get(STEP)
    type_code(client)
    whole = client.cookies[name].value
    assert len({"attackerchosen", known, halfway, whole}) == 4
    for key in (known, halfway):
        old = Client()
        old.cookies[name] = key
        assert old.get(STEP)["Location"] == "/sign-in/"
        assert not is_in(old)


def test_no_page_before_the_code(codes, client):
    sign_in(client)
    open_to_everybody = {"theme", "language", "accounts:sign_in", "accounts:second_step", "accounts:sign_out"}
    open_to_everybody |= {"server:healthz", "server:metrics"}  # for programs
    for line in MATRIX.strip().splitlines():
        route, on = line.split("|")[0].split()
        if route in open_to_everybody:
            continue
        args = [] if on in ("-", "has-one") else on.split(",")
        if route == "accounts:trash_restore":
            args = [deleted("alias")] if on == "alias" else []
            if not args:
                continue
        if route == "server:message":  # the matrix names its recipient
            args = [1]
        url = reverse(route, args=args)
        for answer in (client.get(url), client.post(url, {})):
            assert (answer.status_code, answer["Location"]) == (302, STEP), url
    assert client.get("/sign-in/")["Location"] == STEP
    assert type_code(client)["Location"] == HOME


def test_not_you(codes, client):
    sign_in(client)
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert client.get(STEP)["Location"] == "/sign-in/"
    assert sign_in(client, "user2@a.example")["Location"] == HOME


def test_code_is_bound_to_the_person_of_the_password(codes, client):
    """Another name in the form changes nothing; and the code of another person is none."""
    other = "ab" * 20
    give("user2", other)
    sign_in(client)
    assert refused(type_code(client, code(other), username="user2@a.example", mailbox=find("user2").pk))
    assert not is_in(client)
    assert SecondFactor.objects.get(user=find("user2")).throttling_failure_count == 0
    sign_in(second := Client(), "user2@a.example")
    assert type_code(second, code(other), username="user1@a.example").status_code == 302
    assert second.get(HOME).context["user"].email == "user2@a.example"


@pytest.mark.parametrize(
    "change",
    [
        lambda: Mailbox.objects.filter(email="user1@a.example").update(password="{CRYPT}!"),
        lambda: Mailbox.objects.filter(email="user1@a.example").update(enabled=False),
        lambda: Mailbox.objects.filter(email="user1@a.example").update(can_login=False),
        lambda: second_factor.take_off(find("user1"), by=BY),
        lambda: give("user1"),
    ],
    ids=["password", "switched off", "no sign-in", "taken off", "set up again"],
)
def test_what_changes_in_between_ends_it(codes, client, change):
    sign_in(client)
    change()
    answer = client.post(STEP, {"code": code()}, follow=True)
    assert answer.redirect_chain == [("/sign-in/", 302)]
    assert "Sign in again" in answer.content.decode()
    assert not is_in(client)


def test_waiting_ends(codes, client, clock):
    sign_in(client)
    clock(HALFWAY_SECONDS - 2)
    assert client.get(STEP).status_code == 200
    clock(3)
    assert type_code(client)["Location"] == "/sign-in/"
    assert not is_in(client)


# --- codes --------------------------------------------------------------------------------------------------


def test_a_code_is_good_once(codes, client, clock):
    used = code()
    sign_in(client)
    assert type_code(client, used).status_code == 302
    again = Client()
    sign_in(again)
    assert refused(type_code(again, used))
    clock(5)  # the delay after a wrong one
    assert refused(type_code(again, code(after=-30)))  # nor an earlier one, which was never used
    clock(30)
    assert type_code(again).status_code == 302


@pytest.mark.parametrize(
    ("seconds", "right"),
    [(-90, False), (-60, False), (-30, True), (0, True), (30, True), (60, False), (90, False)],
)
def test_clocks_may_differ_by_half_a_minute(codes, client, seconds, right):
    sign_in(client)
    answer = type_code(client, code(after=seconds))
    assert refused(answer) is not right
    if not right:
        assert "clock" in answer.content.decode()


def test_window_does_not_wander_with_use(codes, client, clock):
    """Who is always half a minute late does not come to be a whole minute late."""
    for _time in range(3):
        clock(60)
        sign_in(client)
        assert type_code(client, code(after=-30)).status_code == 302
        client.post("/sign-out/")
    clock(60)
    sign_in(client)
    assert refused(type_code(client, code(after=-60)))


def test_clock_of_the_server_jumps(codes, client, clock):
    """Back by an hour: no old code works, and a recovery code is the way in until the time has come again."""
    sign_in(client)
    assert type_code(client).status_code == 302
    clock(-3600)
    again = Client()
    sign_in(again)
    assert refused(type_code(again))
    SecondFactor.objects.update(throttling_failure_count=0)
    assert type_code(again, codes[0]).status_code == 302
    clock(3600 + 60)
    sign_in(third := Client())
    assert type_code(third).status_code == 302


@pytest.mark.parametrize(
    "spelling",
    ["{}", " {} ", "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}", "{0[0]} {0[1]} {0[2]} {0[3]} {0[4]} {0[5]}"],
)
def test_blanks_in_the_right_code(codes, client, spelling):
    sign_in(client)
    assert type_code(client, spelling.format(code())).status_code == 302


@pytest.mark.parametrize(
    "odd",
    [
        lambda right: "",
        lambda right: "".join(chr(ord(digit) + 0xFEE0) for digit in right),  # the same number, full width
        lambda right: f"+{right}", lambda right: f"{right}e0", lambda right: f"-{right}",
        lambda right: f"{right[:3]}_{right[3:]}", lambda right: f"{right}.0", lambda right: f"0{right}",
        lambda right: right * 1000, lambda right: right + "\0", lambda right: right[:2] + "\0" + right[2:],
        lambda right: right[:5], lambda right: "'" + right,
    ],
)  # fmt: skip
def test_odd_input_is_refused(codes, client, odd):
    sign_in(client)
    assert refused(type_code(client, odd(code())))
    assert not is_in(client)
    assert not RecoveryCode.objects.filter(mailbox=find("user2")).exists()


def test_a_code_taken_by_two_at_the_same_moment(transactional_db):
    people.settle()
    give("user1")
    for _round in range(5):
        SecondFactor.objects.update(last_t=-1, throttling_failure_count=0, throttling_failure_timestamp=None)
        results = race(*[lambda: second_factor.verify(find("user1"), code(), by=BY)] * 6)
        assert sorted(type(error).__name__ for error in results) == ["NoneType"] + ["ValidationError"] * 5


def test_a_recovery_code_taken_by_two_at_the_same_moment(transactional_db):
    people.settle()
    for one in give("user1")[:4]:
        results = race(*[lambda one=one: second_factor.verify(find("user1"), one, by=BY)] * 6)
        assert sorted(type(error).__name__ for error in results) == ["NoneType"] + ["ValidationError"] * 5
        SecondFactor.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert find("user1").recovery_codes.count() == 6


def test_last_guard_is_the_step_itself(codes, monkeypatch):
    """Two that were both let in to look, by whatever way: the second is told no by the row."""
    monkeypatch.setattr(second_factor, "_step_of", lambda key, typed, after=-1: 1)
    second_factor.verify(find("user1"), "123456", by=BY)
    with pytest.raises(ValidationError):
        second_factor.verify(find("user1"), "123456", by=BY)


def test_many_guesses_at_the_same_moment_are_one(transactional_db, monkeypatch):
    """Though all of them were told at first that they may."""
    people.settle()
    give("user1")
    told, allowed = threading.Barrier(8), SecondFactor.verify_is_allowed
    monkeypatch.setattr(SecondFactor, "verify_is_allowed", lambda self: (allowed(self), told.wait(10))[0])
    looked, real = [], second_factor._step_of
    monkeypatch.setattr(
        second_factor, "_step_of", lambda *args, **more: looked.append(1) or real(*args, **more)
    )
    race(*[lambda: second_factor.verify(find("user1"), wrong(), by=BY)] * 8)
    assert SecondFactor.objects.get().throttling_failure_count == len(looked) == 1


# --- throttle -----------------------------------------------------------------------------------------------


def test_guessing_is_slowed_down(codes, client, clock, monkeypatch):
    """A day of guessing as fast as it goes: fewer than a hundred looks at a code."""
    looked = []
    real = second_factor._step_of
    monkeypatch.setattr(
        second_factor, "_step_of", lambda *args, **kwargs: looked.append(1) or real(*args, **kwargs)
    )
    mailbox, seconds = find("user1"), 0
    while seconds < 24 * 3600:
        with pytest.raises(ValidationError):
            second_factor.verify(mailbox, wrong(), by=BY)
        wait = 1 if seconds < 600 else 60
        clock(wait)
        seconds += wait
    assert 20 < len(looked) < 100
    assert Audit.objects.filter(action="wrong_codes", name="user1@a.example").count() == 1
    # the right one is refused alike until the pause is over, which is never longer than 35 minutes
    with pytest.raises(ValidationError, match="Too many wrong codes"):
        second_factor.verify(mailbox, code(), by=BY)
    clock(35 * 60)
    second_factor.verify(mailbox, code(), by=BY)
    assert SecondFactor.objects.get().throttling_failure_count == 0


def test_throttle_is_the_persons(codes, client, clock):
    """It outlives a new session, another browser and address, and a right password."""
    for number in range(6):
        clock(40)
        browser = Client(REMOTE_ADDR=f"192.0.2.{number}")
        assert sign_in(browser).status_code == 302
        type_code(browser, wrong())
    assert SecondFactor.objects.get().throttling_failure_count == 6
    sign_in(client)
    assert refused(type_code(client))
    assert not is_in(client)
    clock(60)
    assert type_code(client).status_code == 302


def test_throttled_and_wrong_are_the_same_for_a_right_code(codes, client, settings):
    sign_in(client)
    type_code(client, wrong())
    pages = [type_code(client, text).content.decode() for text in (wrong(), code())]
    pages = [re.sub(r'value="\w*"', "", page) for page in pages]
    assert pages[0] == pages[1]


def test_right_password_does_not_forget_the_wrong_ones(codes, client, settings):
    """Or somebody with the password could go on guessing at other doors: they are forgotten after the code."""
    guess(client, settings.MAILPANEL_SIGNIN_TRIES - 1)
    assert sign_in(client)["Location"] == STEP
    type_code(client, wrong())
    assert AccessAttempt.objects.get().failures_since_start == settings.MAILPANEL_SIGNIN_TRIES - 1
    SecondFactor.objects.update(throttling_failure_count=0)
    assert type_code(client).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_wrong_codes_do_not_count_as_wrong_passwords(codes, client, clock, settings):
    for _try in range(settings.MAILPANEL_SIGNIN_TRIES + 2):
        sign_in(client)
        type_code(client, wrong())
        clock(4000)
    assert not AccessAttempt.objects.exists()
    assert sign_in(client)["Location"] == STEP


# --- recovery codes -----------------------------------------------------------------------------------------


def test_recovery_code(codes, client):
    sign_in(client)
    assert "Recovery code" in client.get(f"{STEP}?recovery").content.decode()
    answer = client.post(f"{STEP}?recovery", {"code": codes[3].upper().replace("-", " ")})
    assert answer["Location"] == HOME
    row = Audit.objects.get()
    assert (row.actor, row.action, row.name) == ("user1@a.example", "used_code", "user1@a.example")
    assert row.after == {"recovery_codes": 9}
    assert "used a recovery code of" in client.get(HOME).content.decode()
    again = Client()
    sign_in(again)
    assert refused(type_code(again, codes[3]))


def test_recovery_code_of_somebody_else(codes, client):
    other = give("user2")
    sign_in(client)
    assert refused(type_code(client, other[0]))
    assert find("user2").recovery_codes.count() == 10


def test_only_hashes_of_recovery_codes_are_kept(codes):
    kept = str(list(RecoveryCode.objects.values())) + str(list(Audit.objects.values()))
    for one in codes:
        assert re.fullmatch("[a-z2-7]{4}(-[a-z2-7]{4}){3}", one)
        assert one not in kept
        assert one.replace("-", "") not in kept
    assert len(set(codes)) == 10


# --- this device --------------------------------------------------------------------------------------------


def trusted(client) -> Client:
    sign_in(client)
    type_code(client, trust="on")
    client.post("/sign-out/")
    return client


def test_a_device_is_remembered(codes, client, clock):
    assert sign_in(trusted(client))["Location"] == HOME
    assert sign_in(Client())["Location"] == STEP
    client.post("/sign-out/")
    clock(29 * 24 * 3600)
    assert sign_in(client)["Location"] == HOME
    client.post("/sign-out/")
    clock(2 * 24 * 3600)
    assert sign_in(client)["Location"] == STEP


def test_a_device_is_remembered_only_if_wanted(codes, client):
    sign_in(client)
    type_code(client)
    assert TRUST_COOKIE not in client.cookies


def test_remembering_still_needs_the_password(codes, client):
    assert sign_in(trusted(client), password="wrong").status_code == 200
    assert not is_in(client)


@pytest.mark.parametrize(
    "change",
    [
        lambda: Mailbox.objects.filter(email="user1@a.example").update(password=make_hash(PASSWORD)),
        lambda: give("user1"),
        lambda: (second_factor.take_off(find("user1"), by=BY), give("user1")),
    ],
    ids=["password", "another key", "cleared and set up"],
)
def test_remembering_ends_with_a_change(codes, client, change):
    trusted(client)
    change()
    assert sign_in(client)["Location"] == STEP


def test_remembering_is_one_persons(codes, client):
    give("user2", "ab" * 20)
    assert sign_in(trusted(client), "user2@a.example")["Location"] == STEP


@pytest.mark.parametrize("cookie", ["", "x", "WzEsIngiXQ:1abc:def", "[]"])
def test_forged_cookie_is_none(codes, client, cookie):
    client.cookies[TRUST_COOKIE] = cookie
    assert sign_in(client)["Location"] == STEP


def test_cookie_with_another_content_is_none(codes, client):
    for content in ([find("user1").pk], "x", None, [find("user1").pk, "x"], {"a": 1}):
        client.cookies[TRUST_COOKIE] = signing.dumps(content, salt="accounts.second_factor.device")
        assert sign_in(client)["Location"] == STEP


def test_remembering_is_not_offered_for_no_days(codes, client, settings):
    trusted(client)
    settings.MAILPANEL_SECOND_FACTOR_DEVICE_DAYS = 0
    assert sign_in(client)["Location"] == STEP
    assert 'name="trust"' not in client.get(STEP).content.decode()
    answer = type_code(client, code(after=30), trust="on")
    assert answer.status_code == 302
    assert TRUST_COOKIE not in answer.cookies


def test_cookie_of_the_device(codes, client):
    sign_in(client)
    cookie = type_code(client, trust="on").cookies[TRUST_COOKIE]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "")
    assert cookie["max-age"] == 30 * 24 * 3600
    assert find("user1").password not in cookie.value


# --- with the other rules -----------------------------------------------------------------------------------


def test_reset_password_leaves_the_code_to_be_asked(codes, client, as_):
    """Helpdesk resets the password: the code is asked, then the password must be changed, and no way leads past."""
    answer = as_("help_a").post(reverse("accounts:mailbox_password", args=["user1@a.example"]))
    fresh = Client()
    assert sign_in(fresh, password=answer.context["password"])["Location"] == STEP
    assert fresh.get(HOME)["Location"] == STEP
    assert type_code(fresh)["Location"] == HOME
    assert fresh.get(HOME)["Location"] == "/password/"


def test_token_is_asked_for(codes):
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(STEP, {"code": code()}).status_code == 403
