"""The quarantine goes with its mailbox or domain, comes back with it, and ends after some weeks."""

import itertools
from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone

from accounts import audit, bulk, lifecycle, restore, trash
from accounts.bulk import Change
from accounts.models import Mailbox, Trash
from domains.lifecycle import change_domain
from domains.models import Alias, DkimKey, Domain
from mailpanel.daemons import DaemonError
from mailpanel.management.commands import collect
from mailpanel.server import quarantine, retention
from mailpanel.server.models import FilterPolicy, FilterSender, Maddr, Msg, MsgRcpt, Quarantine, SendLimit
from tests.held import address, hold
from tests.people import find

BY = audit.By("root1@c.example")
DAY = 86400
USER = "user1@a.example"


@pytest.fixture
def world(world):
    for model in (Mailbox, Domain, Alias):
        model.objects.update(created=timezone.now() - timedelta(days=365))


def without_dovecot(change, *args, **kwargs):
    """None is connected here; the database holds the change by then."""
    with pytest.raises(DaemonError):
        change(*args, by=BY, **kwargs)


def seen(who="root1") -> set[str]:
    return {one.slip for one in quarantine.Listing(find(who)).page({})}


def texts(slip) -> int:
    return Quarantine.objects.filter(mail_id=slip.partition(".")[0]).count()


def test_goes_and_comes_back_with_the_mailbox(world):
    Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    slips = [*hold(USER), *hold("user1+x@mirror.example")]
    (other,) = hold("user2@a.example")
    without_dovecot(lifecycle.close_mailbox, find("user1"))
    assert seen() == {other}
    assert all(map(texts, slips))
    restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    assert seen() == {*slips, other}


def test_former_owner_gets_nothing_of_the_next_one(world, monkeypatch):
    """Whose mail lies in the trash is the last owner's; an owner before that had his own erased."""
    monkeypatch.setattr(lifecycle.dovecot, "erase", lambda email: None)
    without_dovecot(lifecycle.close_mailbox, find("user1"))
    first = Trash.objects.order_by("-id").first().deletion
    again = Mailbox(email=USER, domain_id="a.example")
    lifecycle.open_mailbox(again, None, by=BY, anew=True)
    (slip,) = hold(USER, ago=-2)
    without_dovecot(lifecycle.close_mailbox, again)
    with pytest.raises(ValidationError, match="somebody else"):
        restore.bring_back(first, by=BY)
    assert seen() == set()
    restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    assert seen() == {slip}


def test_goes_with_mailboxes_in_bulk(world):
    (slip,), (other,) = hold(USER), hold("user2@a.example")
    rows = Mailbox.objects.filter(email=USER)
    assert bulk.carry_out(find("root1"), rows, Change(None), by=BY).count == 1
    assert seen() == {other}
    assert texts(slip)


def test_goes_and_comes_back_with_the_domain(world):
    slips = [*hold("user1@b.example"), *hold("nobody@b.example")]
    (other,) = hold(USER)
    without_dovecot(lifecycle.close_domain, Domain.objects.get(name="b.example"))
    assert seen() == {other}
    restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    assert seen() == {*slips, other}


def test_a_domain_made_anew_brings_back_nothing_of_the_former_one(world):
    """Nor when it is itself deleted and brought back."""
    b = Domain.objects.get(name="b.example")
    hold("user1@b.example", "sales@b.example", ago=3 * DAY)
    without_dovecot(lifecycle.close_domain, b)
    Domain.objects.create(name="b.example")
    Domain.objects.filter(name="b.example").update(created=timezone.now() - timedelta(days=1))
    (own,) = hold("sales@b.example", ago=60)
    without_dovecot(lifecycle.close_domain, Domain.objects.get(name="b.example"))
    restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    assert seen() == {own}


def test_a_domain_with_everything_is_the_same_when_it_is_back(world, django_assert_max_num_queries):
    """Keys, limits, policies, lists of senders and the quarantine together, at the domain and at its mailboxes; and the
    number of statements does not grow with them."""
    name, emails = "hosted.example", [f"x{number}@hosted.example" for number in range(300)]
    Mailbox.objects.bulk_create(Mailbox(email=email, domain_id=name) for email in emails)
    Domain.objects.filter(name=name).update(mailbox_count=F("mailbox_count") + len(emails))
    for number, key in enumerate(("retired", "signing", "waiting")):
        DkimKey.objects.create(
            domain_id=name, selector=f"k{number}", private_key=key, public_key="x", state=key
        )
    scopes = [f"@{name}", *emails]
    SendLimit.objects.bulk_create(SendLimit(scope=one, per_hour=7, per_day=None) for one in scopes)
    FilterPolicy.objects.bulk_create(
        FilterPolicy(scope=one, spam_kill_level=7.5, digest=True) for one in scopes
    )
    FilterSender.objects.bulk_create(FilterSender(scope=one, sender="x@y.example", wb="W") for one in scopes)
    hold(*emails[:20], "nobody@hosted.example")
    hold(USER)

    def there():
        models = (Domain, Mailbox, DkimKey, SendLimit, FilterPolicy, FilterSender, MsgRcpt)
        return {model: sorted(map(str, model.objects.values())) for model in models}

    before = there()
    with django_assert_max_num_queries(70):
        without_dovecot(lifecycle.close_domain, Domain.objects.get(name=name))
    left = there()
    assert all(name not in row for model in left for row in left[model] if model is not MsgRcpt)
    assert len(seen()) == 1
    with django_assert_max_num_queries(90):
        restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    back = there()
    for model, rows in before.items():
        assert back[model] == rows, model
    assert not Trash.objects.filter(
        table__in=("dkim_key", "send_limit", "filter_policy", "filter_sender")
    ).exists()


def test_goes_with_a_mirror(world):
    Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    (_slip,), (own,) = hold("user1@mirror.example"), hold(USER)
    without_dovecot(lifecycle.close_domain, Domain.objects.get(name="mirror.example"))
    assert seen() == seen("dadm_a") == {own}
    Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    assert seen() == {own}


def test_a_mirror_of_another_domain_brings_nothing_along(world):
    """The address is that of somebody else then, who is no former owner of it."""
    mirror = Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    Domain.objects.update(created=timezone.now() - timedelta(days=365))
    (slip,) = hold("user1@mirror.example")
    assert seen("user1") == seen("dadm_a") == {slip}
    change_domain(mirror, {"alias_of": Domain.objects.get(name="b.example")}, by=BY)
    assert seen("user1_b") == seen("dadm_b") == seen("user1") == seen() == set()
    (later,) = hold("user1@mirror.example")
    assert seen("user1_b") == seen("dadm_b") == {later}


def test_new_owner_inherits_nothing_and_it_is_erased(world, monkeypatch):
    alone, shared = hold(USER), hold(USER, "user2@a.example")
    without_dovecot(lifecycle.close_mailbox, find("user1"))
    monkeypatch.setattr(
        "mailpanel.daemons.dovecot._call", lambda commands: [["", [], tag] for *_rest, tag in commands]
    )
    again = Mailbox(email=USER, domain_id="a.example")
    lifecycle.open_mailbox(again, None, by=BY, anew=True, beside_alias="as_well")
    assert seen("user1") == set()
    assert seen() == {shared[1]}
    assert (texts(alone[0]), texts(shared[0]) > 0) == (0, True)


def test_ends_with_the_trash(world, monkeypatch):
    (slip,) = hold(USER)
    without_dovecot(lifecycle.close_mailbox, find("user1"))
    monkeypatch.setattr(
        "mailpanel.daemons.dovecot._call", lambda commands: [["", [], tag] for *_rest, tag in commands]
    )
    trash.purge(timezone.now() + timedelta(minutes=1), by=BY)
    assert texts(slip) == 0


# --- in time --------------------------------------------------------------------------------------------------


@pytest.fixture
def nobody_is_recent(monkeypatch):
    monkeypatch.setattr(retention, "RECENT", 0)
    monkeypatch.setattr(retention, "_walked", -1)


def test_purge_of_what_is_old(world, settings, nobody_is_recent):
    settings.MAILPANEL_QUARANTINE_DAYS = 30
    hold(USER, sender="old@outside.example", ago=31 * DAY)
    hold(USER, "user2@a.example", sender="both@outside.example", ago=31 * DAY)
    (young,) = hold("user2@a.example", sender="both@outside.example", ago=29 * DAY)
    assert retention.purge() == 2
    assert seen() == {young}
    assert [model.objects.count() for model in (Msg, MsgRcpt)] == [1, 1]
    assert set(Quarantine.objects.values_list("mail_id", flat=True)) == {young.partition(".")[0]}
    assert set(Maddr.objects.values_list("email", flat=True)) == {"both@outside.example", "user2@a.example"}
    assert retention.purge() == 0


def test_purge_of_orphans(world, nobody_is_recent):
    address("nobody@outside.example")
    (lost,), (young,) = hold(USER, ago=31 * DAY), hold("user2@a.example")
    Msg.objects.filter(mail_id=lost.partition(".")[0]).delete()
    retention.purge()
    assert list(MsgRcpt.objects.values_list("slip", flat=True)) == [young]
    assert set(Maddr.objects.values_list("email", flat=True)) == {
        "user2@a.example",
        "spammer@outside.example",
    }


def test_purge_in_portions(world, monkeypatch, nobody_is_recent):
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    monkeypatch.setattr(retention, "WALKED", 300)
    for number in range(10):
        hold(USER, sender=f"{number}@outside.example", ago=31 * DAY)
    assert retention.purge() == 10
    assert [model.objects.count() for model in (Maddr, Msg, MsgRcpt, Quarantine)] == [0, 0, 0, 0]


def test_newest_addresses_are_left_for_amavis(world, monkeypatch):
    monkeypatch.setattr(retention, "RECENT", 1)
    monkeypatch.setattr(retention, "_walked", -1)
    address("first@outside.example"), address("second@outside.example")
    retention.purge()
    assert list(Maddr.objects.values_list("email", flat=True)) == ["second@outside.example"]


def test_walk_goes_round(world, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "WALKED", 2)
    monkeypatch.setattr(retention, "RECENT", 0)
    monkeypatch.setattr(retention, "_walked", -1)
    for number in range(5):
        address(f"{number}@outside.example")
    left = []
    for _hour in range(4):
        retention.purge()
        left.append(Maddr.objects.count())
    assert left == [3, 1, 0, 0]
    address("later@outside.example")
    for _hour in range(2):
        retention.purge()
    assert Maddr.objects.count() == 0


def test_collector_purges_once_an_hour(world):
    hold(USER, ago=31 * DAY)
    for minute in itertools.chain(range(45), range(46, 60)):
        collect.trim(minute)
    assert Msg.objects.count() == 1
    collect.trim(45)
    assert Msg.objects.count() == 0


def test_command_does_it_at_once(world):
    hold(USER, ago=31 * DAY)
    collect.trim(None)
    assert Msg.objects.count() == 0
    call_command("check", stdout=StringIO())
