"""The disk of one daemon is full: mail waits with its sender or in the queue, passes unseen nowhere, and goes on by itself."""

import contextlib
import re
import smtplib
import subprocess

import pytest

from accounts.models import Mailbox
from domains.models import Domain
from tests.stack.mail import eventually
from tests.stack.private import quick_hash

pytestmark = pytest.mark.once

PASSWORD = "seven quiet herons"
EMAIL = "fay@disk.test"


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.create(name="disk.test")
        Mailbox.objects.create(email=EMAIL, domain_id="disk.test", password=quick_hash(PASSWORD))


@pytest.fixture
def mail(people, mail):
    return mail


@contextlib.contextmanager
def full(place):
    """A small disk in the place of this directory, with nothing left of it."""
    told = place.stat()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=64k,uid={told.st_uid},gid={told.st_gid},mode={told.st_mode & 0o7777:o}", "tmpfs", place],
        check=True,
    )  # fmt: skip
    try:
        with pytest.raises(OSError, match="No space left"):
            (place / "filler").write_bytes(bytes(1_000_000))
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_of_the_filter(mail, private):
    before = len(private.log("postfix"))
    with full(private.directory / "amavis" / "home" / "tmp"):
        for _time in range(4):  # more than it has processes
            with pytest.raises(smtplib.SMTPResponseException) as refused:
                mail.deliver(EMAIL, text="x" * 100_000)
            assert 400 <= refused.value.smtp_code < 500
        waits = mail.deliver(EMAIL, sender=EMAIL, client=mail.submission(EMAIL, PASSWORD))
    for subject in (mail.deliver(EMAIL), waits):
        subprocess.run(["postqueue", "-c", private.etc / "postfix", "-f"], check=True)
        assert mail.arrives(subject, EMAIL, PASSWORD)
    assert "status=bounced" not in private.log("postfix")[before:]


def test_of_the_mail(mail, private):
    mail.arrives(mail.deliver(EMAIL), EMAIL, PASSWORD)  # so that there is a mailbox
    before = len(private.log("postfix"))
    with full(private.directory / "mail" / "disk.test" / "fay" / "Maildir" / "tmp"):
        waits = mail.deliver(EMAIL)
        assert eventually(
            lambda: re.search(r"to=<fay@disk\.test>.* status=deferred", private.log("postfix")[before:])
        )
    subprocess.run(["postqueue", "-c", private.etc / "postfix", "-f"], check=True)
    assert mail.arrives(waits, EMAIL, PASSWORD)
    assert mail.subjects(EMAIL, PASSWORD).count(waits) == 1
    assert "status=bounced" not in private.log("postfix")[before:]
