"""What the real Amavis has put into the quarantine: listed, released, kept for the others, and told of by mail."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts import audit
from accounts.models import Mailbox
from domains.models import Alias, Domain
from mailpanel.server import decisions, digest, filter_policy, letter, quarantine
from mailpanel.server.models import DigestSent, Msg, MsgRcpt, Quarantine
from mailpanel.server.models.filter import NEVER
from tests.stack.mail import eventually
from tests.stack.private import quick_hash
from tests.stack.test_filter import STRANGER, kept, send, spam, virus

PASSWORD = "seven quiet herons"
LEA, MAX, TOM = "lea@held.test", "max@held.test", "tom@other-held.test"
BY = audit.By(LEA)


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    hashed = quick_hash(PASSWORD)
    with django_db_blocker.unblock(), _private.orm():
        for name in ("held.test", "other-held.test", "mirror-held.test"):
            Domain.objects.create(name=name, alias_of_id="held.test" if name.startswith("mirror") else None)
        for address in (LEA, MAX, TOM):
            Mailbox.objects.create(email=address, domain_id=address.partition("@")[2], password=hashed)
        Alias.objects.create(source="sales@held.test", destination=LEA, domain_id="held.test")
        year_ago = timezone.now() - timedelta(days=365)
        for model in (Mailbox, Domain, Alias):
            model.objects.update(created=year_ago)


@pytest.fixture
def mail(people, mail):
    return mail


def box(email) -> Mailbox:
    return Mailbox.objects.get(email=email)


def held_for(email, subject) -> list[quarantine.Held]:
    page = quarantine.Listing(box(email), mine=True).page({})
    return [one for one in page if one.msg.subject == subject]


def keep(mail, made, *to) -> str:
    _code, subject = send(mail, made, *to)
    assert eventually(lambda: kept(subject) is not None)
    return subject


def test_release_to_one_of_two_and_then_the_other(mail):
    subject = keep(mail, spam(), LEA, TOM)
    (lea,), (tom,) = held_for(LEA, subject), held_for(TOM, subject)
    assert (lea.row.kind, lea.recipient, lea.sender, lea.score > 900) == ("S", LEA, STRANGER, True)
    assert TOM not in str(quarantine.text_of(lea).headers)
    assert decisions.release([lea], by=BY).refused == []
    assert mail.arrives(subject, LEA, PASSWORD)
    assert mail.settled()
    assert subject not in mail.subjects(TOM, PASSWORD)
    assert (held_for(LEA, subject), len(held_for(TOM, subject))) == ([], 1)
    assert Quarantine.objects.filter(mail_id=lea.msg.mail_id).exists()
    decisions.release([tom], by=BY)
    assert mail.arrives(subject, TOM, PASSWORD)
    assert not Quarantine.objects.filter(mail_id=lea.msg.mail_id).exists()


@pytest.mark.parametrize(
    "to", ["lea+shop@held.test", "LEA@mirror-held.test", "sales@held.test", "sales+x@held.test"]
)
def test_other_addresses_of_ones_own(mail, to):
    subject = keep(mail, spam(), to)
    (one,) = held_for(LEA, subject)
    assert one.recipient == to.lower()
    assert decisions.release([one], by=BY).refused == []
    assert mail.arrives(subject, LEA, PASSWORD)


def test_two_release_the_same_at_the_same_moment(mail, private):
    """Both have the page before them; it arrives once."""
    subject = keep(mail, spam(), LEA)
    (lea,) = held_for(LEA, subject)

    def release(_who):
        connections["default"] = private.database.copy()
        try:
            return decisions.release([lea], by=BY)
        finally:
            connections.close_all()

    with ThreadPoolExecutor() as people:
        outcomes = list(people.map(release, range(3)))
    assert sorted(len(outcome.done) for outcome in outcomes) == [0, 0, 1]
    assert [len(outcome.refused) for outcome in outcomes if not outcome.done] == [1, 1]
    assert mail.settled()
    assert mail.subjects(LEA, PASSWORD).count(subject) == 1


def test_domain_of_the_recipient(mail):
    subject = keep(mail, spam(), "max+x@mirror-held.test")
    row = MsgRcpt.objects.get(mail_id=kept(subject).mail_id)
    assert (row.domain, row.kind) == ("mirror-held.test", "S")
    assert abs(row.made - timezone.now().timestamp()) < 60


def test_virus_is_released_when_somebody_says_so(mail):
    """It is not filtered a second time."""
    subject = keep(mail, virus(), MAX)
    (one,) = held_for(MAX, subject)
    assert one.is_virus
    assert not one.may_release
    assert decisions.release([one], by=BY).refused == []
    assert mail.arrives(subject, MAX, PASSWORD)


def test_wrong_secret_is_told_in_words(mail):
    subject = keep(mail, spam(), MAX)
    Msg.objects.filter(subject=subject).update(secret_id="anotherone12")
    outcome = decisions.release(held_for(MAX, subject), by=BY)
    assert outcome.done == []
    assert "secret_id" in outcome.refused[0].lower()
    assert len(held_for(MAX, subject)) == 1


def test_allowed_sender_comes_through(mail):
    sender = "shop@newsletters.example.net"
    first = spam(sender=sender)
    with mail.smtp() as client:
        send(mail, first, LEA, sender=sender, client=client)
    assert eventually(lambda: kept(first["Subject"]) is not None)
    found = held_for(LEA, first["Subject"])
    decisions.release(found, by=BY)
    assert decisions.allow_senders(found, box(LEA), by=BY) == ({sender}, [])
    _code, subject = send(mail, spam(sender=sender), LEA, sender=sender)
    assert mail.arrives(subject, LEA, PASSWORD)


def test_mark_in_the_subject(mail):
    filter_policy.change(
        MAX, {"spam_tag2_level": 3.0, "spam_kill_level": NEVER, "spam_subject_tag2": "[Müll] "}, by=BY
    )
    _code, subject = send(mail, spam(), MAX)
    assert eventually(lambda: any(subject in one for one in mail.subjects(MAX, PASSWORD)))
    (marked,) = [one for one in mail.subjects(MAX, PASSWORD) if subject in one]
    assert letter.decoded(marked) == f"[Müll] {subject}"


def test_digest_arrives_once(mail, monkeypatch, settings):
    monkeypatch.setattr(digest, "HOUR", 0)
    monkeypatch.setattr(digest, "_done", None)
    filter_policy.change(TOM, {"digest": True}, by=BY)
    keep(mail, spam(), TOM)
    later = timezone.now() + timedelta(seconds=2 * digest.SETTLED)
    assert digest.send(later) == 1
    digest._done = None
    assert digest.send(later) == 0
    assert eventually(lambda: any("held back" in one for one in mail.subjects(TOM, PASSWORD)))
    assert mail.settled()
    assert sum("held back" in one for one in mail.subjects(TOM, PASSWORD)) == 1
    assert DigestSent.objects.get(email=TOM).told
