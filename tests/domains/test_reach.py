"""What points to a mailbox: all of it for its owner, and of domains of others no more than a number for everybody else."""

import contextlib

import pytest
from django.urls import reverse

from accounts import audit, lifecycle, restore
from accounts.models import Mailbox, Sender, Trash
from domains import reach
from domains.lifecycle import Destination, save_alias
from domains.models import Alias, Domain
from mailpanel.daemons import DaemonError
from tests import people
from tests.accounts.conftest import dovecot  # noqa: F401  a fixture
from tests.domains.test_aliases import form, new, raw, rows
from tests.people import find

USER1 = "user1@a.example"


@pytest.fixture
def pointed(world):
    """Everything that can point to user1, some of it in a domain that the people of a.example do not look after."""
    Domain.objects.create(name="m.example", alias_of_id="a.example")
    raw("far@b.example", USER1)
    raw("further@b.example", "far@b.example")
    raw("step@a.example", "alias1@m.example")
    raw("tagged@a.example", "user1+lists@a.example")
    raw("mirrored@a.example", "user1@m.example")
    raw("asleep@a.example", USER1, enabled=False)
    raw("not-this@a.example", "asleep@a.example")
    raw("@a.example", USER1)
    Sender.objects.create(mailbox=find("user1"), address="info@a.example")
    Sender.objects.create(mailbox=find("user1"), address="far@b.example")
    Sender.objects.create(mailbox=find("user2"), address=USER1)
    Sender.objects.create(mailbox=find("user1_b"), address=USER1)
    people.recount()


def names(of):
    return {getattr(row, "source", row) for row in of.shown}


def test_leading_over_any_number_of_steps(pointed):
    found = {row.source: row.via for row in reach.leading_to(find("user1"))}
    assert found == {
        "alias1@a.example": "", "info@a.example": "", "far@b.example": "", "tagged@a.example": "",
        "mirrored@a.example": "", "asleep@a.example": "", "@a.example": "", "further@b.example": "far@b.example",
        "step@a.example": "alias1@a.example",
    }  # fmt: skip


def test_domains_of_others_are_counted_and_not_named(pointed, as_):
    url = reverse("accounts:mailbox", args=[USER1])
    for role in ("dadm_a", "help_a"):
        answer = as_(role).get(url)
        told = {key: answer.context[key] for key in ("leading", "sends_as", "sent_as_by")}
        assert [of.elsewhere for of in told.values()] == [2, 1, 1]
        assert names(told["sent_as_by"]) == {"user2@a.example"}
        assert "b.example" not in answer.content.decode()
        assert "and 2 in domains that you do not look after" in answer.content.decode()
    told = as_("root1").get(url).context
    assert told["leading"].elsewhere == 0
    assert {"far@b.example", "further@b.example"} <= names(told["leading"])


def test_owner_sees_all_of_it(pointed, as_):
    text = as_("user1").get("/").content.decode()
    for local in ("far", "further", "step"):
        assert f"{local}<wbr>" in text
    assert "user1<wbr><i>@m.example" in text
    assert "You may also send as" in text


@pytest.mark.parametrize("number", [1, 300])
def test_statements_of_the_card(world, as_, django_assert_num_queries, number):
    for i in range(number):
        raw(f"n{i:03}@a.example", USER1)
    Sender.objects.bulk_create(
        Sender(mailbox=find("user1"), address=f"n{i:03}@a.example") for i in range(number)
    )
    client, url = as_("root1"), reverse("accounts:mailbox", args=[USER1])
    client.get(url)
    with django_assert_num_queries(20):
        answer = client.get(url)
    assert len(answer.context["leading"].shown) <= 20
    assert answer.context["leading"].count == number + 2
    assert (reverse("domains:aliases") + "?to=" in answer.content.decode()) == (number > 20)


def test_switching_off_says_what_is_lost(pointed, as_):
    url = reverse("accounts:mailbox_state", args=[USER1])
    answer = as_("dadm_a").get(url)
    assert names(answer.context["ending"]) == {
        "@a.example", "alias1@a.example", "step@a.example", "tagged@a.example", "mirrored@a.example",
    }  # fmt: skip
    assert answer.context["ending"].elsewhere == 2
    assert "b.example" not in answer.content.decode()
    assert (
        "b.example" not in as_("dadm_a").get(reverse("accounts:mailbox_edit", args=[USER1])).content.decode()
    )
    assert find("user1").enabled
    as_("dadm_a").post(url, {"state": "off"})
    assert not find("user1").enabled


def test_deleting_names_no_alias_of_others(pointed, as_, dovecot):  # noqa: F811
    answer = as_("dadm_a").get(reverse("accounts:mailbox_delete", args=[USER1]))
    assert "far@b.example" not in answer.content.decode()
    assert answer.context["ending"].elsewhere == 1
    client = as_("dadm_a")
    client.post(reverse("accounts:mailbox_delete", args=[USER1]))
    save_alias("far@b.example", [Destination("user1@b.example")], by=audit.By("boss@b.example"))
    key = Trash.objects.get(table="user").deletion
    Domain.objects.filter(name="b.example").update(max_aliases=None)
    Alias.objects.create(
        source="far@b.example", destination=USER1, domain_id="b.example"
    )  # its place is taken
    people.recount()
    assert "b.example" not in client.get(reverse("accounts:trash")).content.decode()
    text = client.post(reverse("accounts:trash_restore", args=[key]), follow=True).content.decode()
    assert "stays in the trash" in text
    assert "b.example" not in text


def test_refusals_name_no_alias_of_others(world, as_):
    """A chain that goes through b.example, of which the domain admin of a.example must not read."""
    raw("hidden@b.example", "l1@a.example")
    answer = new(as_("dadm_a"), "l2@a.example", local="l1")
    raw("l2@a.example", "hidden@b.example")
    raw("visible@b.example", "l2@a.example")
    answer = new(as_("dadm_a"), "visible@b.example", local="l1")
    text = answer.content.decode()
    assert "circle" in text
    assert "visible@b.example" in text  # she typed it
    assert "hidden@b.example" not in text
    raw("needs@b.example", "alias1@a.example")
    text = as_("dadm_a").post(reverse("domains:alias_delete", args=["alias1@a.example"])).content.decode()
    assert "an address in a domain of others leads to alias1@a.example" in text
    assert "b.example" not in text
    assert rows("alias1@a.example") == {USER1}


# --- a mailbox and an alias of one address ------------------------------------------------------------------


def make(client, **data):
    fields = {"local": "alias1", "name": "", "quota": "", "how": "none"} | data
    return client.post(reverse("domains:mailbox_new", args=["a.example"]), fields)


def test_mailbox_beside_an_alias_only_knowingly(world, as_):
    client = as_("dadm_a")
    answer = make(client)
    text = answer.content.decode()
    assert not Mailbox.objects.filter(email="alias1@a.example").exists()
    assert 'name="beside_alias"' in text
    assert reverse("domains:alias", args=["alias1@a.example"]) in text
    assert make(client, beside_alias="as_well").status_code == 302
    assert rows("alias1@a.example") == {"alias1@a.example", USER1}
    domain = Domain.objects.get(name="a.example")
    assert domain.alias_count == domain.aliases.count()


def test_mailbox_that_gets_nothing(world, as_):
    assert make(as_("dadm_a"), beside_alias="instead").status_code == 302
    assert rows("alias1@a.example") == {USER1}
    text = as_("dadm_a").get(reverse("accounts:mailbox", args=["alias1@a.example"])).content.decode()
    assert "An alias of the same address takes its mail" in text


def test_alias_does_not_come_back_over_a_mailbox_that_was_made_meanwhile(world):
    by = audit.By("root1@c.example")
    save_alias("alias1@a.example", [], by=by)
    lifecycle.open_mailbox(Mailbox(email="alias1@a.example", domain_id="a.example"), None, by=by)
    with contextlib.suppress(DaemonError):
        left = restore.bring_back(Trash.objects.get().deletion, by=by)
    assert left == [
        "alias1@a.example → user1@a.example stays in the trash: its place is taken, or its domain is gone."
    ]
    assert rows("alias1@a.example") == set()


def test_alias_form_asks_in_every_way_in(world, as_):
    url = reverse("domains:alias", args=["user9@a.example"])
    raw("user9@a.example", USER1, enabled=False)
    answer = as_("dadm_a").post(url, form(USER1, initial=1))
    assert "is a mailbox" in str(answer.context["form"].errors)
    assert not Alias.objects.get(source="user9@a.example").enabled
