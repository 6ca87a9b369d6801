"""What breaks, breaks softly: mail waits or is refused for now, nothing is lost, and it goes on by itself."""

import imaplib
import os
import shutil
import signal
import smtplib
import sqlite3
import stat
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from accounts.models import Mailbox
from domains.models import Domain
from tests.environment import ON_MARIADB
from tests.stack.mail import eventually
from tests.stack.private import quick_hash

PASSWORD = "seven quiet herons"
EMAIL = "fay@fault.test"


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.create(name="fault.test")
        Mailbox.objects.create(email=EMAIL, domain_id="fault.test", password=quick_hash(PASSWORD))


@pytest.fixture
def mail(people, mail):
    return mail


def reload(private):
    subprocess.run(["postfix", "-c", private.etc / "postfix", "reload"], check=True, capture_output=True)


@contextmanager
def database_away(private):
    """MariaDB stopped, or the file of SQLite taken from under the daemons."""
    private.database.close()
    place = private.directory / "database"
    aside = place.with_name("database-aside")
    if ON_MARIADB:
        private.server.stop()
    else:
        place.rename(aside)
        reload(private)  # or the open file would go on to answer
    try:
        yield
    finally:
        if ON_MARIADB:
            private.server.start()
        else:
            shutil.rmtree(place, ignore_errors=True)
            aside.rename(place)
        reload(private)  # Postfix gives a database a minute's rest after a failure


def test_database_away(mail, private):
    """Nobody is refused while it is away; what is sent again then is delivered exactly once."""
    mail.imaps(EMAIL, PASSWORD).logout()
    with database_away(private):
        said = Counter(_ask(mail, to) for to in [EMAIL] * 5 + ["nobody@fault.test"])
        if ON_MARIADB:  # a file that Dovecot has open goes on to answer
            with ThreadPoolExecutor() as both:  # Dovecot waits a minute for its database
                sending = both.submit(mail.sign_in_code, EMAIL, PASSWORD)
                with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
                    mail.imaps(EMAIL, PASSWORD)
            assert sending.result() == 454
    # Postfix without its SQLite file lets the client wait, and serves it as soon as the file is back
    assert set(said) <= ({450, 451} if ON_MARIADB else {450, 451, "waits"})
    assert eventually(lambda: mail.rcpt(EMAIL) == 250, 60)
    assert mail.rcpt("nobody@fault.test") == 550
    subjects = [mail.deliver(EMAIL) for _number in range(10)]
    assert mail.settled()
    assert eventually(lambda: _signs_in(mail), 60)
    got = Counter(mail.subjects(EMAIL, PASSWORD))
    assert {subject: got[subject] for subject in subjects} == dict.fromkeys(subjects, 1)
    assert "status=bounced" not in private.log("postfix")


def _ask(mail, recipient):
    try:
        with mail.smtp(patience=2) as client:
            client.mail("x@elsewhere.example.net")
            return client.rcpt(recipient)[0]
    except (smtplib.SMTPServerDisconnected, TimeoutError):
        return "waits"


def _signs_in(mail) -> bool:
    try:
        mail.imaps(EMAIL, PASSWORD).logout()
    except imaplib.IMAP4.error:
        return False
    return True


def test_mail_that_is_here_already_waits_for_the_database(mail, private):
    """Accepted, and then nobody knows its domain any more: that is no reason to return it."""
    os.kill(private.info()["pids"]["dovecot"], signal.SIGKILL)  # so that it stays in the queue
    subject = mail.deliver(EMAIL)
    with database_away(private):
        subprocess.run(["postqueue", "-c", private.etc / "postfix", "-f"], check=True)
        time.sleep(3)
    private.manage("stack", "up")
    # a message whose delivery a reload cut off rests for minutes; at once, if it is told
    subprocess.run(["postqueue", "-c", private.etc / "postfix", "-f"], check=True)
    assert mail.arrives(subject, EMAIL, PASSWORD)
    assert "status=bounced" not in private.log("postfix")


@pytest.mark.skipif(ON_MARIADB, reason="MariaDB has no lock on all of it")
def test_a_busy_writer_holds_up_nobody(mail, private):
    path = private.directory / "database" / "mail.sqlite3"
    with sqlite3.connect(path) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE domain SET description = 'busy'")
        subject = mail.deliver(EMAIL)
        assert mail.arrives(subject, EMAIL, PASSWORD)
        writer.rollback()
    writer.close()


@pytest.mark.skipif(ON_MARIADB, reason="there are no files")
def test_database_files_are_the_daemons_and_nobody_elses(mail, private):
    place = private.directory / "database"
    with private.orm():
        Domain.objects.filter(name="fault.test").update(description="something written")
    mail.rcpt(EMAIL)
    mail.imaps(EMAIL, PASSWORD).logout()
    assert stat.S_IMODE(place.stat().st_mode) == 0o2770
    assert place.group() == "postfix"
    for path in place.iterdir():
        assert (stat.S_IMODE(path.stat().st_mode), path.group()) == (0o660, "postfix"), path
    # and when -wal and -shm are gone, the daemons make them anew, with the same rights
    private.database.close()
    reload(private)
    assert mail.rcpt(EMAIL) == 250
    for path in place.iterdir():
        assert (stat.S_IMODE(path.stat().st_mode), path.group()) == (0o660, "postfix"), path


def test_dovecot_away_and_mail_waits(mail, private):
    pids = private.info()["pids"]
    os.kill(pids["dovecot"], signal.SIGKILL)
    assert eventually(lambda: "dovecot" not in private.info()["pids"])
    subject = mail.deliver(EMAIL)
    assert mail.queue() >= 1
    private.manage("stack", "up")
    now = private.info()["pids"]
    assert (now["postfix"], now["clamd"]) == (pids["postfix"], pids["clamd"])  # those were well
    assert now["dovecot"] != pids["dovecot"]
    assert mail.arrives(subject, EMAIL, PASSWORD)


def test_everything_killed_and_up_again(mail, private):
    subject = mail.deliver(EMAIL)
    before = private.info()["pids"]
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    private.manage("stack", "up")
    told = private.info()
    assert told["running"]
    assert not set(told["pids"].values()) & set(before.values())
    assert mail.arrives(subject, EMAIL, PASSWORD)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        mail.deliver("nobody@fault.test")
