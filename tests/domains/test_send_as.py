"""The switch of an alias that lets a mailbox send as it: it writes and removes rows of `sender`, and nothing else."""

import contextlib
import json

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts import audit, lifecycle, restore
from accounts.models import Audit, Mailbox, Sender, Trash
from domains.lifecycle import Destination, destinations_of, save_alias
from domains.models import Alias, Domain
from mailpanel.daemons import DaemonError
from tests import people
from tests.domains.test_aliases import form, new
from tests.people import find
from tests.shell import refused, shell

BY = audit.By("root1@c.example")


def senders(address="info@a.example"):
    return set(Sender.objects.filter(address=address).values_list("mailbox__email", flat=True))


def save(source, *destinations, **options):
    rows = [to if isinstance(to, Destination) else Destination(to) for to in destinations]
    save_alias(source, rows, by=BY, **options)


USER1 = Destination("user1@a.example", send_as=True)


def undo():
    with contextlib.suppress(DaemonError):
        restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)


def test_switch_writes_and_removes_and_is_audited(world):
    save("info@a.example", USER1, "user2@a.example")
    assert senders() == {"user1@a.example"}
    row = Audit.objects.get()
    assert row.after == {"user1@a.example": {"enabled": True, "expires": "", "comment": "", "send_as": True}}
    assert row.before["user1@a.example"]["send_as"] is False
    save("info@a.example", "user1@a.example", "user2@a.example")
    assert senders() == set()
    assert Audit.objects.count() == 2
    assert not Trash.objects.exists()


@pytest.mark.parametrize("whole", [False, True])
def test_goes_with_its_destination_and_comes_back_with_it(world, whole):
    save("info@a.example", USER1, "user2@a.example")
    save("info@a.example", *([] if whole else ["user2@a.example"]))
    assert senders() == set()
    assert Trash.objects.values("deletion").distinct().count() == 1
    assert Trash.objects.first().table == "alias"  # the head of the deletion is the alias
    undo()
    assert senders() == {"user1@a.example"}
    assert USER1 in destinations_of("info@a.example")
    assert not Trash.objects.exists()


def test_right_stays_in_the_trash_without_its_mailbox_or_alias(world):
    save("info@a.example", USER1, Destination("user2@a.example", send_as=True))
    save("info@a.example")
    Mailbox.objects.filter(pk=find("user2").pk).delete()  # past all rules
    undo()
    assert senders() == {"user1@a.example"}


def test_right_that_was_given_again_meanwhile(world):
    save("info@a.example", USER1)
    save("info@a.example")
    save("info@a.example", USER1)
    undo()
    assert senders() == {"user1@a.example"}


def test_others_who_may_send_as_it_are_left_alone(world):
    Sender.objects.create(mailbox=find("help_a"), address="info@a.example")
    save("info@a.example", USER1)
    save("info@a.example")
    assert senders() == {"help@a.example"}


def test_deleted_domain_and_mailbox_leave_no_right_behind(world):
    Sender.objects.create(mailbox=find("user2"), address="user1@a.example")
    save("secret@b.example", Destination("user1@a.example", send_as=True), "user1@b.example")
    with contextlib.suppress(DaemonError):
        lifecycle.close_mailbox(find("user1"), by=BY)
    assert not Sender.objects.exists()
    undo()
    assert Sender.objects.count() == 2
    with contextlib.suppress(DaemonError):
        lifecycle.close_domain(Domain.objects.get(name="b.example"), by=BY)
    assert senders("secret@b.example") == set()


@pytest.mark.parametrize(
    ("source", "to"),
    [
        ("@a.example", "user1@a.example"),
        ("info@a.example", "far@elsewhere.example"),
        ("info@a.example", "alias1@a.example"),
        ("info@a.example", "user1+x@a.example"),
    ],
)
def test_only_a_mailbox_may_and_not_for_a_catch_all(world, source, to):
    before = set(Alias.objects.values_list("source", "destination"))
    with pytest.raises(ValidationError, match="send as"):
        save(source, Destination(to, send_as=True))
    assert not Sender.objects.exists()
    assert set(Alias.objects.values_list("source", "destination")) == before


def test_right_over_the_address_is_enough(world, as_):
    """Of her own address somebody lets a person of another domain send; never of one out of her reach or rank."""
    to = {"address": "user1@b.example", "enabled": "on", "send_as": "on"}
    assert new(as_("dadm_a"), to, local="sales").status_code == 302
    assert senders("sales@a.example") == {"user1@b.example"}
    mine = {"address": "user1@a.example", "enabled": "on", "send_as": "on"}
    assert (
        as_("dadm_a").post(reverse("domains:alias", args=["secret@b.example"]), form(mine)).status_code == 404
    )
    assert new(as_("dadm_a"), mine, local="chief", shadow="as_well").status_code == 403
    assert (
        as_("help_a").post(reverse("domains:alias", args=["info@a.example"]), form(mine)).status_code == 403
    )
    assert Sender.objects.count() == 1


def test_page_shows_and_changes_the_switch(world, as_):
    client, url = as_("dadm_a"), reverse("domains:alias", args=["info@a.example"])
    on = {"address": "user1@a.example", "enabled": "on", "send_as": "on"}
    off = {"address": "user2@a.example", "enabled": "on"}
    assert client.post(url, form(on, off, initial=2)).status_code == 302
    assert senders() == {"user1@a.example"}
    boxes = [to["send_as"].value() for to in client.get(url).context["destinations"]]
    assert boxes == [True, False, None]
    assert "May send as this address" in as_("help_a").get(url).content.decode()
    answer = as_("dadm_a").post(
        url, form(off | {"send_as": "on"}, {"address": "x@elsewhere.example", "send_as": "on"})
    )
    assert "Only a mailbox" in answer.content.decode()
    assert senders() == {"user1@a.example"}


def test_catch_all_page_has_no_switch(world, as_):
    Alias.objects.create(source="@a.example", destination="user1@a.example", domain_id="a.example")
    people.recount()
    url = reverse("domains:alias", args=["@a.example"])
    assert "send_as" not in as_("dadm_a").get(url).content.decode()
    answer = as_("dadm_a").post(url, form({"address": "user1@a.example", "enabled": "on", "send_as": "on"}))
    assert answer.status_code == 302
    assert not Sender.objects.exists()


def test_command(world):
    shell("alias", "set", "info@a.example", "user1@a.example", "user2@a.example", "--send-as")
    assert senders() == {"user1@a.example", "user2@a.example"}
    told = json.loads(shell("alias", "show", "info@a.example", "--json").out)
    assert [to["send_as"] for to in told["destinations"]] == [True, True]
    assert "may send as it" in shell("alias", "list").out
    shell("alias", "set", "info@a.example", "--comment", "Both")
    assert len(senders()) == 2
    shell("alias", "set", "info@a.example", "--no-send-as")
    assert senders() == set()
    assert "none" in refused("alias", "add", "info@a.example", "x@elsewhere.example", "--send-as")
    assert "catch-all" in refused("alias", "add", "@a.example", "user1@a.example", "--send-as")
