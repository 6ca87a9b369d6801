"""The message trace on the real daemons: what they logged is what happened, each message once."""

import subprocess
import threading
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import audit
from accounts.models import Mailbox
from domains.models import Alias, Domain
from mailpanel.daemons.clamav import test_file as eicar
from mailpanel.daemons.maillog import is_queue_id
from mailpanel.server import decisions, path, quarantine, trace
from mailpanel.server.follower import Follower
from mailpanel.server.models import Message, Position, Sight, Traffic
from mailpanel.server.models.trace import State
from tests.stack.mail import eventually
from tests.stack.private import quick_hash

DOMAIN, OTHER = "trace.example", "trace-other.example"
PASSWORD = "a password of theirs"
# put together here, so that no filter takes this source file for it
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
EVERYTHING = {"": None}


@pytest.fixture
def follow(private):
    reading = Follower(
        [str(private.directory / "log" / f"{name}.log") for name in ("postfix", "amavis", "dovecot")]
    )

    def follow():
        while reading.step():
            pass

    follow()
    return follow


@pytest.fixture
def people(private):
    for name in (DOMAIN, OTHER):
        if not Domain.objects.filter(name=name).exists():
            Domain.objects.create(name=name)
            for local in ("anna", "ben", "full"):
                Mailbox.objects.create(email=f"{local}@{name}", domain_id=name, password=quick_hash(PASSWORD))
            row = {"domain_id": name}
            Alias.objects.create(source=f"team@{name}", destination=f"anna@{name}", **row)
            Alias.objects.create(source=f"team@{name}", destination=f"ben@{name}", **row)
            Alias.objects.create(source=f"to-anna@{name}", destination=f"anna@{name}", **row)
            Alias.objects.create(source=f"leads-to-full@{name}", destination=f"full@{name}", **row)
    Mailbox.objects.filter(email__startswith="full@").update(quota=1000)
    for model in (Domain, Mailbox, Alias):
        model.objects.update(created=timezone.now() - timedelta(days=365))


def sender(number=[0]):  # noqa: B006  it counts
    """One by which a message is found again."""
    number[0] += 1
    return f"trace-{time.monotonic_ns()}-{number[0]}@elsewhere.example.net"


def became(follow, of, state, within=60):
    """The one message of this sender, once it has come to this state."""
    found = []

    def there():
        follow()
        found[:] = trace.find(EVERYTHING, EVERYTHING, trace.Sought(address=of), {}).rows
        return [told.state for told in found] == [state] and bool(found[0].recipients)

    assert eventually(there, within), [(told.state, told.recipients) for told in found]
    return found[0]


def recipients(told):
    return sorted((one.address, one.original, State(one.state)) for one in told.recipients)


def test_delivered(mail, people, follow):
    of = sender()
    mail.deliver(f"anna+shop@{DOMAIN}", sender=of)
    told = became(follow, of, State.DELIVERED)
    assert recipients(told) == [(f"anna+shop@{DOMAIN}", "", State.DELIVERED)]
    assert (told.row.verdict, told.row.login, told.row.address[:6]) == ("clean", "", "127.0.")
    assert set(Sight.objects.filter(message=told.row.pk, address="").values_list("scope", flat=True)) == {
        "",
        DOMAIN,
        f"anna@{DOMAIN}",
    }
    assert eventually(lambda: (follow(), told.row.log.filter(text__contains="saved mail").exists())[1])


def test_by_an_alias_to_two(mail, people, follow):
    of = sender()
    mail.deliver(f"team@{DOMAIN}", sender=of)
    told = became(follow, of, State.DELIVERED)
    assert recipients(told) == [
        (f"anna@{DOMAIN}", f"team@{DOMAIN}", State.DELIVERED), (f"ben@{DOMAIN}", f"team@{DOMAIN}", State.DELIVERED),
    ]  # fmt: skip


def test_submitted(mail, people, follow):
    before = Message.objects.filter(login=f"anna@{DOMAIN}", state=State.DELIVERED).count()
    mail.deliver(f"team@{OTHER}", sender=f"anna@{DOMAIN}", client=mail.submission(f"anna@{DOMAIN}", PASSWORD))

    def there():
        follow()
        return Message.objects.filter(login=f"anna@{DOMAIN}", state=State.DELIVERED).count() == before + 1

    assert eventually(there)
    row = Message.objects.filter(login=f"anna@{DOMAIN}").latest("at")
    assert (row.verdict, sum(map(is_queue_id, row.keys.values_list("name", flat=True)))) == ("clean", 2)
    scopes = set(Sight.objects.filter(message=row, address="").values_list("scope", flat=True))
    assert scopes == {"", DOMAIN, OTHER, f"anna@{DOMAIN}", f"anna@{OTHER}", f"ben@{OTHER}"}


@pytest.mark.parametrize(
    ("to", "words"),
    [(f"nobody@{DOMAIN}", "User unknown"), ("somebody@elsewhere.example", "Relay access denied"), (f"full@{DOMAIN}", "The mailbox is full")],
)  # fmt: skip
def test_refused(mail, people, follow, to, words):
    of = sender()
    with mail.smtp() as client:
        client.mail(of, ["SIZE=5000"])
        assert client.rcpt(to)[0] in (550, 552, 554)
    told = became(follow, of, State.REFUSED)
    assert recipients(told) == [(to, "", State.REFUSED)]
    assert words in told.row.log.get().text or "larger than the mailbox" in told.row.log.get().text


def test_a_sender_that_is_not_theirs(mail, people, follow):
    import smtplib

    with pytest.raises(smtplib.SMTPSenderRefused):
        mail.deliver(
            f"ben@{DOMAIN}", sender=f"ben@{DOMAIN}", client=mail.submission(f"anna@{DOMAIN}", PASSWORD)
        )
    assert eventually(
        lambda: (follow(), Message.objects.filter(login=f"anna@{DOMAIN}", sender=f"ben@{DOMAIN}").exists())[1]
    )


def test_waits_and_then_arrives(mail, private, people, follow):
    of = sender()
    mail.deliver(f"leads-to-full@{DOMAIN}", sender=of, text="x" * 4000)
    waiting = became(follow, of, State.WAITING)
    assert recipients(waiting) == [(f"full@{DOMAIN}", f"leads-to-full@{DOMAIN}", State.WAITING)]
    Mailbox.objects.filter(email=f"full@{DOMAIN}").update(quota=None)
    private.doveadm("auth", "cache", "flush", f"full@{DOMAIN}")
    told = became(follow, of, State.DELIVERED)
    assert told.row.pk == waiting.row.pk
    assert told.row.recipients.get().waited


@pytest.mark.parametrize(
    ("text", "state", "verdict"), [(eicar().decode(), State.REFUSED, "infected"), (GTUBE, State.QUARANTINED, "spam")]
)  # fmt: skip
def test_filtered(mail, people, follow, text, state, verdict):
    import smtplib
    from contextlib import suppress

    of = sender()
    with suppress(smtplib.SMTPDataError):
        mail.deliver(f"anna@{DOMAIN}", sender=of, text=text)
    told = became(follow, of, state)
    assert recipients(told) == [(f"anna@{DOMAIN}", "", state)]
    assert (told.row.verdict, bool(told.row.quarantine)) == (verdict, True)


def test_released_from_the_quarantine(mail, people, follow):
    """To an address with a +tag and in large letters, and to an alias: each goes on by itself."""
    of, anna = sender(), Mailbox.objects.get(email=f"anna@{DOMAIN}")
    with mail.smtp() as client:
        message = f"From: <{of}>\nSubject: Released\n\n{GTUBE}\n"
        client.sendmail(of, [f"Anna+Shop@{DOMAIN}", f"to-anna@{DOMAIN}", f"ben@{DOMAIN}"], message)
    told = became(follow, of, State.QUARANTINED)
    for number, recipient in enumerate((f"anna+shop@{DOMAIN}", f"to-anna@{DOMAIN}")):
        assert eventually(lambda: quarantine.of_message(anna, told.row.quarantine))
        (one,) = (
            held for held in quarantine.of_message(anna, told.row.quarantine) if held.recipient == recipient
        )
        assert decisions.release([one], by=audit.By(anna.email)).refused == []

        def gone_on(number=number):
            told = became(follow, of, State.QUARANTINED)
            return [row.state for row in told.recipients].count(State.DELIVERED) == number + 1

        assert eventually(gone_on)
    told = became(follow, of, State.QUARANTINED)
    assert {(row.address, row.original): State(row.state) for row in told.recipients} == {
        (f"anna+shop@{DOMAIN}", ""): State.DELIVERED,
        (f"anna@{DOMAIN}", f"to-anna@{DOMAIN}"): State.DELIVERED,
        (f"ben@{DOMAIN}", ""): State.QUARANTINED,
    }
    seen = trace.one(told.row.pk, {anna.email: None})
    assert (seen.state, seen.others) == (State.DELIVERED, 1)
    titles = [step.title for step in path.way(seen, list(told.row.log.order_by("at", "id"))).steps]
    assert titles.count("It was released from the quarantine") == 1
    seen = trace.one(told.row.pk, {f"ben@{DOMAIN}": None})
    assert seen.state == State.QUARANTINED
    titles = [step.title for step in path.way(seen, list(told.row.log.order_by("at", "id"))).steps]
    assert "It was released from the quarantine" not in titles


def test_what_comes_in_comes_out_while_the_log_is_rotated(mail, private, people, follow):
    """Renamed by Postfix' own program under traffic, while a collector reads: as many messages as were taken."""
    count, name = 40, f"rotation-{time.monotonic_ns()}"
    hour = sum(Traffic.objects.filter(domain=DOMAIN).values_list("received", flat=True))
    log, done = private.directory / "log" / "postfix.log", threading.Event()

    def send():
        with mail.smtp(source="127.0.0.1") as client:
            for number in range(count):
                body = f"From: x@elsewhere.example.net\r\nSubject: {number}\r\n\r\nHello.\r\n"
                client.sendmail(f"{name}-{number}@elsewhere.example.net", [f"anna@{DOMAIN}"], body)
        done.set()

    sending = threading.Thread(target=send)
    sending.start()
    try:
        for number in range(3):
            eventually(done.is_set, 0.7)
            assert eventually(log.exists)  # Postfix makes it anew with its next line
            log.rename(log.with_name(f"postfix.log.{number}"))
            subprocess.run(
                ["postfix", "-c", private.etc / "postfix", "reload"], check=True, capture_output=True
            )
            follow()
    finally:
        sending.join(120)
    assert done.is_set()
    assert mail.settled()

    def all_there():
        follow()
        rows = Message.objects.filter(sender__startswith=f"{name}-")
        return rows.filter(state=State.DELIVERED).count() == count

    assert eventually(all_there, 20), list(
        Message.objects.filter(sender__startswith=name).values_list("state", "queue_id")
    )
    assert Message.objects.filter(sender__startswith=f"{name}-").count() == count
    assert sum(Traffic.objects.filter(domain=DOMAIN).values_list("received", flat=True)) == hour + count
    assert Position.objects.get(path=str(log)).offset == log.stat().st_size
