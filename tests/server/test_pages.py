"""The pages of the status: what they say, what they cost, and that they wait for nobody."""

import re
import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from accounts import attention
from accounts.models import Audit
from mailpanel.daemons import State, probing
from mailpanel.daemons.text import Text
from mailpanel.management.past import make_past
from mailpanel.server import history, rounds
from mailpanel.server.models import Alert, Hour, Incident, Result, Standing
from tests.people import find

STATUS = "/status/"
NEWS = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def nothing_kept():
    cache.clear()
    history._each_minute.cache_clear()


def stands(**states) -> None:
    """All probes are fine, but for these; just now."""
    now = timezone.now()
    Standing.objects.all().delete()
    Standing.objects.bulk_create(
        Standing(
            key=key,
            state=states.get(key.replace("-", "_"), "ok"),
            since=now,
            checked=now,
            seconds=0.04,
            detail=Text(f"Sentence of {key}.").packed(),
            hint=Text("Start it.").packed(),
            command=f"start {key}",
        )
        for key in probing.probes()
    )


def texts(answer) -> str:
    """What is to be read on a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


def verdict(client) -> str:
    html = client.get(STATUS).content.decode()
    found = re.search(r'<section class="verdict (\w+)".*?</section>', html, re.DOTALL)
    return f"{found[1]}: " + " ".join(re.sub(r"<[^>]*>", " ", found[0]).split())


def test_nothing_is_known_yet(world, as_):
    said = verdict(as_("root1"))
    assert said.startswith("warn: Nothing is known yet: the collector has not run")
    assert "manage.py collect" in said
    for key in probing.probes():
        assert as_("root1").get(reverse("server:probe", args=[key])).status_code == 200


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({}, "ok: Mail works Nothing that is checked here is wrong."),
        ({"mx": "off"}, "ok: Mail works Nothing that is checked here is wrong."),
        ({"tls": "warn"}, "warn: Mail works, and one thing wants attention Sentence of tls."),
        ({"tls": "warn", "mx": "warn"}, "warn: Mail works, and 2 things want attention MX of the domains, Certificates"),
        ({"clamav": "bad"}, "bad: Mail from outside waits: ClamAV is down Sentence of clamav. Sending and reading work."),
        ({"sasl": "bad", "tls": "warn"}, "bad: Nobody can send: Sign-in for sending is down Sentence of sasl."),
        ({"imap": "bad"}, "bad: Mail works in part: IMAP is down"),
        ({"submission": "bad"}, "bad: Mail works in part: Submission is down"),
        ({"submission": "bad", "smtps": "bad"}, "bad: Nobody can send: "),
        ({"imap": "bad", "imaps": "bad", "pop3": "bad", "pop3s": "bad"}, "bad: Nobody can read mail: IMAP, IMAP with TLS (imaps), POP3 and others are down"),
        ({"database": "bad"}, "bad: Mail does not work: Database is down Sentence of database."),
        ({"roundtrip": "bad"}, "bad: A message does not get through: Round trip is down"),
        ({"smtp": "bad", "sasl": "bad"}, "bad: Mail from outside waits, and nobody can send: "),
    ],
)  # fmt: skip
def test_the_sentence_about_the_whole(world, as_, states, said):
    stands(**states)
    assert verdict(as_("root1")).startswith(said)


def test_what_something_else_explains_is_not_the_cause(world, as_):
    stands(roundtrip="bad", clamav="bad")
    root = Incident.objects.create(key="clamav", began=timezone.now())
    effect = Incident.objects.create(key="roundtrip", began=timezone.now(), cause=root)
    assert "ClamAV is down Sentence of clamav." in verdict(as_("root1"))
    # and once the cause is over, what is still down has to be told
    stands(roundtrip="bad", imap="bad")
    Incident.objects.filter(pk=root.pk).update(ended=timezone.now())
    assert "Round trip, IMAP are down" in verdict(as_("root1"))
    assert effect.cause == root


def test_a_collector_that_stands_still(world, as_, settings):
    stands(clamav="bad")
    Standing.objects.update(checked=timezone.now() - timedelta(minutes=4))
    said = verdict(as_("root1"))
    assert said.startswith("warn: The collector stands still")
    assert "manage.py collect" in said
    settings.PRIVATE_COPY = False
    assert "sudo systemctl restart mailpanel-collect" in verdict(as_("root1"))
    Standing.objects.filter(key="imap").update(checked=timezone.now())  # asked by itself
    assert verdict(as_("root1")).startswith("warn: The collector stands still")


def test_cause_and_cure_stand_in_the_row(world, as_):
    stands(clamav="bad", smtp="warn", mx="off")
    shown = as_("root1").get(STATUS).content.decode()
    rows = dict(re.findall(r'<li id="probe-([\w-]+)">(.*?)</li>', shown, re.DOTALL))
    assert list(rows) == list(probing.probes())
    for key, word in (("clamav", "Down"), ("smtp", "Attention"), ("mx", "Off"), ("imap", "Fine")):
        assert word in rows[key]
        assert (f"start {key}" in rows[key]) == (key in ("clamav", "smtp"))
        assert reverse("server:probe", args=[key]) in rows[key]
    assert "40 ms" in rows["imap"]


def test_down_is_told_to_server_admins_alone(world, as_):
    assert 'id="down" hidden' in as_("root1").get("/").content.decode()
    stands(clamav="bad", smtp="bad", mx="warn")
    shown = as_("root1").get("/").content.decode()
    assert "2 down" in shown
    assert "ClamAV and 1 more are down" in shown
    assert attention.concerns(find("root1"))[0].url == STATUS
    for name in ("dadm_a", "dadm_all", "help_all"):
        shown = as_(name).get("/").content.decode()
        assert "down" not in texts(as_(name).get("/"))
        assert STATUS not in shown


# --- what it costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 300])
@pytest.mark.parametrize(
    ("path", "statements"), [(STATUS, 9), ("/status/incidents/", 5), ("/status/imap/", 7), ("/status/imap/?period=week", 7)]
)  # fmt: skip
def test_statements_of_a_page(world, as_, django_assert_num_queries, number, path, statements):
    now = timezone.now()
    stands(clamav="bad")
    for _each in range(number):
        incident = Incident.objects.create(key="imap", began=now, ended=now)
        Incident.objects.create(key="imaps", began=now, cause=incident)
        Alert.objects.create(incident=incident, about="down", way="mail", made=now, sent=now)
    minute = int(time.time()) // 60
    Result.objects.bulk_create(
        Result(key="imap", minute=minute - ago, state="ok", seconds=0.1) for ago in range(number)
    )
    client = as_("root1")
    client.get("/password/")  # the first request of a session is written down
    if (left := 60 - time.time() % 60) < 5:
        time.sleep(left)  # what is read once a minute would be read twice
    with django_assert_num_queries(statements):
        shown = client.get(path).content.decode()
    assert "1 alert sent" in shown
    assert "1 more was down because of it" in shown


def test_nothing_is_read_again_within_the_minute(world, as_, django_assert_num_queries):
    """But for the session, the reader and what can have changed."""
    stands()
    client = as_("root1")
    client.get(STATUS)
    with django_assert_num_queries(6):
        client.get(STATUS)


def test_incidents_are_paged(world, as_):
    now = timezone.now()
    Incident.objects.bulk_create(
        Incident(key="imap" if number % 2 else "smtp", began=now - timedelta(hours=number), ended=now)
        for number in range(120)
    )
    client, path, found = as_("root1"), "/status/incidents/?probe=imap", []
    while path:
        page = client.get(path)
        found += page.context["incidents"].rows
        path = page.context["incidents"].later and "/status/incidents/" + page.context["incidents"].later
    assert [row.key for row in found] == ["imap"] * 60
    assert [row.began for row in found] == sorted((row.began for row in found), reverse=True)
    assert client.get("/status/incidents/?probe=none").status_code == 404


# --- refreshing ------------------------------------------------------------------------------------------------


def ask(client) -> str:
    """What the script of the page would ask for next."""
    html = client.get(STATUS).content.decode()
    return re.search(r'id="fresh" hx-get="([^"]*)"', html)[1].replace("&amp;", "&")


def changed(answer) -> list[str]:
    return re.findall(r'<li id="probe-([\w-]+)" hx-swap-oob="true">', answer.content.decode())


def test_only_rows_that_changed_come_again(world, as_, django_assert_num_queries):
    stands()
    client = as_("root1")
    url = ask(client)
    with django_assert_num_queries(4):  # session, reader, roles, probes
        same = client.get(url, **NEWS)
    assert changed(same) == []
    assert len(same.content) < 2000
    assert 'hx-trigger="every 20s"' in same.content.decode()
    Standing.objects.filter(key="imap").update(
        state="bad", checked=timezone.now(), detail=Text("Silent.").packed()
    )
    news = client.get(url, **NEWS)
    assert changed(news) == ["imap"]
    assert "Silent." in texts(news)
    for part in ('id="verdict"', 'id="down"', 'id="causes"'):
        assert re.search(f'{part}[^>]* hx-swap-oob="true"', news.content.decode()), part


def test_while_somebody_looks_it_is_asked_each_second(world, as_):
    stands()
    client = as_("root1")
    url = ask(client)
    Standing.objects.filter(key="smtp").update(asked=timezone.now())
    news = client.get(url, **NEWS)
    assert changed(news) == ["smtp"]
    assert 'hx-trigger="every 1s"' in news.content.decode()
    assert "Checking…" in texts(news)
    # but not for ever, if whoever looked was ended
    Standing.objects.filter(key="smtp").update(asked=timezone.now() - 2 * rounds.CLAIM)
    assert 'hx-trigger="every 20s"' in client.get(url, **NEWS).content.decode()


def test_nonsense_for_versions_is_harmless(world, as_):
    stands()
    answer = as_("root1").get(STATUS + "?imap=%00&smtp=1e999&nothing=x", **NEWS)
    assert changed(answer) == list(probing.probes())


def test_a_page_that_refreshes_keeps_no_session_alive(world, as_, settings):
    stands()
    client = as_("root1")
    url = ask(client)
    session = client.session
    session["seen"] = then = int(time.time()) - settings.MAILPANEL_STAFF_SESSION_IDLE_MINUTES * 60 + 60
    session.save()
    assert client.get(url, **NEWS).status_code == 200
    assert client.session["seen"] == then
    session["seen"] = then - 120
    session.save()
    over = client.get(url, **NEWS)
    assert (over.status_code, over.headers["HX-Refresh"]) == (200, "true")
    assert over.content == b""
    assert client.get(STATUS).status_code == 302


# --- check now -------------------------------------------------------------------------------------------------


def settled() -> None:
    deadline = time.monotonic() + 5
    while Standing.objects.exclude(asked=None).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
def test_check_now_waits_for_nothing(stand, world, as_):
    """All daemons hang, and the page is there at once, says so, and shows what was seen when it is over."""
    stand.put(one="Fine.", two="Fine.", three="Fine.")
    stand.gate.clear()
    client = as_("root1")
    client.get(STATUS)  # templates are read once
    answer = client.post(reverse("server:check"), {"probe": "all"})
    shown = client.get(answer.url)
    assert (answer.status_code, answer.url) == (302, f"{STATUS}?look")
    assert shown.headers["Refresh"] == "2"
    assert "Checking…" in texts(shown)
    assert "Look again" in texts(shown)
    again = client.post(reverse("server:check"), {"probe": "one"}, **NEWS)
    assert 'hx-trigger="every 1s"' in again.content.decode()
    stand.gate.set()
    settled()
    assert sorted(stand.asked) == ["one", "three", "two"]  # never two at a time
    shown = client.get(answer.url)
    assert "Refresh" not in shown.headers
    assert "Fine." in texts(shown)


@pytest.mark.django_db(transaction=True)
def test_check_one_from_its_own_page(stand, world, as_):
    stand.put(one="Fine.", two="Fine.")
    client, data = as_("root1"), {"probe": "one", "stay": "one"}
    assert client.post(reverse("server:check"), data).url == "/status/one/?look"
    settled()
    assert stand.asked == ["one"]
    assert "Fine." in texts(client.post(reverse("server:check"), data, **NEWS))


@pytest.mark.parametrize(
    "data", [{"probe": "none"}, {"probe": ["imap", "../x"]}, {"probe": "imap", "stay": "x"}]
)
def test_a_probe_that_is_not_there(world, as_, data):
    assert as_("root1").post(reverse("server:check"), data).status_code == 404
    assert not Standing.objects.exists()


# --- a probe's page --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", ["day", "week", "quarter", "century"])
def test_history_of_a_probe(world, as_, period):
    make_past(timezone.now(), going_on=True)
    shown = as_("root1").get(f"/status/clamav/?period={period}")
    chart = shown.context["chart"]
    assert chart.period.key == (period if period != "century" else "day")
    assert {block.state for block in chart.plot.blocks} == {"ok", "bad"}
    assert sum(slot.bad for _moment, slot in chart.table) == chart.whole.bad >= 24
    assert 24 <= len(chart.table) <= 91 if chart.period.by_day is False else len(chart.table) in (8, 90, 91)
    assert len(shown.content) < 50_000
    assert "Nobody listens at /run/clamav/clamd.ctl." in texts(shown)
    assert "sudo systemctl restart clamav-daemon" in texts(shown)


def test_uptime_and_small_plot(world, as_):
    minute = int(time.time()) // 60
    stands()
    Result.objects.create(key="imap", minute=minute, state=State.BAD, seconds=3)
    Result.objects.create(key="imap", minute=minute - 20, state=State.OK, seconds=0.1)
    Result.objects.create(key="mx", minute=minute, state=State.OFF, seconds=0)
    Hour.objects.create(key="imap", hour=minute // 60, ok=2997, warn=1, bad=2, seconds=1, slowest=1)
    Hour.objects.create(key="imap", hour=minute // 60 - 31 * 24, bad=60)
    client = as_("root1")
    rows = {row.key: row for row in client.get(STATUS).context["board"].rows}
    assert rows["imap"].uptime == pytest.approx(100 * 2998 / 3000)
    assert [block.state for block in rows["imap"].plot.blocks][-1] == "bad"
    assert rows["mx"].plot.lines == ()
    assert rows["smtp"].plot is None
    shown = texts(client.get(STATUS))
    assert "99.93 %" in shown
    label = re.search(r'role="img" aria-label="([^"]*)"', client.get(STATUS).content.decode())[1]
    assert " ".join(label.split()) == "Answer time: 1.55 s on average, 3 s at most. 1 of 2 checks failed."


def test_demo_history_is_the_same_each_time(world):
    end = timezone.now().replace(minute=0, second=0, microsecond=0)

    def rows():
        return [list(model.objects.order_by("pk").values_list()) for model in (Result, Hour, Standing)]

    make_past(end)
    first = rows()
    make_past(end)
    assert rows() == first
    keys = len(probing.probes())
    assert (len(first[0]), len(first[1]), len(first[2])) == (keys * 1500, keys * 2160, keys)
    assert not Incident.objects.filter(ended=None).exists()


# --- alerts ----------------------------------------------------------------------------------------------------


def test_alerts_and_what_became_of_them(world, as_, settings):
    settings.MAILPANEL_ALERT_TO = ["ops@example.org"]
    settings.MAILPANEL_ALERT_WEBHOOK = "https://hooks.example.org/secret"
    now = timezone.now()
    incident = Incident.objects.create(key="clamav", began=now)
    Alert.objects.create(incident=incident, about="down", way="mail", made=now, sent=now, tries=1)
    Alert.objects.create(
        incident=incident, about="clear", way="webhook", made=now, tries=2, error="Refused <b>."
    )
    Alert.objects.create(about="trial", way="mail", made=now)
    html = as_("root1").get("/status/alerts/").content.decode()
    shown = " ".join(re.sub(r"<[^>]*>", " ", html.partition("<tbody>")[2]).split())
    order = [
        "Test alert",
        "Waits",
        "Works again",
        "Not sent",
        "Refused &lt;b&gt;. · 2 tries",
        "Is down",
        "Sent",
    ]
    assert sorted(order, key=shown.index) == order
    assert "ops@example.org" in html
    assert "hooks.example.org" not in html


def test_a_test_alert_tells_its_outcome(world, as_, settings):
    """By each way that is set; here nobody listens where it leads."""
    assert "Send a test alert" not in texts(as_("root1").get("/status/alerts/"))
    settings.MAILPANEL_ALERT_WEBHOOK = "http://127.0.0.1:9/secret"
    assert "Send a test alert" in texts(as_("root1").get("/status/alerts/"))
    shown = texts(as_("root1").post(reverse("server:alert_trial"), follow=True))
    assert "Webhook: the test alert did not leave." in shown
    assert "secret" not in shown.replace("is a secret", "")
    assert Alert.objects.get().about == "trial"
    assert [(row.actor, row.action, row.kind) for row in Audit.objects.all()] == [
        ("root1@c.example", "trial", "alert")
    ]
