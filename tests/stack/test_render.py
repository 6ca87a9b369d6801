"""deploy/ and values, to files: nothing missing, nothing slipped in, nothing readable by the wrong people, and the
daemons' own checkers content."""

import os
import re
import stat
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest

from mailpanel.stack import packages, render, versions
from mailpanel.stack import values as filling
from mailpanel.stack.render import DEPLOY, ENGINES, RenderError
from tests.stack.private import ROOT

VALUES = {
    "maptype": "sqlite", "database": "/tmp/x/database/mail.sqlite3", "dovecot_database": "/tmp/x/d.sqlite3",
    "database_name": "mail", "database_host": "unix:/tmp/x/my.sock", "dovecot_database_host": "/tmp/x/my.sock",
    "database_port": "3306", "database_client": "localhost", "postfix_password": "p0stfix", "dovecot_password": "d0vecot",
    "hostname": "mail.example.test", "postmaster": "postmaster@example.test", "instance": "mailpanel-test",
    "listen": "127.0.0.1", "dovecot_listen": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.2/32",
    "smtp_port": "12525", "submission_port": "12587", "smtps_port": "12465", "imap_port": "12143", "imaps_port": "12993",
    "pop3_port": "12110", "pop3s_port": "12995", "managesieve_port": "12419", "doveadm_port": "12808",
    "submission_host": "127.0.0.1:12525", "doveadm_key": "abcdef0123", "mail": "/tmp/x/mail", "mail_user": "mail",
    "mail_uid": "8", "log": "/tmp/x/log", "postfix_log": "/tmp/x/log/postfix.log", "dovecot_log": "/tmp/x/log/d.log",
    "dovecot_run": "/tmp/x/run", "dovecot_state": "/tmp/x/state", "clamav_run": "/tmp/x/clam", "clamav_log": "/tmp/x/c.log",
    "clamav_database": "/tmp/x/clamdb", "policy_socket": "/tmp/x/policy/sending", "amavis_password": "am4vis", "amavis_database_host": "mysql_socket=/tmp/x/my.sock",
    "amavis_config": "/tmp/x/etc/amavis", "amavis_home": "/tmp/x/am", "amavis_run": "/tmp/x/amrun", "amavis_log": "/tmp/x/am.log",
    "amavis_processes": "2", "smtp_processes": "40", "amavis_port": "12024", "amavis_submitted_port": "12026",
    "amavis_probe_port": "12027", "amavis_release_port": "12998", "reinject_port": "12028", "incoming_destiny": "D_REJECT",
    "incoming_filter": "smtpd_proxy_filter=127.0.0.1:12024", "submitted_filter": "content_filter=amavis:[127.0.0.1]:12026",
    "spamassassin_config": "/tmp/x/etc/sa", "bayes_auto_learn": "0",
    "hostname_pattern": "mail[.]example[.]test", "outbound_tls": "may",
    "outbound_dns": "enabled", "srs_port": "12528", "srs_forward_port": "12101", "srs_reverse_port": "12102",
    "srs_secret": "s1gned", "srs_secret_file": "/tmp/x/etc/postsrsd/secret",
    "dnsbl": ("zen.example.test=127.0.0.[2..11]",), "dnsbl_except": ("192.0.2.0/24", "[2001:db8::]/32"),
    "senders_from": ("198.51.100.0/24", "[2001:db8:1::]/48"),
}  # fmt: skip


@pytest.fixture
def values(tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj", "/CN=x",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return VALUES | {
        "tls_certificate": str(certificate),
        "tls_key": str(key),
        "dovecot_config": str(tmp_path / "out" / "dovecot"),
        "postfix_spool": str(tmp_path / "spool"),
        "postfix_data": str(tmp_path / "data"),
    }


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def rendered(tmp_path, values, engine, *, private=True):
    values = values | {"maptype": "sqlite" if engine == "sqlite" else "mysql"}
    wanted = render.files(engine, versions.dovecot(), private=private)
    render.write(tmp_path / "out", wanted, values)
    return tmp_path / "out"


# --- values ---------------------------------------------------------------------------------------------------


def test_each_value_is_needed_and_named_when_it_is_missing(tmp_path, values, engine):
    wanted = render.files(engine, versions.dovecot(), private=True)
    needed = set(
        re.findall(r"@\{(\w+)\}", "".join(path.read_text() for file in wanted for path in _all(file)))
    )
    for name in sorted(needed):
        with pytest.raises(RenderError, match=rf"deploy/\S+:\d+: there is no value for @{{{name}}}"):
            render.write(
                tmp_path / "out", wanted, {key: value for key, value in values.items() if key != name}
            )
        assert not (tmp_path / "out").exists()  # nothing half done
    assert needed <= values.keys()


def _all(file):
    """The templates with what they include."""
    for path in file.templates:
        yield path
        for name in re.findall(r"^@include (\S+)", path.read_text(), re.MULTILINE):
            yield path.with_name(name)
            yield from (
                path.with_name(deeper)
                for deeper in re.findall(r"^@include (\S+)", path.with_name(name).read_text(), re.MULTILINE)
            )


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "a b", "x\nmynetworks=0.0.0.0/0", "x\r", "x\x0b", "x\u2028y", "x\0", "$mydomain", "a#b", "a%b", "a'b", 'a"b',
        "a\\b", "a;b", "{a}", "`a`", "<file", "-o", "é", "a\tb", "!x", "a|b", "(a)", "a&b",
    ],
)  # fmt: skip
def test_values_cannot_slip_anything_in(tmp_path, values, engine, value):
    for name in ("hostname", "postfix_password", "database", "mynetworks"):
        with pytest.raises(RenderError, match=rf"deploy/\S+:\d+: the value for @{{{name}}}"):
            rendered(tmp_path, values | {name: value}, "mariadb" if name == "postfix_password" else "sqlite")


def test_where_values_stand_in_perl():
    """In single quotes, where Perl looks for nothing, not even an @; without quotes stand numbers and a word of ours alone."""
    files = [path for path in (DEPLOY / "amavis").rglob("*.conf") if "@{" in path.read_text()]
    assert len(files) == 4
    bare = set()
    for path in files:
        for line in path.read_text().splitlines():
            code = re.sub(r"^\s*#.*|\s#\s.*", "", line)
            bare |= set(re.findall(r"@\{(\w+)\}", re.sub(r"'[^'\\]*'", "", code)))
    ports = {f"{name}_port" for name in ("amavis", "amavis_submitted", "amavis_release", "amavis_probe")}
    assert bare == ports | {"amavis_processes", "incoming_destiny"}


def test_a_list_is_a_line_for_each_and_nothing_slips_in(tmp_path, values, engine):
    def lines(*lists):
        out = rendered(tmp_path, values | {"dnsbl": lists}, engine)
        return re.findall(r"reject_rbl_client (\S+)", (out / "postfix" / "main.cf").read_text())

    for lists in ((), ("a.example=127.0.0.[2..255]", "b.example")):
        assert lines(*lists) == list(lists)
        told = subprocess.run(
            ["postconf", "-c", tmp_path / "out" / "postfix", "-xh", "mx_client_restrictions"],
            capture_output=True,
            text=True,
        )
        assert told.stdout.split().count("reject_rbl_client") == len(lists)
    for wrong in ("a.example, permit", "a.example\nx = y", ""):
        with pytest.raises(RenderError, match="the value for @{dnsbl}"):
            lines("a.example", wrong)


def test_what_is_asked_at_which_door(tmp_path, values, engine):
    """The blocklists stand before other servers alone, the way out by postsrsd on hosts alone."""
    out = rendered(tmp_path, values, engine, private=False)
    doors = (out / "postfix" / "master.cf").read_text()
    assert doors.count("mx_client_restrictions") == 1
    assert re.search(
        r"^12525 .*smtpd\n  -o smtpd_client_restrictions=\$mx_client_restrictions$", doors, re.MULTILINE
    )
    assert re.search(r"^127\.0\.0\.1:12528 ", doors, re.MULTILINE)
    for door in ("submission", "smtps"):
        assert f"syslog_name=postfix/{door}" in doors
    main = (out / "postfix" / "main.cf").read_text()
    assert "smtpd_client_restrictions" not in main
    assert re.search(r"^default_transport = smtp$", main, re.MULTILINE)
    closed = (rendered(tmp_path, values, engine) / "postfix" / "main.cf").read_text()
    assert re.findall(r"^(?:\w+_transport|sender_dependent_\w+|relayhost) = .*", closed, re.MULTILINE) == [
        "local_transport = error:5.1.1 no system user receives mail here",
        f"virtual_transport = lmtp:unix:{VALUES['dovecot_run']}/lmtp-postfix",
        "default_transport = error:5.1.2 outbound mail is switched off in this private copy",
        "relay_transport = $default_transport",
    ]


def test_people_are_told_in_plain_words(tmp_path, values, engine):
    out = rendered(tmp_path, values, engine)
    told = subprocess.run(
        ["postconf", "-c", out / "postfix", "-b"], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    assert "This is the mail server mail.example.test." in told.stdout
    assert "for 4 hours" in told.stdout
    assert "until it is 5 days old" in told.stdout


def test_a_placeholder_that_is_misspelt_stops_it(values):
    template = DEPLOY / "clamav" / "clamd.conf"
    wanted = render.File("x", (template,))
    assert "LocalSocket /tmp/x/clam/clamd.sock\n" in render.render(wanted, values)
    assert not render.Template("to: @{ hostname }").is_valid()
    assert not render.Template("to: @{Hostname}").is_valid()
    assert render.Template("anna@example.test @x").get_identifiers() == []


def test_rendering_twice_gives_the_same_bytes(tmp_path, values, engine):
    def everything():
        out = rendered(tmp_path, values, engine)
        return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    assert everything() == everything()


@pytest.mark.parametrize("seed", ["1", "2"])
def test_rendering_elsewhere_gives_the_same_bytes(tmp_path, seed):
    """Whatever the locale, the time zone and the order of sets are."""

    def everything(**environment):
        environment |= {"PATH": os.environ["PATH"], "MAILPANEL_VAR": str(tmp_path / "var"), "MAILPANEL_SRS_SECRET": "s",
                        "MAILPANEL_DOVEADM_URL": "http://127.0.0.1:8080", "MAILPANEL_DOVEADM_API_KEY": "k"}  # fmt: skip
        command = [ROOT / ".venv/bin/python", "manage.py", "stack", "render", "--system", tmp_path / "out"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        return {path: path.read_bytes() for path in _files(tmp_path / "out")}

    plain = everything(LANG="C", PYTHONHASHSEED="0")
    assert plain == everything(
        LANG="de_DE.UTF-8", LC_ALL="tr_TR.UTF-8", TZ="Asia/Kolkata", PYTHONHASHSEED=seed
    )


def test_both_engines_have_the_same_files():
    for directory in (DEPLOY / "postfix" / "sql", DEPLOY / "dovecot" / "2.3" / "sql"):
        sqlite, mariadb = ({path.name for path in (directory / engine).iterdir()} for engine in ENGINES)
        assert sqlite == mariadb


# --- files ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_credentials_are_for_their_daemon_alone(tmp_path, values, engine, umask):
    before = os.umask(umask)
    try:
        out = rendered(tmp_path, values, engine)
    finally:
        os.umask(before)
    secrets = [VALUES[f"{daemon}_password"] for daemon in ("postfix", "dovecot", "amavis")]
    secrets += [VALUES["doveadm_key"], VALUES["srs_secret"]]
    holding = {
        path.relative_to(out)
        for path in out.rglob("*")
        if path.is_file() and any(s in path.read_text() for s in secrets)
    }
    assert holding
    for path in (path for path in out.rglob("*") if path.is_file()):
        told, mode = path.stat(), stat.S_IMODE(path.stat().st_mode)
        group = path.group()
        assert told.st_uid == 0
        if path.relative_to(out) in holding:
            assert (mode, group) in ((0o640, path.relative_to(out).parts[0]), (0o600, "root"))
        else:
            assert mode & 0o022 == 0
    # Postfix cannot read Dovecot's, nor the reverse
    assert all(
        VALUES["dovecot_password"] not in (out / "postfix" / path).read_text()
        for path in _files(out / "postfix")
    )
    assert not list(out.rglob(".*"))


def _files(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_final_mode_stands_before_the_first_byte(tmp_path):
    """Somebody who looks at every moment sees an empty closed file, then a full one that is just as closed."""
    seen = set()

    def watch():
        seen.update(
            (stat.S_IMODE(told.st_mode), told.st_size > 0)
            for told in (path.stat() for path in tmp_path.iterdir())
        )

    class Watching(str):
        def encode(self, *arguments):
            watch()
            return super().encode(*arguments)

    render.put(tmp_path / "file", Watching("secret"), mode=0o640, group="postfix")
    watch()
    assert seen == {(0o640, False), (0o640, True)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_leaves_what_was_there(tmp_path, values, engine):
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()
    whole = rendered(large, values, engine)
    room = sum(-(-path.stat().st_size // 4096) * 4096 for path in _files(whole))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room + 8192}", "tmpfs", small], check=True)
    try:
        rendered(small, values, engine)  # the control: it has room for all of it, once
        before = {path: path.read_bytes() for path in _files(small)}
        with pytest.raises(
            RenderError, match=r"Nothing was changed, since \S+ cannot be written: No space left"
        ):
            rendered(small, values | {"hostname": "mx.other.test"}, engine)
        assert {path: path.read_bytes() for path in _files(small)} == before
    finally:
        subprocess.run(["umount", small], check=True)


# --- what the daemons say -------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [True, False], ids=["private", "system"])
def test_postfix_knows_every_line(tmp_path, values, engine, private):
    out = rendered(tmp_path, values, engine, private=private)
    told = subprocess.run(
        ["postconf", "-c", out / "postfix", "-n"], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    parameters = dict(line.split(" =", 1) for line in told.stdout.splitlines())
    # every line of the template counts: none is unknown, none is overridden
    names = re.findall(r"^(\w+) =", (out / "postfix" / "main.cf").read_text(), re.MULTILINE)
    assert len(names) == len(set(names))
    assert set(names) == set(parameters) - {"config_directory"}
    told = subprocess.run(
        ["postconf", "-c", out / "postfix", "-M"], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    assert "pipe" not in told.stdout
    assert " local" not in told.stdout
    assert all(line.split()[4] == "n" for line in told.stdout.splitlines())


def test_what_postfix_must_be_told(tmp_path, values, engine):
    out = rendered(tmp_path, values, engine, private=False)
    told = subprocess.run(
        ["postconf", "-c", out / "postfix", "-x"], capture_output=True, text=True, check=True
    ).stdout
    is_set = {
        name.strip(): value.strip()
        for name, _is, value in (line.partition("=") for line in told.splitlines())
    }
    assert is_set["smtpd_relay_restrictions"].endswith("reject_unauth_destination")
    assert is_set["mua_relay_restrictions"].endswith("reject")
    assert "reject_sender_login_mismatch" in is_set["mua_sender_restrictions"]
    assert is_set["smtpd_forbid_bare_newline"] == "normalize"
    assert is_set["smtpd_forbid_bare_newline_exclusions"] == ""
    for name in (
        "smtpd_forbid_unauth_pipelining",
        "disable_vrfy_command",
        "smtpd_tls_auth_only",
        "smtpd_helo_required",
    ):
        assert is_set[name] == "yes"
    for name in (
        "mydestination",
        "alias_maps",
        "smtpd_authorized_xclient_hosts",
        "parent_domain_matches_subdomains",
    ):
        assert is_set[name] == ""
    assert is_set["smtpd_tls_protocols"] == is_set["smtpd_tls_mandatory_protocols"] == ">=TLSv1.2"
    # each map that a daemon asks through proxymap is one that proxymap opens
    used = set(re.findall(r"proxy:\w+:\S+?\.cf", told))
    opened = set(re.findall(r"proxy:\w+:\S+?\.cf", is_set["proxy_read_maps"]))
    assert used == opened
    assert {path.rsplit("/", 1)[1] for path in used} == {
        path.name for path in (out / "postfix" / "sql").iterdir()
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="postfix check is root's")
def test_postfix_checks_it(tmp_path, values, engine):
    tmp_path.chmod(0o755)
    for name in ("data", "spool"):
        (tmp_path / name).mkdir()
    subprocess.run(["chown", "postfix", tmp_path / "data"], check=True)
    out = rendered(tmp_path, values | {"log": str(tmp_path), "postfix_log": str(tmp_path / "log")}, engine)
    told = subprocess.run(["postfix", "-c", out / "postfix", "check"], capture_output=True, text=True)
    said = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""
    assert (told.returncode, told.stdout, told.stderr, said) == (0, "", "", "")


@pytest.mark.parametrize("incoming", ["before-queue", "after-queue"])
@pytest.mark.parametrize("submitted", ["before-queue", "after-queue"])
def test_the_filter_before_the_queue_or_after_it(tmp_path, values, settings, incoming, submitted):
    settings.MAILPANEL_FILTER_INCOMING, settings.MAILPANEL_FILTER_SUBMITTED = incoming, submitted
    filled_in = filling._filter(filling.FILTER_PORTS)
    out = rendered(tmp_path, values | filled_in, "sqlite", private=False)
    told = subprocess.run(
        ["postconf", "-c", out / "postfix", "-P"], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    wanted = {
        "before-queue": ("smtpd_proxy_filter", "127.0.0.1:{}"),
        "after-queue": ("content_filter", "amavis:[127.0.0.1]:{}"),
    }
    filled = dict(line.split(" = ", 1) for line in told.stdout.splitlines() if " = " in line)
    for service, mode, port in (
        ("12525", incoming, 10024),
        ("12587", submitted, 10026),
        ("12465", submitted, 10026),
    ):
        for name, value in wanted.values():
            expected = value.format(port) if name == wanted[mode][0] else None
            assert filled.get(f"{service}/inet/{name}") == expected
    destiny = "D_REJECT" if incoming == "before-queue" else "D_DISCARD"
    text = (out / "amavis" / "amavisd.conf").read_text()
    assert f"$final_virus_destiny = {destiny};" in text
    assert f"$final_banned_destiny = {destiny};" in text
    tmp_path.chmod(0o755)
    subprocess.run(["install", "-d", "-o", "postfix", tmp_path / "data"], check=True)
    (tmp_path / "spool").mkdir()
    out = rendered(
        tmp_path, values | filled_in | {"log": str(tmp_path), "postfix_log": str(tmp_path / "log")}, "sqlite"
    )
    told = subprocess.run(["postfix", "-c", out / "postfix", "check"], capture_output=True, text=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="Amavis wants its files to be root's")
def test_amavis_knows_every_line(values, engine):
    """Perl takes the file and all that it includes; as Amavis' own user, too, as when it loads it anew."""
    with tempfile.TemporaryDirectory(prefix="mp-", dir="/tmp") as open_to_all:
        Path(open_to_all).chmod(0o755)
        out = Path(open_to_all) / "out" / "amavis"
        rendered(Path(open_to_all), values | {"amavis_config": str(out)}, engine)
        command = ["amavisd", "-c", out / "amavisd.conf", "test-config"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with (out / "amavisd.conf").open("a") as file:
            file.write("$no_such_thing = 1;\n")  # the control
        assert "no_such_thing" in subprocess.run(command, capture_output=True, text=True).stdout


def test_dovecot_knows_every_line(tmp_path, values, engine):
    out = rendered(tmp_path, values, engine)
    told = subprocess.run(
        ["doveconf", "-n", "-c", out / "dovecot" / "dovecot.conf"], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    lines = told.stdout.splitlines()
    for line in (
        "ssl = required",
        "auth_cache_verify_password_with_worker = yes",
        "auth_cache_negative_ttl = 0",
    ):
        assert line in lines
    for line in ("disable_plaintext_auth = no", "auth_username_chars ="):
        assert line not in lines
    told = subprocess.run(
        ["doveconf", "-c", out / "dovecot" / "dovecot.conf", "ssl_min_protocol", "disable_plaintext_auth"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.splitlines() == ["ssl_min_protocol = TLSv1.2", "disable_plaintext_auth = yes"]


def test_clamd_knows_every_line(tmp_path, values):
    out = rendered(tmp_path, values, "sqlite")
    told = subprocess.run(["clamconf", "-c", out / "clamav"], capture_output=True, text=True)
    assert "ERROR" not in told.stdout + told.stderr
    assert 'LocalSocket = "/tmp/x/clam/clamd.sock"' in told.stdout


# --- the rest -------------------------------------------------------------------------------------------------


def test_every_setting_is_explained():
    """deploy/ reads like a book: no file without words, and no stretch of more than ten lines without a comment."""
    for path in DEPLOY.rglob("*"):
        if path.suffix not in (".cf", ".conf", ".sql"):
            continue
        lines = path.read_text().splitlines()
        words = [
            0,
            *(n for n, line in enumerate(lines, 1) if line.lstrip().startswith(("#", "--"))),
            len(lines),
        ]
        assert lines[0].strip()[:1] in ("#", "-") or not lines[0], path
        longest = 45 if "master.cf" in path.name or "dovecot.conf" in path.name else 25
        assert max(later - earlier for earlier, later in pairwise(words)) <= longest, path


def test_packages_are_named_once():
    assert len(set(packages.TESTS)) == len(packages.TESTS)
    assert set(packages.of_daemons("sqlite")) | set(packages.of_daemons("mariadb")) <= set(packages.TESTS)


def test_render_by_command(tmp_path):
    tmp_path.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "MAILPANEL_VAR": str(tmp_path / "var")}

    def run(*arguments, **more):
        command = [ROOT / ".venv" / "bin" / "python", "manage.py", "stack", "render", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment | more, capture_output=True, text=True)

    done = run(str(tmp_path / "out"), MAILPANEL_HOSTNAME="mx.other.test", MAILPANEL_PORTS="smtp=4025")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/postfix/main.cf").read_text().count("myhostname = mx.other.test") == 1
    assert "\n4025    inet" in (tmp_path / "out/postfix/master.cf").read_text()
    assert (
        f"dbpath = file:{tmp_path}/var/database/mail.sqlite3?mode=rw"
        in (tmp_path / "out/postfix/sql/aliases.cf").read_text()
    )
    assert str(tmp_path / "out/dovecot/dovecot.conf") in done.stdout.splitlines()

    done = run(str(tmp_path / "maria"), "--database", "mariadb")
    assert done.returncode == 1
    assert re.search(r"deploy/\S+:\d+: there is no value for @{database_host}", done.stderr)
    assert not (tmp_path / "maria").exists()

    url = "mysql://panel:geheim@db.example.org:3307/mail"
    more = {
        f"MAILPANEL_{daemon}_DATABASE_PASSWORD": password
        for daemon, password in (("POSTFIX", "abc"), ("DOVECOT", "def"), ("AMAVIS", "ghi"))
    }
    done = run(
        str(tmp_path / "maria"),
        "--system",
        MAILPANEL_DATABASE_URL=url,
        MAILPANEL_DOVEADM_URL="http://127.0.0.1:28080",
        MAILPANEL_DOVEADM_API_KEY="key",
        MAILPANEL_OUTBOUND_TLS="dane",
        MAILPANEL_SRS_SECRET="ours",
        **more,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "maria/postfix/sql/aliases.cf").read_text()
    assert "hosts = inet:db.example.org:3307\ndbname = mail\nuser = postfix\npassword = abc\n" in text
    assert "geheim" not in "".join(path.read_text() for path in _files(tmp_path / "maria"))
    main = (tmp_path / "maria/postfix/main.cf").read_text()
    assert "error:5.1.2" not in main
    assert "inet_interfaces = all" in main
    assert "smtp_tls_security_level = dane\nsmtp_dns_support_level = dnssec\n" in main
    assert "reject_rbl_client zen.spamhaus.org=127.0.0.[2..11]\n" in main
    assert (tmp_path / "maria/postsrsd/secret").read_text() == "ours\n"
    for wrong in (
        {"MAILPANEL_HOSTNAME": "a.b\nx=1"},
        {"MAILPANEL_PORTS": "smpt=25"},
        {"MAILPANEL_PORTS": "smtp=0"},
    ):
        done = run(str(tmp_path / "wrong"), **wrong)
        assert done.returncode != 0
        assert next(iter(wrong)) in done.stderr
