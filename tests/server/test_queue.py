"""The pages of the queue: what is shown of it, by whom it is changed, and what the log tells."""

import re

import pytest
from django.urls import reverse

from accounts.models import Audit
from mailpanel.daemons import queue
from tests.waiting import Helper, many, message

QUEUE, DO = "/queue/", "/queue/do/"


@pytest.fixture
def waiting(settings, tmp_path_factory, world):
    """waiting(messages): a helper that lists these."""
    settings.MAILPANEL_VAR = tmp_path_factory.mktemp("q")
    helpers = []

    def put(messages):
        helpers.append(Helper(settings.MAILPANEL_VAR / "queue" / "socket", messages))
        return helpers[-1]

    yield put
    for helper in helpers:
        helper.stop()


def ids(page: str) -> list[str]:
    return re.findall(r'name="pick" value="(\w+)"', page)


def get(client, url) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


def post(client, **data) -> str:
    answer = client.post(DO, data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_strangers_words_are_shown_as_text(waiting, as_):
    waiting(many())
    client = as_("root1")
    for url in (QUEUE, f"{QUEUE}?show=hold", f"{QUEUE}?q=onerror"):
        page = get(client, url)
        assert "<img" not in page
        assert "\u202e" not in page
        assert "\x1b" not in page
    (held,) = ids(get(client, f"{QUEUE}?show=hold"))
    page = get(client, f"{QUEUE}{held}/")
    assert "&lt;img src=x onerror=alert(1)&gt;??[31m" in page
    assert "<img" not in page
    page = post(client, do="delete", pick=held)
    assert "Delete 1 message?" in page
    assert "<img" not in page
    page = post(client, do="delete", pick=held, sure="1")
    assert "1 message is deleted for good" in page
    assert "<img" not in get(client, reverse("accounts:audit"))


def test_every_page_of_the_list_once(waiting, as_):
    waiting(many(120))
    client, seen, url = as_("root1"), [], QUEUE
    while url:
        page = get(client, url)
        seen += ids(page)
        later = re.search(r'href="(\?[^"]*)" rel="next"', page)
        url = later and QUEUE + later[1].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 124
    back = re.search(r'href="(\?[^"]*)" rel="prev"', page)
    assert ids(get(client, QUEUE + back[1].replace("&amp;", "&"))) == seen[50:100]
    assert ids(get(client, f"{QUEUE}?sort=newest"))[0] == seen[-1]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("show=hold", 1), ("show=active", 1), ("show=deferred&q=OFFICE", 10), ("domain=far-away.example", 11),
        ("sender=ada@a.example&domain=elsewhere.example", 21), ("q=nobody-of-this-name", 0), ("show=nonsense", 34),
        ("after=nonsense", 34), ("before=9-x", 34), ("after=99999999999999-x&q=%00", 0),
    ],
)  # fmt: skip
def test_filters(waiting, as_, query, count):
    waiting(many(30))
    page = get(as_("root1"), f"{QUEUE}?{query}")
    assert len(ids(page)) == count
    assert count or "Nothing in the queue is like this" in page


def test_like_reasons_are_counted_together(waiting, as_):
    told = "host mx.example[192.0.2.{0}] said: 450 4.2.0 <user{0}@x.example>: busy, queued as 4Xyz12345{0} (in reply to RCPT TO command)"
    waiting([message(number, why=told.format(number)) for number in range(7)])
    client = as_("root1")
    found = re.search(r'href="(\?reason=[^"]+)"><bdi>([^<]+)</bdi></a> <b>7</b>', get(client, QUEUE))
    assert "busy" in found[2]
    assert len(ids(get(client, QUEUE + found[1].replace("&amp;", "&")))) == 7


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("hold", "2 messages are on hold"), ("release", "2 messages are released"), ("retry", "2 messages are tried now"),
        ("delete", "2 messages are deleted for good"),
    ],
)  # fmt: skip
def test_some_are_changed_and_it_stands_in_the_log(waiting, as_, do, words):
    helper, client = waiting(many(9)), as_("root1")
    some = ids(get(client, f"{QUEUE}?show=deferred"))[:2]
    page = post(client, do=do, pick=some, sure="1")
    assert words in page
    assert [(word, sorted(done)) for word, done in helper.done] == [(do, sorted(some))]
    entry = Audit.objects.get()
    assert (entry.action, entry.kind, entry.name, set(entry.before)) == (do, "messages", "2", set(some))
    assert "from the queue" in (page := get(client, reverse("accounts:audit"))) or "in the queue" in page


def test_nothing_is_deleted_before_it_is_said_what_that_means(waiting, as_):
    helper = waiting(many(9))
    page = post(as_("root1"), do="delete", all="1")
    assert "Delete 13 messages?" in page
    assert "This cannot be undone" in page
    assert (helper.done, Audit.objects.count()) == ([], 0)


def test_what_came_after_the_question_is_not_deleted(waiting, as_):
    helper, client = waiting([message(1), message(2)]), as_("root1")
    until = re.search(r'name="until" value="(\d+)"', post(client, do="delete", all="1"))[1]
    helper.messages.append(message(3, age=-60))
    post(client, do="delete", all="1", sure="1", until=until)
    assert [len(done) for _word, done in helper.done] == [2]


def test_gone_meanwhile(waiting, as_):
    """Told so, whatever was to be done with it, and nothing is recorded that was not done."""
    helper, client = waiting([message(1), message(2)]), as_("root1")
    gone, stays = message(3)["queue_id"], message(1)["queue_id"]
    page = client.get(f"{QUEUE}{gone}/", follow=True).content.decode()
    assert f"{gone} is not in the queue any more" in page
    page = post(client, do="delete", pick=gone, sure="1")
    assert "1 message has left the queue meanwhile" in page
    assert (helper.done, Audit.objects.count()) == ([], 0)
    page = post(client, do="hold", pick=[gone, stays])
    assert "1 message is on hold" in page
    assert "or has left the queue meanwhile" in page
    assert Audit.objects.get().name == stays


@pytest.mark.parametrize("end", [b"", b"postsuper: fatal: no space left\n\n= 1\n", b"\n= 75\n", b"\n= -9\n"])
def test_what_was_done_before_it_failed_stands_in_the_log(waiting, as_, end):
    helper, client = waiting([message(1), message(2)]), as_("root1")
    stays = message(3)
    both = [row["queue_id"] for row in helper.messages]
    helper.messages.append(stays)
    helper.refused, helper.end = {stays["queue_id"]}, end
    page = post(client, do="delete", pick=[*both, stays["queue_id"]], sure="1")
    assert "2 messages are deleted for good" in page
    assert "Postfix does not tell its queue" in page
    assert "has left the queue meanwhile" not in page
    assert set(Audit.objects.get().before) == set(both)


def test_what_is_on_hold_is_not_tried(waiting, as_):
    helper, client = waiting([message(1, queue="hold"), message(2)]), as_("root1")
    page = post(client, do="retry", all="1")
    assert "1 message is on hold and was not tried" in page
    assert helper.done == [("retry", [message(2)["queue_id"]])]


@pytest.mark.parametrize("pick", ["ALL", "-d", "../../etc/passwd", "4jcCW; rm -rf", "A\nALL", "", "é" * 12])
def test_an_id_is_nothing_but_an_id(waiting, as_, pick):
    helper = waiting([message(1)])
    assert "No message is selected" in post(as_("root1"), do="delete", pick=pick, sure="1")
    assert helper.done == []


@pytest.mark.parametrize("who", ["user1", "help_all", "dadm_all", "dadm_a"])
def test_for_server_admins_alone(waiting, as_, who):
    helper, client = waiting(many(3)), as_(who)
    for url in (QUEUE, f"{QUEUE}{message(1)['queue_id']}/"):
        answer = client.get(url)
        assert answer.status_code == 403
        assert b"elsewhere.example" not in answer.content
    assert client.post(DO, {"do": "delete", "all": "1", "sure": "1"}).status_code == 403
    assert helper.done == []
    assert b'href="/queue/"' not in client.get("/").content


def test_without_the_helper_it_is_read_and_not_changed(settings, tmp_path, world, as_, monkeypatch):
    """And the page says what to do."""
    settings.MAILPANEL_VAR = tmp_path
    listing = tmp_path / "postqueue"
    listing.write_text("""#!/bin/sh
cat <<'END'
{"queue_name": "deferred", "queue_id": "4jcCW000001zJDhF", "arrival_time": 1, "message_size": 1, "sender": "\\ud800 \\u0000<b>", "recipients": [{"address": "x@y.example"}]}
END
""")
    listing.chmod(0o755)
    monkeypatch.setitem(queue._READABLE, "PATH", f"{tmp_path}:/usr/bin:/bin")
    client = as_("root1")
    page = get(client, QUEUE)
    assert ids(page) == ["4jcCW000001zJDhF"]
    page = post(client, do="hold", pick="4jcCW000001zJDhF")
    assert "The helper mailpanel-queue does this for the panel" in page
    assert "only root may" in get(client, f"{QUEUE}4jcCW000001zJDhF/")
    assert not Audit.objects.exists()


def test_postfix_down(settings, tmp_path, world, as_, monkeypatch):
    settings.MAILPANEL_VAR = tmp_path
    program = tmp_path / "postqueue"
    program.write_text(
        "#!/bin/sh\necho 'postqueue: fatal: Queue report unavailable - <b>mail system is down'; exit 69\n"
    )
    program.chmod(0o755)
    monkeypatch.setitem(queue._READABLE, "PATH", f"{tmp_path}:/usr/bin:/bin")
    page = get(as_("root1"), QUEUE)
    assert "&lt;b&gt;mail system is down" in page
    assert "Start it; its log says more" in page


def test_an_empty_queue_says_so(waiting, as_):
    waiting([])
    assert "The queue is empty" in get(as_("root1"), QUEUE)
