"""“Did it arrive?”: who finds which messages by what, and what of them is told to whom."""

import itertools
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.models import Mailbox, Role
from domains.models import Domain
from mailpanel import paging
from mailpanel.management.log_lines import (
    came,
    delivered,
    gone,
    not_owned,
    passed_before_queue,
    refused,
    spam,
    waits,
    went,
)
from mailpanel.server import policy_service, sending, trace
from mailpanel.server.models import Message, MsgRcpt, Position, Traffic
from mailpanel.server.models.trace import State
from mailpanel.server.sending import Limit
from mailpanel.server.trace import Sought
from tests.held import hold
from tests.people import find
from tests.server.log_lines import NOW, took

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def old_mailboxes(world):
    Mailbox.objects.update(created=LONG_AGO)
    Domain.objects.update(created=LONG_AGO)


def listed(client, url="server:messages", *args, **asked):
    """The senders of the messages on a page, in its order."""
    page = client.get(reverse(url, args=args), asked)
    assert page.status_code == 200
    return [told.row.sender for told in page.context["found"]]


def page_of(client, sender):
    return client.get(reverse("server:message", args=[Message.objects.get(sender=sender).pk]))


def text(answer):
    """What is read of a page, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", answer.content.decode()))


def some():
    """In all places, with all outcomes, a minute apart."""
    for number, lines in enumerate(
        (
            delivered("4AAAAAAA01", "one@x.example", "user1@a.example"),
            delivered("4AAAAAAA02", "two@x.example", "user2@a.example"),
            delivered("4AAAAAAA03", "three@x.example", "user1@b.example"),
            waits("4AAAAAAA04", "four@x.example", "z@other.example"),
            waits("4AAAAAAA05", "user1@a.example", "z@other.example", login="user1@a.example"),
            refused("six@x.example", "nobody@a.example"),
            spam("01234-03", "seven@x.example", "user1@a.example"),
            passed_before_queue("4AAAAAAA08", "01234-08", "eight@x.example", "user1+shop@a.example"),
        )
    ):
        took(lines, after=60 * number)


ALL = ["eight@x.example", "seven@x.example", "six@x.example", "user1@a.example", "four@x.example", "three@x.example", "two@x.example", "one@x.example"]  # fmt: skip


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("root1", ALL),
        ("help_all", ALL),
        ("dadm_a", [s for s in ALL if s not in ("four@x.example", "three@x.example")]),
        ("help_a", [s for s in ALL if s not in ("four@x.example", "three@x.example")]),
        ("dadm_b", ["three@x.example"]),
        ("dadm_ab", [s for s in ALL if s != "four@x.example"]),
        ("user1", ["eight@x.example", "seven@x.example", "user1@a.example", "one@x.example"]),
        ("user2", ["two@x.example"]),
        ("user9", []),
    ],
)
def test_everybody_sees_what_is_theirs(as_, who, seen):
    some()
    assert listed(as_(who)) == seen


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ({"address": "one@x.example"}, ["one@x.example"]),
        (
            {"address": " <USER1@a.example> "},
            ["eight@x.example", "seven@x.example", "user1@a.example", "one@x.example"],
        ),
        (
            {"address": "user1+shop@a.example"},
            ["eight@x.example", "seven@x.example", "user1@a.example", "one@x.example"],
        ),
        ({"address": "z@other.example"}, ["user1@a.example"]),
        ({"address": "three@x.example"}, []),
        ({"address": "user1@b.example"}, []),
        ({"state": "waiting"}, ["user1@a.example"]),
        ({"state": "delivered"}, ["eight@x.example", "two@x.example", "one@x.example"]),
        ({"state": "refused"}, ["six@x.example"]),
        ({"state": "quarantined", "address": "user1@a.example"}, ["seven@x.example"]),
        ({"state": "returned"}, []),
        ({"name": "4aaaaaaa02@x.example"}, ["two@x.example"]),
        ({"name": "<4aaaaaaa02@x.example>"}, ["two@x.example"]),
        ({"name": "4AAAAAAA02"}, ["two@x.example"]),
        ({"name": "4AAAAAAA03"}, []),  # of b.example
        ({"name": "4aaaaaaa03@x.example"}, []),
        ({"name": "4AAAAAAA04"}, []),
        ({"name": "%"}, []),
        ({"name": "4AAAAAAA02", "address": "one@x.example"}, []),
        ({"name": "4AAAAAAA02", "state": "waiting"}, []),
        ({"since": "2001-01-01", "until": "2001-01-02"}, []),
        ({"since": "2001-01-01", "address": "two@x.example"}, ["two@x.example"]),
        ({"until": "2001-01-01", "name": "4AAAAAAA02"}, []),
    ],
)
def test_search(as_, asked, seen):
    some()
    assert listed(as_("dadm_a"), **asked) == seen


@pytest.mark.parametrize(
    "asked", [{"address": "nonsense"}, {"address": "a@b\x00"}, {"since": "yesterday"}, {"state": "eaten"}, {"since": "2026-01-02", "until": "2026-01-01"}]
)  # fmt: skip
def test_a_filter_that_means_nothing_says_so(as_, asked):
    page = as_("dadm_a").get(reverse("server:messages"), asked)
    assert page.status_code == 200
    assert page.context["form"].errors or asked["address"] == "a@b\x00"


@pytest.mark.parametrize("place", ["x", "1-2", f"{10**16}-1", "-1-1", "0-0", f"{10**15}-{10**17}"])
def test_a_place_that_was_never_given(as_, place):
    some()
    for name in ("before", "after"):
        assert as_("dadm_a").get(reverse("server:messages"), {name: place}).status_code == 200


@pytest.mark.parametrize("number", [2**31, 2**63 - 1, 2**63, 10**25])
def test_a_number_that_no_message_has(as_, number):
    some()
    for who in ("root1", "user1"):
        assert as_(who).get(f"/messages/{number}/").status_code == 404


def test_a_long_message_id_is_found(as_):
    long = "x" * 300 + "@x.example"
    took(delivered("4AAAAAAA01", "s@x.example", "user1@a.example", message_id=long))
    assert listed(as_("user1"), name=f"<{long}>") == ["s@x.example"]


def test_a_letter_to_a_list_is_found_by_each_of_its_readers(as_):
    took(
        delivered("4AAAAAAA01", "list@x.example", "user1@a.example", message_id="list@x.example"),
        ago=timedelta(hours=1),
    )
    Message.objects.bulk_create(
        Message(host="mail", at=NOW, last=NOW, message_id="list@x.example", state=State.DELIVERED)
        for _reader in range(1200)
    )  # of other domains
    for who in ("user1", "dadm_a"):
        assert listed(as_(who), name="<list@x.example>") == ["list@x.example"]
    assert listed(as_("dadm_b"), name="<list@x.example>") == []


def test_pages_by_key(as_, monkeypatch):
    """Through all pages and back, with several of the same second and in several domains: each once, in order."""
    monkeypatch.setattr(trace, "SIZE", 4)
    monkeypatch.setattr(paging, "SIZE", 4)
    for number in range(15):
        to = ["user1@a.example", "user1@b.example", "user2@a.example"][number % 3]
        took(refused(f"s{number}@x.example", to), after=number // 4)
    took(delivered("4AAAAAAA01", "both@x.example", "user1@a.example", "user1@b.example"), after=20)
    client, url, seen = as_("dadm_ab"), reverse("server:messages"), []
    query = ""
    while True:
        found = client.get(url + query).context["found"]
        seen.append([told.row.sender for told in found])
        if not found.later:
            break
        query = found.later
    assert seen[0][0] == "both@x.example"
    assert [one for page in seen for one in page] == [
        "both@x.example",
        *(f"s{number}@x.example" for number in reversed(range(15))),
    ]
    for page in reversed(seen[:-1]):
        found = client.get(url + found.earlier).context["found"]
        assert [told.row.sender for told in found] == page
    assert found.earlier == ""


def test_of_few_ranges_and_of_many_the_same_is_found(as_, monkeypatch):
    """From both ends and from everywhere in between, whoever has been there since when."""
    monkeypatch.setattr(trace, "SIZE", 4)
    chance = random.Random(3)
    boxes = [find(who).email for who in ("user1", "user2", "user9", "user1_b")]
    for number in range(60):
        to = chance.sample(boxes, chance.randint(1, 3))
        lines = (
            delivered(f"4AAAAAAA{number:02}", f"s{number % 3}@x.example", *to)
            if number % 2
            else refused("s@x.example", to[0])
        )
        took(lines, ago=timedelta(minutes=chance.choice([1, 1, 50, 700, 8000, 40_000])), after=number // 3)
    days = [timedelta(days=chance.choice([0, 1, 5, 20, 4000])) for _box in boxes]
    scopes = {box: NOW - ago for box, ago in zip(boxes, days, strict=True)}
    moments = [NOW - timedelta(minutes=minutes) for minutes in (0, 2, 60, 9000, 60_000)]
    places = [None, *((row.at, row.pk) for row in Message.objects.order_by("?")[:6])]
    asked = [
        Sought(address, states, since, until)
        for address in ("", "s1@x.example", boxes[0])
        for states in (trace.SHOWN, (State.REFUSED,))
        for since in (None, moments[3])
        for until in (None, moments[2])
    ]
    seen = 0
    for sought, place, backwards, at_once in itertools.product(asked, places, (False, True), (1, 500)):
        monkeypatch.setattr(trace, "AT_ONCE", at_once)
        monkeypatch.setattr(trace, "RANGES", 10**6)
        few = trace._first(scopes, sought, place, backwards)
        monkeypatch.setattr(trace, "RANGES", -1)
        assert trace._first(scopes, sought, place, backwards) == few
        seen += len(few)
    assert seen > 1000


def test_other_peoples_recipients_are_counted_and_not_named(as_):
    took(delivered("4AAAAAAA01", "s@x.example", "user1@a.example", "user1@b.example", "root1@c.example"))
    for who, shown, hidden, others in (
        ("dadm_a", ["user1@a.example"], ["user1@b.example", "root1@c.example"], "2 other recipients"),
        ("help_ab", ["user1@a.example", "user1@b.example"], ["root1@c.example"], "1 other recipient,"),
        ("user1", ["user1@a.example"], ["user1@b.example", "root1@c.example"], "2 other recipients"),
        ("root1", ["user1@a.example", "user1@b.example", "root1@c.example"], [], ""),
    ):
        client = as_(who)
        for answer in (page_of(client, "s@x.example"), client.get(reverse("server:messages"))):
            body = answer.content.decode()
            assert [
                one
                for one in hidden
                if one in body or (one.partition("@")[0] + "<wbr>" in body and one != "user1@b.example")
            ] == []
            assert "b.example" not in body or "user1@b.example" in shown
            assert "c.example" not in body or "root1@c.example" in shown
        assert others in text(page_of(client, "s@x.example"))


def test_where_an_alias_leads_in_other_domains_is_not_told(as_):
    took(
        [
            *came("4AAAAAAA01", "s@x.example"),
            went("4AAAAAAA01", "user1@b.example", original="info@a.example"),
            gone("4AAAAAAA01"),
        ]
    )
    answer = page_of(as_("dadm_a"), "s@x.example")
    assert "info" in text(answer)
    assert "b.example" not in answer.content.decode()
    answer = page_of(as_("user1_b"), "s@x.example")
    assert "user1@b.example" in text(answer)
    assert "a.example" not in answer.content.decode()


def test_who_sends_sees_all_whom_it_was_written_to(as_):
    took(
        [
            *came("4AAAAAAA01", "user1@a.example", login="user1@a.example", count=3),
            went("4AAAAAAA01", "z@other.example", "ok", relay="mx[192.0.2.7]:25"),
            went("4AAAAAAA01", "user1@b.example", original="secret@b.example"),
            gone("4AAAAAAA01"),
        ]
    )
    for who in ("user1", "dadm_a"):
        body = text(page_of(as_(who), "user1@a.example"))
        assert "z@other.example" in body
        assert "secret@b.example" in body
        assert "user1@b.example" not in body
        assert listed(as_(who), address="user1@b.example") == []
        assert listed(as_(who), address="secret@b.example") == ["user1@a.example"]


@pytest.mark.parametrize("sender", ["sales@a.example", ""])
def test_who_sent_it_as_somebody_else_is_told_in_his_domain_alone(as_, sender):
    took(delivered("4AAAAAAA01", sender, "user1@b.example", login="user2@a.example"))
    for who, knows in (("user1_b", False), ("dadm_b", False), ("user2", True), ("dadm_a", True)):
        client = as_(who)
        assert ("user2@a.example" in text(page_of(client, sender))) is knows
        assert knows or "user2@a.example" not in text(client.get(reverse("server:messages")))
        assert listed(client, address="user2@a.example") == [sender] * knows


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("stored mail into mailbox 'Fools'", "Fools"),
        (
            "marked message to be discarded if not explicitly delivered (discard action)",
            "threw it away",
        ),
        ("forwarded to <z@private.example>", "sent it on"),
    ],
)
def test_rules_of_a_recipient_are_not_for_who_writes_to_him(as_, rule, words):
    took(
        [
            *delivered(
                "4AAAAAAA01",
                "user1@a.example",
                "user1@b.example",
                login="user1@a.example",
                session="abcdefgh",
            ),
            f"dovecot: lmtp(user1@b.example)<1><abcdefgh:1>: sieve: msgid=<1@x.example>: {rule}",
        ]
    )
    for who, knows in (
        ("user1", False),
        ("dadm_a", False),
        ("user1_b", True),
        ("dadm_b", True),
        ("root1", True),
    ):
        body = text(page_of(as_(who), "user1@a.example"))
        assert "Delivered to user1@b.example" in body
        assert (words in body) is knows


@pytest.mark.parametrize("source", ["secret@b.example", "secret@mirror.example"])
def test_the_server_that_an_alias_leads_to_is_not_for_who_writes_to_it(as_, source):
    Domain.objects.create(name="mirror.example", alias_of_id="b.example")
    Domain.objects.update(created=LONG_AGO)
    took(
        [
            *came("4AAAAAAA01", "user1@a.example", login="user1@a.example"),
            went("4AAAAAAA01", "z@private.example", "host mx.private.example[192.0.2.7] said: 450 4.2.0 private.example is busy",
                 "deferred", "mx.private.example[192.0.2.7]:25", source, "4.2.0"),
            went("4AAAAAAA01", "z@private.example", relay="mx.private.example[192.0.2.7]:25", original=source),
            gone("4AAAAAAA01"),
        ]
    )  # fmt: skip
    for who, knows in (("user1", False), ("dadm_a", False), ("dadm_b", True), ("root1", True)):
        answer = page_of(as_(who), "user1@a.example")
        assert source in text(answer)
        assert ("private.example" in answer.content.decode()) is knows


def test_reasons_that_name_others_are_cut(as_):
    why = "host mx.b.example[192.0.2.7] said: 550 5.1.1 <user1@b.example>, alias of user1@a.example: User unknown (in reply)"
    took(
        [
            *came("4AAAAAAA01", "s@x.example"),
            went("4AAAAAAA01", "user1@a.example", why, "bounced", "mx.b.example[192.0.2.7]:25"),
        ]
    )
    assert "user1@b.example" not in page_of(as_("dadm_a"), "s@x.example").content.decode()
    assert "user1@b.example" in page_of(as_("root1"), "s@x.example").content.decode()


def test_lines_of_the_log_are_for_server_admins(as_):
    took(delivered("4AAAAAAA01", "s@x.example", "user1@a.example", "user1@b.example"))
    assert "postfix/lmtp" in page_of(as_("root1"), "s@x.example").content.decode()
    for who in ("help_all", "dadm_ab", "user1"):
        assert "postfix/" not in page_of(as_(who), "s@x.example").content.decode()


def test_a_new_owner_does_not_see_the_mail_of_the_former_one(as_):
    took(delivered("4AAAAAAA01", "before@x.example", "user1@a.example"))
    took(delivered("4AAAAAAA02", "after@x.example", "user1@a.example"), after=120)
    Mailbox.objects.filter(email="user1@a.example").update(created=NOW - timedelta(minutes=9))
    assert listed(as_("user1")) == ["after@x.example"]
    assert listed(as_("user1"), name="4AAAAAAA01") == []
    assert page_of(as_("user1"), "before@x.example").status_code == 404
    assert listed(as_("dadm_a")) == ["after@x.example", "before@x.example"]


def test_a_domain_that_was_made_anew_shows_nothing_of_before(as_):
    took(delivered("4AAAAAAA01", "before@x.example", "user1@a.example"))
    took(delivered("4AAAAAAA02", "after@x.example", "user1@a.example"), after=120)
    Domain.objects.filter(name="a.example").update(created=NOW - timedelta(minutes=9))
    for who in ("dadm_a", "help_a"):
        assert listed(as_(who)) == ["after@x.example"]
        assert listed(as_(who), "domains:domain_messages", "a.example") == ["after@x.example"]
        assert page_of(as_(who), "before@x.example").status_code == 404
    assert listed(as_("root1"), "domains:domain_messages", "a.example") == [
        "after@x.example",
        "before@x.example",
    ]


def test_a_domain_that_was_made_anew_counts_nothing_of_before(as_):
    took(delivered("4AAAAAAA01", "before@x.example", "user1@a.example"), ago=timedelta(hours=3))
    took(delivered("4AAAAAAA02", "after@x.example", "user1@a.example"))
    Domain.objects.filter(name="a.example").update(created=NOW - timedelta(hours=1))
    for who, number in (("dadm_a", 1), ("root1", 2)):
        page = as_(who).get(reverse("domains:domain_traffic", args=["a.example"]))
        assert page.context["chart"].whole.delivered == number


def test_a_role_adds_the_own_mailbox_in_another_domain(as_):
    Role.objects.create(mailbox=find("user1_b"), kind="helpdesk", domain_id="a.example")
    took(delivered("4AAAAAAA01", "one@x.example", "user1@b.example"))
    took(delivered("4AAAAAAA02", "two@x.example", "user2@a.example"), after=9)
    took(delivered("4AAAAAAA03", "three@x.example", "boss@b.example"), after=19)
    assert listed(as_("user1_b")) == ["two@x.example", "one@x.example"]


def test_a_domain_of_many(as_):
    """More domains than go into one statement."""
    names = [f"d{number}.example" for number in range(150)]
    Domain.objects.bulk_create([Domain(name=name) for name in names])
    Domain.objects.update(created=LONG_AGO)
    Role.objects.bulk_create([Role(mailbox=find("user9"), kind="admin", domain_id=name) for name in names])
    for number in (0, 77, 149):
        took(refused(f"s{number}@x.example", f"x@d{number}.example"), after=number)
    assert listed(as_("user9")) == ["s149@x.example", "s77@x.example", "s0@x.example"]
    for number in range(90):  # most of them in one
        took(
            refused(f"more{number}@x.example", f"x@d{number if number % 4 == 0 else 5}.example"),
            after=200 + number,
        )
    everything, seen, query = [f"more{number}@x.example" for number in reversed(range(90))], [], ""
    while True:
        found = as_("user9").get(reverse("server:messages") + query).context["found"]
        seen += [told.row.sender for told in found]
        if not found.later:
            break
        query = found.later
    assert seen == [*everything, "s149@x.example", "s77@x.example", "s0@x.example"]
    back = as_("user9").get(reverse("server:messages") + found.earlier).context["found"]
    assert [told.row.sender for told in back] == seen[:50]


def test_the_tab_of_a_domain(as_):
    some()
    assert listed(as_("root1"), "domains:domain_messages", "b.example") == ["three@x.example"]
    assert listed(as_("dadm_ab"), "domains:domain_messages", "b.example", address="one@x.example") == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (refused("s@x.example", "user1@a.example"), ["Refused", "There is no such address."]),
        (refused("s@x.example", "user1@a.example", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; x"),
         ["The sending server is on the blocklist zen.spamhaus.org."]),
        *((refused("s@x.example", "user1@a.example", f"554 5.7.1 Client host [192.0.2.1] is on the blocklist zen.example.test{why}. Ask there to be taken off;"
                   " postmaster@mail.example.test still takes your mail"), ["The sending server is on the blocklist zen.example.test."])
          for why in ("", " (https://example.test/x)")),
        *((refused("s@x.example", "user1@a.example", f"451 4.{code}"), ["Put off", "A part of this mail server does not answer."])
          for code in ("5.0 Error in processing, id=21633-05, virus_scan FAILED: x", "3.0 The key to sign with cannot be read now")),
        (refused("s@x.example", "user1@a.example", "452 4.2.2 <{to}>: Recipient address rejected: The mailbox is full"), ["Put off", "The mailbox is full."]),
        (refused("s@x.example", "user1@a.example", "450 4.7.1 <{to}>: Recipient address rejected: over the limit of messages"),
         ["More was sent than is allowed in this time."]),
        (waits("4AAAAAAA01", "s@x.example", "user1@a.example"), ["Waits", "does not answer", "next try"]),
        (spam("01234-01", "s@x.example", "user1@a.example"), ["Held back by the filter", "quarantine", "spam score is 15.2"]),
        (delivered("4AAAAAAA01", "s@x.example", "user1@a.example"), ["Delivered", "It came from mx.example.net (192.0.2.1)"]),
        ([*delivered("4AAAAAAA01", "s@x.example", "user1@a.example"),
          "dovecot: lmtp(user1@a.example)<1><sess4AAAAAAA01>: sieve: msgid=<1@x>: stored mail into mailbox 'Junk'"], ["folder Junk"]),
    ],
)  # fmt: skip
def test_the_way_in_words(as_, lines, words):
    took(lines)
    for who in ("user1", "help_a", "root1"):
        body = text(page_of(as_(who), "s@x.example")).lower()
        assert [one for one in words if one.lower() not in body] == []


@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
@pytest.mark.parametrize("before_queue", [True, False])
@pytest.mark.parametrize("limit", [Limit(4, None), Limit(None, 4), Limit(1, None)])
def test_over_the_sending_limit_in_words(as_, limit, before_queue, verb):
    """As Postfix writes what our own service has said: whose mailbox it is sees it, also before the queue, where no line tells who signed in."""
    sending.set_limit("user1@a.example", limit, by=audit.By("shell:root"))
    answers = [policy_service.answer(asked(2)) for _message in range(3)]
    code, words = answers[-1].split(" ", 1)
    key = "NOQUEUE" if before_queue else "4dKxyx5bVRz1Yj"
    client = "client=unknown[192.0.2.1], sasl_method=PLAIN, sasl_username=user1@a.example"
    took(
        [
            f"postfix/submission/smtpd[7]: {key}: {client}",
            f"postfix/submission/smtpd[7]: {key}: reject: {verb} from unknown[192.0.2.1]: {code} {words.partition(' ')[0]}"
            f" <{verb}>: Data command rejected: {words.partition(' ')[2]}; from=<user1@a.example> proto=ESMTP helo=<h>",
        ]
    )
    for who in ("user1", "help_a", "root1"):
        body = text(page_of(as_(who), "user1@a.example"))
        assert "More was sent than is allowed in this time." in body
        assert who == "user1" or "user1@a.example may send to" in body
    assert page_of(as_("user2"), "user1@a.example").status_code == 404


def asked(count: int) -> dict[str, str]:
    return {"protocol_state": "DATA", "sasl_username": "user1@a.example", "recipient_count": str(count)}


def test_not_owned_in_words(as_):
    took(not_owned("user2@a.example", "user1@a.example"))
    assert "does not belong to the mailbox that signed in" in text(page_of(as_("user1"), "user2@a.example"))
    assert page_of(as_("user2"), "user2@a.example").status_code == 404


def test_the_same_wait_is_told_once(as_):
    took(waits("4AAAAAAA01", "s@x.example", "user1@a.example"))
    for number in range(5):
        took([waits("4AAAAAAA01", "s@x.example", "user1@a.example")[-1]], after=60 + number)
    body = text(page_of(as_("user1"), "s@x.example"))
    assert body.count("It waits to go to") == 1
    assert "6 tries" in body


def test_hostile_names_are_harmless(as_):
    evil = '"<script>alert(1)</script>"@x.example'
    took(refused(evil, "user1@a.example", "554 5.7.1 <img src=x onerror=alert(1)>: Relay access denied"))
    for who in ("root1", "user1"):
        client = as_(who)
        for answer in (client.get(reverse("server:messages")), page_of(client, evil)):
            assert "<script>alert" not in answer.content.decode()
            assert "<img" not in answer.content.decode()


def test_an_empty_list_tells_a_server_admin_what_is_wrong(as_):
    Position.objects.create(host="mx1", path="/var/log/mail.log", error="unreadable")
    assert "may not read /var/log/mail.log" in text(as_("root1").get(reverse("server:messages")))
    assert "/var/log" not in as_("dadm_a").get(reverse("server:messages")).content.decode()


def test_statements_do_not_grow(as_, django_assert_max_num_queries):
    for number in range(60):
        took(
            delivered(f"4AAAAAAA{number:02}", f"s{number}@x.example", "user1@a.example", "user2@a.example"),
            after=number * 4,
        )
    for who, most in (("root1", 10), ("dadm_a", 11), ("user1", 10)):
        client = as_(who)
        with django_assert_max_num_queries(most):
            client.get(reverse("server:messages"))
        with django_assert_max_num_queries(most):
            client.get(reverse("server:messages"), {"address": "user1@a.example", "state": "delivered"})
        with django_assert_max_num_queries(most):
            page_of(client, "s5@x.example")


# --- traffic --------------------------------------------------------------------------------------------------


def test_traffic_of_the_server_and_of_a_domain(as_):
    some()
    answer = as_("root1").get(reverse("server:traffic"), {"period": "day"})
    whole = answer.context["chart"].whole
    assert (whole.received, whole.delivered, whole.refused, whole.spam, whole.deferred) == (6, 4, 1, 1, 2)
    whole = as_("dadm_b").get(reverse("domains:domain_traffic", args=["b.example"])).context["chart"].whole
    assert (whole.received, whole.delivered, whole.refused) == (1, 1, 0)
    assert "Mail today" in text(as_("root1").get("/"))
    assert "Mail today" not in text(as_("dadm_a").get("/"))


@pytest.mark.parametrize("period", ["day", "week", "month", "quarter", "nonsense"])
def test_the_plot_and_its_table_tell_the_same(as_, settings, period):
    hour = int(timezone.now().timestamp()) // 3600
    Traffic.objects.bulk_create(
        [
            Traffic(domain="", hour=hour - ago, received=ago + 1, refused=3, deferred=ago % 2)
            for ago in range(20)
        ]
        + [
            Traffic(domain="", hour=hour - 24 * 200, received=10**6),
            Traffic(domain="a.example", hour=hour, received=10**6),
        ]
    )
    chart = as_("root1").get(reverse("server:traffic"), {"period": period}).context["chart"]
    assert sum(slot.received for slot in chart.table) == chart.whole.received == sum(range(1, 21))
    assert chart.whole.refused == 60
    assert chart.top >= max(slot.all for slot in chart.slots)
    assert len(chart.slots) == chart.period.count


def test_a_day_of_23_and_one_of_25_hours(settings, monkeypatch):
    from mailpanel.server import traffic

    for day in (datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)):
        with timezone.override("Europe/Berlin"):
            monkeypatch.setattr(timezone, "now", lambda day=day: day)
            hours = range(int(day.timestamp()) // 3600 - 30, int(day.timestamp()) // 3600 + 1)
            Traffic.objects.all().delete()
            Traffic.objects.bulk_create(Traffic(domain="", hour=hour, received=1) for hour in hours)
            for period in traffic.PERIODS.values():
                chart = traffic.chart("", period)
                assert chart.whole.received == (24 if period.key == "day" else 31)


def test_leads_to_what_was_held_back(as_):
    """For whoever may read it there: of several recipients, to those that he may know of."""
    took(spam("01234-01", "s@x.example", "user1@a.example user1@b.example"))
    one, other = hold("user1@a.example", "user1@b.example", mail_id=Message.objects.get().quarantine)
    for who, slips in (
        ("user1", [one]), ("user1_b", [other]), ("dadm_a", [one]), ("help_a", [one]), ("root1", [one, other]), ("dadm_ab", [one, other]),
    ):  # fmt: skip
        body = page_of(as_(who), "s@x.example").content.decode()
        there = [slip for slip in (one, other) if reverse("server:quarantine_message", args=[slip]) in body]
        assert (who, there) == (who, slips)
    MsgRcpt.objects.update(rs="R")
    body = page_of(as_("root1"), "s@x.example").content.decode()
    assert reverse("server:quarantine_message", args=[one]) not in body
