"""Mailboxes open, change and close with their counters, limits, audit rows and what hangs on them."""

import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from accounts import audit, lifecycle, roles, trash
from accounts.models import AppPassword, Audit, Mailbox, Role, Sender, Trash
from domains import lifecycle as domain_lifecycle
from domains.lifecycle import Destination
from domains.models import Alias, Domain
from mailpanel.daemons import DaemonError
from tests.people import find

BY = audit.By("root1@c.example", "192.0.2.1")


def counters(name="a.example"):
    return Domain.objects.values_list("mailbox_count", "alias_count", "quota_given").get(name=name)


def true_counters(name="a.example"):
    boxes = Mailbox.objects.filter(domain=name)
    given = sum(boxes.exclude(quota=None).values_list("quota", flat=True))
    return boxes.count(), Alias.objects.filter(domain=name).count(), given


def build(email, **fields):
    mailbox = Mailbox(email=email, **fields)
    mailbox.clean()
    return mailbox


def told(change, *args, **kwargs):
    """Run what ends at Dovecot, which no test here has: the database holds the change, and the caller is told."""
    with pytest.raises(DaemonError):
        change(*args, **kwargs)


def test_open(world):
    lifecycle.open_mailbox(build("New@A.Example", quota=5 * 2**30), "four violet anvils", by=BY)
    mailbox = Mailbox.objects.get(email="new@a.example")
    assert mailbox.check_password("four violet anvils")
    assert counters() == true_counters()
    row = Audit.objects.get()
    assert (row.actor, row.client, row.action, row.kind, row.name, row.domain) == (
        "root1@c.example", "192.0.2.1", "create", "mailbox", "new@a.example", "a.example",
    )  # fmt: skip
    assert "password" not in row.after
    assert mailbox.password not in str(row.after)


@pytest.mark.parametrize("email", ["user1@a.example", "alias1@a.example"])
def test_open_where_something_is(world, email):
    before = counters()
    with pytest.raises(ValidationError):
        lifecycle.open_mailbox(build(email), None, by=BY)
    assert counters() == before
    assert not Audit.objects.exists()


@pytest.mark.parametrize(
    ("limits", "quota", "words"),
    [
        ({"max_mailboxes": 9}, None, "all the 9 mailboxes"),
        ({"quota_pool": 2 * 2**30}, 2**30 + 1, "1 GB left of its pool of 2 GB"),
        ({"quota_pool": 2 * 2**30}, None, "needs a quota"),
        ({"alias_of_id": "b.example"}, None, "mirrors b.example"),
        ({"transport": "smtp:[192.0.2.1]"}, None, "sent on"),
        ({"quota_given": 2**63 - 5}, 10, "more than can be counted"),
    ],
)
def test_open_within_limits(world, limits, quota, words):
    Domain.objects.filter(name="a.example").update(**limits)
    with pytest.raises(ValidationError, match=words):
        lifecycle.open_mailbox(build("new@a.example", quota=quota), None, by=BY)
    assert not Mailbox.objects.filter(email="new@a.example").exists()


def test_open_up_to_the_limit(world):
    Domain.objects.filter(name="a.example").update(max_mailboxes=10, quota_pool=2 * 2**30)
    lifecycle.open_mailbox(build("new@a.example", quota=2**30), None, by=BY)
    assert counters() == true_counters()


def test_change_writes_only_what_changed(world):
    stale = find("user1")
    Mailbox.objects.filter(pk=stale.pk).update(name="Changed meanwhile")
    told(lifecycle.change_mailbox, stale, {"quota": 2**31}, by=BY)
    fresh = find("user1")
    assert (fresh.name, fresh.quota) == ("Changed meanwhile", 2**31)
    assert counters() == true_counters()
    row = Audit.objects.get()
    assert (row.before, row.after) == ({"quota": 2**30}, {"quota": 2**31})


def test_change_that_dovecot_need_not_know_asks_nothing_of_it(world):
    lifecycle.change_mailbox(find("user1"), {"name": "New name"}, by=BY)
    assert find("user1").name == "New name"


def test_close_takes_along_what_hangs_on_it_and_nothing_else(world):
    user1, user2 = find("user1"), find("user2")
    AppPassword.objects.create(mailbox=user1, selector="abc", password="{SSHA256}x")
    AppPassword.objects.create(mailbox=user2, selector="def", password="{SSHA256}x")
    Sender.objects.create(mailbox=user1, address="info@a.example")
    Role.objects.create(mailbox=user1, kind="helpdesk", domain_id="b.example")
    Alias.objects.create(source="far@b.example", destination="user1@a.example", domain_id="b.example")
    Domain.objects.filter(name="b.example").update(alias_count=2)
    roles = Role.objects.exclude(mailbox=user1).count()
    told(lifecycle.close_mailbox, user1, by=BY, reason="left")
    assert not Mailbox.objects.filter(email="user1@a.example").exists()
    assert set(Alias.objects.values_list("source", "destination")) == {
        ("info@a.example", "user2@a.example"),
        ("secret@b.example", "user1@b.example"),
    }
    assert AppPassword.objects.get().mailbox == user2
    assert (Sender.objects.count(), Role.objects.count()) == (0, roles)
    for name in ("a.example", "b.example"):
        assert counters(name) == true_counters(name)
    gone = Trash.objects.filter(deletion=Trash.objects.first().deletion)
    assert sorted(gone.values_list("table", "name")) == [
        ("alias", "alias1@a.example"), ("alias", "far@b.example"), ("alias", "info@a.example"), ("app_password", ""),
        ("role", "helpdesk"), ("sender", "info@a.example"), ("user", "user1@a.example"),
    ]  # fmt: skip
    row = gone.get(table="user").row
    assert (row["email"], row["password"], row["quota"]) == (user1.email, user1.password, 2**30)
    assert Audit.objects.get().reason == "left"


def test_close_leaves_no_alias_that_leads_nowhere(world):
    """outer leads to middle, which leads to user1 alone: both go, and what has another destination stays."""
    for source, to in (("middle", "user1@a.example"), ("outer", "middle@a.example"), ("wide", "middle@a.example"),
                       ("wide", "user2@a.example")):  # fmt: skip
        Alias.objects.create(source=f"{source}@a.example", destination=to, domain_id="a.example")
    Domain.objects.filter(name="a.example").update(alias_count=7)
    told(lifecycle.close_mailbox, find("user1"), by=BY)
    assert set(Alias.objects.filter(domain="a.example").values_list("source", "destination")) == {
        ("info@a.example", "user2@a.example"),
        ("wide@a.example", "user2@a.example"),
    }
    assert counters() == true_counters()


@pytest.mark.parametrize(
    "change",
    [
        lambda row: lifecycle.change_mailbox(row, {"name": "x"}, by=BY),
        lambda row: lifecycle.set_password(row, "four violet anvils", by=BY),
        lambda row: lifecycle.close_mailbox(row, by=BY),
        lambda row: roles.grant(row, "helpdesk", None, by=BY),
    ],
)
def test_deleted_meanwhile_is_told(world, change):
    row = find("user9")
    Mailbox.objects.filter(pk=row.pk).delete()
    with pytest.raises(ValidationError, match="deleted meanwhile"):
        change(row)
    assert not Audit.objects.exists()


def test_reopened_address_inherits_nothing(world):
    """Only knowingly; and nobody signs in before what the former owner left is erased, for which there is no Dovecot
    here. tests/stack has one."""
    AppPassword.objects.create(mailbox=find("user1"), selector="abc", password="{SSHA256}x")
    told(lifecycle.close_mailbox, find("user1"), by=BY)
    with pytest.raises(ValidationError, match="in the trash"):
        lifecycle.open_mailbox(build("user1@a.example"), "four violet anvils", by=BY)
    told(lifecycle.open_mailbox, build("user1@a.example"), "four violet anvils", by=BY, anew=True)
    again = find("user1")
    assert (again.app_passwords.count(), again.roles.count(), again.can_login) == (0, 0, False)
    assert not Alias.objects.filter(destination="user1@a.example").exists()


def test_close_domain(world):
    Alias.objects.create(source="far@b.example", destination="user1@a.example", domain_id="b.example")
    Domain.objects.filter(name="b.example").update(alias_count=2)
    told(lifecycle.close_domain, Domain.objects.get(name="a.example"), by=BY)
    assert not Domain.objects.filter(name="a.example").exists()
    assert not Mailbox.objects.filter(email__endswith="@a.example").exists()
    assert list(Alias.objects.values_list("source", flat=True)) == ["secret@b.example"]
    assert not Role.objects.filter(domain="a.example").exists()
    assert counters("b.example") == true_counters("b.example")
    assert Trash.objects.filter(table="user").count() == 9
    # a domain of the same name, made again, has no rights left over
    domain_lifecycle.open_domain(Domain(name="a.example"), by=BY)
    assert not Role.objects.filter(domain="a.example").exists()


def test_close_domain_is_a_fixed_number_of_statements(world, django_assert_max_num_queries):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example") for i in range(500)
    )
    with django_assert_max_num_queries(61):
        told(lifecycle.close_domain, Domain.objects.get(name="hosted.example"), by=BY)
    assert Trash.objects.filter(table="user", domain="hosted.example").count() == 500


def test_close_domain_with_a_mirror_is_refused(world):
    Domain.objects.filter(name="hosted.example").update(alias_of_id="a.example")
    with pytest.raises(ValidationError, match="mirror"):
        lifecycle.close_domain(Domain.objects.get(name="a.example"), by=BY)
    assert Mailbox.objects.filter(domain="a.example").count() == 9


def test_trash_of_nothing(world):
    nothing = Mailbox.objects.filter(email__in=[])
    import uuid

    assert trash.move(nothing, deletion=uuid.uuid4(), actor="x", name="email", domain="domain") == 0


# --- the last server admin ----------------------------------------------------------------------------------


@pytest.fixture
def only_root1(world):
    Mailbox.objects.filter(email__in=["root2@c.example", "chief@a.example"]).update(is_superuser=False)
    return find("root1")


@pytest.mark.parametrize(
    "remove",
    [
        lambda root: lifecycle.change_mailbox(root, {"is_superuser": False}, by=BY),
        lambda root: lifecycle.change_mailbox(root, {"enabled": False}, by=BY),
        lambda root: lifecycle.change_mailbox(root, {"can_login": False}, by=BY),
        lambda root: lifecycle.close_mailbox(root, by=BY),
        lambda root: lifecycle.close_domain(root.domain, by=BY),
        lambda root: domain_lifecycle.change_domain(root.domain, {"enabled": False}, by=BY),
    ],
    ids=["demote", "disable", "no sign-in", "delete", "delete domain", "disable domain"],
)
def test_last_server_admin_stays(only_root1, remove):
    with pytest.raises(ValidationError, match="no server admin"):
        remove(only_root1)
    root = find("root1")
    assert root.is_superuser
    assert root.is_active
    assert not Audit.objects.exists()


def test_one_of_two_server_admins_may_go(world):
    told(lifecycle.close_mailbox, find("root2"), by=BY)
    assert find("root1").is_superuser


def race(*changes):
    """Run the changes at the same moment, each on a connection of its own; what each raised."""
    barrier, results = threading.Barrier(len(changes)), [None] * len(changes)

    def run(index, change):
        try:
            barrier.wait(10)
            change()
        except Exception as error:  # whatever it is, the test looks at it
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(changes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def committed(transactional_db):
    from tests import people

    people.settle()


def test_two_server_admins_cannot_remove_each_other(committed):
    Mailbox.objects.filter(email="chief@a.example").update(is_superuser=False)
    results = race(
        lambda: lifecycle.change_mailbox(find("root1"), {"enabled": False}, by=BY),
        lambda: lifecycle.change_mailbox(find("root2"), {"is_superuser": False}, by=BY),
    )
    assert sum(isinstance(error, ValidationError) for error in results) == 1
    assert lifecycle.server_admins_who_can_sign_in().count() == 1


def test_limit_holds_when_many_come_at_once(committed):
    Domain.objects.filter(name="a.example").update(max_mailboxes=10)
    results = race(
        *[lambda i=i: lifecycle.open_mailbox(build(f"n{i}@a.example"), None, by=BY) for i in range(8)]
    )
    assert sorted(type(error).__name__ for error in results) == ["NoneType"] + ["ValidationError"] * 7
    assert counters() == true_counters()
    assert counters()[0] == 10


def test_same_address_at_once_is_made_once(committed):
    results = race(*[lambda: lifecycle.open_mailbox(build("new@a.example"), None, by=BY)] * 6)
    assert sorted(type(error).__name__ for error in results) == ["NoneType"] + ["ValidationError"] * 5
    assert counters() == true_counters()


def test_mailbox_and_alias_of_one_address_at_once(committed):
    for i in range(5):
        email = f"new{i}@a.example"
        results = race(
            lambda email=email: lifecycle.open_mailbox(build(email), None, by=BY),
            lambda email=email: domain_lifecycle.save_alias(email, [Destination("user1@a.example")], by=BY),
        )
        assert sum(isinstance(error, ValidationError) for error in results) == 1


def test_circle_built_by_two_at_once(committed):
    results = race(
        lambda: domain_lifecycle.save_alias(
            "l1@a.example", [Destination("l2@b.example"), Destination("user1@a.example")], by=BY
        ),
        lambda: domain_lifecycle.save_alias(
            "l2@b.example", [Destination("l1@a.example"), Destination("user1@b.example")], by=BY
        ),
    )
    assert any(isinstance(error, ValidationError) for error in results)
    assert Alias.objects.filter(source__in=["l1@a.example", "l2@b.example"]).count() <= 2


def test_mailbox_in_a_domain_that_is_being_deleted(committed):
    race(
        lambda: lifecycle.close_domain(Domain.objects.get(name="hosted.example"), by=BY),
        lambda: lifecycle.open_mailbox(build("x@hosted.example"), None, by=BY),
    )
    assert (
        not Mailbox.objects.filter(domain="hosted.example").exclude(domain__in=Domain.objects.all()).exists()
    )


# --- the table itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {"email": "Upper@a.example"},
        {"email": "resumé@a.example"},
        {"email": "x@b.example"},
        {"email": "@a.example"},
        {"email": "x@a.example "},
        {"email": "x y@a.example"},
        {"quota": 0},
        {"quota": -1},
        {"password": ""},
        {"password": "$2y$05$bare"},
        {"password": "{PLAIN}"},
        {"password": "clear text"},
        {"domain_id": "nowhere.example"},
    ],
    ids=str,
)
def test_rows_out_of_form_are_refused_by_the_database(transactional_db, columns):
    Domain.objects.bulk_create([Domain(name="a.example"), Domain(name="b.example")])
    Mailbox.objects.create(email="fine@a.example", domain_id="a.example")
    values = {"email": "x@a.example", "domain_id": "a.example", "password": "{CRYPT}!"} | columns
    with pytest.raises(IntegrityError), transaction.atomic():
        Mailbox.objects.create(**values)
    assert list(Mailbox.objects.values_list("email", flat=True)) == ["fine@a.example"]


def test_every_column_of_ours_has_a_default_in_the_database(transactional_db):
    with connection.cursor() as cursor:
        quote = connection.ops.quote_name
        cursor.execute(f"INSERT INTO domain ({quote('domain')}) VALUES ('a.example')")
        cursor.execute(f"INSERT INTO {quote('user')} (email, domain) VALUES ('x@a.example', 'a.example')")
        cursor.execute(
            "INSERT INTO alias (source, destination, domain) VALUES ('y@a.example', 'x@a.example', 'a.example')"
        )
    mailbox = Mailbox.objects.get()
    assert (mailbox.enabled, mailbox.can_login, mailbox.quota, mailbox.password) == (
        True,
        True,
        None,
        "{CRYPT}!",
    )
    assert mailbox.created is not None
    assert Domain.objects.get().transport == "virtual:"
    assert Alias.objects.get().is_alive


def test_compared_byte_by_byte(world):
    for typed in (
        "USER1@a.example",
        "user1@a.example ",
        "üser1@a.example",
        "user1@a.example\u200b",
        "uſer1@a.example",
    ):
        assert not Mailbox.objects.filter(email=typed).exists()


def test_no_page_shows_a_hash(world, as_):
    stored = find("user1").password
    for url in ("/", reverse("accounts:mailbox", args=["user1@a.example"]), reverse("accounts:mailboxes")):
        assert stored[10:] not in as_("root1").get(url).content.decode()
