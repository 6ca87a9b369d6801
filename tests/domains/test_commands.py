import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.models import Audit, Mailbox, Trash
from domains.models import Alias, Domain
from tests.domains.test_addresses import TABLE
from tests.shell import audited, counters, refused, shell

pytestmark = pytest.mark.usefixtures("world")

GB = 1024**3


# --- domain -------------------------------------------------------------------------------------------------


def test_domain_add_makes_a_domain_with_its_settings():
    told = shell(
        *("domain", "add", "Bücher.example", "--description", "Books", "--max-mailboxes", "10"),
        *("--max-aliases", "unlimited", "--quota-pool", "1T", "--default-quota", "5 GB"),
    )
    assert told == ("bücher.example is there.\n", "")
    made = Domain.objects.get(name="xn--bcher-kva.example")
    assert (made.description, made.max_mailboxes, made.max_aliases) == ("Books", 10, None)
    assert (made.quota_pool, made.default_quota, made.transport) == (1024 * GB, 5 * GB, "virtual:")
    assert audited() == [("shell", "create", "domain", "xn--bcher-kva.example")]


def test_domain_add_tells_a_program_what_is_there_now():
    made = json.loads(shell("domain", "add", "m.example", "--mirror-of", "a.example", "--json").out)
    assert made.pop("created").startswith("20")
    assert made == {
        "domain": "m.example",
        "description": "",
        "enabled": True,
        "transport": "virtual:",
        "mirror_of": "a.example",
        "mailboxes": 0,
        "max_mailboxes": None,
        "aliases": 0,
        "max_aliases": None,
        "quota_given": 0,
        "quota_pool": None,
        "default_quota": None,
    }


@pytest.mark.parametrize(
    ("argv", "reasons"),
    [
        (["a.example"], ["a.example exists already."]),
        (["A.EXAMPLE"], ["a.example exists already."]),
        (["localhost"], ["at least two parts"]),
        (["n.example", "--max-mailboxes", "-1", "--quota-pool", "5"], ["--max-mailboxes: “-1”", "--quota-pool: 5 of"]),
        (["n.example", "--max-mailboxes", "9999999999"], ["--max-mailboxes: “9999999999”"]),
        (["n.example", "--default-quota", "2G", "--quota-pool", "1G"], ["--default-quota: More than the whole pool"]),
        (["n.example", "--transport", "local:"], ["--transport: Write virtual:"]),
        (["n.example", "--mirror-of", "nowhere.example"], ["--mirror-of: There is no domain nowhere.example"]),
        (["n.example", "--mirror-of", "n.example"], ["--mirror-of: There is no domain n.example"]),
        (["n.example", "--description", "two\nlines"], ["--description: There is a line end"]),
        (["n.example", "--description", "x" * 256], ["--description: Ensure this value has at most 255"]),
    ],
)  # fmt: skip
def test_domain_add_refuses(argv, reasons):
    told = refused("domain", "add", *argv).splitlines()
    assert len(told) == len(reasons)
    assert all(reason in sentence for reason, sentence in zip(reasons, told, strict=True))


def test_domain_set_writes_only_what_it_names():
    Domain.objects.filter(name="a.example").update(description="Kept", max_aliases=7)
    assert shell("domain", "set", "a.example", "--max-mailboxes", "20").out == "a.example is saved.\n"
    found = Domain.objects.get(name="a.example")
    assert (found.description, found.max_aliases, found.max_mailboxes) == ("Kept", 7, 20)
    [row] = Audit.objects.all()
    assert (row.action, row.before, row.after) == ("change", {"max_mailboxes": None}, {"max_mailboxes": 20})


def test_domain_set_ends_a_mirror_and_a_limit():
    Domain.objects.create(name="m.example", alias_of_id="a.example", max_mailboxes=5)
    shell("domain", "set", "m.example", "--mirror-of", "", "--max-mailboxes", "unlimited")
    found = Domain.objects.get(name="m.example")
    assert (found.alias_of_id, found.max_mailboxes) == (None, None)


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["nowhere.example", "--disable"], "There is no domain nowhere.example here."),
        (["a.example", "--mirror-of", "b.example"], "--mirror-of: A mirror has no mailboxes"),
        (["a.example", "--transport", "smtp:[mx.example]"], "--transport: This domain has mailboxes"),
    ],
)
def test_domain_set_refuses(argv, reason):
    assert reason in refused("domain", "set", *argv)


def test_domain_set_without_a_setting_is_a_matter_of_usage():
    assert "say what to change" in refused("domain", "set", "a.example", code=2)


def test_domain_set_keeps_a_server_admin():
    Mailbox.objects.exclude(email="chief@a.example").update(is_superuser=False)
    assert "no server admin" in refused("domain", "set", "a.example", "--disable")


def test_domain_list_finds_by_text():
    Domain.objects.filter(name="b.example").update(description="Hosted for friends")
    listed = json.loads(shell("domain", "list", "--json", "--search", "Hosted").out)
    assert [found["domain"] for found in listed] == ["b.example", "hosted.example"]


def test_domain_list_tells_a_person_states_and_limits():
    Domain.objects.filter(name="a.example").update(max_mailboxes=30, quota_pool=4 * GB)
    Domain.objects.create(name="m.example", alias_of_id="a.example")
    Domain.objects.create(name="r.example", transport="relay:[192.0.2.1]")
    assert shell("domain", "list").out.splitlines() == [
        "DOMAIN          MAILBOXES  ALIASES  QUOTA GIVEN   STATE",
        "a.example       9 of 30    3        1 GB of 4 GB",
        "b.example       2          1        0 B",
        "c.example       4          0        0 B",
        "hosted.example  0          0        0 B",
        "m.example       0          0        0 B           mirror of a.example",
        "off.example     1          0        0 B           switched off",
        "r.example       0          0        0 B           sent on to relay:[192.0.2.1]",
    ]


def test_domain_show_names_the_mirrors():
    Domain.objects.create(name="xn--bcher-kva.example", alias_of_id="a.example")
    shown = shell("domain", "show", "a.example").out
    assert "Mirrors                 bücher.example\n" in shown
    assert json.loads(shell("domain", "show", "a.example", "--json").out)["mailboxes"] == 9


def test_domain_delete_asks_first_and_says_what_would_go():
    Alias.objects.create(source="x@b.example", destination="user1@a.example", domain_id="b.example")
    assert refused("domain", "delete", "a.example").splitlines() == [
        "Say --yes to delete a.example. This goes with it:",
        "9 mailboxes",
        "3 alias destinations",
        "1 alias destinations elsewhere",
        "4 roles",
    ]


def test_domain_delete_moves_everything_to_the_trash():
    Alias.objects.create(source="x@b.example", destination="user1@a.example", domain_id="b.example")
    Domain.objects.filter(name="b.example").update(alias_count=2)
    told = shell("domain", "delete", "a.example", "--yes", "--json")
    assert json.loads(told.out)["deleted"] == "a.example"
    assert "Dovecot was not told" in told.err
    assert not Mailbox.objects.filter(domain="a.example").exists()
    assert not Alias.objects.filter(destination="user1@a.example").exists()
    assert counters("b.example") == (2, 1, 0)
    assert Trash.objects.filter(table="user").count() == 9
    assert audited() == [("shell", "delete", "domain", "a.example")]


def test_domain_delete_refuses_while_it_has_a_mirror():
    Domain.objects.create(name="m.example", alias_of_id="a.example")
    assert "m.example mirrors this domain" in refused("domain", "delete", "a.example", "--yes")


# --- alias --------------------------------------------------------------------------------------------------


def rows(source: str) -> list[tuple]:
    found = Alias.objects.filter(source=source).values_list("destination", "enabled", "comment")
    return sorted(found)


def test_alias_add_makes_an_alias():
    told = shell(
        "alias", "add", "Sales@a.example", "user1@a.example", "x+tag@elsewhere.example", "--comment", "Post"
    )
    assert told.out == "sales@a.example leads to user1@a.example, x+tag@elsewhere.example.\n"
    assert rows("sales@a.example") == [
        ("user1@a.example", True, "Post"),
        ("x+tag@elsewhere.example", True, "Post"),
    ]
    assert counters("a.example") == (9, 5, GB)
    assert audited() == [("shell", "create", "alias", "sales@a.example")]


def test_alias_add_adds_to_what_is_there():
    Alias.objects.filter(source="info@a.example").update(comment="Kept")
    shell("alias", "add", "info@a.example", "user9@a.example")
    assert rows("info@a.example") == [
        ("user1@a.example", True, "Kept"),
        ("user2@a.example", True, "Kept"),
        ("user9@a.example", True, ""),
    ]
    assert counters("a.example") == (9, 4, GB)


def test_alias_add_makes_a_catch_all():
    made = json.loads(shell("alias", "add", "@a.example", "user1@a.example", "--json").out)
    assert made == {
        "source": "@a.example",
        "destinations": [
            {
                "address": "user1@a.example",
                "enabled": True,
                "expires": None,
                "alive": True,
                "comment": "",
                "send_as": False,
            }
        ],
    }


def test_alias_add_expires_when_its_last_day_is_over():
    day = timezone.localdate() + timedelta(days=3)
    shell("alias", "add", "fair@a.example", "user1@a.example", "--expires", day.isoformat())
    [row] = Alias.objects.filter(source="fair@a.example")
    assert row.expires == datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    assert f"until {day}" in shell("alias", "show", "fair@a.example").out


@pytest.mark.parametrize(
    ("argv", "reasons"),
    [
        (["x@a.example", "user1", "y@"], ["user1: An address has a name", "y@: There is no domain"]),
        (["x@a.example", "nobody@a.example"], ["nobody@a.example does not exist"]),
        (["x@a.example", "disabled@a.example"], ["disabled@a.example does not exist on this server, or is"]),
        (["x@a.example", "x@a.example"], ["round in a circle: x@a.example → x@a.example"]),
        (["x@a.example", "user1@a.example", "USER1@a.example"], ["A destination stands there twice."]),
        (["info@a.example", "user1@a.example"], ["info@a.example leads to user1@a.example already"]),
        (["x@nowhere.example", "user1@a.example"], ["There is no domain nowhere.example here."]),
        (["*@a.example", "user1@a.example"], ["nothing before the @"]),
        (["user1@a.example", "user2@a.example"], ["user1@a.example is a mailbox."]),
        (["x@a.example", "user1@a.example", "--expires", "31.12.2030"], ["--expires: Write the last day as YYYY-MM-DD"]),
        (["x@a.example", "user1@a.example", "--expires", "9999-12-31"], ["--expires: Ensure this value is less"]),
        (["x@a.example", "user1@a.example", "--comment", "a\x1bc"], ["--comment: There is a line end"]),
        (["x@a.example", "user1@a.example", "--comment", "x" * 256], ["--comment: Ensure this value has at most 255"]),
    ],
)  # fmt: skip
def test_alias_add_refuses(argv, reasons):
    told = refused("alias", "add", *argv).splitlines()
    assert len(told) == len(reasons)
    assert all(reason in sentence for reason, sentence in zip(reasons, told, strict=True))


def test_alias_add_refuses_beyond_the_limit_and_in_a_mirror():
    Domain.objects.filter(name="a.example").update(max_aliases=4)
    Domain.objects.create(name="m.example", alias_of_id="a.example")
    assert "may have 4 alias destinations and has 3" in refused(
        "alias", "add", "x@a.example", "user1@a.example", "user2@a.example"
    )
    assert "mirrors a.example" in refused("alias", "add", "x@m.example", "user1@a.example")


def test_alias_add_beside_a_mailbox_says_who_gets_the_mail():
    assert "Add --as-well or --instead." in refused("alias", "add", "user1@a.example", "user2@a.example")
    shell("alias", "add", "user1@a.example", "user2@a.example", "--as-well")
    assert [to for to, *_ in rows("user1@a.example")] == ["user1@a.example", "user2@a.example"]
    assert "gets a copy" in shell("alias", "show", "user1@a.example").out


def test_alias_instead_of_a_mailbox_stays_so_when_a_destination_is_added():
    shell("alias", "add", "user1@a.example", "user2@a.example", "--instead")
    shell("alias", "add", "user1@a.example", "user9@a.example")
    assert [to for to, *_ in rows("user1@a.example")] == ["user2@a.example", "user9@a.example"]
    assert "gets nothing while this leads on" in shell("alias", "show", "user1@a.example").out


def test_alias_as_well_does_not_silently_become_instead():
    shell("alias", "add", "user1@a.example", "user2@a.example", "--as-well")
    assert "is a mailbox" in refused("alias", "set", "user1@a.example", "user9@a.example")
    assert "is a mailbox" in refused("alias", "delete", "user1@a.example", "user1@a.example")
    shell("alias", "set", "user1@a.example", "user9@a.example", "--instead")
    assert [to for to, *_ in rows("user1@a.example")] == ["user9@a.example"]


def test_alias_set_replaces_the_destinations():
    Alias.objects.filter(source="info@a.example").update(comment="Kept")
    shell("alias", "set", "info@a.example", "user2@a.example", "user9@a.example")
    assert rows("info@a.example") == [("user2@a.example", True, "Kept"), ("user9@a.example", True, "")]
    assert counters("a.example") == (9, 3, GB)
    assert audited() == [("shell", "change", "alias", "info@a.example")]


def test_alias_set_without_destinations_changes_what_is_said_of_them():
    told = shell("alias", "set", "info@a.example", "--disable", "--comment", "Later")
    assert "leads nowhere now" in told.out
    assert rows("info@a.example") == [
        ("user1@a.example", False, "Later"),
        ("user2@a.example", False, "Later"),
    ]


def test_alias_set_refuses():
    assert "There is no alias x@a.example" in refused("alias", "set", "x@a.example", "user1@a.example")
    assert "say what to change" in refused("alias", "set", "info@a.example", code=2)


def test_alias_delete_takes_some_or_all():
    assert shell("alias", "delete", "info@a.example", "user1@a.example").out == (
        "info@a.example leads to user2@a.example.\n"
    )
    assert counters("a.example") == (9, 2, GB)
    assert json.loads(shell("alias", "delete", "info@a.example", "--json").out) == {
        "source": "info@a.example",
        "destinations": [],
    }
    assert rows("info@a.example") == []
    assert counters("a.example") == (9, 1, GB)
    assert [action for _by, action, *_ in audited()] == ["change", "delete"]
    assert Trash.objects.filter(table="alias", name="info@a.example").count() == 2


def test_alias_delete_refuses_what_is_not_there():
    assert "There is no alias x@a.example" in refused("alias", "delete", "x@a.example")
    assert "does not lead to user9@a.example" in refused(
        "alias", "delete", "info@a.example", "user1@a.example", "user9@a.example"
    )


def test_alias_list_finds_whole_aliases_by_domain_and_text():
    Alias.objects.create(source="far@b.example", destination="user2@a.example", domain_id="b.example")
    told = json.loads(shell("alias", "list", "--search", "user2@", "--json").out)
    assert {alias["source"]: [to["address"] for to in alias["destinations"]] for alias in told} == {
        "far@b.example": ["user2@a.example"],
        "info@a.example": ["user1@a.example", "user2@a.example"],
    }
    assert shell("alias", "list", "--domain", "b.example").out.splitlines() == [
        "ALIAS             DESTINATION      STATE  COMMENT",
        "far@b.example     user2@a.example  on",
        "secret@b.example  user1@b.example  on",
    ]


@pytest.mark.parametrize(
    "row",
    [row for row in TABLE if row["scope"] == "alias_source"],
    ids=lambda row: ascii(row["input"][:40]),
)
def test_alias_sources_are_as_in_the_address_table(row):
    if row["verdict"] == "accept":
        Domain.objects.get_or_create(name=row["canonical"].partition("@")[2])
        shell("alias", "add", "--", row["input"], "user1@b.example")
        assert Alias.objects.filter(source=row["canonical"], destination="user1@b.example").count() == 1
    else:
        refused("alias", "add", "--", row["input"], "user1@b.example")


# --- recount ------------------------------------------------------------------------------------------------


def test_recount_finds_nothing_where_all_is_right():
    assert shell("recount").out == "All counters are right.\n"
    assert json.loads(shell("recount", "--check", "--json").out) == []


def test_recount_finds_and_corrects_planted_errors():
    Domain.objects.filter(name="a.example").update(mailbox_count=3, quota_given=0)
    Domain.objects.filter(name="hosted.example").update(alias_count=8)
    wrong = [
        {"domain": "a.example", "counter": "mailbox_count", "was": 3, "is": 9},
        {"domain": "a.example", "counter": "quota_given", "was": 0, "is": GB},
        {"domain": "hosted.example", "counter": "alias_count", "was": 8, "is": 0},
    ]
    assert "without --check" in refused("recount", "--check")
    assert json.loads(shell("recount", "--json").out) == wrong
    assert counters("a.example") == (9, 3, GB)
    assert counters("hosted.example") == (0, 0, 0)
    assert counters("b.example") == (2, 1, 0)
    assert json.loads(shell("recount", "--json").out) == []
    assert audited() == [("shell", "recount", "domain", one["domain"]) for one in wrong]


def test_recount_is_one_statement_for_any_number_of_domains(django_assert_num_queries):
    with django_assert_num_queries(1):
        shell("recount", "--check")
