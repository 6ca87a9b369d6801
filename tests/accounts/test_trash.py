"""What was deleted comes back whole, and what cannot is told."""

import contextlib
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts import audit, lifecycle, restore, trash
from accounts.models import AppPassword, Audit, Mailbox, RecoveryCode, Role, SecondFactor, Sender, Trash
from domains.lifecycle import Destination, save_alias
from domains.models import Alias, Domain
from mailpanel.daemons import DaemonError
from tests import people
from tests.people import find

BY = audit.By("root1@c.example")


def everything():
    models = (Domain, Mailbox, Alias, Sender, AppPassword, SecondFactor, RecoveryCode, Role)
    return {model.__name__: sorted(map(repr, model.objects.values())) for model in models}


def bring_back():
    """No Dovecot is connected here, so what was left in the trash is told by what is still in it."""
    with contextlib.suppress(DaemonError):
        return restore.bring_back(Trash.objects.order_by("id").first().deletion, by=BY)


def close(row):
    with contextlib.suppress(DaemonError):
        (lifecycle.close_domain if isinstance(row, Domain) else lifecycle.close_mailbox)(row, by=BY)


@pytest.fixture
def hung(world):
    """user1 with all that can hang on a mailbox, and values that JSON, SQL or an encoding could spoil."""
    user1 = find("user1")
    AppPassword.objects.create(
        mailbox=user1, selector="abc", password="{SSHA256}x", label="quote \" ' and \\ é"
    )
    Sender.objects.create(mailbox=user1, address="info@a.example")
    Role.objects.create(mailbox=user1, kind="helpdesk", domain_id="b.example")
    Role.objects.create(mailbox=user1, kind="helpdesk", domain=None)
    Mailbox.objects.filter(pk=user1.pk).update(name='Zoë "Q" \\ أحمد \U0001f600', must_change_password=True)
    Alias.objects.create(
        source="far@b.example", destination="user1@a.example", domain_id="b.example", comment="x'y"
    )
    people.recount()
    return user1


@pytest.mark.parametrize("kind", ["mailbox", "domain"])
def test_round_trip(hung, kind):
    before = everything()
    close(hung if kind == "mailbox" else hung.domain)
    assert everything() != before
    bring_back()
    assert everything() == before
    assert not Trash.objects.exists()
    assert list(Audit.objects.order_by("id").values_list("action", flat=True)) == ["delete", "restore"]


def test_alias_round_trip(world):
    before = everything()
    save_alias("info@a.example", [], by=BY)
    bring_back()
    assert everything() == before


def test_bringing_back_is_a_fixed_number_of_statements(world, django_assert_max_num_queries):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example") for i in range(500)
    )
    people.recount()
    close(Domain.objects.get(name="hosted.example"))
    with django_assert_max_num_queries(50):
        bring_back()
    assert Domain.objects.get(name="hosted.example").mailbox_count == 500


@pytest.mark.parametrize("taken_by", ["mailbox", "alias"])
def test_address_that_was_given_away_meanwhile(world, taken_by):
    close(find("user1"))
    if taken_by == "mailbox":
        with contextlib.suppress(DaemonError):
            lifecycle.open_mailbox(
                Mailbox(email="user1@a.example", domain_id="a.example"), None, by=BY, anew=True
            )
    else:
        save_alias("user1@a.example", [Destination("user2@a.example")], by=BY)
    state, in_trash = everything(), Trash.objects.count()
    with pytest.raises(ValidationError, match="given away again"):
        bring_back()
    assert everything() == state
    assert Trash.objects.count() == in_trash


def test_domain_that_was_made_again_meanwhile(world):
    close(Domain.objects.get(name="b.example"))
    Domain.objects.create(name="b.example")
    with pytest.raises(ValidationError, match="made again"):
        bring_back()


def test_mailbox_of_a_domain_that_is_gone(world):
    close(find("user1_b"))
    close(Domain.objects.get(name="b.example"))
    with pytest.raises(ValidationError, match="does not exist any more"):
        restore.bring_back(Trash.objects.get(name="user1@b.example").deletion, by=BY)


def test_limits_hold_for_what_comes_back(world):
    close(find("user1"))
    Domain.objects.filter(name="a.example").update(max_mailboxes=8)
    with pytest.raises(ValidationError, match="8 mailboxes"):
        bring_back()
    assert not Mailbox.objects.filter(email="user1@a.example").exists()


def test_aliases_whose_place_is_taken_stay_in_the_trash(hung):
    close(hung)
    save_alias("alias1@a.example", [Destination("user2@a.example")], by=BY)
    lifecycle.open_mailbox(Mailbox(email="far@b.example", domain_id="b.example"), None, by=BY)
    close(Domain.objects.get(name="off.example"))
    bring_back()
    assert Mailbox.objects.filter(email="user1@a.example").exists()
    # far@ is a mailbox now: its old alias must not take its mail
    assert Trash.objects.filter(table="alias").values_list("name", flat=True).get() == "far@b.example"
    assert set(Alias.objects.filter(source="alias1@a.example").values_list("destination", flat=True)) == {
        "user1@a.example",
        "user2@a.example",
    }


def test_role_for_a_domain_that_is_gone_stays_in_the_trash(hung):
    close(hung)
    close(Domain.objects.get(name="b.example"))
    bring_back()
    assert list(find("user1").roles.values_list("kind", "domain")) == [("helpdesk", None)]


def test_alias_that_would_go_round_in_a_circle_by_now_comes_back_switched_off(world):
    save_alias(
        "one@a.example", [Destination("two@elsewhere.example"), Destination("alias1@a.example")], by=BY
    )
    save_alias("one@a.example", [Destination("two@elsewhere.example")], by=BY)
    save_alias("alias1@a.example", [Destination("user1@a.example"), Destination("one@a.example")], by=BY)
    bring_back()
    row = Alias.objects.get(source="one@a.example", destination="alias1@a.example")
    assert row.enabled is False


def test_twice(world):
    close(find("user1"))
    key = Trash.objects.first().deletion
    bring_back()
    with pytest.raises(ValidationError, match="not in the trash any more"):
        restore.bring_back(key, by=BY)


# --- the pages ----------------------------------------------------------------------------------------------


def test_delete_page_shows_what_goes_and_what_breaks(hung, as_):
    url = reverse("accounts:mailbox_delete", args=["user1@a.example"])
    page = as_("root1").get(url)
    assert (page.context["app_passwords"], page.context["losing"]) == (1, 3)
    assert page.context["ending"].shown == ["alias1@a.example", "far@b.example"]
    assert Mailbox.objects.filter(email="user1@a.example").exists()
    as_("root1").post(url, {"reason": "left the company"})
    assert not Mailbox.objects.filter(email="user1@a.example").exists()
    assert Audit.objects.get(action="delete").reason == "left the company"


def test_domain_is_deleted_only_by_its_name(world, as_):
    url = reverse("domains:domain_delete", args=["a.example"])
    assert "name" in as_("root1").post(url, {"name": "b.example"}).context["form"].errors
    assert Domain.objects.filter(name="a.example").exists()
    assert as_("root1").post(url, {"name": "A.example"}).status_code == 302
    assert not Domain.objects.filter(name="a.example").exists()


def test_alias_page_deletes(world, as_):
    as_("dadm_a").post(reverse("domains:alias_delete", args=["info@a.example"]))
    assert not Alias.objects.filter(source="info@a.example").exists()


def test_trash_page_and_back(hung, as_):
    close(hung)
    close(find("user1_b"))
    answer = as_("dadm_a").get(reverse("accounts:trash"))
    assert "{ARGON2ID}" not in answer.content.decode()
    # user1 comes back with helpdesk roles that a domain admin of a.example lacks, and b.example is not his
    assert [(row.name, row.may_bring_back) for row in answer.context["deletions"]] == [
        ("user1@a.example", False)
    ]
    key = Trash.objects.get(name="user1@a.example").deletion
    assert as_("dadm_a").post(reverse("accounts:trash_restore", args=[key])).status_code == 403
    as_("root1").post(reverse("accounts:trash_restore", args=[key]))
    assert find("user1").app_passwords.count() == 1


@pytest.mark.parametrize("number", [1, 40])
def test_statements_of_the_trash_page(world, as_, django_assert_num_queries, number):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example") for i in range(number)
    )
    people.recount()
    for mailbox in Mailbox.objects.filter(domain="hosted.example"):
        close(mailbox)
    client = as_("root1")
    client.get(reverse("accounts:trash"))
    with django_assert_num_queries(8):
        client.get(reverse("accounts:trash"))


def test_new_mailbox_page_asks_before_it_erases(world, as_):
    close(find("user1"))
    url, data = reverse("domains:mailbox_new", args=["a.example"]), {"local": "user1", "how": "none"}
    answer = as_("dadm_a").post(url, data)
    assert "is in the trash" in answer.content.decode()
    assert 'name="anew"' in answer.content.decode()
    assert not Mailbox.objects.filter(email="user1@a.example").exists()
    assert (
        "nobody may sign in yet"
        in as_("dadm_a").post(url, data | {"anew": "on"}, follow=True).content.decode()
    )
    assert find("user1").can_login is False


# --- the end ------------------------------------------------------------------------------------------------


def aged(days=31):
    Trash.objects.update(at=timezone.now() - timedelta(days=days))


def test_what_is_due_does_not_come_back(world, as_):
    close(find("user1"))
    deletion = Trash.objects.first().deletion
    aged()
    with pytest.raises(ValidationError, match="not in the trash any more"):
        restore.bring_back(deletion, by=BY)
    client = as_("root1")
    assert client.post(reverse("accounts:trash_restore", args=[deletion])).status_code == 404
    assert b"user1@a.example" not in client.get(reverse("accounts:trash")).content
    assert not Mailbox.objects.filter(email="user1@a.example").exists()


def test_purge_takes_what_is_due_and_nothing_else(world):
    save_alias("info@a.example", [], by=BY)
    aged()
    save_alias("alias1@a.example", [], by=BY)
    assert trash.purge(trash.due(), by=BY) == 1
    assert set(Trash.objects.values_list("name", flat=True)) == {"alias1@a.example"}
    row = Audit.objects.filter(action="purge").get()
    assert (row.kind, row.name, row.domain) == ("alias", "info@a.example", "a.example")


def test_mailbox_waits_for_dovecot(world):
    """No Dovecot is connected here: its mail would outlive it, and the next owner of the address inherit it."""
    close(find("user1"))
    aged()
    rows = Trash.objects.count()
    with pytest.raises(DaemonError):
        trash.purge(trash.due(), by=BY)
    assert Trash.objects.count() == rows
    assert not Audit.objects.filter(action="purge").exists()


def test_purge_leaves_the_mail_of_the_next_owner(world):
    """Erased when the address was given away again; by now it is somebody else's, and no Dovecot is asked."""
    close(find("user1"))
    with contextlib.suppress(DaemonError):
        lifecycle.open_mailbox(
            Mailbox(email="user1@a.example", domain_id="a.example"), None, by=BY, anew=True
        )
    aged()
    assert trash.purge(trash.due(), by=BY) == 1
    assert Mailbox.objects.filter(email="user1@a.example").exists()
    # deleted twice: the mail is that of the younger deletion
    close(find("user1@a.example"))
    close(find("user2"))
    aged()
    with contextlib.suppress(DaemonError):
        lifecycle.open_mailbox(
            Mailbox(email="user2@a.example", domain_id="a.example"), None, by=BY, anew=True
        )
    close(find("user2@a.example"))
    with pytest.raises(DaemonError):  # user1's waits
        trash.purge(trash.due(), by=BY)
    assert Trash.objects.filter(table="user", name="user2@a.example").count() == 1


def test_a_domain_is_purged_with_all_that_was_in_it(world):
    close(Domain.objects.get(name="hosted.example"))
    aged()
    assert trash.purge(trash.due(), by=BY) == 1
    assert not Trash.objects.exists()
