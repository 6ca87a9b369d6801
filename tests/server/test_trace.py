"""From lines to messages: one for each that came, however many names it had, and who may see it."""

from datetime import timedelta
from itertools import chain

import pytest
from django.conf import settings
from django.utils import timezone

from domains.models import Domain
from mailpanel.daemons import postfix
from mailpanel.management.log_lines import (
    came,
    delivered,
    gone,
    not_owned,
    passed_after_queue,
    passed_before_queue,
    refused,
    released,
    spam,
    verdict,
    virus,
    waits,
    went,
)
from mailpanel.server import ledger
from mailpanel.server.models import Key, Line, Message, Recipient, Sight, Traffic
from mailpanel.server.models.trace import State
from tests.people import find
from tests.server.log_lines import took


def told():
    """All that is shown: sender, the recipients with what became of them, by the state of the whole."""
    return [
        (
            State(message.state).name,
            message.sender,
            sorted(
                (one.address, one.original, State(one.state).name)
                for one in message.recipients.exclude(state=0)
            ),
        )
        for message in Message.objects.exclude(state=State.NONE).order_by("at", "id")
    ]


def scopes(message=None):
    rows = Sight.objects.filter(address="")
    return sorted(
        (rows.filter(message=message) if message else rows).values_list("scope", flat=True).distinct()
    )


def counted(domain=""):
    return {
        kind: sum(getattr(row, kind) for row in Traffic.objects.filter(domain=domain))
        for kind in Traffic.KINDS
        if any(getattr(row, kind) for row in Traffic.objects.filter(domain=domain))
    }


def test_delivered(world):
    took(delivered("4AAAAAAA01", "s@x.example", "user1+shop@a.example"))
    assert told() == [("DELIVERED", "s@x.example", [("user1+shop@a.example", "", "DELIVERED")])]
    row = Message.objects.get()
    assert (row.client, row.address, row.size, row.message_id) == (
        "mx.example.net",
        "192.0.2.1",
        500,
        "4aaaaaaa01@x.example",
    )
    assert scopes() == ["", "a.example", "user1@a.example"]
    assert counted() == counted("a.example") == {"received": 1, "delivered": 1}
    assert Line.objects.count() == 5


def test_by_way_of_an_alias(world):
    took(
        [
            *came("4AAAAAAA01", "s@x.example", count=2),
            went("4AAAAAAA01", "user1@a.example", original="info@a.example"),
            went("4AAAAAAA01", "user1@b.example", original="info@a.example"),
            gone("4AAAAAAA01"),
        ]
    )
    assert scopes() == ["", "a.example", "b.example", "user1@a.example", "user1@b.example"]
    found = set(Sight.objects.filter(scope="a.example").values_list("address", flat=True))
    assert found == {
        "",
        "s@x.example",
        "info@a.example",
        "user1@a.example",
    }  # not where it leads in domains of others
    assert counted("b.example") == {"received": 1, "delivered": 1}


def test_in_a_mirror(world):
    Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    took(
        [
            *came("4AAAAAAA01", "s@x.example"),
            went("4AAAAAAA01", "user1@a.example", original="user1@mirror.example"),
        ]
    )
    assert scopes() == ["", "a.example", "mirror.example", "user1@a.example"]
    took(refused("s@x.example", "user2@mirror.example"))
    assert scopes(Message.objects.latest("id")) == ["", "a.example", "mirror.example", "user2@a.example"]


def test_waits_and_then_arrives(world):
    took(waits("4AAAAAAA01", "user1@a.example", "z@other.example", login="user1@a.example"))
    assert told() == [("WAITING", "user1@a.example", [("z@other.example", "", "WAITING")])]
    assert counted("a.example") == {"received": 1, "deferred": 1}
    took(
        [
            went("4AAAAAAA01", "z@other.example", "250 ok", relay="mx.other.example[192.0.2.7]:25"),
            gone("4AAAAAAA01"),
        ],
        after=60,
    )
    assert told() == [("SENT", "user1@a.example", [("z@other.example", "", "SENT")])]
    assert counted("a.example") == {"received": 1, "deferred": 1, "delivered": 1}
    assert scopes() == ["", "a.example", "user1@a.example"]


def test_given_up(world):
    took(waits("4AAAAAAA01", "s@x.example", "z@other.example"))
    took(
        [
            "postfix/qmgr[3]: 4AAAAAAA01: from=<s@x.example>, status=expired, returned to sender",
            gone("4AAAAAAA01"),
        ],
        after=60,
    )
    assert told()[0][0] == "BOUNCED"


def test_deleted_from_the_queue(world):
    took(waits("4AAAAAAA01", "s@x.example", "z@other.example"))
    took(["postfix/postsuper[9]: 4AAAAAAA01: removed"], after=60)
    assert told()[0][0] == "BOUNCED"


def test_refused_at_the_door(world):
    took(refused("s@x.example", "nobody@a.example"))
    took(refused("s@x.example", "z@other.example", "554 5.7.1 <{to}>: Relay access denied"), after=2)
    took(not_owned("user2@a.example", "user1@a.example"), after=3)
    took(
        refused("user1@a.example", "z@other.example", "550 5.1.2 <{to}>: no", "postfix/submission/smtpd"),
        after=4,
    )
    assert [state for state, _sender, _to in told()] == ["REFUSED"] * 4
    rows = list(Message.objects.order_by("at"))
    assert [scopes(row) for row in rows] == [
        ["", "a.example"], [""], ["", "a.example", "user1@a.example"], ["", "a.example", "user1@a.example"],
    ]  # fmt: skip
    assert counted() == {"refused": 4}


def test_one_recipient_refused_and_the_other_not(world):
    key = "4AAAAAAA01"
    first, *others = came(key, "s@x.example")
    no = refused("s@x.example", "nobody@b.example")[0].replace("NOQUEUE", key)
    took([first, no, *others, went(key, "user1@a.example"), gone(key)])
    assert told() == [
        (
            "REFUSED",
            "s@x.example",
            [("nobody@b.example", "", "REFUSED"), ("user1@a.example", "", "DELIVERED")],
        )
    ]
    of_scope = dict(Sight.objects.filter(address="").values_list("scope", "state"))
    assert (of_scope["a.example"], of_scope["b.example"]) == (State.DELIVERED, State.REFUSED)


def test_a_forged_sender_is_for_admins_and_not_for_the_owner(world):
    took(delivered("4AAAAAAA01", "user1@a.example", "user1@b.example"))
    assert scopes() == ["", "a.example", "b.example", "user1@b.example"]
    found = set(Sight.objects.filter(scope="a.example").values_list("address", flat=True))
    assert found == {"", "user1@a.example"}  # and the recipient, whom a stranger chose, is not told


@pytest.mark.parametrize(
    "lines",
    [
        passed_before_queue("4BBBBBBB01", "01234-01", "s@x.example", "user1@a.example user2@a.example"),
        virus("01234-02", "s@x.example", "user1@a.example user1@b.example"),
        spam("01234-03", "s@x.example", "user1@a.example user1@b.example"),
        passed_after_queue("4BBBBBBB02", "4BBBBBBB03", "01234-04", "user1@a.example", "user2@a.example"),
        passed_after_queue(
            "4BBBBBBB04", "4BBBBBBB05", "01234-05", "user1@a.example", "user2@a.example", "info@a.example"
        ),
    ],
    ids=["passed before the queue", "virus", "spam", "passed after the queue", "alias after the queue"],
)
def test_with_the_filter_it_is_one_message(world, lines):
    """Read at once, line by line, and with Amavis' own log read before or after: always the same."""

    def outcome():
        message = Message.objects.exclude(state=State.NONE).get()
        seen = sorted(Sight.objects.values_list("scope", "address", "state"))
        traffic = {domain: counted(domain) for domain in ("", "a.example", "b.example")}
        facts = (
            message.client,
            message.login,
            message.sender,
            message.verdict,
            message.score,
            message.quarantine,
            message.size,
        )
        lines = sorted(line.text for line in message.log.all())
        for model in (Sight, Line, Recipient, Key, Message, Traffic):
            model.objects.all().delete()
        return facts, seen, traffic, lines

    def reads():
        took(lines)
        yield outcome()
        for number, line in enumerate(lines):
            took([line], after=number)
        yield outcome()
        indexed = list(enumerate(lines))
        of_filter = [one for one in indexed if "amavisd[" in one[1]]
        of_postfix = [one for one in indexed if "amavisd[" not in one[1]]
        for number, line in chain(of_filter, of_postfix):
            took([line], after=number)
        yield outcome()
        for number, line in chain(of_postfix, of_filter):
            took([line], after=number)
        yield outcome()

    first, *others = reads()
    for other in others:
        assert other == first
    assert len(first[3]) == len(lines)


def test_after_the_queue(world):
    took(
        passed_after_queue(
            "4BBBBBBB04", "4BBBBBBB05", "01234-05", "user1@a.example", "user2@a.example", "info@a.example"
        )
    )
    assert told() == [("DELIVERED", "user1@a.example", [("user2@a.example", "info@a.example", "DELIVERED")])]
    row = Message.objects.get()
    assert (row.client, row.login, row.verdict, row.score, row.queue_id) == (
        "mx.example.net",
        "user1@a.example",
        "clean",
        1.5,
        "4BBBBBBB04",
    )
    assert set(Key.objects.values_list("name", flat=True)) >= {"4BBBBBBB04", "4BBBBBBB05", "amavis:01234-05"}


def test_virus_and_spam(world):
    took(virus("01234-02", "s@x.example", "user1@a.example user1@b.example"))
    took(spam("01234-03", "s@x.example", "user1@a.example"), after=5)
    assert [(state, [one[2] for one in to]) for state, _sender, to in told()] == [
        ("REFUSED", ["REFUSED", "REFUSED"]), ("QUARANTINED", ["QUARANTINED"]),
    ]  # fmt: skip
    assert counted("a.example") == {"refused": 1, "spam": 1, "virus": 1}
    assert list(Message.objects.order_by("at").values_list("quarantine", flat=True)) == [
        "mail01234-02",
        "mail01234-03",
    ]


def test_released_from_the_quarantine(world):
    """It goes on as the same message, for whom it was released alone, however late."""
    took(spam("01234-03", "s@x.example", "INFO@a.example user1@b.example"), ago=timedelta(days=20))
    took(virus("01234-04", "s@x.example", "user2@a.example"), ago=timedelta(hours=1))
    took(released("4BBBBBBB06", "01234-03", "s@x.example", "user1@a.example", "info@a.example"))
    assert told()[0] == (
        "QUARANTINED", "s@x.example",
        [("user1@a.example", "info@a.example", "DELIVERED"), ("user1@b.example", "", "QUARANTINED")],
    )  # fmt: skip
    assert set(Message.objects.values_list("client", "address")) == {("", "192.0.2.1")}
    assert counted("a.example") == {"received": 1, "delivered": 1, "refused": 1, "spam": 1, "virus": 1}
    assert dict(Sight.objects.filter(scope="a.example", address="").values_list("message__quarantine", "state")) == {
        "mail01234-03": State.DELIVERED, "mail01234-04": State.REFUSED,
    }  # fmt: skip
    took(released("4BBBBBBB07", "01234-04", "s@x.example", "user2@a.example"), after=10)
    took(released("4BBBBBBB08", "01234-03", "s@x.example", "user1@b.example"), after=20)
    assert [state for state, _sender, _to in told()] == ["DELIVERED", "DELIVERED"]


def test_released_after_the_message_has_been_forgotten(world):
    took(released("4BBBBBBB06", "01234-03", "s@x.example", "user1@a.example"))
    assert told() == [("DELIVERED", "s@x.example", [("user1@a.example", "", "DELIVERED")])]


def test_the_filter_is_down_for_a_while(world):
    key, then = "4BBBBBBB02", "4BBBBBBB03"
    down = went(
        key,
        "info@a.example",
        "connect to 127.0.0.1[127.0.0.1]:10024: Connection refused",
        "deferred",
        "none",
        dsn="4.4.1",
    )
    lines = passed_after_queue(key, then, "01234-04", "user1@a.example", "user2@a.example", "info@a.example")
    took([*lines[:3], down])
    assert told()[0][0] == "WAITING"
    took(lines[3:], after=60)
    assert told() == [("DELIVERED", "user1@a.example", [("user2@a.example", "info@a.example", "DELIVERED")])]
    assert counted() == {"received": 1, "delivered": 1, "deferred": 1}


def test_another_servers_words_link_nothing(world):
    """A next hop that answers like the filter does, with the queue id of somebody else's message."""
    took(delivered("4AAAAAAA01", "s@x.example", "user1@b.example"))
    said = "250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4AAAAAAA01"
    took(
        [
            *came("4AAAAAAA02", "user1@a.example"),
            went("4AAAAAAA02", "z@evil.example", said, relay="mx.evil.example[192.0.2.66]:25"),
        ]
    )
    assert len(told()) == 2


def test_a_domain_that_was_made_meanwhile_counts_nothing_below_zero(world):
    """What was refused before is taken back of its hour, which has not had it."""
    key, to = "4AAAAAAA01", "q@new.example"
    took(
        [
            f"postfix/smtpd[1]: {key}: client=mx.example.net[192.0.2.1]",
            f"postfix/smtpd[1]: {key}: reject: RCPT from mx.example.net[192.0.2.1]: 450 4.2.0 <{to}>: later;"
            f" from=<s@x.example> to=<{to}> proto=ESMTP helo=<h.example>",
        ]
    )
    Domain.objects.create(name="new.example")
    Traffic.objects.create(domain="new.example", hour=Traffic.objects.get().hour, spam=1)
    took([*came(key, "s@x.example")[2:], went(key, to)], after=10)
    assert counted() == {"received": 1, "delivered": 1}
    assert counted("new.example") == {"received": 1, "delivered": 1, "spam": 1}


def test_queue_ids_come_back(world):
    took(delivered("4AAAAAAA01", "first@x.example", "user1@a.example"))
    took(delivered("4AAAAAAA01", "second@x.example", "user2@a.example", session="another"), after=60)
    assert [sender for _state, sender, _to in told()] == ["first@x.example", "second@x.example"]
    assert scopes(Message.objects.get(sender="second@x.example")) == ["", "a.example", "user2@a.example"]


def test_queue_ids_of_two_hosts_are_two(world):
    took(delivered("4AAAAAAA01", "first@x.example", "user1@a.example"))
    took(delivered("4AAAAAAA01", "second@x.example", "user2@a.example")[:-1], host="other", after=1)
    took([gone("4AAAAAAA01")], host="other", after=30)
    assert [sender for _state, sender, _to in told()] == ["first@x.example", "second@x.example"]


def test_late_lines_belong_to_what_has_ended(world):
    took(delivered("4AAAAAAA01", "s@x.example", "user1@a.example"))
    took(["postfix/bounce[1]: 4AAAAAAA01: sender delivery status notification: 4AAAAAAA09"], after=8)
    assert Message.objects.count() == 1
    took([gone("4AAAAAAA01"), "postfix/smtp[1]: 4AAAAAAA01: host x said: y"], after=3600)
    assert Message.objects.count() == 1


def test_what_the_panel_itself_tries_is_not_shown(world):
    probe = settings.PROBE_ADDRESS
    took(delivered("4AAAAAAA01", probe, probe, login=probe))
    took(refused(postfix.STRANGER, postfix.ELSEWHERE), after=9)
    before_to = "postfix/submission/smtpd[1]: NOQUEUE: reject: MAIL from unknown[127.0.0.3]: 554 5.7.1 <unknown[127.0.0.3]>:"
    took(
        [
            f"{before_to} Client host rejected: Access denied; from=<{postfix.STRANGER}> proto=ESMTP helo=<[127.0.0.3]>"
        ],
        after=9,
    )
    asked = went("4AAAAAAA02", "z@relay.example", "250 ok", "deliverable", "127.0.0.1[127.0.0.1]:25")
    took([*came("4AAAAAAA02", "double-bounce@mail.example.test")[1:], asked, gone("4AAAAAAA02")], after=10)
    assert (told(), Sight.objects.count(), counted()) == ([], 0, {})
    for number, stranger in enumerate((probe, postfix.STRANGER), 1):  # who hides behind such a name
        took(delivered(f"4AAAAAAA1{number}", stranger, "user1@a.example"), after=20 * number)
        assert told()[-1] == ("DELIVERED", stranger, [("user1@a.example", "", "DELIVERED")])
        assert counted() == {"received": number, "delivered": number}


def test_a_connection_that_came_to_nothing(world):
    took(came("4AAAAAAA01", "s@x.example")[:1])
    assert (told(), counted()) == ([], {})


def test_mailing_lists_and_endless_retries_are_bounded(world):
    again = [went("4AAAAAAA01", "z@other.example", "no", "deferred", "none", dsn="4.4.1")] * (
        ledger.LINES + 100
    )
    took([*came("4AAAAAAA01", "s@x.example"), *again], ago=timedelta(minutes=30))
    took([went("4AAAAAAA01", "z@other.example", "ok", relay="mx[192.0.2.7]:25"), gone("4AAAAAAA01")])
    assert (Line.objects.count(), told()[0][0]) == (ledger.LINES, "SENT")


def test_trim(world):
    for number in range(6):
        took(
            delivered(f"4AAAAAAA0{number}", "s@x.example", "user1@a.example"),
            ago=timedelta(days=10 * number, minutes=9),
        )
    took(came("4AAAAAAA07", "s@x.example")[:1], ago=timedelta(days=2))
    took(came("4AAAAAAA08", "s@x.example")[:1])
    assert (
        ledger.trim(timezone.now() - timedelta(days=30), 100, at_once=2) == 3
    )  # two old ones, and what nobody is shown
    assert ledger.trim(timezone.now() - timedelta(days=30), 100, at_once=2) == 1
    assert ledger.trim(timezone.now() - timedelta(days=30), 100, at_once=2) == 0
    assert sorted(Message.objects.values_list("queue_id", flat=True)) == [
        "4AAAAAAA00",
        "4AAAAAAA01",
        "4AAAAAAA02",
        "4AAAAAAA08",
    ]
    for model in (Sight, Line, Recipient, Key):
        assert set(model.objects.values_list("message", flat=True)) <= set(
            Message.objects.values_list("pk", flat=True)
        )
    assert ledger.trim(timezone.now() - timedelta(days=30), 5) > 0  # too many


def test_hostile_addresses_are_kept_as_they_are(world):
    took(refused('"> to=<user1@a.example"@x.example', '"; from=<user2@a.example"@a.example'))
    assert scopes() == ["", "a.example"]
    assert told()[0][1] == '"> to=<user1@a.example"@x.example'


def test_a_dovecot_session_links_the_folder(world):
    lines = delivered("4AAAAAAA01", "s@x.example", "user1@a.example")
    took(
        [
            "dovecot: lmtp(user1@a.example)<1><sess4AAAAAAA01>: sieve: msgid=<1@x>: stored mail into mailbox 'Junk'"
        ]
    )
    assert told() == []
    took(lines, after=1)
    assert Message.objects.count() == 1
    assert "Junk" in Line.objects.get(text__contains="stored mail").text


def test_a_former_owner(world):
    """The scope is that of the address: who may look into it from when on is access' business."""
    took(delivered("4AAAAAAA01", "s@x.example", "user1@a.example"))
    assert Sight.objects.filter(scope=find("user1").email).count() == 3


def test_verdict_of_a_passed_spam(world):
    took(
        [
            *came("4AAAAAAA01", "s@x.example"),
            verdict(
                "01234-09",
                "s@x.example",
                "user1@a.example",
                "Passed SPAMMY {RelayedTaggedInbound}",
                queued="4AAAAAAA01",
                hits="7.1",
            ),
            went("4AAAAAAA01", "user1@a.example"),
        ]
    )
    assert counted("a.example") == {"received": 1, "delivered": 1, "spam": 1}
