"""An address that was deleted and is made anew: its new owner inherits no mail, no folder and no filter."""

import pytest

from accounts import audit
from accounts.lifecycle import bring_back, close_mailbox, open_mailbox
from accounts.models import Mailbox, MailboxUsage, Trash
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
