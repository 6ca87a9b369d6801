"""Who sees what of the quarantine, and what becomes of it when it is released or deleted."""

import itertools
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.models import Audit, Mailbox, Role
from domains.models import Alias, Domain
from mailpanel.server import decisions, quarantine, recipients
from mailpanel.server.models import FilterSender, MsgRcpt, Quarantine
from tests import pdp
from tests.held import hold
from tests.people import find

LIST, ACT = "server:quarantine", "server:quarantine_act"


@pytest.fixture
def world(world):
    """Everybody has been there for a year."""
    Mailbox.objects.update(created=timezone.now() - timedelta(days=365))
    Domain.objects.update(created=timezone.now() - timedelta(days=365))
    Alias.objects.update(created=timezone.now() - timedelta(days=365))


@pytest.fixture
def amavis():
    with pdp.listening() as amavis:
        yield amavis


def shown(client, **asked) -> list[str]:
    return [one.slip for one in client.get(reverse(LIST), asked).context["page"]]


def act(client, do, slips, **more):
    return client.post(reverse(ACT), {"do": do, "pick": slips, **more}, follow=True)


def state(slip) -> str:
    return MsgRcpt.objects.get(slip=slip).rs.strip()


def texts(slip) -> int:
    return Quarantine.objects.filter(mail_id=slip.partition(".")[0]).count()


# --- seeing ---------------------------------------------------------------------------------------------------


def test_each_sees_the_own_part(world, as_):
    (own,) = hold("user1@a.example", subject="Own")
    (other,) = hold("user2@a.example", subject="Other")
    (foreign,) = hold("user1@b.example", subject="Foreign")
    both = hold("user1@a.example", "user1@b.example", "user2@a.example", subject="Both")
    assert set(shown(as_("user1"))) == {own, both[0]}
    assert set(shown(as_("help_a"))) == {own, other, both[0], both[2]}
    assert set(shown(as_("dadm_a"))) == {own, other, both[0], both[2]}
    assert set(shown(as_("dadm_ab"))) == {own, other, foreign, *both}
    assert set(shown(as_("root1"))) == {own, other, foreign, *both}
    assert set(shown(as_("help_all"))) == {own, other, foreign, *both}
    assert shown(as_("dadm_ab"), mine="on") == []


def test_other_recipients_are_named_nowhere(world, as_):
    """Not in the list, not on the page, not in the headers that Amavis has added; but what the sender wrote stays."""
    text = (
        b"X-Envelope-To: <user1@a.example>,\n <user1@b.example>\nX-Envelope-To-Blocked: <user1@b.example>\n"
        b"Bcc: user1@b.example\nDelivered-To: user1@b.example\nX-Original-To: user1@b.example\n"
        b"To: everybody@outside.example\nFrom: x@y.example\nSubject: S\n\nHello\n"
    )
    mine, theirs = hold("user1@a.example", "user1@b.example", text=text)
    for who in ("user1", "help_a", "dadm_a"):
        for url in (reverse(LIST), reverse("server:quarantine_message", args=[mine])):
            content = as_(who).get(url).content.decode()
            assert "user1@b.example" not in content.replace("<wbr><i>", "").replace("</i>", "")
            assert theirs not in content
    assert "everybody@outside.example" in content
    assert as_("user1").get(reverse("server:quarantine_message", args=[theirs])).status_code == 404


def test_tags_mirrors_and_aliases_of_ones_own(world, as_):
    Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    Domain.objects.update(created=timezone.now() - timedelta(days=365))
    tag, mirror, alias, alias_in_mirror = [
        hold(to)[0]
        for to in (
            "user1+shop@a.example", "user1+x@mirror.example", "alias1@a.example", "alias1@mirror.example",
        )
    ]  # fmt: skip
    (shared,) = hold("info@a.example")
    assert set(shown(as_("user1"))) == {tag, mirror, alias}
    assert shown(as_("user2")) == []
    assert set(shown(as_("dadm_a"))) == {tag, mirror, alias, alias_in_mirror, shared}


def test_alias_of_the_same_name_that_takes_the_mail_takes_the_quarantine(world, as_):
    (slip,) = hold("user2@a.example")
    assert shown(as_("user2")) == [slip]
    Alias.objects.create(source="user2@a.example", destination="user1@a.example", domain_id="a.example")
    assert shown(as_("user2")) == []
    Alias.objects.create(source="user2@a.example", destination="user2@a.example", domain_id="a.example")
    assert shown(as_("user2")) == [slip]


def test_former_owner(world, as_):
    """What came before the mailbox was made is somebody else's, and so is what came for an alias before it led here."""
    hold("user1@a.example", ago=7200)
    hold("alias1@a.example", ago=7200)
    now = timezone.now()
    Mailbox.objects.filter(email="user1@a.example").update(created=now - timedelta(hours=1))
    Alias.objects.filter(source="alias1@a.example").update(created=now - timedelta(hours=1))
    assert shown(as_("user1")) == []
    (fresh,) = hold("user1@a.example", ago=60)
    (by_alias,) = hold("alias1@a.example", ago=60)
    assert set(shown(as_("user1"))) == {fresh, by_alias}
    Alias.objects.filter(source="alias1@a.example").update(created=now)
    assert shown(as_("user1")) == [fresh]


def test_what_passed_or_is_not_there_is_not_shown(world, as_):
    (slip,) = hold("user1@a.example", passed=("user2@a.example",))
    assert shown(as_("user2")) == []
    assert shown(as_("root1")) == [slip]
    MsgRcpt.objects.filter(slip=slip).update(rs="R")
    assert shown(as_("root1")) == []
    assert as_("root1").get(reverse("server:quarantine_message", args=[slip])).status_code == 404


def test_reading_follows_rank(world, as_):
    """A message may hold what gives access to something: the helpdesk does not read a server admin's."""
    (slip,) = hold("chief@a.example")
    url = reverse("server:quarantine_message", args=[slip])
    assert shown(as_("help_a")) == [slip]
    for who, status in {"help_a": 403, "dadm_a": 403, "user1": 404, "dadm_b": 404, "root1": 200}.items():
        assert as_(who).get(url).status_code == status
    assert as_("chief").get(url).status_code == 200


def test_reading_an_alias_of_somebody_above(world, as_):
    Alias.objects.create(source="boss-of-it@a.example", destination="alias2@a.example", domain_id="a.example")
    Alias.objects.create(source="alias2@a.example", destination="chief@a.example", domain_id="a.example")
    (slip,) = hold("boss-of-it@a.example")
    assert as_("help_a").get(reverse("server:quarantine_message", args=[slip])).status_code == 403


def _alias(source, destination, **more):
    return Alias.objects.create(source=source, destination=destination, domain_id="a.example", **more)


def test_reading_what_came_to_somebody_above_by_the_catch_all(world, as_):
    _alias("@a.example", "chief@a.example")
    (slip,) = hold("whoever@a.example")
    for who, status in {"help_a": 403, "dadm_a": 403, "root1": 200}.items():
        assert as_(who).get(reverse("server:quarantine_message", args=[slip])).status_code == status


def test_reading_what_came_to_somebody_above_step_by_step(world, as_):
    names = [*(f"step{number}@a.example" for number in range(12)), "chief@a.example"]
    for source, destination in itertools.pairwise(names):
        _alias(source, destination)
    (slip,) = hold(names[0])
    for who, status in {"help_a": 403, "dadm_a": 403, "root1": 200}.items():
        assert as_(who).get(reverse("server:quarantine_message", args=[slip])).status_code == status


def test_reading_what_came_to_the_postmaster(world, as_, settings):
    """Of the server, for each domain."""
    settings.MAILPANEL_POSTMASTER = find("root1").email
    (slip,) = hold("abuse@b.example")
    assert shown(as_("dadm_b")) == [slip]
    assert as_("dadm_b").get(reverse("server:quarantine_message", args=[slip])).status_code == 403


@pytest.mark.parametrize("change", [{"enabled": False}, {"expires": timezone.now()}, None])
def test_reading_where_an_alias_led_nowhere_any_more(world, as_, change):
    """Once it led to somebody above; whoever may make an alias of that name reads it, and not the helpdesk."""
    row = _alias("boss-of-it@a.example", "chief@a.example")
    (slip,) = hold("boss-of-it@a.example")
    Alias.objects.filter(pk=row.pk).update(**change) if change else row.delete()
    url = reverse("server:quarantine_message", args=[slip])
    for who, status in {"help_a": 403, "dadm_a": 200, "dadm_b": 404, "user1": 404, "root1": 200}.items():
        assert as_(who).get(url).status_code == status
    act(as_("help_a"), "delete", [slip], sure="1")
    assert state(slip) == ""


def test_reading_somebody_above_who_is_switched_off(world, as_):
    Mailbox.objects.filter(email="chief@a.example").update(enabled=False)
    (slip,) = hold("chief@a.example")
    assert as_("help_a").get(reverse("server:quarantine_message", args=[slip])).status_code == 403


def test_the_owner_sees_who_has_read_it(world, as_):
    (slip,) = hold("user1+x@a.example")
    url = reverse("server:quarantine_message", args=[slip])
    as_("user1").get(url)
    assert not Audit.objects.exists()
    as_("help_a").get(url)
    row = Audit.objects.get()
    assert (row.actor, row.action, row.kind, row.name, row.domain) == (
        "help@a.example", "read", "quarantine", "user1@a.example", "a.example",
    )  # fmt: skip
    page = as_("user1").get(reverse("accounts:audit_own")).content.decode()
    assert "read a message in the quarantine of" in page


def test_a_sender_who_writes_to_many_is_found_by_each(world, as_, monkeypatch):
    (slip,) = hold("user1@a.example", ago=900)
    monkeypatch.setattr(quarantine, "MOST_SENT", 5)
    for _number in range(12):
        hold("user1@b.example")
    for who in ("dadm_a", "user1"):
        for sender in ("spammer@outside.example", "@outside.example"):
            assert shown(as_(who), sender=sender) == [slip]
    assert len(shown(as_("dadm_b"), sender="@outside.example")) == 5


def test_filters(world, as_):
    (spam,) = hold("user1@a.example", sender="one@x.example", ago=50)
    (virus,) = hold("user1@a.example", sender="two@x.example", kind="V", ago=40)
    (banned,) = hold("user2@a.example", sender="one@y.example", kind="B", ago=30)
    (other,) = hold("user2+tag@a.example", sender="", kind="U", ago=20)
    (foreign,) = hold("user1@b.example", sender="one@x.example", ago=10)
    client = as_("dadm_a")
    assert shown(client) == [other, banned, virus, spam]
    assert shown(client, kind="V") == [virus]
    assert shown(client, kind="O") == [other]
    assert shown(client, sender="one@x.example") == [spam]
    assert shown(client, sender="@x.example") == [virus, spam]
    assert shown(client, sender="x.example", kind="S") == [spam]
    assert shown(client, to="user2@a.example") == [other, banned]
    assert shown(client, to="@a.example") == [other, banned, virus, spam]
    assert shown(client, to="@b.example") == shown(client, to="user1@b.example") == []
    assert shown(client, sender="nonsense of all kinds") == []
    assert shown(as_("root1"), to="@b.example") == [foreign]
    assert shown(as_("user1"), sender="@x.example", to="user1@b.example") == [virus, spam]


@pytest.mark.parametrize("who", ["root1", "dadm_ab", "user1"])
def test_each_stands_there_once_page_by_page(world, as_, monkeypatch, who):
    """Also with many in the same second, in both directions."""
    monkeypatch.setattr("mailpanel.paging.SIZE", 7)
    slips = {
        hold("user1@a.example", kind="SVBU"[number % 4], ago=1000 + number // 5)[0] for number in range(30)
    }
    client, query, pages = as_(who), "?", []
    while query:
        listed = client.get(reverse(LIST) + query).context["page"]
        pages.append([one.slip for one in listed])
        last, query = query, listed.later
    assert sorted(slip for page in pages for slip in page) == sorted(slips)
    assert [len(page) for page in pages] == [7, 7, 7, 7, 2]
    back, query = [], last
    while query:
        listed = client.get(reverse(LIST) + query).context["page"]
        back.insert(0, [one.slip for one in listed])
        query = listed.earlier
    assert back == pages


@pytest.mark.parametrize("place", ["x", "1,2,3", "9" * 40 + ",a", ",", "-5,x", "5,\x00", "١٢,a"])
def test_places_that_make_no_sense(world, as_, place):
    hold("user1@a.example")
    for name in ("after", "before"):
        for who in ("root1", "user1", "dadm_ab"):
            assert as_(who).get(reverse(LIST), {name: place}).status_code == 200


@pytest.mark.parametrize("who", ["user1", "help_a", "root1", "dadm_ab"])
def test_as_many_statements_for_one_as_for_fifty(world, as_, who):
    client = as_(who)
    hold("user1@a.example")

    def statements() -> int:
        with CaptureQueriesContext(connection) as caught:
            client.get(reverse(LIST))
        return len(caught)

    statements()  # the session is new
    one = statements()
    for number in range(60):
        hold(f"user1+{number}@a.example", "user2@a.example", sender=f"x{number}@outside.example")
    assert statements() == one <= 14


def test_statements_for_many_mailboxes(world, django_assert_num_queries):
    hold("user1@a.example")
    for number in (2, 9):
        boxes = list(Mailbox.objects.order_by("email")[:number])
        with django_assert_num_queries(4):
            recipients.own(boxes)


@pytest.mark.parametrize("domains", [40, 130])
def test_person_with_many_domains(world, as_, monkeypatch, domains):
    monkeypatch.setattr("mailpanel.paging.SIZE", 30)
    Role.objects.filter(mailbox=find("help_a")).delete()
    names = [f"d{number}.example" for number in range(domains)]
    Domain.objects.bulk_create(Domain(name=name) for name in [*names, "other.example"])
    Role.objects.bulk_create(Role(mailbox=find("help_a"), kind="helpdesk", domain_id=name) for name in names)
    slips = [hold(f"x@{name}", ago=1000 - number)[0] for number, name in enumerate(names)]
    hold("x@other.example")
    client = as_("help_a")
    assert shown(client) == slips[:-31:-1]
    deep = client.get(reverse(LIST)).context["page"].later
    assert [one.slip for one in client.get(reverse(LIST) + deep).context["page"]] == slips[-31:-61:-1]


def test_tags_that_a_stranger_makes_up_hide_nothing(world, as_, monkeypatch):
    monkeypatch.setattr(recipients, "MOST", 3)
    (slip,) = hold("user1@a.example", ago=900)
    for number in range(9):
        hold(f"user1+{number}@a.example")
    for who, asked in (
        ("user1", {}),
        ("dadm_a", {"to": "user1@a.example"}),
        ("root1", {"to": "user1@a.example"}),
    ):
        found = shown(as_(who), **asked)
        assert (len(found), found[-1]) == (4, slip)
    assert as_("user1").get(reverse("server:quarantine_message", args=[slip])).status_code == 200


def test_many_addresses_with_a_tag(world, as_):
    slips = [hold(f"user1+{number}@a.example", ago=100 - number)[0] for number in range(60)]
    assert shown(as_("user1")) == slips[::-1][:50]


def test_stranger_cannot_pass_for_somebody_else(world):
    """Addresses that are no address, as any SMTP client may write them."""
    for to in (
        '"user1+x@a.example"@b.example',
        "user1@a.example@b.example",
        "user1+@b.example",
        "+@a.example",
        "us\u00e9r1@a.example",
        "user1@a.example ",
        "user1@a.ex\u00e4mple",
    ):
        hold(to)
    assert recipients.own([find("user1")])[find("user1").pk] == {}


# --- releasing ------------------------------------------------------------------------------------------------


def test_release_to_the_own_recipient_alone(world, as_, amavis):
    mine, theirs = hold("user1@a.example", "user1@b.example")
    answer = act(as_("user1"), "release", [mine, theirs])
    assert amavis.asked == [
        [
            ("request", "release"), ("mail_id", mine.partition(".")[0]), ("secret_id", f"secret{mine[5:11]}"),
            ("quar_type", "Q"), ("queue_id", f"quarantine:{mine.partition('.')[0]}"), ("client_address", "127.0.0.1"),
            ("recipient", "<user1@a.example>"),
        ]
    ]  # fmt: skip
    assert (state(mine), state(theirs)) == ("R", "")
    assert texts(mine)  # the other one waits still
    assert "on its way" in answer.content.decode()
    row = Audit.objects.get()
    assert (row.actor, row.action, row.name, row.domain) == (
        "user1@a.example", "release", "user1@a.example", "a.example",
    )  # fmt: skip
    act(as_("dadm_b"), "release", [theirs])
    assert (state(theirs), texts(mine)) == ("R", 0)


def test_one_request_for_all_recipients_that_are_chosen(world, as_, amavis):
    slips = hold("user1@a.example", "user2@a.example", "user1@b.example")
    act(as_("dadm_a"), "release", slips)
    assert amavis.recipients == ["<user1@a.example>", "<user2@a.example>"]
    assert len(amavis.asked) == 1
    assert [state(slip) for slip in slips] == ["R", "R", ""]


@pytest.mark.parametrize("who", ["user2", "dadm_b"])
def test_release_of_others_mail_is_refused(world, as_, amavis, who):
    (slip,) = hold("user1@a.example")
    act(as_(who), "release", [slip])
    act(as_(who), "delete", [slip], sure="1")
    assert (amavis.asked, state(slip), texts(slip) > 0) == ([], "", True)


def test_release_follows_rank(world, as_, amavis):
    (slip,), (low,) = hold("chief@a.example"), hold("user1@a.example")
    assert act(as_("help_a"), "release", [slip]).status_code == 403
    answer = act(as_("help_a"), "release", [slip, low])
    assert amavis.recipients == ["<user1@a.example>"]
    assert (state(slip), state(low)) == ("", "R")
    assert "1 message stays" in answer.content.decode()


def test_failure_marks_nothing(world, as_, amavis):
    (slip,) = hold("user1@a.example")
    amavis.answer = "450 4.5.0 Failure: <b>no</b>"
    answer = act(as_("user1"), "release", [slip])
    assert (state(slip), texts(slip) > 0, Audit.objects.count()) == ("", True, 0)
    assert "Not released, and still here" in answer.content.decode()
    assert "<b>no</b>" not in answer.content.decode()


def test_nothing_is_released_to_who_takes_no_mail_any_more(world, as_, amavis):
    """It would be returned, and whom the sender names did not send it."""
    Alias.objects.create(source="out@a.example", destination="z@outside.example", domain_id="a.example")
    tos = ["user1@a.example", "disabled@a.example", "nobody@a.example", "out@a.example", "user1+x@a.example"]
    slips = [hold(to)[0] for to in tos]
    page = act(as_("dadm_a"), "release", slips).content.decode()
    assert sorted(amavis.recipients) == sorted(f"<{to}>" for to in (tos[0], tos[3], tos[4]))
    for to in tos[1:3]:
        assert f"{to} takes no mail any more" in page
    assert [state(slip) for slip in slips] == ["R", "", "", "R", "R"]


def test_nobody_keeps_a_message_to_himself(world, as_, amavis):
    (slip,) = hold("user1@a.example")
    amavis.answer = "450 4.5.0 no"
    act(as_("dadm_a"), "release", [slip])
    assert MsgRcpt.objects.get(slip=slip).claimed is None
    amavis.answer = "250 2.0.0 Ok"
    now = int(time.time())
    MsgRcpt.objects.filter(slip=slip).update(claimed=now + 60)
    answer = act(as_("user1"), "release", [slip])
    assert (state(slip), len(amavis.asked)) == ("", 1)
    assert "Somebody else was quicker with the message for user1@a.example" in answer.content.decode()
    MsgRcpt.objects.filter(slip=slip).update(claimed=now - 1)  # of one who was never heard of again
    act(as_("user1"), "release", [slip])
    assert state(slip) == "R"


def test_nobody_there(world, as_, settings):
    settings.MAILPANEL_PROBE_TARGETS = {"amavis-release": "127.0.0.1:1"}
    slips = hold("user1@a.example") + hold("user1@a.example")
    answer = act(as_("user1"), "release", slips)
    assert answer.content.decode().count("Not released, and still here") == 1
    assert [state(slip) for slip in slips] == ["", ""]


def test_silence_ends(world, as_, settings, monkeypatch, amavis):
    monkeypatch.setattr("mailpanel.daemons.pdp.SECONDS", 0.3)
    monkeypatch.setattr(amavis, "reply", lambda it, attributes: None)
    (slip,) = hold("user1@a.example")
    answer = act(as_("user1"), "release", [slip])
    assert state(slip) == ""
    assert "does not answer release within" in answer.content.decode()


def test_no_transaction_is_open_while_amavis_works(transactional_db, as_, amavis, client):
    from tests import people

    people.settle()
    Mailbox.objects.update(created=timezone.now() - timedelta(days=365))
    (slip,) = hold("user1@a.example")
    seen, before = [], amavis.reply

    def look(it, attributes):
        seen.append(state(slip))  # on a connection of its own; a lock would make it wait
        connection.close()
        before(it, attributes)

    amavis.reply = look
    act(as_("user1"), "release", [slip])
    assert (seen, state(slip)) == ([""], "R")


def test_virus(world, as_, amavis):
    (slip,) = hold("user1@a.example", kind="V")
    for who in ("user1", "help_a", "dadm_a"):
        assert act(as_(who), "release", [slip]).status_code == 403
        assert act(as_(who), "release", [slip], sure="1", reason="I know it").status_code == 403
    page = act(as_("root1"), "release", [slip])
    assert "Release a virus?" in page.content.decode()
    page = act(as_("root1"), "release", [slip], sure="1", reason="")
    assert page.context["form"].errors
    assert amavis.asked == []
    act(as_("root1"), "release", [slip], sure="1", reason="The scanner is wrong")
    assert (state(slip), Audit.objects.filter(action="release").get().reason) == ("R", "The scanner is wrong")


def test_what_no_scanner_has_seen(world, as_, amavis):
    """An archive that is too costly to unpack: the owner may not let it in, as he may not switch off the search for viruses."""
    (slip,), (own,) = hold("user1@a.example", kind="U"), hold("user1@a.example")
    for who in ("user1", "help_a"):
        page = as_(who).get(reverse("server:quarantine_message", args=[slip]))
        assert 'value="release"' not in page.content.decode()
        assert act(as_(who), "release", [slip]).status_code == 403
        assert act(as_(who), "allow", [slip]).status_code == 403
    assert amavis.asked == []
    act(as_("user1"), "release", [slip, own])
    assert (state(slip), state(own)) == ("", "R")
    act(as_("dadm_a"), "release", [slip])
    assert state(slip) == "R"


def test_bulk_of_spam_and_virus(world, as_, amavis):
    (spam,), (virus,) = hold("user1@a.example"), hold("user1@a.example", kind="V")
    act(as_("user1"), "release", [spam, virus])
    assert (state(spam), state(virus)) == ("R", "")


def test_allow_the_sender(world, as_, amavis):
    (slip,) = hold("user1+shop@a.example", sender="shop@outside.example")
    act(as_("user1"), "allow", [slip])
    assert FilterSender.objects.values_list("scope", "sender", "wb").get() == (
        "user1@a.example", "shop@outside.example", "W",
    )  # fmt: skip
    assert state(slip) == "R"
    assert set(Audit.objects.values_list("action", "kind", "name")) == {
        ("release", "quarantine", "user1@a.example"), ("senders", "filter", "user1@a.example"),
    }  # fmt: skip


def test_allow_takes_the_right_to_set_the_filter(world, as_, amavis):
    (slip,), (bounce,) = hold("user1@a.example"), hold("user1@a.example", sender="")
    act(as_("help_a"), "allow", [slip])
    act(as_("user1"), "allow", [bounce])
    assert (state(slip), state(bounce)) == ("R", "R")
    assert not FilterSender.objects.exists()
    (odd,) = hold("user1@a.example", sender="o'dd|<x>@outside.example")
    answer = act(as_("user1"), "allow", [odd])
    assert "This sender cannot be allowed" in answer.content.decode()


def test_failed_release_allows_nobody(world, as_, amavis):
    (slip,) = hold("user1@a.example")
    amavis.answer = "450 4.5.0 no"
    act(as_("user1"), "allow", [slip])
    assert not FilterSender.objects.exists()


# --- deleting -------------------------------------------------------------------------------------------------


def test_delete_asks_first(world, as_):
    mine, theirs = hold("user1@a.example", "user2@a.example")
    page = act(as_("user1"), "delete", [mine])
    assert "Delete 1 message?" in page.content.decode()
    assert state(mine) == ""
    act(as_("user1"), "delete", [mine], sure="1", reason="junk")
    assert (state(mine), state(theirs), texts(mine) > 0) == ("D", "", True)
    act(as_("user2"), "delete", [theirs], sure="1")
    assert texts(mine) == 0
    assert set(Audit.objects.values_list("action", "name", "reason")) == {
        ("delete", "user1@a.example", "junk"), ("delete", "user2@a.example", ""),
    }  # fmt: skip


def test_what_somebody_else_releases_just_now_is_not_deleted(world, as_):
    slips = hold("user1@a.example", "user2@a.example")
    MsgRcpt.objects.filter(slip=slips[0]).update(claimed=time.time() + 30)
    page = act(as_("dadm_a"), "delete", slips, sure="1").content.decode()
    assert "1 message is deleted" in page
    assert "Somebody else was quicker with the message for user1@a.example" in page
    assert [state(slip) for slip in slips] == ["", "D"]
    assert texts(slips[0])
    assert Audit.objects.filter(action="delete").count() == 1


def test_deleted_twice_at_once_stands_in_the_log_once(world, as_):
    hold("user1@a.example")
    seen = [quarantine.Listing(find(who)).page({}).rows for who in ("dadm_a", "root1")]
    outcomes = [decisions.delete(rows, by=audit.By("root1@c.example")) for rows in seen]
    assert [len(outcome.done) for outcome in outcomes] == [1, 0]
    assert Audit.objects.filter(action="delete").count() == 1


def test_second_time(world, as_, amavis):
    (slip,) = hold("user1@a.example")
    act(as_("user1"), "delete", [slip], sure="1")
    answer = act(as_("user1"), "release", [slip])
    assert "Nothing is selected that still waits" in answer.content.decode()
    assert amavis.asked == []


@pytest.mark.parametrize(
    "slip",
    ["abc\r\nrequest=release\r\nmail_id=other.1", "../x", "x" * 300, "", "%", "hold' OR 1=1 --", "a\x00b"],
)
def test_names_that_are_none(world, as_, amavis, slip):
    hold("user1@a.example")
    act(as_("root1"), "release", [slip])
    assert amavis.asked == []
    if slip and "/" not in slip:
        assert as_("root1").get(reverse("server:quarantine_message", args=[slip])).status_code == 404


def test_back_leads_to_the_list_alone(world, as_, amavis):
    (slip,) = hold("user1@a.example")
    here = "sender=%40x.example&kind=S&next=//evil.example"
    answer = as_("user1").post(reverse(ACT), {"do": "release", "pick": slip, "here": here})
    assert answer.url == "/quarantine/?sender=%40x.example&kind=S"
