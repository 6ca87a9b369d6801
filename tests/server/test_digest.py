"""The mail about the quarantine: to whom it goes, once, and what stands in it."""

import email
import re
import threading
from datetime import datetime, time, timedelta
from email.policy import default

import pytest
from django.db import connection
from django.utils import timezone

from accounts import audit
from accounts.models import Mailbox
from domains.models import Alias, Domain
from mailpanel.daemons import messenger
from mailpanel.server import digest, filter_policy
from mailpanel.server.models import DigestSent, MsgRcpt
from tests.daemons.fakes import Fake
from tests.held import hold
from tests.people import settle

BY = audit.By("root1@c.example")
USER = "user1@a.example"


@pytest.fixture
def world(world):
    for model in (Mailbox, Domain, Alias):
        model.objects.update(created=timezone.now() - timedelta(days=365))


class PostOffice:
    """Takes mail, or ends the conversation after a command of it."""

    def __init__(self):
        self.taken: list[tuple[str, email.message.EmailMessage]] = []
        self.ends_after, self.refuses = "", ""

    def serve(self, it):
        it.say("220 mail.example.test ESMTP")
        to, data = "", None
        while line := it.hear():
            if data is not None and line == b".":
                self.taken.append((to, email.message_from_bytes(b"\r\n".join(data), policy=default)))
                if self.ends_after == ".":
                    return it.door.close()
                data = it.say("250 Ok")
            elif data is not None:
                data.append(line.removeprefix(b".").strip(b"\n"))
            else:
                word = line.split()[0].decode()
                if word == self.ends_after:
                    return it.door.close()
                if word == self.refuses:
                    it.say("451 Not now")
                    continue
                to = re.search(r"<(.*)>", line.decode())[1] if word == "RCPT" else to
                data = [] if word == "DATA" else None
                it.say(
                    {"DATA": "354 Go", "QUIT": "221 Bye", "EHLO": "250 mail.example.test"}.get(word, "250 Ok")
                )
        return None


@pytest.fixture
def post(settings, monkeypatch):
    monkeypatch.setattr(digest, "_done", None)
    monkeypatch.setattr(digest, "HOUR", 0)
    office = PostOffice()
    with Fake(office.serve) as fake:
        settings.MAILPANEL_PROBE_TARGETS = {"smtp": fake.place}
        yield office


def again(days: int = 0) -> int:
    """Another collector, or this one after a restart."""
    digest._done = None
    return digest.send(timezone.now() + timedelta(days=days))


def wants(scope=USER, digest=True):
    filter_policy.change(scope, {"digest": digest}, by=BY)


def test_to_those_who_want_it_and_have_something(world, post):
    wants()
    wants("user9@a.example")
    hold(USER), hold("user2@a.example"), hold("alias1@a.example")
    assert digest.send() == 1
    ((to, message),) = post.taken
    assert (to, message["To"], message["Auto-Submitted"]) == (USER, USER, "auto-generated")
    assert message["Subject"].startswith("2 messages were held back")


def test_the_most_specific_scope_says_whether(world, post):
    wants("@.")
    wants("@a.example", digest=False)
    wants("user2@a.example")
    for to in (USER, "user2@a.example", "user1@b.example", "disabled@a.example"):
        hold(to)
    assert digest.send() == 2
    assert {to for to, _message in post.taken} == {"user2@a.example", "user1@b.example"}


def test_once_a_day_however_often(world, post):
    wants()
    hold(USER)
    assert (digest.send(), digest.send(), again(), again()) == (1, 0, 0, 0)
    hold(USER, subject="A new one", ago=0)
    assert again() == 0
    assert again(days=1) == 1
    text = post.taken[1][1].get_body(("plain",)).get_content()
    assert "A new one" in text
    assert "Cheap watches" not in text
    assert again(days=2) == 0  # nothing new
    assert len(post.taken) == 2


def test_what_came_in_the_second_of_the_mail_is_told_by_the_next(world, post):
    wants()
    hold(USER)
    now = timezone.now()
    hold(USER, subject="The first", ago=0)
    MsgRcpt.objects.filter(made__gt=now.timestamp() - 30).update(made=int(now.timestamp()))
    assert digest.send(now) == 1
    hold(USER, subject="The second", ago=0)
    MsgRcpt.objects.filter(made__gt=now.timestamp() - 30).update(made=int(now.timestamp()))
    assert again(days=1) == 1
    told = "".join(message.get_body(("plain",)).get_content() for _to, message in post.taken)
    assert all(told.count(words) == 1 for words in ("The first", "The second", "Cheap watches"))


def test_not_in_the_night(world, post, monkeypatch):
    wants()
    monkeypatch.setattr(digest, "HOUR", 6)
    today = timezone.localdate()
    midnight = timezone.make_aware(datetime.combine(today, time()))
    hold(USER, ago=(timezone.now() - midnight).total_seconds())
    for hour, sent in ((0, 0), (5, 0), (6, 1)):
        moment = timezone.make_aware(datetime.combine(today, time(hour, 30)))
        assert digest.send(moment) == sent


@pytest.mark.parametrize("ends", ["MAIL", "RCPT", "DATA"])
def test_not_taken_is_tried_again(world, post, ends):
    wants()
    hold(USER)
    post.ends_after = ends
    assert (digest.send(), post.taken) == (0, [])
    post.ends_after, post.refuses = "", ends
    assert (digest.send(), post.taken) == (0, [])
    post.refuses = ""
    assert digest.send() == 1
    assert again() == 0
    assert len(post.taken) == 1


def test_half_way_is_not_doubled(world, post):
    """The mail was handed over, and then there was no answer: it may have been taken."""
    wants()
    hold(USER)
    post.ends_after = "."
    digest.send()
    post.ends_after = ""
    assert (digest.send(), again()) == (0, 0)
    assert len(post.taken) == 1


def test_killed_half_way_is_not_doubled_and_nothing_is_lost(world, post, monkeypatch):
    wants()
    hold(USER)

    def killed(*_args):
        raise SystemExit

    monkeypatch.setattr(messenger, "post_here", killed)
    with pytest.raises(SystemExit):
        digest.send()
    monkeypatch.undo()
    monkeypatch.setattr(digest, "HOUR", 0)
    digest._done = None
    assert digest.send() == 0
    assert again(days=1) == 1
    assert "Cheap watches" in post.taken[0][1].get_body(("plain",)).get_content()


def test_mail_server_that_is_away_is_not_asked_for_everybody(world, post, settings):
    wants("@.")
    for name in ("user1", "user2", "user9", "help", "boss"):
        hold(f"{name}@a.example")
    post.ends_after = "MAIL"
    assert digest.send() == 0
    assert not DigestSent.objects.filter(day=timezone.localdate()).exists()


def test_several_collectors_at_once(transactional_db, post):
    settle()
    Mailbox.objects.update(created=timezone.now() - timedelta(days=365))
    wants("@.")
    for number in range(3):
        for name in ("user1", "user2", "user9"):
            hold(f"{name}@a.example", subject=str(number))
    start = threading.Barrier(4)

    def collector():
        start.wait(10)
        try:
            digest.send()
        finally:
            connection.close()

    threads = [threading.Thread(target=collector) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    again()
    assert sorted(to for to, _message in post.taken) == [
        "user1@a.example",
        "user2@a.example",
        "user9@a.example",
    ]


def test_former_owners_mail_is_not_told(world, post):
    wants()
    hold(USER, ago=3600)
    Mailbox.objects.filter(email=USER).update(created=timezone.now() - timedelta(minutes=1))
    assert digest.send() == 0


def test_in_the_language_of_the_mailbox(world, post):
    Mailbox.objects.filter(email=USER).update(language="de")
    wants()
    hold(USER, score=12.34)
    digest.send()
    message = post.taken[0][1]
    assert "12,3" in message.get_body(("plain",)).get_content()
    assert '<html lang="de">' in message.get_body(("html",)).get_content()


@pytest.mark.parametrize(
    "subject",
    [
        "</td><script>alert(1)</script>", "x\r\nBcc: everybody@a.example", "\u202egnp.exe", "=?utf-8?q?=0D=0ABcc=3A_x=40y.example?=",
        "https://evil.example/ and www.evil.example", "{{ settings.SECRET_KEY }}{% load static %}", "\x00\x1b[2J", "ü" * 255, ".",
    ],
)  # fmt: skip
def test_hostile_subjects(world, post, subject):
    wants()
    hold(USER, subject=subject.replace("\x00", ""), sender=f"x{len(subject)}@outside.example")
    assert digest.send() == 1
    message = post.taken[0][1]
    assert message["Bcc"] is None
    assert message.get_all("To") == [USER]
    for kind in ("plain", "html"):
        text = message.get_body((kind,)).get_content()
        assert "<script" not in text or kind == "plain"
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202e]", text)
        links = set(re.findall(r"https?://[^\s\"<]+", text))
        assert links == {"http://localhost:8000/quarantine/", "http://localhost:8000/filter/own/"}
        assert "www.evil" not in text


def test_at_most_fifty_in_one_mail(world, post):
    wants()
    for number in range(60):
        hold(USER, subject=f"number {number}", ago=1000 - number)
    digest.send()
    text = post.taken[0][1].get_body(("plain",)).get_content()
    assert text.count("number ") == 50
    assert "number 59" in text
    assert "There is more on the page." in text
