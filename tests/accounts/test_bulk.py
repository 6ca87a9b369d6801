"""Bulk actions: what is shown before is what is done, within scope, rank and limits, all or nothing in each domain."""

import contextlib
import re

import pytest
from django.db.models import F
from django.urls import reverse

from accounts import audit, bulk, lifecycle, restore, search
from accounts.models import Audit, Mailbox, Role, Trash
from domains.models import Alias, Domain
from mailpanel.daemons import DaemonError
from tests import people
from tests.accounts.test_lifecycle import counters, race, true_counters
from tests.people import find
from tests.routes import url

BY = audit.By("root1@c.example")
BULK = reverse("accounts:mailboxes_bulk")


def keys(*names):
    return [find(name).pk for name in names]


def carry_out(who, names, columns, **more):
    chosen = Mailbox.objects.filter(pk__in=keys(*names)) if isinstance(names, list) else names
    return bulk.carry_out(find(who), chosen, bulk.Change(columns), by=BY, **more)


def state():
    return sorted(Mailbox.objects.values_list("email", "enabled", "quota", "modified"))


def confirm(client, **data):
    """The page with the consequences, and then the button on it."""
    page = client.post(BULK, data)
    if page.status_code != 200:
        return page
    html = page.content.decode().split("<main")[1]
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html)
    hidden += re.findall(r'<input type="hidden" name="(\w+)" id="[^"]*" value="([^"]*)"', html)
    sent = {}
    for name, value in hidden:
        if name != "csrfmiddlewaretoken":
            sent.setdefault(name, []).append(value)
    sent["count"] = [str(page.context["found"].count)]
    return client.post(
        BULK, {"typed": str(page.context["found"].count), "reason": "a move"} | sent | data, follow=True
    )


def test_disable_and_enable(world, dovecot):
    done = carry_out("dadm_a", ["user1", "user2", "disabled"], {"enabled": False}, reason="moved")
    assert (done.count, done.refused) == (2, [])
    assert not Mailbox.objects.filter(email__in=["user1@a.example", "user2@a.example"], enabled=True).exists()
    rows = Audit.objects.order_by("name")
    assert [(row.name, row.action, row.before, row.after, row.reason, row.domain) for row in rows] == [
        (f"user{n}@a.example", "change", {"enabled": True}, {"enabled": False}, "moved", "a.example")
        for n in (1, 2)
    ]
    bulk.tell_dovecot(done)
    assert [command for command, _parameters in dovecot] == ["authCacheFlush", "kick", "kick"]
    assert carry_out("dadm_a", ["user1", "user2"], {"enabled": True}).count == 2
    assert carry_out("dadm_a", ["user1", "user2"], {"enabled": True}).count == 0


def test_quota_within_the_pool(world):
    Domain.objects.filter(name="a.example").update(quota_pool=3 * 2**30)
    assert carry_out("root1", ["user1", "user2"], {"quota": 2**30}).count == 1
    assert counters() == true_counters()
    before = state()
    done = carry_out("root1", ["user1", "user2", "user9", "user1_b"], {"quota": 2 * 2**30})
    assert done.count == 1  # that of b.example, which has no pool
    assert done.refused == ["a.example: a.example has 1 GB left of its pool of 3 GB."]
    assert [row for row in state() if "b.example" not in row[0]] == [
        row for row in before if "b.example" not in row[0]
    ]
    assert find("user1_b").quota == 2 * 2**30
    assert counters() == true_counters()
    assert "needs a quota" in carry_out("root1", ["user1"], {"quota": None}).refused[0]


def test_delete_and_bring_back_together(world):
    before = state()
    everyone = Mailbox.objects.filter(domain__in=["a.example", "b.example"])
    done = carry_out("dadm_ab", everyone, None, reason="closed")
    gone = {"user1", "user2", "user9", "disabled", "boss", "help", "help-ab"}
    assert sorted(done.emails["a.example"]) == sorted(f"{name}@a.example" for name in gone)
    assert sorted(done.emails["b.example"]) == ["boss@b.example", "user1@b.example"]
    assert not Alias.objects.filter(domain="a.example").exists()
    for name in ("a.example", "b.example"):
        assert counters(name) == true_counters(name)
    assert search.correct(check=True) == 0
    assert Audit.objects.filter(action="delete").count() == done.count == 9
    assert "password" not in Audit.objects.first().before
    # one deletion for each domain, so that an admin of one alone brings back what is his
    assert Trash.objects.values("deletion").distinct().count() == 2
    for deletion in set(Trash.objects.values_list("deletion", flat=True)):
        with contextlib.suppress(DaemonError):
            assert restore.bring_back(deletion, by=BY) == []
    assert state() == before
    assert search.correct(check=True) == 0
    for name in ("a.example", "b.example"):
        assert counters(name) == true_counters(name)


@pytest.mark.parametrize("columns", [{"enabled": False}, {"enabled": True}, {"quota": 5}, None])
@pytest.mark.parametrize("who", sorted(people.CAST))
def test_only_what_the_actor_may_change_one_by_one(world, who, columns):
    """Whatever is chosen: the same as on the pages of each mailbox, but for the own one."""
    from accounts.access import To, may

    actor = find(who)
    Mailbox.objects.update(enabled=columns != {"enabled": True})
    allowed = {box.email for box in Mailbox.objects.all() if may(actor, To.CHANGE, box)}
    if columns in (None, {"enabled": False}):
        allowed -= {actor.email}
    done = carry_out(who, Mailbox.objects.all(), columns)
    assert {email for emails in done.emails.values() for email in emails} == allowed
    assert set(Audit.objects.values_list("name", flat=True)) == allowed


def test_last_server_admin_stays(world):
    """The transaction of that domain is undone, and told; the others are done."""
    Mailbox.objects.filter(email="chief@a.example").update(is_superuser=False)
    Mailbox.objects.filter(email="root2@c.example").update(can_login=False)
    before = state()
    for columns in ({"enabled": False}, None):
        # somebody who is a server admin without being able to sign in, as a command line may be
        done = bulk.carry_out(
            find("root2"), Mailbox.objects.filter(domain="c.example"), bulk.Change(columns), by=BY
        )
        assert (done.count, len(done.refused)) == (0, 1)
        assert "no server admin" in done.refused[0]
    assert state() == before
    assert not Audit.objects.exists()


def test_statements_do_not_grow_with_the_mailboxes(world, django_assert_max_num_queries):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example") for i in range(600)
    )
    people.recount()
    rows = Mailbox.objects.filter(domain="hosted.example")
    with django_assert_max_num_queries(20):
        assert carry_out("root1", rows, {"enabled": False}).count == 600
    with django_assert_max_num_queries(60):
        assert carry_out("root1", rows, None).count == 600
    assert counters("hosted.example") == true_counters("hosted.example")


def test_many_in_one_domain_are_told_to_dovecot_in_few_calls(dovecot, monkeypatch):
    monkeypatch.setattr(bulk, "KICKED_ONE_BY_ONE", 3)
    bulk.tell_dovecot(
        bulk.Done(
            7,
            [],
            {"a.example": [f"x{i}@a.example" for i in range(5)], "b.example": ["y@b.example", "z@b.example"]},
        )
    )
    assert [parameters.get("mask") for command, parameters in dovecot if command == "kick"] == [
        "y@b.example", "z@b.example", "*@a.example",
    ]  # fmt: skip


def test_bringing_back_needs_the_rights_of_all_that_comes_back(world, as_):
    """A server admin among the deleted is not brought back by a domain admin, wherever he stands in the row."""
    for last in ("user1", "zed@a.example"):
        Mailbox.objects.get_or_create(email="zed@a.example", domain_id="a.example")
        people.recount()
        carry_out("root1", ["chief", last], None)
        key = Trash.objects.order_by("-id").first().deletion
        assert as_("dadm_a").post(reverse("accounts:trash_restore", args=[key])).status_code == 403
        page = as_("dadm_a").get(reverse("accounts:trash"))
        assert [row.may_bring_back for row in page.context["deletions"] if row.deletion == key] == [False]
        assert "and 1 more" in page.content.decode()
        as_("root1").post(reverse("accounts:trash_restore", args=[key]))
        assert find("chief").is_superuser


# --- two at once --------------------------------------------------------------------------------------------


@pytest.fixture
def committed(transactional_db):
    people.settle()


def test_two_delete_the_same_at_once(committed):
    chosen, done = Mailbox.objects.filter(pk__in=keys("user1", "user2", "user9", "disabled")), []
    results = race(
        lambda: done.append(carry_out("root1", chosen, None)),
        lambda: done.append(carry_out("dadm_a", chosen.all(), None)),
    )
    assert results == [None, None]
    assert sum(one.count for one in done) == 4
    assert counters() == true_counters()
    assert Audit.objects.filter(action="delete").count() == 4
    assert search.correct(check=True) == 0


def test_two_give_quota_from_one_pool_at_once(committed):
    Domain.objects.filter(name="a.example").update(quota_pool=5 * 2**30)
    done = []
    race(
        lambda: done.append(carry_out("root1", ["user1", "user2"], {"quota": 2 * 2**30})),
        lambda: done.append(carry_out("dadm_a", ["user9", "disabled"], {"quota": 2 * 2**30})),
    )
    assert sorted(one.count for one in done) == [0, 2]
    assert counters() == true_counters()
    assert not Domain.objects.filter(quota_given__gt=F("quota_pool")).exists()


def test_two_server_admins_shut_each_other_out_at_once(committed):
    Mailbox.objects.filter(email="chief@a.example").update(is_superuser=False)
    race(
        lambda: carry_out("root1", ["root2"], {"enabled": False}),
        lambda: carry_out("root2", ["root1"], {"enabled": False}),
    )
    assert lifecycle.server_admins_who_can_sign_in().count() == 1


def test_right_that_is_given_meanwhile_protects(committed):
    """The rows were chosen, then one of them was made a server admin."""
    chosen = list(keys("user1", "user2"))
    Mailbox.objects.filter(email="user1@a.example").update(is_superuser=True)
    done = bulk.carry_out(
        find("dadm_a"), Mailbox.objects.filter(pk__in=chosen), bulk.Change({"enabled": False}), by=BY
    )
    assert done.emails == {"a.example": ["user2@a.example"]}


# --- the pages ----------------------------------------------------------------------------------------------


def test_consequences_are_shown_and_nothing_is_done(world, as_):
    before = state()
    page = as_("dadm_a").post(
        BULK, {"do": "delete", "pick": keys("user1", "user2", "chief", "dadm_ab", "dadm_a")}
    )
    found = page.context["found"]
    assert (found.count, found.above, found.own, found.losing) == (2, 2, 1, 3)
    assert "Delete 2 mailboxes?" in page.content.decode()
    assert state() == before
    page = as_("dadm_a").post(BULK, {"do": "disable", "pick": keys("user1", "disabled")})
    assert (page.context["found"].count, page.context["found"].already) == (1, 1)


@pytest.mark.parametrize("do", ["enable", "disable", "delete", "quota"])
def test_foreign_and_outranking_keys_change_nothing_and_are_not_named(world, as_, do):
    Mailbox.objects.filter(email__in=["user1_b", "chief"]).update(enabled=do != "enable")
    before = state()
    hidden = keys("user1_b", "dadm_b", "root1")
    page = as_("dadm_a").post(BULK, {"do": do, "pick": [*hidden, 10**15, "x", "-1", "9" * 30]})
    assert page.status_code == 302  # nothing of it is in reach
    page = as_("dadm_a").post(BULK, {"do": do, "pick": [*hidden, *keys("chief")]})
    html = page.content.decode().split("<main")[1]
    assert "b.example" not in html
    assert re.findall('name="pick" value="(.*?)"', html) == [str(find("chief").pk)]
    assert page.context["found"].count == 0
    sent = {
        "do": do,
        "sure": "1",
        "count": "0",
        "typed": "0",
        "quota": "1 GB",
        "pick": [*hidden, *keys("chief")],
    }
    as_("dadm_a").post(BULK, sent)
    as_("dadm_a").post(BULK, sent | {"count": "4", "typed": "4"})
    assert state() == before
    assert not Audit.objects.exclude(action="denied").exists()


def test_helpdesk_and_users_are_refused(world, as_):
    before = state()
    for who in ("help_a", "help_all", "user1"):
        assert (
            as_(who)
            .post(url("mailbox_bulk"), {"do": "disable", "pick": keys("user2"), "sure": "1"})
            .status_code
            == 403
        )
    assert state() == before


def test_domain_that_is_only_helped_or_unknown(world, as_):
    Role.objects.create(mailbox=find("dadm_a"), kind="helpdesk", domain_id="b.example")
    data = {"do": "disable", "pick": keys("user1_b"), "domain": "b.example"}
    assert as_("dadm_a").post(BULK, data).status_code == 403
    assert as_("dadm_a").post(BULK, data | {"domain": "c.example"}).status_code == 404
    page = as_("dadm_a").post(BULK, {"do": "disable", "all": "1", "q": "user"})
    assert set(page.context["found"].__dict__.items()) >= {
        ("count", 3),
        ("above", 1),
    }  # user1@b is seen, no more


def test_delete_takes_the_typed_number(world, as_):
    client, picks = as_("dadm_a"), keys("user1", "user2")
    data = {"do": "delete", "pick": picks, "sure": "1", "count": "2"}
    for typed in ("", "3", "two", "02"):
        page = client.post(BULK, data | {"typed": typed})
        assert page.context["form"].errors["typed"]
    assert find("user1").enabled
    page = confirm(client, do="delete", pick=picks)
    assert "2 mailboxes are deleted. The trash brings them back together" in page.content.decode()
    assert not Mailbox.objects.filter(pk__in=picks).exists()
    assert set(Audit.objects.filter(action="delete").values_list("reason", flat=True)) == {"a move"}


def test_all_that_the_filter_finds(world, as_):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"kim{i}@a.example", domain_id="a.example", enabled=i != 3) for i in range(120)
    )
    people.recount()
    search.rebuild()
    asked = {"do": "disable", "all": "1", "q": "kim", "domain": "a.example"}
    page = as_("dadm_a").post(BULK, asked)
    assert (page.context["found"].count, page.context["found"].already) == (119, 1)
    assert 'name="pick"' not in page.content.decode()
    page = confirm(as_("dadm_a"), **asked)
    assert page.redirect_chain == [("/domains/a.example/?q=kim", 302)]
    assert "119 mailboxes are switched off." in page.content.decode()
    assert Mailbox.objects.filter(enabled=False, email__startswith="kim").count() == 120
    assert Mailbox.objects.filter(enabled=False).count() == 121  # and `disabled` as before


def test_what_has_changed_since_the_page_was_shown_is_asked_again(world, as_):
    search.rebuild()
    data = {"do": "disable", "all": "1", "q": "user", "domain": "a.example", "sure": "1", "count": "3"}
    Mailbox.objects.filter(email="user9@a.example").update(enabled=False)
    page = as_("dadm_a").post(BULK, data)
    assert "Something has changed meanwhile" in page.content.decode()
    assert find("user1").enabled
    assert 'value="2"' in page.content.decode()


def test_quota_page(world, as_):
    data = {"do": "quota", "pick": keys("user1", "user2"), "sure": "1", "count": "2"}
    page = as_("dadm_a").post(BULK, data | {"quota": "5 GG"})
    assert page.context["form"].errors["quota"]
    Domain.objects.filter(name="a.example").update(quota_pool=2**30)
    page = as_("dadm_a").post(BULK, data | {"quota": "1 GB"}, follow=True)
    assert "left of its pool of 1 GB" in page.content.decode()
    page = as_("dadm_a").post(BULK, data | {"quota": "512 MB"}, follow=True)
    assert "2 mailboxes have the new quota." in page.content.decode()
    assert counters() == true_counters()


def test_nothing_selected_or_no_such_action(world, as_):
    for data in ({}, {"do": "disable"}, {"do": "drop", "pick": keys("user1")}, {"pick": keys("user1")}):
        page = as_("dadm_a").post(BULK, data, follow=True)
        assert "No mailbox is selected." in page.content.decode()


def test_hostile_reason_and_filter(world, as_):
    """They are text on the page and in the log, and a filter finds what it says."""
    hostile = "\"><script>alert(1)</script>' OR 1=1 --"
    page = as_("dadm_a").post(
        BULK, {"do": "disable", "pick": keys("user1"), "q": hostile, "sort": hostile, "show": hostile}
    )
    assert "<script>alert" not in page.content.decode()
    assert as_("dadm_a").post(BULK, {"do": "disable", "all": "1", "q": hostile}).status_code == 302


@pytest.mark.parametrize("number", [2, 300])
@pytest.mark.parametrize(("do", "statements"), [("delete", 14), ("disable", 12), ("quota", 11)])
def test_statements_of_the_page(world, as_, django_assert_num_queries, number, do, statements):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example") for i in range(number)
    )
    client = as_("root1")
    client.get("/")
    picks = list(Mailbox.objects.filter(domain="hosted.example").values_list("pk", flat=True))
    with django_assert_num_queries(statements):
        page = client.post(BULK, {"do": do, "pick": picks, "domain": "hosted.example"})
    assert len(page.content) < 50_000
