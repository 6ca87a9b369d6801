import contextlib
import json
from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError

from accounts import audit, lifecycle, passwords
from accounts.management.commands.demo_data import as_dovecot
from accounts.models import AppPassword, Audit, Mailbox, Role, Sender, Trash
from domains.models import Alias, Domain
from mailpanel.daemons import DaemonError
from tests import people
from tests.domains.test_addresses import TABLE
from tests.people import find
from tests.shell import audited, counters, forget_what_dovecot_wrote, held, refused, shell

pytestmark = pytest.mark.usefixtures("world")

GB = 1024**3
PASSWORD = "correct horse battery staple"


@pytest.fixture
def dovecot_wrote(transactional_db):
    """Use and sign-ins of user1 and user2, in the place where Dovecot writes; an open transaction would not see it."""
    Mailbox.objects.update(
        created=datetime(2026, 1, 1, tzinfo=UTC)
    )  # what was there before is a former owner's
    as_dovecot(
        "REPLACE INTO mailbox_usage (email, bytes, messages) VALUES (%s, %s, %s)",
        [("user1@a.example", GB // 2, 70), ("user2@a.example", -5, 0)],
    )
    as_dovecot(
        "REPLACE INTO last_login (email, service, address, time) VALUES (%s, %s, %s, %s)",
        [
            ("user1@a.example", "imap", "192.0.2.7", 1_790_000_000),
            ("user1@a.example", "pop3", "192.0.2.8", 1_780_000_000),
        ],
    )
    yield
    forget_what_dovecot_wrote()


# --- mailbox add --------------------------------------------------------------------------------------------


def test_add_makes_a_mailbox():
    told = shell("mailbox", "add", "Alice@A.example", "--name", "Alice Ærø", "--quota", "1G")
    assert told.out.splitlines() == [
        "alice@a.example is there.",
        "It has no password, so nobody can sign in yet: manage.py mailbox set alice@a.example --password-stdin",
    ]
    made = find("alice@a.example")
    assert (made.name, made.quota, made.enabled, made.can_login) == ("Alice Ærø", GB, True, True)
    assert made.password == passwords.UNUSABLE
    assert counters("a.example") == (10, 3, 2 * GB)
    assert audited() == [("shell", "create", "mailbox", "alice@a.example")]


def test_add_takes_the_password_from_standard_input():
    shell("mailbox", "add", "alice@a.example", "--password-stdin", stdin=f"{PASSWORD}\n")
    made = find("alice@a.example")
    assert made.check_password(PASSWORD)
    assert not made.must_change_password


def test_a_password_keeps_its_blanks_and_loses_one_line_end():
    shell("mailbox", "add", "alice@a.example", "--password-stdin", stdin=f" {PASSWORD} \r\n")
    assert find("alice@a.example").check_password(f" {PASSWORD} ")
    assert "control characters" in refused(
        "mailbox", "add", "bob@a.example", "--password-stdin", stdin=f"{PASSWORD}\n\n"
    )


def test_add_generates_a_password_and_shows_it_once():
    made = json.loads(shell("mailbox", "add", "alice@a.example", "--generate", "--must-change", "--json").out)
    assert find("alice@a.example").check_password(made["password"])
    assert made["must_change_password"]
    assert made["password"] not in json.dumps(held(), default=str)
    assert "password" not in json.loads(shell("mailbox", "show", "alice@a.example", "--json").out)


@pytest.mark.parametrize(
    ("quota", "bytes_"),
    [
        (None, 5 * GB),
        ("unlimited", None),
        ("0", None),
        ("", None),
        ("1.5 GiB", 3 * GB // 2),
        ("500M", 500 * 1024**2),
    ],
)
def test_add_reads_the_quota(quota, bytes_):
    Domain.objects.filter(name="b.example").update(default_quota=5 * GB)
    shell("mailbox", "add", "alice@b.example", *([] if quota is None else ["--quota", quota]))
    assert find("alice@b.example").quota == bytes_


@pytest.mark.parametrize(
    ("argv", "stdin", "reasons"),
    [
        (["user1@a.example"], "", ["user1@a.example exists already."]),
        (["info@a.example"], "", ["info@a.example is an alias. Say whether the mailbox gets its mail as well. Add --as-well or --instead."]),
        (["x@nowhere.example"], "", ["There is no domain nowhere.example here."]),
        (["x@m.example"], "", ["m.example mirrors a.example"]),
        (["x@r.example"], "", ["Mail for r.example is sent on"]),
        (["x@full.example"], "", ["full.example has all the 0 mailboxes"]),
        (["x@pool.example"], "", ["--quota: pool.example has a quota pool"]),
        (["x@pool.example", "--quota", "3G"], "", ["--quota: pool.example has 2 GB left of its pool of 2 GB"]),
        (["x@a.example", "--quota", "-1"], "", ["--quota: “-1” is not a size"]),
        (["x@a.example", "--quota", "12"], "", ["--quota: 12 of what?"]),
        (["x@a.example", "--quota", "5x", "--language", "xx"], "", ["--quota: “5x”", "--language: “xx”"]),
        (["x@a.example", "--name", "a\r\nBcc: b"], "", ["--name: There is a line end"]),
        (["x@a.example", "--name", "x" * 256], "", ["--name: Ensure this value has at most 255"]),
        (["x@a.example", "--password-stdin"], "", ["--password-stdin: 0 characters are too few"]),
        (["x@a.example", "--password-stdin"], "\n", ["--password-stdin: 0 characters are too few"]),
        (["x@a.example", "--password-stdin"], " " * 14, ["--password-stdin: Blanks alone"]),
        (["x@a.example", "--password-stdin"], "\u200b" * 14, ["--password-stdin: Blanks alone"]),
        (["x@a.example", "--password-stdin"], b"\xff" * 14, ["--password-stdin: Standard input is not UTF-8"]),
        (["x@a.example", "--password-stdin"], "y" * 300, ["--password-stdin: A password has at most 256"]),
        (["x@a.example", "--name", "Bartholomew", "--password-stdin"], "Bartholomew1", ["this is little more"]),
    ],
)  # fmt: skip
def test_add_refuses(argv, stdin, reasons):
    Domain.objects.create(name="m.example", alias_of_id="a.example")
    Domain.objects.create(name="r.example", transport="relay:[192.0.2.1]")
    Domain.objects.create(name="full.example", max_mailboxes=0)
    Domain.objects.create(name="pool.example", quota_pool=2 * GB)
    told = refused("mailbox", "add", *argv, stdin=stdin).splitlines()
    assert len(told) == len(reasons)
    assert all(reason.lower() in line.lower() for reason, line in zip(reasons, told, strict=True))


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row["scope"] == "mailbox"], ids=lambda row: ascii(row["input"][:40])
)
def test_addresses_are_as_in_the_address_table(row):
    if row["verdict"] == "accept":
        Domain.objects.get_or_create(name=row["canonical"].partition("@")[2])
        shell("mailbox", "add", "--", row["input"])
        assert Mailbox.objects.filter(email=row["canonical"]).count() == 1
    else:
        refused("mailbox", "add", "--", row["input"])


# --- mailbox set --------------------------------------------------------------------------------------------


def test_set_writes_only_what_it_names(dovecot):
    told = shell("mailbox", "set", "user1@a.example", "--quota", "3 GB", "--language", "de", "--no-login")
    assert told == ("user1@a.example is saved.\n", "")
    found = find("user1")
    assert (found.quota, found.language, found.can_login) == (3 * GB, "de", False)
    assert (found.name, found.enabled, found.password) == ("user1", True, people.hashed())
    assert counters("a.example") == (9, 3, 3 * GB)
    [row] = Audit.objects.all()
    assert row.before == {"quota": GB, "language": "", "can_login": True}
    assert row.after == {"quota": 3 * GB, "language": "de", "can_login": False}
    assert ("authCacheFlush", {"user": ["user1@a.example"]}) in dovecot


def test_set_password(dovecot):
    Mailbox.objects.filter(email="user1@a.example").update(must_change_password=True)
    told = shell("mailbox", "set", "user1@a.example", "--password-stdin", stdin=PASSWORD)
    assert told == ("user1@a.example is saved.\n", "")
    found = find("user1")
    assert found.check_password(PASSWORD)
    assert not found.must_change_password
    assert audited() == [("shell", "password", "mailbox", "user1@a.example")]
    assert ("kick", {"mask": "user1@a.example"}) in dovecot


def test_set_password_that_has_to_be_changed():
    made = json.loads(shell("mailbox", "set", "user1@a.example", "--generate", "--must-change", "--json").out)
    found = find("user1")
    assert found.check_password(made["password"])
    assert found.must_change_password


def test_set_without_dovecot_says_what_was_done_and_what_is_to_do():
    told = shell("mailbox", "set", "user1@a.example", "--password-stdin", stdin=PASSWORD)
    assert told.out == "user1@a.example is saved.\n"
    assert told.err.startswith(
        "Warning: it is done in the database, but Dovecot was not told: No Dovecot is connected"
    )
    assert "doveadm auth cache flush; doveadm kick 'user1@a.example'" in told.err
    assert find("user1").check_password(PASSWORD)


@pytest.mark.parametrize(
    ("argv", "stdin", "reason"),
    [
        (["nobody@a.example", "--disable"], "", "There is no mailbox nobody@a.example here."),
        (["info@a.example", "--disable"], "", "There is no mailbox info@a.example here."),
        (
            ["user1@a.example", "--quota", "3G", "--password-stdin"],
            PASSWORD,
            "--quota: a.example has 1 GB left",
        ),
        (["user1@a.example", "--quota", "2G", "--password-stdin"], "short", "--password-stdin: 5 characters"),
        (["user1@a.example", "--quota", "unlimited"], "", "--quota: a.example has a quota pool"),
        (["user1@a.example", "--name", "a\u202eb"], "", "--name: There is a line end"),
    ],
)
def test_set_refuses_and_leaves_nothing_half_done(argv, stdin, reason):
    Domain.objects.filter(name="a.example").update(quota_pool=2 * GB)
    assert reason in refused("mailbox", "set", *argv, stdin=stdin)


def test_set_refuses_what_the_scheme_cannot_hash(settings):
    settings.MAILPANEL_PASSWORD_SCHEME = "BLF-CRYPT"
    told = refused("mailbox", "set", "user1@a.example", "--name", "New", "--password-stdin", stdin="ü1 " * 30)
    assert told.startswith("--password-stdin: This password has 120 bytes")


def test_set_without_a_change_is_a_matter_of_usage():
    assert "say what to change" in refused("mailbox", "set", "user1@a.example", code=2)


# --- mailbox list and show ----------------------------------------------------------------------------------


def addresses_of(told: str) -> list[str]:
    return [mailbox["address"] for mailbox in json.loads(told)]


def test_list_finds_by_domain_and_text():
    Mailbox.objects.filter(email="user2@a.example").update(name="Bea Boss")
    assert addresses_of(shell("mailbox", "list", "--domain", "b.example", "--json").out) == [
        "boss@b.example",
        "user1@b.example",
    ]
    assert addresses_of(shell("mailbox", "list", "--search", "Boss", "--json").out) == [
        "boss@a.example",
        "boss@b.example",
        "user2@a.example",
    ]
    assert addresses_of(
        shell("mailbox", "list", "--domain", "a.example", "--search", "boss", "--json").out
    ) == [
        "boss@a.example",
        "user2@a.example",
    ]
    assert "There is no domain" in refused("mailbox", "list", "--domain", "nowhere.example")


def test_list_tells_a_person_use_and_state(dovecot_wrote):
    Mailbox.objects.filter(email="user9@a.example").update(
        password=passwords.UNUSABLE, can_login=False, name="渡辺"
    )
    assert shell("mailbox", "list", "--search", "user", "--domain", "a.example").out.splitlines() == [
        "ADDRESS          NAME   USED     QUOTA      STATE",
        "user1@a.example  user1  512 MB   1 GB",
        "user2@a.example  user2  unknown  unlimited",
        "user9@a.example  渡辺   unknown  unlimited  no sign-in; no password",
    ]


def test_list_is_one_statement_for_any_number_of_mailboxes(django_assert_num_queries):
    for argv in (["--json"], []):
        with django_assert_num_queries(1):
            shell("mailbox", "list", *argv)


def test_show_tells_a_program_all_that_hangs_on_it(dovecot_wrote):
    Alias.objects.filter(source="info@a.example").update(enabled=False)
    Alias.objects.create(source="far@b.example", destination="user1@a.example", domain_id="b.example")
    Role.objects.create(mailbox=find("user1"), kind="helpdesk", domain_id="b.example")
    shown = json.loads(shell("mailbox", "show", "USER1@a.example", "--json").out)
    assert shown.pop("created").startswith("20")
    assert shown == {
        "address": "user1@a.example",
        "name": "user1",
        "domain": "a.example",
        "quota": GB,
        "used": GB // 2,
        "messages": 70,
        "enabled": True,
        "can_login": True,
        "has_password": True,
        "must_change_password": False,
        "second_factor": False,
        "server_admin": False,
        "language": "",
        "password_changed": None,
        "last_login": None,
        "roles": [{"kind": "helpdesk", "domain": "b.example"}],
        "aliases": [
            {"source": "alias1@a.example", "alive": True},
            {"source": "far@b.example", "alive": True},
            {"source": "info@a.example", "alive": False},
        ],
        "last_logins": [
            {"service": "imap", "address": "192.0.2.7", "time": "2026-09-21T14:13:20Z"},
            {"service": "pop3", "address": "192.0.2.8", "time": "2026-05-28T20:26:40Z"},
        ],
    }


def test_show_tells_a_person(dovecot_wrote):
    shown = shell("mailbox", "show", "user1@a.example").out
    assert "Used      512 MB of 1 GB\n" in shown
    assert (
        "Aliases   alias1@a.example → user1@a.example\n          info@a.example → user1@a.example\n" in shown
    )
    assert "2026-09-21 14:13 imap 192.0.2.7" in shown


def test_no_stored_text_steers_the_terminal():
    """Rows that others wrote: our own rules refuse such a name."""
    Mailbox.objects.filter(email="user1@a.example").update(name="a\x1b]0;x\x07\r\u202eb")
    for argv in (
        ["list"],
        ["list", "--json"],
        ["show", "user1@a.example"],
        ["show", "user1@a.example", "--json"],
    ):
        told = shell("mailbox", *argv).out
        assert not set(told) & set("\x1b\x07\r\u202e")
        assert "\\u001b]0;x\\u0007\\" in told


# --- mailbox delete -----------------------------------------------------------------------------------------


def hang_things_on_user2() -> None:
    mailbox = find("user2")
    AppPassword.objects.create(mailbox=mailbox, selector="abc", password="{SSHA256}x")
    Sender.objects.create(mailbox=mailbox, address="sales@a.example")
    Role.objects.create(mailbox=mailbox, kind="admin", domain=None)
    Alias.objects.create(source="far@b.example", destination="user2@a.example", domain_id="b.example")
    people.recount()


def test_delete_asks_first_and_says_what_would_go():
    hang_things_on_user2()
    assert refused("mailbox", "delete", "user2@a.example").splitlines() == [
        "Say --yes to delete user2@a.example. This goes with it:",
        "1 app passwords",
        "1 addresses to send as: sales@a.example",
        "1 roles: domain admin of all domains",
        "2 aliases that lead there: far@b.example, info@a.example",
    ]


def test_delete_takes_along_what_hangs_on_it():
    hang_things_on_user2()
    assert counters("b.example") == (2, 2, 0)
    told = json.loads(shell("mailbox", "delete", "user2@a.example", "--yes", "--json").out)
    assert told == {
        "deleted": "user2@a.example",
        "with_it": {
            "app_passwords": 1,
            "addresses_to_send_as": ["sales@a.example"],
            "roles": ["domain admin of all domains"],
            "aliases_that_lead_there": ["far@b.example", "info@a.example"],
        },
    }
    assert not Mailbox.objects.filter(email="user2@a.example").exists()
    assert not Alias.objects.filter(destination="user2@a.example").exists()
    assert counters("a.example") == (8, 2, GB)
    assert counters("b.example") == (2, 1, 0)
    assert sorted(Trash.objects.values_list("table", flat=True)) == [
        *("alias", "alias", "app_password", "role", "sender", "user"),
    ]
    assert audited() == [("shell", "delete", "mailbox", "user2@a.example")]


def test_deleting_twice_or_after_a_change_leaves_the_counters_right():
    stale = find("user1")
    shell("mailbox", "set", "user1@a.example", "--quota", "3G")
    with contextlib.suppress(DaemonError):
        lifecycle.close_mailbox(stale, by=audit.By("root1@c.example"))
    with pytest.raises(ValidationError, match="deleted meanwhile"):
        lifecycle.close_mailbox(stale, by=audit.By("root1@c.example"))
    assert counters("a.example") == (8, 1, 0)
    assert json.loads(shell("recount", "--check", "--json").out) == []
