"""An address that was deleted and is made anew: its new owner inherits no mail, no folder and no filter."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import audit, trash
from accounts.lifecycle import close_mailbox, open_mailbox
from accounts.models import Mailbox, MailboxUsage, Trash
from accounts.restore import bring_back
from domains.models import Domain
from mailpanel.daemons import dovecot
from tests.stack.mail import eventually

BY = audit.By("shell:tests")
FORMER, NEW = "seven quiet herons", "four violet anvils"


def opened(email: str, password: str, **how) -> Mailbox:
    mailbox = Mailbox(email=email)
    mailbox.clean()
    open_mailbox(mailbox, password, by=BY, **how)
    return Mailbox.objects.get(email=email)


@pytest.fixture
def left(private, mail):
    """left("x@former.test"): a mailbox with a message, a folder and a filter, deleted; the message's subject."""
    Domain.objects.get_or_create(name="former.test")

    def leave(email):
        mailbox = opened(email, FORMER)
        subject = mail.deliver(email)
        assert mail.arrives(subject, email, FORMER)
        with mail.imaps(email, FORMER) as session:
            session.create("Secret/Plans")
            session.append("Secret/Plans", None, None, b"Subject: plan\r\n\r\nof the former owner\r\n")
        spy = {"user": email, "scriptname": "spy", "activate": True, "file": "keep;"}
        dovecot._call([["sievePut", spy, "put"]])
        close_mailbox(mailbox, by=BY)
        return subject

    return leave


def test_made_anew(private, mail, left):
    email = "anew@former.test"
    left(email)
    mailbox = opened(email, NEW, anew=True)
    assert mailbox.can_login
    with mail.imaps(email, NEW) as session:
        assert "Secret" not in str(session.list())
    assert mail.subjects(email, NEW) == []
    assert private.doveadm("sieve", "list", "-u", email).stdout == ""
    assert eventually(lambda: MailboxUsage.objects.get(mailbox=email).messages == 0)
    assert mail.arrives(mail.deliver(email), email, NEW)


def test_brought_back(private, mail, left):
    email = "back@former.test"
    subject = left(email)
    bring_back(Trash.objects.get(table="user", name=email).deletion, by=BY)
    assert mail.subjects(email, FORMER) == [subject]
    with mail.imaps(email, FORMER) as session:
        assert "Secret/Plans" in str(session.list())


def test_purged(private, mail, left):
    """By the purge all that it held is gone from the disk, whoever makes the address anew; others keep theirs."""
    email, other = "purged@former.test", "waits@former.test"
    left(email)
    Trash.objects.update(at=timezone.now() - timedelta(days=31))
    left(other)
    home = private.directory / "mail" / "former.test" / "purged"
    assert "of the former owner" in contents(home)
    trash.purge(trash.due(), by=BY)
    assert not Trash.objects.filter(name=email).exists()
    assert "of the former owner" not in contents(home)
    assert "of the former owner" in contents(home.with_name("waits"))
    opened(email, NEW)  # not in the trash any more, so without a word
    with mail.imaps(email, NEW) as session:
        assert "Secret" not in str(session.list())
    assert mail.subjects(email, NEW) == []
    assert private.doveadm("sieve", "list", "-u", email).stdout == ""


def test_in_the_trash_nobody_signs_in_and_nothing_arrives(private, mail, left):
    """Dovecot knows what is in the trash by doveadm alone."""
    email = "still@former.test"
    left(email)
    assert mail.sign_in_code(email, FORMER) == 535
    assert mail.rcpt(email) == 550
    assert (
        private.doveadm("mailbox", "status", "-u", email, "messages", "INBOX").stdout == "INBOX messages=1\n"
    )


def contents(home) -> str:
    return "".join(path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())
