"""What is accepted is delivered, in the quarantine, returned or in the queue, whichever daemon is killed meanwhile.

MESSAGES=2000 in the environment makes it a long run; the suite takes fewer.
"""

import os
import random
import re
import signal
import smtplib
import subprocess
import threading
import time
from email.message import EmailMessage

import pytest

from accounts.models import Mailbox
from domains.models import Domain
from mailpanel.server.models import Msg
from tests.stack.mail import eventually
from tests.stack.private import quick_hash

MESSAGES = int(os.environ.get("MESSAGES", 120))
PASSWORD = "four patient otters"
PEOPLE = [f"p{number}@lost.test" for number in range(5)]
# Put together here, so that no filter takes this file for it.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL" + "*C.34X"
KILLED = ("amavis", "dovecot", "clamd", "postfix")


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.create(name="lost.test")
        for email in PEOPLE:
            Mailbox.objects.create(email=email, domain_id="lost.test", password=quick_hash(PASSWORD))


class Sender(threading.Thread):
    """Hands in messages, from outside and as one of our people, until all are accepted; a refusal for now is tried again
    under another number, so that each number was accepted once or never."""

    def __init__(self, mail, numbers):
        super().__init__(daemon=True)
        self.mail, self.numbers, self.accepted, self.refused = mail, numbers, set(), []

    def run(self):
        for number in self.numbers:
            while True:
                subject = f"lost {number} {time.monotonic_ns()}"
                try:
                    self._send(number, subject)
                except smtplib.SMTPResponseException as error:
                    self.refused.append(error.smtp_code)
                except smtplib.SMTPRecipientsRefused as error:
                    self.refused += [code for code, _text in error.recipients.values()]
                except (OSError, smtplib.SMTPException):
                    pass
                else:
                    self.accepted.add(subject)
                    break
                time.sleep(0.2)

    def _send(self, number, subject):
        message, spam = EmailMessage(), number % 10 == 0
        message["From"], message["To"], message["Subject"] = PEOPLE[0], "somebody@example.test", subject
        message.set_content(GTUBE if spam else "Hello.")
        submitted = number % 4 == 1
        with (
            self.mail.submission(PEOPLE[0], PASSWORD) if submitted else self.mail.smtp(patience=30)
        ) as client:
            sender = PEOPLE[0] if submitted else "stranger@elsewhere.example.net"
            client.sendmail(sender, [PEOPLE[number % len(PEOPLE)]], message.as_bytes())


def kill_in_turn(private, senders) -> list[str]:
    """A daemon's first process, by SIGKILL, and then whatever `stack up` makes of that; the names of the killed."""
    killed = []
    while any(sender.is_alive() for sender in senders) or len(killed) < len(KILLED):
        name = KILLED[len(killed) % len(KILLED)]
        os.kill(private.info()["pids"][name], signal.SIGKILL)
        killed.append(name)
        time.sleep(random.uniform(0, 1))
        private.manage("stack", "up")
        time.sleep(random.uniform(0.5, 2))
    return killed


def test_accepted_is_never_lost(people, mail, private):
    senders = [Sender(mail, range(start, MESSAGES, 4)) for start in range(4)]
    for sender in senders:
        sender.start()
    killed = kill_in_turn(private, senders)
    accepted = set().union(*(sender.accepted for sender in senders))
    assert len(accepted) == MESSAGES
    assert set(killed) == set(KILLED)
    # nobody was told never to come again
    refused = [code for sender in senders for code in sender.refused]
    assert {code for code in refused if code >= 500} == set()
    assert eventually(lambda: _tried_again(mail, private), 120)
    delivered = [subject for email in PEOPLE for subject in mail.subjects(email, PASSWORD)]
    kept = set(Msg.objects.filter(quar_type="Q").values_list("subject", flat=True))
    assert accepted - set(delivered) - kept == set()
    assert {subject for subject in accepted if int(subject.split()[1]) % 10 == 0} <= kept
    assert not kept & set(delivered)
    # and what is all well was not returned to anybody
    assert not re.search(r"to=<p\d@lost\.test>.* status=bounced", private.log("postfix"))


def _tried_again(mail, private) -> bool:
    """What rests in the queue after an outage is tried at once."""
    subprocess.run(["postqueue", "-c", private.etc / "postfix", "-f"], check=True)
    return eventually(lambda: mail.queue() == 0, 3)
