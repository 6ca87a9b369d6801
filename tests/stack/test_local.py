"""The private copy as a thing to start, stop, look at and have several of."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from accounts.models import Mailbox
from domains.models import Domain
from mailpanel.stack import packages, place, processes, tls
from tests.environment import ON_MARIADB
from tests.stack.mail import MailServer, eventually
from tests.stack.private import ROOT, Private

ONCE = pytest.mark.skipif(ON_MARIADB, reason="has nothing to do with the database")


def fill(private, name):
    with private.orm():
        Domain.objects.create(name=name)
        Mailbox.objects.create(email=f"ida@{name}", domain_id=name)


def left_behind(private) -> dict:
    names = ("postfix", "dovecot", "postsrsd", "clamd", "amavis", "queue", "collect", "policy", "panel")
    return {
        name: found for name in names if (found := processes.found(f"{private.directory.resolve()}/{name}"))
    }


@pytest.fixture
def another(private, django_db_blocker):
    """Another copy, beside the one of all tests."""
    other = Private(database="another")
    try:
        with django_db_blocker.unblock():
            other.migrate()
        yield other
    finally:
        other.remove()
        assert left_behind(other) == {}


def test_info_tells_programs_what_runs(private):
    told = private.info()
    assert list(told) == ["running", "panel", "host", "ca_file", "ports", "pids", "directory"]
    assert told["running"] is True
    assert told["panel"] == f"http://localhost:{private.port['panel']}"
    assert told["host"] == "127.0.0.1"
    assert "BEGIN CERTIFICATE" in Path(told["ca_file"]).read_text()
    mail_ports = ("smtp", "submission", "smtps", "imap", "imaps", "pop3", "pop3s", "managesieve")
    assert told["ports"] == {name: private.port[name] for name in mail_ports}
    assert set(told["pids"]) == {"postfix", "dovecot", "postsrsd", "clamd", "amavis", "queue"}
    assert all(Path(f"/proc/{pid}").exists() for pid in told["pids"].values())
    assert told["directory"] == str(private.directory)


def test_only_loopback_listens(private):
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True)
    if listening.returncode:
        pytest.skip("no ss here")
    ports = {str(port) for name, port in private.port.items() if name != "panel"}
    at = {line.split()[3].rpartition(":")[::2] for line in listening.stdout.splitlines()}
    assert {(host, port) for host, port in at if port in ports} == {("127.0.0.1", port) for port in ports}


def test_up_twice_changes_nothing(private):
    before = private.info()["pids"]
    assert private.manage("stack", "up").stdout == "Everything runs already.\n"
    assert private.info()["pids"] == before


def test_two_copies_side_by_side(private, another):
    another.up()
    fill(private, "first-copy.test")
    fill(another, "other-copy.test")
    here, there = MailServer(private), MailServer(another)
    assert [here.rcpt("ida@first-copy.test"), here.rcpt("ida@other-copy.test")] == [250, 554]
    assert [there.rcpt("ida@first-copy.test"), there.rcpt("ida@other-copy.test")] == [554, 250]
    subject = there.deliver("ida@other-copy.test")
    assert there.settled()
    box = another.directory / "mail" / "other-copy.test" / "ida" / "Maildir" / "new"
    assert [subject in path.read_text() for path in box.iterdir()] == [True]
    before = private.info()["pids"]
    assert (
        another.manage("stack", "down").stdout == "Ended: dovecot, postsrsd, clamd, amavis, postfix, queue.\n"
    )
    assert left_behind(another) == {}
    assert another.info()["running"] is False
    assert another.manage("stack", "down").stdout == "Nothing ran.\n"
    assert private.info()["pids"] == before


@ONCE
def test_a_port_that_is_taken(another):
    with socket.create_server(("127.0.0.1", another.port["imap"])):
        done = another.manage("stack", "up", check=False)
    assert done.returncode == 1
    port = another.port["imap"]
    assert re.search(
        rf"Port {port}, wanted for imap, is not to be had .* MAILPANEL_PORTS=imap=\d+", done.stderr
    )
    assert left_behind(another) == {}


@ONCE
def test_a_daemon_that_does_not_start_says_why(another):
    another.up()
    another.manage("stack", "down")
    (another.directory / "tls" / "server.pem").write_text("no certificate")
    (another.directory / "tls" / "server.key").write_text("no key")
    done = another.manage("stack", "up")  # made anew, since nothing could use them
    assert "Started" in done.stdout
    another.manage("stack", "down")
    socket_of_it = another.directory / "dovecot" / "run" / "auth-postfix"
    socket_of_it.unlink()
    socket_of_it.mkdir()
    done = another.manage("stack", "up", check=False)
    assert done.returncode == 1
    assert re.search(r"dovecot did not start .*\n(.*\n)*.*auth-postfix", done.stderr)
    assert "Traceback" not in done.stderr
    assert left_behind(another) == {}


@ONCE
@pytest.mark.parametrize("why", ["closed", "long", "blank"])
def test_a_place_that_the_daemons_cannot_reach(django_db_blocker, private, why):
    above = Path(tempfile.mkdtemp(prefix="mp-", dir="/tmp"))
    assert above.stat().st_mode & 0o777 == 0o700
    if why != "closed":
        above.chmod(0o755)
    wanted = above / {"closed": "var", "long": "x" * 80, "blank": "my mail"}[why]
    copy = Private(directory=wanted)
    try:
        with django_db_blocker.unblock():
            (wanted / "database").mkdir(parents=True)
            copy.migrate()  # it was in use before, by a panel alone
            copy.database.close()
        done = copy.manage("stack", "up")
        assert (
            f"The mail daemons cannot reach {wanted}, so it is a link to /var/lib/mailpanel-" in done.stdout
        )
        assert "Started: dovecot, postsrsd, clamd, amavis, postfix, queue." in done.stdout
        assert wanted.is_symlink()
        assert copy.info()["directory"] == str(wanted.resolve())
        with django_db_blocker.unblock():
            fill(copy, "elsewhere.test")
        assert MailServer(copy).rcpt("ida@elsewhere.test") == 250
        assert "link" not in copy.manage("stack", "up").stdout
        assert {path.name for path in above.iterdir()} == {wanted.name}
    finally:
        copy.remove()
        assert left_behind(copy) == {}
        shutil.rmtree(above)
        assert not wanted.exists()


@ONCE
def test_root_alone_starts_daemons(private):
    child = os.fork()
    if not child:
        os.seteuid(65534)
        from mailpanel.stack import local
        from mailpanel.stack.daemons import StackError

        try:
            local.up(place.Place(Path("/tmp")))
        except StackError as error:
            os._exit(0 if "root" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- make run -------------------------------------------------------------------------------------------------


class Run:
    """`manage.py stack run`, what it says, and Ctrl-C."""

    def __init__(self, copy: Private):
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "stack", "run"],
            cwd=ROOT,
            env=copy.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C" in line:
                break
        self.seconds = time.monotonic() - self.began
        assert "Ctrl-C" in self.said, self.said

    def end(self, number=signal.SIGINT) -> int:
        os.killpg(self.process.pid, number)
        self.said += self.process.communicate(timeout=30)[0]
        return self.process.returncode


@ONCE
def test_from_nothing_to_a_mail_server_and_back(private, django_db_blocker):
    copy = Private()
    try:
        first = Run(copy)
        told = copy.info()
        assert set(told["pids"]) == {
            "postfix", "dovecot", "postsrsd", "clamd", "amavis", "queue", "collect", "policy", "panel",
        }  # fmt: skip
        address, password = re.search(r"Sign in as   (\S+)\nPassword     (\S+) ", first.said).groups()
        assert address == "postmaster@example.test"
        for port in ("submission", "smtps", "imap", "imaps", "pop3", "pop3s", "managesieve", "smtp"):
            assert str(copy.port[port]) in first.said
        assert f"http://localhost:{copy.port['panel']}" in first.said
        for host in ("127.0.0.1", "localhost"):
            with urllib.request.urlopen(f"http://{host}:{copy.port['panel']}/", timeout=10) as page:
                assert page.status == 200
        mail = MailServer(copy)
        subject = mail.deliver(address, sender=address, client=mail.submission(address, password))
        assert mail.arrives(subject, address, password)
        # a command in another terminal finds the daemons by itself: the old password is dead at once
        copy.manage("mailbox", "set", address, "--password-stdin", stdin="three words, seven letters")
        assert mail.sign_in_code(address, password) == 535
        assert mail.sign_in_code(address, "three words, seven letters") == 235
        done = copy.manage("stack", "run", check=False)
        assert done.returncode == 1
        assert "at work" in done.stderr
        assert first.end() == 0
        assert left_behind(copy) == {}
        second = Run(copy)
        assert second.seconds < 10
        assert "Password" not in second.said
        assert "mailbox set postmaster@example.test --password-stdin" in second.said
        assert subject in mail.subjects(address, "three words, seven letters")
        assert second.end(signal.SIGTERM) == 0
        assert left_behind(copy) == {}
    finally:
        copy.remove()
        assert left_behind(copy) == {}


@ONCE
def test_run_ends_with_what_it_cannot_do_without(private):
    copy = Private()
    try:
        run = Run(copy)
        os.kill(copy.info()["pids"]["panel"], signal.SIGKILL)
        assert eventually(lambda: run.process.poll() is not None)
        run.said += run.process.communicate()[0]
        assert run.process.returncode == 1
        assert "panel ended by itself" in run.said
        assert left_behind(copy) == {}
    finally:
        copy.remove()


# --- certificates, packages -----------------------------------------------------------------------------------


@ONCE
def test_certificates_are_renewed_in_time(tmp_path, monkeypatch):
    def served():
        return [(tmp_path / name).read_bytes() for name in ("ca.pem", "server.pem", "server.key")]

    tls.ensure(tmp_path, "mail.example.test")
    first = served()
    for name in ("ca.key", "server.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    tls.ensure(tmp_path, "mail.example.test")
    assert served() == first
    tls.ensure(tmp_path, "mx.example.test")  # another name: another certificate by the same authority
    second = served()
    assert second[0] == first[0]
    assert second[1] != first[1]
    monkeypatch.setattr(tls, "RENEW_BEFORE_DAYS", tls.SERVER_DAYS + 1)
    tls.ensure(tmp_path, "mx.example.test")
    assert served()[0] == first[0]
    assert served()[1] != second[1]
    done = subprocess.run(
        [
            "openssl",
            "verify",
            "-verify_hostname",
            "mx.example.test",
            "-CAfile",
            tmp_path / "ca.pem",
            tmp_path / "server.pem",
        ]
    )
    assert done.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"ca.pem", "ca.key", "server.pem", "server.key"}


@ONCE
@pytest.mark.parametrize("there", [True, False])
def test_starting_is_denied_while_packages_come(tmp_path, monkeypatch, there):
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", policy)
    monkeypatch.setattr(packages, "_SAVED", tmp_path / "saved")
    if there:
        policy.write_text("somebody's own")
    denied = packages._starting_denied()
    denied.__enter__()
    assert subprocess.run([policy]).returncode == 101
    denied.__exit__(None, None, None)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == (
        {"policy-rc.d": "somebody's own"} if there else {}
    )


@ONCE
def test_packages_are_left_alone_on_request(monkeypatch):
    monkeypatch.setenv("PACKAGES", "no")
    assert packages.ensure(("postfix",)) == []
    with pytest.raises(packages.StackError, match="missing: no-such-package"):
        packages.ensure(("postfix", "no-such-package"))
    assert json.dumps(packages.missing(("postfix", "no-such-package"))) == '["no-such-package"]'
