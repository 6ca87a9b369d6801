"""How much a mailbox may send: the count and its limit, who sees it, and who sets it."""

import contextlib
import os
import re
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import attention, audit, lifecycle, restore
from accounts.models import Audit, Mailbox, Trash
from mailpanel.daemons import DaemonError
from mailpanel.management.commands import collect
from mailpanel.server import policy_service, sending
from mailpanel.server.models import Sending, SendLimit, SendShare
from mailpanel.server.sending import Limit
from tests.people import find

USER, OTHER = "user1@a.example", "user1@b.example"
BY = audit.By("shell:root")
NOON = datetime(2026, 3, 14, 12, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def usual(settings):
    settings.MAILPANEL_SEND_PER_HOUR, settings.MAILPANEL_SEND_PER_DAY = 10, 30


def take(recipients: int, at=NOON, mailbox=USER):
    return sending.take(mailbox, recipients, at)


def rows() -> list[tuple]:
    return sorted(Sending.objects.values_list("mailbox", "recipients", "refused"))


# --- counting -------------------------------------------------------------------------------------------------


def test_up_to_the_limit_and_not_beyond(db):
    assert [take(4) for _message in range(2)] == [None, None]
    refusal = take(3)
    assert str(refusal) == (
        f"{USER} may send to 10 recipients an hour and has sent to 8. This message can be sent from 2026-03-14 13:00 UTC on."
    )
    assert take(2) is None
    assert rows() == [(USER, 10, 3)]
    assert take(10, mailbox=OTHER) is None
    assert take(1, NOON + timedelta(hours=1)) is None


def test_a_day_is_the_last_24_hours_of_the_clock(db):
    for hour in (0, 5, 6):
        assert take(10, NOON + timedelta(hours=hour)) is None
    refusal = take(5, NOON + timedelta(hours=7))
    assert refusal.until == datetime(2026, 3, 15, 12, tzinfo=UTC)
    assert not refusal.hourly
    assert take(5, refusal.until - timedelta(seconds=1)) is not None
    assert take(10, refusal.until) is None


@pytest.mark.parametrize(
    ("recipients", "most"), [(11, "10 recipients an hour"), (31, "10 recipients an hour")]
)
def test_a_message_that_never_fits(db, recipients, most):
    refusal = take(recipients)
    assert refusal.until is None
    assert most in str(refusal)
    assert f"this message has {recipients}" in str(refusal)


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({}, Limit(10, 30)), ({"@a.example": (5, None)}, Limit(5, None)), ({USER: (None, None)}, Limit(None, None)),
        ({"@a.example": (5, 7), USER: (99, 1)}, Limit(99, 1)), ({"@b.example": (1, 1), OTHER: (1, 1)}, Limit(10, 30)),
    ],
)  # fmt: skip
def test_the_most_specific_limit_decides(db, limits, most):
    for scope, (hour, day) in limits.items():
        SendLimit.objects.create(scope=scope, per_hour=hour, per_day=day)
    assert sending.limit_of(USER) == most


def test_unlimited_is_counted_all_the_same(db, settings):
    settings.MAILPANEL_SEND_PER_HOUR = settings.MAILPANEL_SEND_PER_DAY = None
    assert take(5000) is None
    assert rows() == [(USER, 5000, 0)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 40)), max_size=25))
def test_never_more_than_the_limit_whatever_comes(db, messages):
    Sending.objects.all().delete()
    taken = []
    for recipients, hours in sorted(messages, key=lambda message: message[1]):
        at = NOON + timedelta(hours=hours)
        refusal = take(recipients, at)
        if refusal is None:
            taken.append((hours, recipients))
        elif refusal.until:
            assert refusal.until > at
        in_hour = sum(count for when, count in taken if when == hours)
        in_day = sum(count for when, count in taken if when > hours - 24)
        assert in_hour <= 10
        assert in_day <= 30
        if refusal:  # and never stopped for nothing
            assert in_hour + recipients > 10 or in_day + recipients > 30


def test_many_at_once_get_no_more(transactional_db):
    """Postfix' processes, and several hosts, count at the same moment."""
    passed = []

    def one():
        try:
            for _message in range(5):
                if take(1) is None:
                    passed.append(1)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 10
    assert rows() == [(USER, 10, 20)]


# --- what Postfix is answered -----------------------------------------------------------------------------------


def request(**changes) -> dict:
    return {"protocol_state": "DATA", "sasl_username": USER, "recipient_count": "1"} | changes


def test_answers(db):
    assert policy_service.answer(request(recipient_count="10")) == "DUNNO"
    assert policy_service.answer(request()).startswith(
        "450 4.7.1 user1@a.example may send to 10 recipients an hour"
    )
    assert policy_service.answer(request(sasl_username=USER.upper())).startswith("450 ")
    assert policy_service.answer(request(sasl_username=OTHER, recipient_count="11")).startswith("554 5.7.1 ")


@pytest.mark.parametrize(
    "changes",
    [
        {"sasl_username": ""}, {"protocol_state": "RCPT"}, {"recipient_count": "0"}, {"recipient_count": ""},
        {"recipient_count": "-1"}, {"recipient_count": "many"}, {"recipient_count": "１"},
        {"sasl_username": "mailpanel-probe@example.test"},
    ],
)  # fmt: skip
def test_what_is_no_message_of_ours_passes_and_is_not_counted(db, changes):
    assert policy_service.answer(request(**changes)) == "DUNNO"
    assert rows() == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(user=st.text(max_size=300), count=st.text(st.characters(codec="utf-8"), max_size=12))
def test_no_text_breaks_it(db, user, count):
    """Its answer is one line, whatever it was asked."""
    assert "\n" not in policy_service._answered(
        request(sasl_username=user.replace("\n", ""), recipient_count=count)
    )


# --- the socket -----------------------------------------------------------------------------------------------

ASKED = b"request=smtpd_access_policy\nprotocol_state=RCPT\n\n"


@pytest.fixture
def service(tmp_path):
    umask = os.umask(0)
    try:
        serving = policy_service.Service(tmp_path / "sending")
    finally:
        os.umask(umask)
    with serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield tmp_path / "sending"
        serving.shutdown()
        thread.join()


def say(path, *words: bytes, end=True) -> bytes:
    """All that is answered until the service hangs up."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(path))
        for word in words:
            with contextlib.suppress(BrokenPipeError):
                line.sendall(word)
        if end:
            line.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while more := line.recv(65536):
                said += more
        return said


def test_the_socket_is_for_its_group_whatever_the_umask(service):
    assert oct(service.stat().st_mode & 0o777) == "0o660"


def test_several_requests_in_one_connection(service):
    assert say(service, ASKED, ASKED, ASKED) == b"action=DUNNO\n\n" * 3


@pytest.mark.parametrize(
    ("words", "hangs_up"),
    [
        (b"x" * 10**6, True), (b"a=b\n" * 500, True), (b"\n\n\n", True), (b"\0\xff=\xfe\n\n", False), (b"=x\n\n", False),
        (b"protocol_state=DATA\nsasl_username=\xff\xfe\nrecipient_count=" + b"9" * 4000 + b"\n\n", False),
        (b"protocol_state=DATA", False), (b"GET / HTTP/1.1\r\n\r\n", False),
    ],
    ids=["no line", "no end", "nothing", "no text", "no name", "a number too long", "half", "another protocol"],
)  # fmt: skip
def test_who_is_not_postfix_harms_nobody(service, words, hangs_up):
    """It gets nothing but “go on”, and the next one is answered."""
    assert set(say(service, words, end=not hangs_up).split(b"\n")) <= {b"", b"action=DUNNO"}
    assert say(service, ASKED) == b"action=DUNNO\n\n"


def test_who_says_nothing_keeps_nobody_waiting(service):
    idle = [socket.socket(socket.AF_UNIX) for _number in range(40)]
    try:
        for line in idle:
            line.connect(str(service))
            line.sendall(b"protocol_state=")
        assert say(service, ASKED) == b"action=DUNNO\n\n"
    finally:
        for line in idle:
            line.close()


# --- the pages ------------------------------------------------------------------------------------------------


def sent(mailbox: str, recipients: int, refused: int = 0, ago: int = 0):
    hour = sending.hour_of(timezone.now()) - ago
    Sending.objects.update_or_create(
        mailbox=mailbox, hour=hour, defaults={"recipients": recipients, "refused": refused}
    )


@pytest.fixture
def senders(world):
    sent(USER, 9)
    sent(USER, 6, ago=5)
    sent("user2@a.example", 10, refused=40)
    sent(OTHER, 3, refused=7)
    sent("all@c.example", 1, ago=30)
    sending.refresh()


def shown(client, query="") -> list[str]:
    page = client.get(f"/sending/{query}").content.decode()
    return re.findall(r'/mailboxes/([^/"]+)/#sending"', page)


def test_nearest_first_and_only_what_one_looks_after(senders, as_):
    assert shown(as_("root1")) == ["user2@a.example", USER, OTHER]
    assert shown(as_("dadm_a")) == shown(as_("help_a")) == ["user2@a.example", USER]
    assert shown(as_("dadm_ab"), "?show=refused") == ["user2@a.example", OTHER]
    assert shown(as_("dadm_b")) == [OTHER]


def test_paging_sees_each_sender_once(world, as_):
    for number in range(130):
        sent(f"u{number:03}@a.example", number % 7)
    sending.refresh()
    client, seen, query = as_("dadm_ab"), [], ""
    while query is not None:
        page = client.get(f"/sending/{query}").content.decode()
        seen += re.findall(r'/mailboxes/([^/"]+)/#sending"', page)
        later = re.search(r'href="(\?after[^"]*)" rel="next"', page)
        query = later[1].replace("&amp;", "&") if later else None
    assert len(seen) == len(set(seen)) == 130


def test_refresh_follows_the_hours(senders):
    assert SendShare.objects.get(mailbox=USER).share == 90
    sending.refresh(timezone.now() + timedelta(hours=1))
    row = SendShare.objects.get(mailbox=USER)
    assert (row.share, row.hour, row.day) == (50, 0, 15)
    sending.refresh(timezone.now() + timedelta(hours=30))
    assert not SendShare.objects.exists()


def test_each_minute_those_who_send(senders):
    sent(USER, 10)
    SendLimit.objects.create(scope="@b.example", per_hour=100, per_day=100)
    Sending.objects.filter(mailbox=OTHER).update(hour=sending.hour_of(timezone.now()) - 2)
    sending.refresh(everybody=False)
    shares = dict(SendShare.objects.values_list("mailbox", "share"))
    assert shares == {USER: 100, "user2@a.example": 100, OTHER: 30}
    sending.refresh()
    assert SendShare.objects.get(mailbox=OTHER).share == 3


def test_collect_keeps_it_and_trims(senders):
    sent(USER, 1, ago=24 * 7 + 2)
    sending.trim()
    assert Sending.objects.filter(mailbox=USER).count() == 2
    SendShare.objects.all().delete()
    for job in collect.JOBS:
        if job is collect.sending_shares:
            job(1)
    assert SendShare.objects.count() == 3


def test_who_looks_after_it_is_told_on_the_home_page(senders):
    def words(who):
        return [each.words for each in attention.concerns(find(who)) if "sending limit" in each.words]

    assert words("root1") == ["2 mailboxes were stopped at their sending limits"]
    assert words("help_a") == words("dadm_a") == ["1 mailbox was stopped at its sending limit"]
    Mailbox.objects.filter(email="user2@a.example").update(can_login=False)  # nobody sends by it any more
    assert words("dadm_a") == []


def test_the_page_of_a_mailbox(senders, as_):
    page = as_("help_a").get("/mailboxes/user2@a.example/").content.decode()
    assert "<b>10</b> of 10 in this hour" in page
    assert "Stopped at its sending limit" in page
    assert "New password…" in page
    assert "Forbid sign-in" not in page  # that takes a domain admin
    page = as_("dadm_a").get("/mailboxes/user2@a.example/").content.decode()
    assert "Forbid sign-in" in page
    assert "Stopped at its sending limit" not in as_("dadm_a").get(f"/mailboxes/{USER}/").content.decode()


# --- setting a limit ------------------------------------------------------------------------------------------


def set_limit(client, url, **data):
    page = client.get(url).content.decode()
    seen = page.partition('name="seen" value="')[2].partition('"')[0]
    return client.post(url, {"which": "own", "seen": seen} | data)


MAILBOX = reverse("server:mailbox_limit", args=[USER])
DOMAIN = reverse("server:domain_limit", args=["a.example"])


@pytest.mark.parametrize(
    ("hour", "day", "fits"),
    [
        ("10", "30", True),
        ("1", "1", True),
        ("11", "30", False),
        ("10", "31", False),
        ("", "30", False),
        ("10", "", False),
    ],
)
def test_a_domain_admin_gives_as_much_as_the_domain_has(world, as_, hour, day, fits):
    answer = set_limit(as_("dadm_a"), MAILBOX, per_hour=hour, per_day=day)
    assert answer.status_code == (302 if fits else 200)
    assert SendLimit.objects.filter(scope=USER).exists() is fits
    assert fits or b"A server admin can give more" in answer.content
    assert set_limit(as_("root1"), MAILBOX, per_hour=hour, per_day=day).status_code == 302


def test_a_limit_is_in_the_log_and_can_be_taken_back(world, as_):
    client = as_("root1")
    set_limit(client, MAILBOX, per_hour="5", per_day="")
    set_limit(client, MAILBOX, which="inherit", per_hour="5", per_day="")
    assert not SendLimit.objects.exists()
    first, second = Audit.objects.order_by("id")
    assert (first.action, first.name, first.domain) == ("send_limit", USER, "a.example")
    assert (first.before, first.after) == (None, {"per_hour": 5, "per_day": None})
    assert second.after is None
    assert "unlimited" in {change.after for change in audit.changes(first)}
    set_limit(client, DOMAIN, per_hour="7", per_day="8")
    assert sending.limit_of(USER) == Limit(7, 8)


@pytest.mark.parametrize("hour", ["0", "-1", "many", "1e3", "9999999999", "5 000", "\u0661"])
def test_a_limit_is_a_number(world, as_, hour):
    answer = set_limit(as_("root1"), MAILBOX, per_hour=hour, per_day="")
    if hour == "\u0661":  # a digit is a digit in every script
        assert answer.status_code == 302
    else:
        assert answer.status_code == 200
        assert b"Nothing was saved" in answer.content
        assert not SendLimit.objects.exists()


def test_numbers_are_not_ignored_silently(world, as_):
    answer = set_limit(as_("root1"), MAILBOX, which="inherit", per_hour="5", per_day="")
    assert b"Choose a limit of its own for these numbers" in answer.content


def test_two_at_once_do_not_overwrite_each_other(world, as_):
    client = as_("root1")
    page = client.get(MAILBOX).content.decode()
    seen = page.partition('name="seen" value="')[2].partition('"')[0]
    sending.set_limit(USER, Limit(3, 3), by=BY)
    answer = client.post(MAILBOX, {"which": "own", "per_hour": "9", "per_day": "9", "seen": seen})
    assert answer.status_code == 200
    assert sending.limit_of(USER) == Limit(3, 3)


def test_a_ceiling_holds_whoever_calls(world):
    with pytest.raises(ValidationError) as refused:
        sending.set_limit(USER, Limit(None, 5), by=BY, ceiling=Limit(10, 30))
    assert set(refused.value.error_dict) == {"per_hour"}


def test_by_command(world, capsys):
    def run(*arguments):
        call_command("sending", *arguments)
        return capsys.readouterr().out

    assert "may send to 5 recipients in an hour and 30 within a day" in run("limit", USER, "--per-hour", "5")
    assert sending.limit_of(USER) == Limit(5, 30)
    run("limit", "@a.example", "--per-hour", "unlimited", "--per-day", "70")
    assert sending.limit_of("user2@a.example") == Limit(None, 70)
    run("limit", USER, "--inherit")
    assert sending.limit_of(USER) == Limit(None, 70)
    sent(USER, 7, refused=2)
    sending.refresh()
    assert USER in run("list")
    assert "7 within a day; 2 were refused" in run("show", USER)
    for wrong in (
        ["limit", USER],
        ["limit", USER, "--per-hour", "many"],
        ["limit", "nobody@a.example", "--inherit"],
    ):
        with pytest.raises(CommandError):
            run(*wrong)
    assert Audit.objects.count() == 3


def test_a_limit_for_whom_was_deleted_meanwhile_is_none(world):
    """Nor does it stand in the way of what comes back from the trash."""
    sending.set_limit(USER, Limit(3, 3), by=BY)
    with contextlib.suppress(DaemonError):
        lifecycle.close_mailbox(find("user1"), by=BY)
    for scope in (USER, "@gone.example"):
        with pytest.raises(ValidationError, match="was deleted meanwhile"):
            sending.set_limit(scope, Limit(9, 9), by=BY)
    assert not SendLimit.objects.exists()
    restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    assert sending.limit_of(USER) == Limit(3, 3)


def test_an_address_made_anew_inherits_nothing(world):
    """The limit goes to the trash with the mailbox and comes back with it; what was counted is forgotten."""
    sending.set_limit(USER, Limit(3, 3), by=BY)
    sent(USER, 9)
    sending.refresh()
    with pytest.raises(DaemonError):  # there is no Dovecot here
        lifecycle.close_mailbox(find("user1"), by=BY)
    assert not SendLimit.objects.exists()
    assert not Sending.objects.exists()
    assert not SendShare.objects.exists()
    restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    assert sending.limit_of(USER) == Limit(3, 3)
