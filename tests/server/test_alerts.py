"""Messages that leave: what they say, to a mail server and to a web server that are fakes on real sockets."""

import base64
import email
import email.policy
import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone, translation

from mailpanel.daemons import Trouble
from mailpanel.daemons.text import Text as _
from mailpanel.server import alerts
from mailpanel.server.models import Alert, Incident
from tests.daemons.certificates import Authority
from tests.daemons.fakes import (
    Fake,
    closing,
    dripping,
    endless,
    endless_lines,
    resetting,
    saying,
    silent,
)
from tests.server.conftest import DOWN
from tests.server.test_rounds import Minutes, at, away  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = Trouble(
    _("It says “%(said)s”.", said="x\r\nBcc: victim@example.net\r\n\r\n<!channel> <https://evil.example|click> \x1b[31m\u202etxt"),
    _("Hint\r\n.\r\nQUIT"),
    "..\n.\n",
)  # fmt: skip


TOKEN = base64.b64encode(b"\0watch@example.org\0pass")


def mail_server(it):
    """Takes everything; what is between DATA and the dot is not commands."""
    it.say("220 fake ESMTP")
    _talk(it, b"250 8BITMIME\r\n")


def other_host(at_once: bool):
    """The mail server of somebody else, who wants TLS and a password."""

    def behave(it):
        if at_once:
            it.secure()
        it.say("220 fake ESMTP")
        _talk(it, b"250 AUTH PLAIN\r\n" if at_once else b"250-AUTH PLAIN\r\n250 STARTTLS\r\n")

    return behave


def _talk(it, able: bytes):
    while line := it.hear():
        if line.startswith(b"EHLO"):
            it.say("250-fake", able)
        elif line == b"STARTTLS":
            it.say("220 go on")
            it.secure()
        elif line.startswith(b"AUTH"):
            it.say("235 welcome" if line.endswith(b" " + TOKEN) else b"535 no " + line + b"\r\n")
        elif line == b"DATA":
            it.say("354 go on")
            while it.hear() != b".":
                pass
            it.say("250 taken")
        else:
            it.say("221 bye" if line == b"QUIT" else "250 ok")


class Hook(Fake):
    """A web server that keeps what it is told; `answers` are its status lines, the last one for ever."""

    def __init__(self, *answers: str, context=None):
        self.answers, self.heads, self.bodies = list(answers) or ["200 OK"], [], []
        super().__init__(self._behave, context)

    def _behave(self, it):
        if self.context:
            it.secure()
        head = []
        while (line := it.hear()) not in (b"", b"\n"):
            head.append(line.decode())
        length = next(int(line.partition(":")[2]) for line in head if line.startswith("Content-Length"))
        body = it.early
        while len(body) < length:
            body += it.raw()
        self.heads.append(head)
        self.bodies.append(json.loads(body))
        it.say(
            f"HTTP/1.1 {self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]}",
            "Location: http://127.0.0.1:1/",
            "",
        )


@pytest.fixture
def hook(settings):
    with Hook() as fake:
        settings.MAILPANEL_ALERT_WEBHOOK = f"http://{fake.place}/hooks/secret-of-the-hook?x=1"
        yield fake


@pytest.fixture
def postfix(settings):
    settings.MAILPANEL_ALERT_TO = ["admin@example.org", "second@example.org"]
    with Fake(mail_server) as fake:
        settings.MAILPANEL_PROBE_TARGETS = {"smtp": fake.place}
        yield fake


@pytest.fixture
def minutes(stand):
    minutes = Minutes(stand)
    whole = minutes.pass_

    def pass_(count, **sees):
        for _minute in range(count):
            whole(1, **sees)
            minutes.collector.sender.wait(15)

    minutes.pass_ = pass_
    return minutes


def messages(fake: Fake) -> list[email.message.EmailMessage]:
    """What came between DATA and the dot, the dots of the lines taken away again."""
    sent = re.findall(rb"DATA\r\n(.*?)\r\n\.\r\n", fake.heard, re.DOTALL)
    return [
        email.message_from_bytes(re.sub(rb"(?m)^\.\.", b".", one), policy=email.policy.default)
        for one in sent
    ]


def rows() -> list[tuple]:
    return list(Alert.objects.order_by("pk").values_list("about", "way", "tries", "error", "incident__key"))


def test_down_and_all_well_again(minutes, hook, postfix):
    minutes.pass_(5, smtp=DOWN, imap="Fine.", queue=DOWN)
    minutes.pass_(4, smtp="Fine.", queue="Fine.")
    down, clear = hook.bodies
    assert [one["event"] for one in hook.bodies] == ["down", "clear"]
    assert down["text"].splitlines() == [
        "mail.example.test: Probe smtp is down",
        "",
        "Nobody listens at port 25.",
        "Since 19 February 2025, 22:40, for 2 minutes.",
        "Start it.",
        "start it",
        "Also affected: Probe queue",
        "",
        "http://localhost:8000/status/",
    ]
    assert (down["probe"], down["affected"], down["since"]) == ("smtp", ["Probe queue"], at(0).isoformat())
    assert clear["title"] == "mail.example.test: Probe smtp works again"
    assert "From 19 February 2025, 22:40 to 19 February 2025, 22:45, 5 minutes." in clear["text"]
    assert (clear["until"], clear["command"]) == (at(5).isoformat(), "")
    first, second = messages(postfix)
    assert first.get_content().splitlines() == down["text"].splitlines()
    assert first["Subject"] == "mail.example.test: Probe smtp is down"
    assert (first["To"], first["From"]) == (
        "admin@example.org, second@example.org",
        "postmaster@example.test",
    )
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Message-ID"] != second["Message-ID"]
    assert abs(first["Date"].datetime - timezone.now()) < timedelta(minutes=1)
    assert b"RCPT TO:<second@example.org>" in postfix.heard
    assert rows() == [
        ("down", "mail", 1, "", "smtp"), ("down", "webhook", 1, "", "smtp"),
        ("clear", "mail", 1, "", "smtp"), ("clear", "webhook", 1, "", "smtp"),
    ]  # fmt: skip
    assert not Alert.objects.filter(sent=None).exists()


def test_nobody_is_told_where_nobody_is_to_be(minutes):
    assert alerts.ways() == []
    minutes.pass_(4, smtp=DOWN)
    assert rows() == []
    assert alerts.trial("root1@c.example") == {}


def test_hostile_words(minutes, hook, postfix):
    minutes.pass_(3, smtp=HOSTILE)
    [message], [body] = messages(postfix), hook.bodies
    assert set(message.keys()) == {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type",
        "Content-Transfer-Encoding", "MIME-Version"}  # fmt: skip
    assert "Bcc" not in message
    text = message.get_content().replace("\r\n", "\n")
    assert len(text.splitlines()) == len(body["text"].splitlines()) == 8
    for sign in "\r\x1b\u202e<":
        assert sign not in text
        assert sign not in json.dumps(body, ensure_ascii=False)
    assert "..?.?" in text.splitlines()
    assert postfix.heard.count(b"\r\nQUIT\r\n") == postfix.heard.count(b"\r\n.\r\n") == 1


def test_words_of_the_pages_language_are_not_theirs(hook):
    with translation.override("de"):
        alerts.trial("root1@c.example")
    assert (
        hook.bodies[0]["text"].splitlines()[2]
        == "root1@c.example tries whether alerts arrive. Nothing is wrong."
    )


# --- it does not leave ------------------------------------------------------------------------------------------


def test_tried_again_each_minute(minutes, hook):
    hook.answers = ["503 busy", "503 busy", "204 No Content"]
    minutes.pass_(3, smtp=DOWN)
    [(_about, _way, tries, error, _key)] = rows()
    assert (tries, error) == (1, f"{hook.place} answers “HTTP/1.1 503 busy” to POST.")
    minutes.pass_(3)
    assert rows() == [("down", "webhook", 3, "", "smtp")]
    assert len(hook.bodies) == 3


def test_not_for_ever(minutes, hook, monkeypatch):
    monkeypatch.setattr(alerts, "TRIES", 2)
    hook.answers = ["404 Not Found"]
    minutes.pass_(6, smtp=DOWN)
    assert len(hook.bodies) == 2


def test_by_one_way_when_the_other_is_away(minutes, hook, postfix):
    postfix.__exit__()
    minutes.pass_(3, smtp=DOWN)
    assert len(hook.bodies) == 1
    assert rows() == [
        ("down", "mail", 1, f"Nobody listens at {postfix.place}.", "smtp"),
        ("down", "webhook", 1, "", "smtp"),
    ]


@pytest.mark.parametrize(
    "behave", [silent, dripping, endless, endless_lines, closing, resetting, saying(b"220 \xff\x00\n")]
)
def test_a_way_that_misbehaves_holds_up_nothing(stand, hook, settings, monkeypatch, behave):
    """Neither the round nor the other way; and it ends with a reason."""
    monkeypatch.setattr(alerts, "DEADLINE", 1)
    settings.MAILPANEL_ALERT_TO = ["admin@example.org"]
    minutes = Minutes(stand)
    with Fake(behave) as fake:
        settings.MAILPANEL_PROBE_TARGETS = {"smtp": fake.place}
        minutes.pass_(2, smtp=DOWN)
        began = time.monotonic()
        minutes.pass_(1)
        assert time.monotonic() - began < 0.9
        minutes.collector.sender.wait(3)
        assert time.monotonic() - began < 2
    assert len(hook.bodies) == 1
    [alert] = Alert.objects.filter(way="mail")
    assert (alert.sent, alert.tries, bool(alert.error)) == (None, 1, True)


def test_a_redirect_is_not_followed(hook):
    hook.answers = ["302 Found"]
    assert alerts.trial("x") == {"webhook": f"{hook.place} answers “HTTP/1.1 302 Found” to POST."}


def test_the_secrets_stay_secret(hook, settings, caplog):
    hook.answers = ["403 /hooks/other"]
    error = alerts.trial("x")["webhook"]
    assert "secret-of-the-hook" not in error + caplog.text + Alert.objects.get().error
    assert hook.heads[0][0] == "POST /hooks/secret-of-the-hook?x=1 HTTP/1.1"


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """An authority that the system trusts."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    return authority


def test_certificates_of_a_web_server(trusted, settings):
    for name, wanted in (("localhost", ""), ("other.example", "is not for localhost")):
        with Hook(context=trusted.server(name=name)) as fake:
            settings.MAILPANEL_ALERT_WEBHOOK = f"https://localhost:{fake.port}/x"
            error = alerts.trial("x")["webhook"]
            assert wanted in error
            assert bool(error) == bool(wanted)
            assert len(fake.bodies) == (not wanted)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_by_another_host(trusted, settings, scheme):
    settings.MAILPANEL_ALERT_TO = ["admin@example.org"]
    behave = other_host(at_once=scheme == "smtps")
    with Fake(behave, trusted.server(name="localhost")) as fake:
        settings.MAILPANEL_ALERT_SMTP = f"{scheme}://watch%40example.org@localhost:{fake.port}"
        settings.MAILPANEL_ALERT_SMTP_PASSWORD = "wrong"
        error = alerts.trial("x")["mail"]
        assert error == f"localhost:{fake.port} refuses the name or the password for alerts."
        settings.MAILPANEL_ALERT_SMTP_PASSWORD = "pass"
        assert alerts.trial("x") == {"mail": ""}
    with Fake(behave, trusted.server(name="other.example")) as fake:
        settings.MAILPANEL_ALERT_SMTP = f"{scheme}://watch%40example.org@localhost:{fake.port}"
        assert "is not for localhost" in alerts.trial("x")["mail"]
        assert b"AUTH" not in fake.heard


def test_no_password_without_tls(postfix, settings):
    settings.MAILPANEL_ALERT_SMTP = f"smtp://watch@{postfix.place}"
    settings.MAILPANEL_ALERT_SMTP_PASSWORD = "pass"
    assert alerts.trial("x") == {"mail": f"{postfix.place} offers no STARTTLS."}
    assert b"AUTH" not in postfix.heard


def test_a_trial_is_a_row_and_both_ways_at_once(hook, postfix):
    assert alerts.trial("root1@c.example") == {"mail": "", "webhook": ""}
    assert [row[:4] for row in rows()] == [("trial", "mail", 1, ""), ("trial", "webhook", 1, "")]
    assert Alert.objects.exclude(sent=None).count() == 2


# --- exactly once -----------------------------------------------------------------------------------------------


def test_the_database_is_what_is_down(minutes, hook, away):  # noqa: F811
    minutes.pass_(1, database="Fine.", imap="Fine.")
    with away():
        minutes.pass_(5, database=DOWN, imap=DOWN)
        assert [body["probe"] for body in hook.bodies] == ["database"]
        minutes.pass_(2, database="Fine.", imap="Fine.")
    minutes.pass_(3)
    assert [body["event"] for body in hook.bodies] == ["down", "clear"]
    assert rows() == [("down", "webhook", 1, "", "database"), ("clear", "webhook", 1, "", "database")]
    assert Incident.objects.count() == 2


def test_what_waited_leaves_with_the_next_collector(minutes, hook):
    hook.answers = ["503 busy", "200 OK"]
    minutes.pass_(3, smtp=DOWN)
    minutes.collector = type(minutes.collector)()
    minutes.pass_(2)
    assert [body["event"] for body in hook.bodies] == ["down", "down"]
    minutes.pass_(4, smtp="Fine.")
    assert [body["event"] for body in hook.bodies] == ["down", "down", "clear"]


def test_two_collectors_send_one_message(stand, hook):
    stand.put(smtp=DOWN)
    first, second = Minutes(stand), Minutes(stand)
    for _minute in range(4):
        for one in (first, second):
            one.pass_(1)
        for one in (first, second):
            one.collector.sender.wait(5)
    assert len(hook.bodies) == 1


def test_an_alert_that_two_have_loaded(minutes, hook):
    incident = Incident.objects.create(key="smtp", began=datetime(2026, 1, 1, tzinfo=UTC))
    Alert.objects.create(incident=incident, about="down", way="webhook", made=timezone.now())
    collectors = [alerts.Sender() for _collector in range(4)]
    loaded = [alerts_of() for _collector in collectors]
    threads = [
        threading.Thread(target=one.send, args=(messages,))
        for one, messages in zip(collectors, loaded, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for collector in collectors:
        collector.wait(5)
    assert len(hook.bodies) == 1


def alerts_of():
    from mailpanel.server import tables

    return tables.load().messages
