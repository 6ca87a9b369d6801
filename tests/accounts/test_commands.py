import contextlib
import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from accounts import passwords
from accounts.management import cast
from accounts.management.commands.demo_data import as_dovecot
from accounts.models import AppPassword, Audit, LastLogin, Mailbox, MailboxUsage, Role, Sender, Trash
from domains.models import Alias, Domain
from tests import people
from tests.domains.test_addresses import TABLE
from tests.people import find
from tests.shell import MANAGE, audited, counters, database_url, held, process, refused, shell

pytestmark = pytest.mark.usefixtures("world")

GB = 1024**3
PASSWORD = "correct horse battery staple"


def forget_what_dovecot_wrote():
    as_dovecot("DELETE FROM mailbox_usage WHERE email <> %s", [("",)])
    as_dovecot("DELETE FROM last_login WHERE email <> %s", [("",)])


@pytest.fixture
def dovecot_wrote(transactional_db):
    """Use and sign-ins of user1 and user2, in the place where Dovecot writes; an open transaction would not see it."""
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


@pytest.fixture
def dovecot(settings):
    """A doveadm that answers every command with success; what it was asked is in the list."""
    asked = []

    class Doveadm(BaseHTTPRequestHandler):
        def do_POST(self):
            commands = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.extend((command, parameters) for command, parameters, _tag in commands)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps([["doveadmResponse", [], tag] for *_, tag in commands]).encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Doveadm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.MAILPANEL_DOVEADM_URL = f"http://127.0.0.1:{server.server_port}"
    yield asked
    server.shutdown()
    server.server_close()


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
        (["info@a.example"], "", ["info@a.example is an alias, whose mail this mailbox would never get."]),
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


# --- the last server admin ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["mailbox", "set", "chief@a.example", "--disable"],
        ["mailbox", "set", "chief@a.example", "--no-login"],
        ["mailbox", "delete", "chief@a.example", "--yes"],
        ["domain", "set", "a.example", "--disable"],
        ["domain", "delete", "a.example", "--yes"],
        ["grant_admin", "chief@a.example", "--revoke"],
    ],
    ids=" ".join,
)
def test_the_last_server_admin_stays(argv):
    Mailbox.objects.exclude(email="chief@a.example").update(is_superuser=False)
    assert refused(*argv) == "This would leave no server admin who can sign in. Make another one first."


def test_one_of_several_server_admins_may_go():
    shell("mailbox", "delete", "chief@a.example", "--yes")
    shell("grant_admin", "root1@c.example", "--revoke")
    assert list(Mailbox.objects.filter(is_superuser=True).values_list("email", flat=True)) == [
        "root2@c.example"
    ]


def test_grant_admin_is_the_way_back_in(dovecot):
    Mailbox.objects.update(is_superuser=False)
    Mailbox.objects.filter(email="user1@a.example").update(enabled=False, can_login=False)
    assert shell("grant_admin", "user1@a.example") == ("user1@a.example is a server admin.\n", "")
    found = find("user1")
    assert (found.is_superuser, found.is_active) == (True, True)
    [row] = Audit.objects.all()
    assert (row.action, row.name) == ("change", "user1@a.example")
    assert row.after == {"is_superuser": True, "enabled": True, "can_login": True}


def test_grant_admin_says_what_is_missing_still():
    Mailbox.objects.filter(email="user1_off").delete()
    Mailbox.objects.filter(email="user1@off.example").update(password=passwords.UNUSABLE)
    told = json.loads(shell("grant_admin", "user1@off.example", "--json").out)
    assert told == {
        "address": "user1@off.example",
        "server_admin": True,
        "still_missing": [
            "It has no password yet: manage.py mailbox set user1@off.example --password-stdin",
            "off.example is switched off, so nobody there can sign in: manage.py domain set off.example --enable",
        ],
    }


def test_grant_admin_refuses_who_is_not_there():
    assert refused("grant_admin", "nobody@a.example") == "There is no mailbox nobody@a.example here."
    assert "more than one" in refused("grant_admin", "a@b@c.example")


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


# --- demo data ----------------------------------------------------------------------------------------------


@pytest.fixture
def empty(transactional_db):
    """The database as `make run` leaves it: one domain with its postmaster."""
    for model in (Role, Alias, Mailbox, Domain):
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
    started = time.monotonic()
    told = json.loads(shell("demo_data", "--now", "2026-10-01", "--json").out)
    assert time.monotonic() - started < 10
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
    assert Audit.objects.count() == 8 + 399 + 8 + 29
    assert max(LastLogin.objects.values_list("time", flat=True)) < 1_790_812_800  # 2026-10-01


def test_demo_data_are_the_same_each_time(empty):
    shell("demo_data", "--now", "2026-10-01")
    first = made()
    for model in (Role, Alias, Mailbox):
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


# --- as a process -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_exit_codes():
    made = process(
        "mailbox", "add", "alice@a.example", "--quota", "1G", "--password-stdin", stdin=PASSWORD.encode()
    )
    assert (made.returncode, made.stdout, made.stderr) == (0, b"alice@a.example is there.\n", b"")
    again = process("mailbox", "add", "alice@a.example")
    assert (again.returncode, again.stdout) == (1, b"")
    assert again.stderr == b"Refused: alice@a.example exists already.\n"
    for argv in (
        ["add"],
        ["add", "x@a.example", "--password", PASSWORD],
        ["set", "x@a.example", "--enable", "--disable"],
    ):
        assert process("mailbox", *argv).returncode == 2
    assert process("mailbox", "set", "alice@a.example").returncode == 2
    assert find("alice@a.example").check_password(PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_no_secret_leaves_the_command():
    """Not in the arguments of any process while it runs, not in what it prints, not in any table."""
    canary, seen, done = "canary-7f3a-sings", [], threading.Event()

    def watch():
        while not done.wait(0.01):
            for pid in filter(str.isdecimal, os.listdir("/proc")):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                    seen.append(cmdline.read())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        changed = process("mailbox", "set", "user1@a.example", "--password-stdin", stdin=canary.encode())
    finally:
        done.set()
        watcher.join()
    assert changed.returncode == 0
    assert find("user1").check_password(canary)
    assert any(b"--password-stdin" in line for line in seen)
    assert not any(canary.encode() in line for line in seen)
    assert canary.encode() not in changed.stdout + changed.stderr
    assert canary not in json.dumps(held(), default=str)


def on_a_terminal(answers: list[tuple[bytes, bytes]], *argv: str) -> tuple[int, str]:
    """(exit code, what stood on the screen) with each answer typed when its question has come."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, MANAGE, *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"MAILPANEL_DATABASE_URL": database_url()},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    screen = b""
    for question, answer in [*answers, (b"", b"")]:
        with contextlib.suppress(OSError):  # the other end is closed
            while not question or question not in screen:
                screen += os.read(ours, 1000)
            os.write(ours, answer + b"\n")
            screen = screen.replace(question, b"")
    os.close(ours)
    return running.wait(30), screen.decode()


@pytest.mark.django_db(transaction=True)
def test_on_a_terminal_the_password_is_typed_twice():
    first, again, typed = b"New password:", b"Once more:", PASSWORD.encode()
    code, screen = on_a_terminal(
        [(first, typed), (again, b"another")], "mailbox", "set", "user1@a.example", "--password-stdin"
    )
    assert (code, find("user1").check_password(PASSWORD)) == (1, False)
    assert "two different passwords" in screen
    code, screen = on_a_terminal(
        [(first, typed), (again, typed)], "mailbox", "set", "user1@a.example", "--password-stdin"
    )
    assert (code, find("user1").check_password(PASSWORD)) == (0, True)
    assert PASSWORD not in screen


@pytest.mark.django_db(transaction=True)
def test_on_a_terminal_the_address_is_typed_to_delete_it():
    question = b"to delete it:"
    code, screen = on_a_terminal([(question, b"yes")], "mailbox", "delete", "user2@a.example")
    assert (code, Mailbox.objects.filter(email="user2@a.example").exists()) == (1, True)
    assert "1 aliases that lead there: info@a.example" in screen
    code, screen = on_a_terminal([(question, b"user2@a.example")], "mailbox", "delete", "user2@a.example")
    assert (code, Mailbox.objects.filter(email="user2@a.example").exists()) == (0, False)


@pytest.mark.django_db(transaction=True)
def test_a_reader_that_goes_away_is_no_fault():
    with subprocess.Popen(
        [sys.executable, MANAGE, "mailbox", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"MAILPANEL_DATABASE_URL": database_url()},
    ) as listing:
        listing.stdout.close()
        assert listing.stderr.read() == b""
