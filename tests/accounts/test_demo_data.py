import json

import pytest

from accounts.management import cast
from accounts.models import Audit, LastLogin, Mailbox, MailboxUsage, Role
from domains.models import Alias, DkimKey, Domain
from mailpanel.server.models import SendShare
from tests.people import find
from tests.shell import forget_what_dovecot_wrote, refused, shell

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def empty(transactional_db):
    """The database as `make run` leaves it: one domain with its postmaster."""
    for model in (DkimKey, Role, Alias, Mailbox, Domain):
        model.objects.all().delete()
    Domain.objects.create(name="example.test", mailbox_count=1)
    Mailbox.objects.create(email="postmaster@example.test", domain_id="example.test", is_superuser=True)
    yield
    forget_what_dovecot_wrote()


def made() -> list:
    """What the demo data are, but for the password and the time of the run."""
    return [
        list(
            Domain.objects.exclude(name="example.test")
            .order_by("name")
            .values_list("name", "description", *COUNTED)
        ),
        list(
            Mailbox.objects.exclude(domain="example.test")
            .order_by("email")
            .values_list("email", "name", "quota", "enabled", "can_login")
        ),
        list(Alias.objects.order_by("source", "destination").values_list("source", "destination", "expires")),
        list(MailboxUsage.objects.order_by("mailbox").values_list("mailbox", "bytes", "messages")),
        list(
            LastLogin.objects.order_by("mailbox", "time").values_list("mailbox", "service", "address", "time")
        ),
    ]


COUNTED = ("mailbox_count", "alias_count", "quota_given")


def test_demo_data_are_believable(empty):
    told = json.loads(shell("demo_data", "--now", "2026-10-01", "--json").out)
    assert (told["domains"], told["mailboxes"], told["aliases"]) == (8, 399, 29)
    assert find("ines.hoffmann@nordwind.example").check_password(told["password"])
    assert told["roles"]["ines.hoffmann@nordwind.example"] == ["server admin"]
    assert sorted(map(str, Role.objects.all())) == [
        *(
            "domain admin of all domains",
            "domain admin of bücher-und-mehr.example",
            "domain admin of clinica-sol.example",
        ),
        *("domain admin of harbour-school.test", "domain admin of nordwind.example"),
        *("helpdesk of all domains", "helpdesk of clinica-sol.example", "helpdesk of nordwind.example"),
    ]
    by_size = dict(Domain.objects.values_list("name", "mailbox_count"))
    assert (by_size["nordwind.example"], by_size["neubau.example"]) == (200, 0)
    assert Domain.objects.exclude(alias_of=None).count() == 1
    assert Domain.objects.filter(enabled=False).count() == 1
    assert Alias.objects.filter(source__startswith="@").count() == 1
    states = Mailbox.objects.exclude(domain="example.test")
    for state in ({"enabled": False}, {"can_login": False}, {"must_change_password": True}, {"quota": None}):
        assert 3 <= states.filter(**state).count() <= 40
    assert "All counters are right" in shell("recount", "--check").out
    assert Audit.objects.count() == 8 + 399 + 8 + 29 + 3
    assert sorted(DkimKey.objects.values_list("domain", "state")) == [
        ("nordwind.example", "signing"),
        ("xn--bcher-und-mehr-gsb.example", "waiting"),
    ]
    assert sorted(SendShare.objects.filter(share__gte=80).values_list("share", flat=True)) == [88, 100]
    assert SendShare.objects.filter(refused__gt=0).count() == 1
    assert max(LastLogin.objects.values_list("time", flat=True)) < 1_790_812_800  # 2026-10-01


def test_demo_data_are_the_same_each_time(empty):
    shell("demo_data", "--now", "2026-10-01")
    first = made()
    for model in (Role, Alias, Mailbox, DkimKey):
        model.objects.all().delete()
    Domain.objects.filter(alias_of="nordwind.example").delete()
    Domain.objects.all().delete()
    shell("demo_data", "--now", "2026-10-01")
    assert made() == first


def test_demo_data_keep_away_from_other_data(empty):
    Domain.objects.create(name="real.example")
    assert "There is data here already: domain real.example" in refused("demo_data")
    shell("demo_data", "--yes")
    assert Domain.objects.filter(name="real.example").exists()
    assert refused("demo_data", "--yes") == "nordwind.example exists already."


def test_demo_data_refuse_a_day_that_is_none():
    assert "is not a day" in refused("demo_data", "--yes", "--now", "2026-13-01")


def test_the_names_of_the_demo_domains_are_reserved():
    assert {place.name.rpartition(".")[2] for place in cast.PLACES} == {"example", "test"}
