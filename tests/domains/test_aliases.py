"""Aliases: every destination parsed and counted, loops and dead ends refused with the chain, mailboxes not shadowed by
accident."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.models import Audit, Mailbox, Trash
from domains import routing
from domains.lifecycle import Destination, save_alias
from domains.models import Alias, Domain
from tests.people import find

BY = audit.By("root1@c.example")


def save(source, *destinations, **kwargs):
    save_alias(
        source,
        [to if isinstance(to, Destination) else Destination(to) for to in destinations],
        by=BY,
        **kwargs,
    )


def rows(source):
    return set(Alias.objects.filter(source=source).values_list("destination", flat=True))


def count(name="a.example"):
    domain = Domain.objects.get(name=name)
    assert domain.alias_count == domain.aliases.count()
    return domain.alias_count


def test_rows_become_exactly_these(world):
    save("team@a.example", "user1@a.example", "user2@a.example", "far@elsewhere.example")
    assert count() == 6
    save(
        "team@a.example",
        "user2@a.example",
        Destination("far@elsewhere.example", enabled=False, comment="On leave"),
    )
    assert rows("team@a.example") == {"user2@a.example", "far@elsewhere.example"}
    assert count() == 5
    assert Trash.objects.get().row["destination"] == "user1@a.example"
    save("team@a.example")
    assert rows("team@a.example") == set()
    assert count() == 3
    assert list(Audit.objects.order_by("id").values_list("action", flat=True)) == [
        "create",
        "change",
        "delete",
    ]
    change = Audit.objects.order_by("id")[1]
    assert set(change.before) == set(change.after) == {"user1@a.example", "far@elsewhere.example"}


def test_unchanged_is_not_audited(world):
    save("info@a.example", "user1@a.example", "user2@a.example")
    assert not Audit.objects.exists()


def test_limit_counts_each_destination(world):
    Domain.objects.filter(name="a.example").update(max_aliases=5)
    with pytest.raises(ValidationError, match="may have 5 alias destinations and has 3"):
        save("team@a.example", "x1@elsewhere.example", "x2@elsewhere.example", "x3@elsewhere.example")
    save("team@a.example", "x1@elsewhere.example", "x2@elsewhere.example")
    assert count() == 5


@pytest.mark.parametrize(
    ("existing", "source", "to", "words"),
    [
        ([], "l1@a.example", ["l1@a.example"], "l1@a.example → l1@a.example"),
        (
            [("l1@a.example", "l2@a.example")],
            "l2@a.example",
            ["l1@a.example"],
            "l2@a.example → l1@a.example → l2@a.example",
        ),
        ([], "g@a.example", ["g@a.example", "g+x@a.example"], "circle"),
        ([], "user9@a.example", ["user9+1@a.example"], "circle"),
        ([("@a.example", "x@a.example")], "x@a.example", ["typo@a.example"], "circle"),
        ([], "@a.example", ["nobody@a.example"], "circle"),
        ([], "l1@a.example", ["nobody@a.example"], "does not exist"),
        ([], "l1@a.example", ["disabled@a.example"], "switched off"),
        ([], "l1@a.example", ["user1@off.example"], "switched off"),
    ],
)
def test_loops_and_dead_ends_are_refused_with_the_chain(world, existing, source, to, words):
    for key, destination in existing:
        Alias.objects.create(source=key, destination=destination, domain_id="a.example")
    with pytest.raises(ValidationError, match=words):
        save(source, *to, instead_of_mailbox=True)
    assert rows(source) == set()


def test_loop_over_a_mirror(world):
    Domain.objects.create(name="m.example", alias_of_id="a.example")
    Alias.objects.create(source="l2@b.example", destination="l1@m.example", domain_id="b.example")
    with pytest.raises(ValidationError, match="circle"):
        save("l1@a.example", "l2@b.example")


def test_switched_off_destination_may_lead_nowhere(world):
    save("l1@a.example", Destination("disabled@a.example", enabled=False), "user1@a.example")
    assert rows("l1@a.example") == {"disabled@a.example", "user1@a.example"}


def test_keep_a_copy(world):
    save("user1@a.example", "user1@a.example", "far@elsewhere.example")
    step = routing.Routes().steps({"user1@a.example"})["user1@a.example"]
    assert (step.end, step.onward) == ("mailbox", ["far@elsewhere.example"])


def test_mailbox_is_shadowed_only_knowingly(world):
    with pytest.raises(ValidationError, match="is a mailbox"):
        save("user1@a.example", "spy@evil.example")
    assert rows("user1@a.example") == set()
    save("user1@a.example", "user2@a.example", instead_of_mailbox=True)
    assert rows("user1@a.example") == {"user2@a.example"}


def test_double_destination(world):
    with pytest.raises(ValidationError, match="twice"):
        save("l1@a.example", "user1@a.example", "user1@a.example")


def test_chain_of_fifty(world):
    chain = [f"l{i}@a.example" for i in range(50)]
    Alias.objects.bulk_create(
        Alias(source=one, destination=other, domain_id="a.example") for one, other in pairwise(chain[1:])
    )
    Alias.objects.create(source=chain[-1], destination="user1@a.example", domain_id="a.example")
    save(chain[0], chain[1])
    assert rows(chain[0]) == {chain[1]}


@pytest.mark.parametrize(("number", "fits"), [(1000, True), (1001, False)])
def test_as_many_as_postfix_expands(world, number, fits):
    wide = [f"x{i}@elsewhere.example" for i in range(number)]
    if fits:
        save("wide@a.example", *wide)
    else:
        with pytest.raises(ValidationError, match="1000"):
            save("wide@a.example", *wide)


def test_alias_that_makes_another_one_too_wide(world):
    save("inner@a.example", "y0@elsewhere.example")
    save("outer@a.example", "inner@a.example", *[f"x{i}@elsewhere.example" for i in range(999)])
    with pytest.raises(ValidationError, match="outer@a.example would reach more than"):
        save("inner@a.example", "y0@elsewhere.example", "y1@elsewhere.example")


def test_check_is_few_statements_however_wide(world, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        routing.check("wide@a.example", [f"x{i}@elsewhere.example" for i in range(500)])


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("x@b.example", "user1@a.example"),
        ("X@a.example", "user1@a.example"),
        ("x@a.example", "@b.example"),
        ("x@a.example", "root"),
        ("x@a.example", "|id@a.example"),
        ("x@a.example", "y@b.example, z@b.example"),
    ],
)
def test_rows_out_of_form_are_refused_by_the_database(world, source, destination):
    with pytest.raises(IntegrityError), transaction.atomic():
        Alias.objects.create(source=source, destination=destination, domain_id="a.example")


# --- the pages ----------------------------------------------------------------------------------------------


def form(*destinations, initial=0, **fields):
    data = {"to-TOTAL_FORMS": str(len(destinations)), "to-INITIAL_FORMS": str(initial)} | fields
    for i, to in enumerate(destinations):
        to = to if isinstance(to, dict) else {"address": to, "enabled": "on"}
        data |= {f"to-{i}-{key}": value for key, value in to.items()}
    return data


def new(client, *destinations, domain="a.example", **fields):
    return client.post(reverse("domains:alias_new", args=[domain]), form(*destinations, **fields))


def test_new_alias_with_several_destinations(world, as_):
    to = [
        " User1@A.example",
        "käte@b.example".replace("ä", "a"),
        {"address": "far@elsewhere.example", "comment": "Out"},
    ]
    Mailbox.objects.create(email="kate@b.example", domain_id="b.example")
    answer = new(as_("dadm_a"), *to, local="Sales")
    assert answer.status_code == 302, answer.context["form"].errors
    saved = {row.destination: row for row in Alias.objects.filter(source="sales@a.example")}
    assert saved.keys() == {"user1@a.example", "kate@b.example", "far@elsewhere.example"}
    assert not saved["far@elsewhere.example"].enabled
    assert saved["far@elsewhere.example"].comment == "Out"


def test_catch_all(world, as_):
    assert new(as_("dadm_a"), "user1@a.example", catch_all="on").status_code == 302
    assert rows("@a.example") == {"user1@a.example"}


@pytest.mark.parametrize(
    ("local", "destination", "place"),
    [
        ("", "user1@a.example", "local"),
        ("*", "user1@a.example", "local"),
        ("%", "user1@a.example", "local"),
        ("@", "user1@a.example", "local"),
        ("a*b", "user1@a.example", "local"),
        ("x@b.example", "user1@a.example", "local"),
        ("info", "user1@a.example", "local"),
        ("fine", "", "__all__"),
        ("fine", "fine@a.example", "__all__"),
    ],
)
def test_refused_at_the_field(world, as_, local, destination, place):
    before = Alias.objects.count()
    answer = new(as_("dadm_a"), destination, local=local)
    assert answer.status_code == 200
    assert place in answer.context["form"].errors
    assert Alias.objects.count() == before


@pytest.mark.parametrize(
    "typed",
    ["root", "|id", "/var/mail/x", ":include:x", "a@b.example, c@d.example", "a@b.example c@d.example", "@b.example",
     "group: a@b.example;", "User Name <a@b.example>", "a\r\nb@b.example", "a@b.example\x00"],
)  # fmt: skip
def test_destination_that_is_none(world, as_, typed):
    answer = new(as_("dadm_a"), typed, local="fine")
    assert answer.status_code == 200
    assert "address" in answer.context["destinations"].errors[0]
    assert rows("fine@a.example") == set()


def test_edit(world, as_):
    url = reverse("domains:alias", args=["info@a.example"])
    page = as_("dadm_a").get(url).content.decode()
    assert "user1@a.example" in page
    data = form(
        {"address": "user1@a.example", "enabled": "on", "DELETE": "on"},
        {"address": "user2@a.example", "comment": "Only her", "expires": "2030-01-31", "enabled": "on"},
        {"address": "far@elsewhere.example", "enabled": "on"},
        initial=2,
    )
    assert as_("dadm_a").post(url, data).status_code == 302
    assert rows("info@a.example") == {"user2@a.example", "far@elsewhere.example"}
    row = Alias.objects.get(source="info@a.example", destination="user2@a.example")
    assert row.comment == "Only her"
    assert row.expires.isoformat() == "2030-02-01T00:00:00+00:00"
    assert 'value="2030-01-31"' in as_("dadm_a").get(url).content.decode()


def test_one_more_row_saves_nothing(world, as_):
    url = reverse("domains:alias", args=["info@a.example"])
    answer = as_("dadm_a").post(url, form("user1@a.example", "half typed", initial=1) | {"do": "add"})
    assert answer.status_code == 200
    assert len(answer.context["destinations"].forms) == 3
    assert answer.context["destinations"].forms[-1]["enabled"].value()
    assert "half typed" in answer.content.decode()
    assert rows("info@a.example") == {"user1@a.example", "user2@a.example"}


def test_shadow_is_asked_for(world, as_):
    client = as_("dadm_a")
    answer = new(client, "far@elsewhere.example", local="user2")
    assert "is a mailbox" in str(answer.context["form"].errors)
    assert "shadow" in answer.context["form"].fields
    assert new(client, "far@elsewhere.example", local="user2", shadow="as_well").status_code == 302
    assert rows("user2@a.example") == {"user2@a.example", "far@elsewhere.example"}
    url = reverse("domains:alias", args=["user2@a.example"])
    assert client.post(url, form("far@elsewhere.example", initial=1, shadow="instead")).status_code == 302
    assert rows("user2@a.example") == {"far@elsewhere.example"}


def test_helpdesk_reads_and_does_not_edit(world, as_):
    page = as_("help_a").get(reverse("domains:alias", args=["info@a.example"])).content.decode()
    assert "<input" not in page.split("<main", 1)[1]


@pytest.mark.parametrize("number", [1, 300])
def test_list_costs_the_same_for_many(world, as_, django_assert_num_queries, number):
    Alias.objects.bulk_create(
        Alias(source=f"n{i:03d}@hosted.example", destination="user1@a.example", domain_id="hosted.example")
        for i in range(number)
    )
    client, url = as_("root1"), reverse("domains:domain_aliases", args=["hosted.example"])
    client.get(url)  # the first request of a session notes the time
    with django_assert_num_queries(13):
        answer = client.get(url)
    assert answer.content.decode().count("<tr>") == min(number, 50) + 1


def test_expired_is_not_alive(world):
    Alias.objects.filter(source="alias1@a.example").update(expires=timezone.now() - timedelta(seconds=1))
    assert not Alias.objects.alive().filter(source="alias1@a.example").exists()
    assert routing.Routes().steps({"alias1@a.example"})["alias1@a.example"].end == "refused"
    assert find("user1").enabled


def test_alias_that_another_one_needs_stays(world):
    save("outer@b.example", "alias1@a.example")
    for destinations in ([], [Destination("user1@a.example", enabled=False)]):
        with pytest.raises(ValidationError, match="outer@b.example leads to alias1@a.example"):
            save("alias1@a.example", *destinations)
    assert Alias.objects.alive().filter(source="alias1@a.example").exists()
    save("outer@b.example", "user1_b@elsewhere.example")
    save("alias1@a.example")
    assert rows("alias1@a.example") == set()


def test_alias_of_a_mailbox_may_go_though_another_one_leads_there(world):
    save("user1@a.example", "user2@a.example", instead_of_mailbox=True)
    save("user1@a.example")  # info@ leads to user1@, whose mail is simply the mailbox's again
    assert rows("user1@a.example") == set()


# --- what becomes of the mail -------------------------------------------------------------------------------


def raw(source, *destinations, **columns):
    """Rows past the rules, such as remain when the world changes after they were saved."""
    Alias.objects.bulk_create(
        Alias(source=source, destination=to, domain_id=source.partition("@")[2], **columns)
        for to in destinations
    )


def listed(client, **query):
    answer = client.get(reverse("domains:domain_aliases", args=["a.example"]), query)
    return {row["source"]: row for row in answer.context["aliases"]}, answer.content.decode()


def test_list_tells_dead_ends_and_circles(world, as_):
    soon = timezone.now() + timedelta(days=9)
    raw("direct@a.example", "disabled@a.example")
    raw("nobody@a.example", "gone@b.example", "user1@off.example")
    raw("s1@a.example", "s2@a.example")
    raw("s2@a.example", "s3+tag@a.example")
    raw("s3@a.example", "disabled@a.example")
    raw("c1@a.example", "c2@a.example")
    raw("c2@a.example", "c1@a.example")
    raw("to-circle@a.example", "c1@a.example")
    raw("half@a.example", "disabled@a.example", "user1@a.example")
    raw("exit@a.example", "exit2@a.example")
    raw("exit2@a.example", "exit@a.example", "user1@a.example")
    raw("far@a.example", "x@elsewhere.example")
    raw("off@a.example", "user1@a.example", enabled=False)
    raw("past@a.example", "user1@a.example", expires=timezone.now() - timedelta(days=1))
    raw("soon@a.example", "user1@a.example", expires=soon)
    raw("user2@a.example", "user1@a.example", "user2@a.example")
    raw("user9@a.example", "user1@a.example")
    raw("@a.example", "user1@a.example")
    rows, text = listed(as_("dadm_a"))
    assert {source: row["state"] for source, row in rows.items()} == {
        "direct@a.example": "nowhere", "nobody@a.example": "nowhere", "s1@a.example": "nowhere",
        "s2@a.example": "nowhere", "s3@a.example": "nowhere", "c1@a.example": "circle", "c2@a.example": "circle",
        "to-circle@a.example": "circle", "half@a.example": "active", "exit@a.example": "circle",
        "exit2@a.example": "circle", "far@a.example": "active", "off@a.example": "off", "past@a.example": "expired",
        "soon@a.example": "active", "user2@a.example": "active", "user9@a.example": "active", "@a.example": "active",
        "alias1@a.example": "active", "info@a.example": "active",
    }  # fmt: skip
    marks = {to.destination: to.mark for to in rows["half@a.example"]["destinations"]}
    assert (marks["disabled@a.example"].alive, marks["user1@a.example"].alive) == (False, True)
    assert rows["far@a.example"]["destinations"][0].mark.outside
    assert (rows["user2@a.example"]["shadow"], rows["user9@a.example"]["shadow"]) == ("as_well", "instead")
    for words in ("Leads nowhere", "Goes round in a circle", "Outside", "Catch-all", "expired", "until "):
        assert words in text


def test_catch_all_gives_life_and_an_alias_that_exists_does_not(world, as_):
    raw("lives@a.example", "anything@a.example")
    raw("dies@a.example", "party@a.example")
    raw("party@a.example", "user1@a.example", enabled=False)
    raw("@a.example", "user1@a.example")
    rows, _text = listed(as_("dadm_a"))
    assert (rows["lives@a.example"]["state"], rows["dies@a.example"]["state"]) == ("active", "nowhere")


def test_alias_of_dead_ends_leaves_its_mail_to_the_mailbox(world, as_):
    raw("user9@a.example", "disabled@a.example")
    rows, _text = listed(as_("dadm_a"))
    assert rows["user9@a.example"]["state"] == "active"


def test_chips(world, as_):
    raw("off@a.example", "user1@a.example", enabled=False)
    raw("off@b.example", "user1@b.example", enabled=False)
    raw("soon@a.example", "user1@a.example", expires=timezone.now() + timedelta(days=9))
    raw("later@a.example", "user1@a.example", expires=timezone.now() + timedelta(days=90))
    raw("past@a.example", "user1@a.example", expires=timezone.now() - timedelta(days=9))
    client = as_("dadm_a")
    assert set(listed(client, show="off")[0]) == {"off@a.example"}
    assert set(listed(client, show="ending")[0]) == {"soon@a.example"}
    answer = client.get(reverse("domains:aliases"), {"show": "off"})
    assert [row["source"] for row in answer.context["aliases"]] == ["off@a.example"]
    answer = client.get(reverse("domains:aliases"), {"to": "user2@a.example"})
    assert [row["source"] for row in answer.context["aliases"]] == ["info@a.example"]
    assert (
        "off@b.example"
        not in client.get(reverse("domains:aliases"), {"to": "user1@b.example"}).content.decode()
    )


@pytest.mark.parametrize("number", [1, 300])
def test_marks_cost_the_same_for_many(world, django_assert_num_queries, number):
    raw("middle@a.example", "user1@a.example")
    sources = [f"n{i}@a.example" for i in range(number)]
    for source in sources:
        raw(source, "middle@a.example")
    with django_assert_num_queries(9):  # three for each of the steps
        assert all(mark.alive for mark in routing.Routes().marks(sources).values())


def test_marks_are_bounded(world, django_assert_max_num_queries):
    chain = [f"l{i}@a.example" for i in range(60)]
    for one, other in pairwise(chain):
        raw(one, other)
    with django_assert_max_num_queries(3 * routing.MARKED_STEPS):
        assert routing.Routes().marks(chain[:1])[chain[0]].alive  # it may be: nobody looked further


def test_alias_page_marks_each_destination_and_links_mailboxes(world, as_):
    raw("mixed@a.example", "disabled@a.example", "user1@a.example", "user1@b.example", "x@elsewhere.example")
    for role in ("dadm_a", "help_a"):
        text = as_(role).get(reverse("domains:alias", args=["mixed@a.example"])).content.decode()
        assert "Leads nowhere" in text
        assert "Outside" in text
        assert reverse("accounts:mailbox", args=["user1@a.example"]) in text
        assert reverse("accounts:mailbox", args=["user1@b.example"]) not in text
