"""Real mail, end to end: submitted or received, delivered, fetched; and what is refused on the way."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from accounts import audit
from accounts.lifecycle import change_mailbox
from accounts.models import LastLogin, Mailbox, MailboxUsage, Sender
from domains.lifecycle import Destination, save_alias
from domains.models import Alias, Domain
from mailpanel.daemons import dovecot
from mailpanel.server import reasons
from tests.stack.mail import Line, eventually
from tests.stack.private import quick_hash

PASSWORD = "seven quiet herons"
ANNA, BEN = "anna@mail.test", "ben@mail.test"
BY = audit.By("root1@mail.test")


@pytest.fixture(scope="module")
def people(_private, django_db_blocker):
    """Anna and Ben in mail.test; around them what could leak or deliver where it should not."""
    hashed = quick_hash(PASSWORD)

    def mailbox(email, **columns):
        name = email.partition("@")[2]
        return Mailbox.objects.create(email=email, domain_id=name, **{"password": hashed, **columns})

    def alias(source, destination, **columns):
        name = source.partition("@")[2]
        Alias.objects.create(source=source, destination=destination, domain_id=name, **columns)

    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.get_or_create(name="example.test")
        Mailbox.objects.update_or_create(
            email="postmaster@example.test",
            defaults={"domain_id": "example.test", "password": hashed, "enabled": True},
        )
        Domain.objects.create(name="mail.test")
        Domain.objects.create(name="mirror.test", alias_of_id="mail.test")
        Domain.objects.create(name="all.test")
        Domain.objects.create(name="dark.test", enabled=False)
        anna, _ben = mailbox(ANNA), mailbox(BEN)
        mailbox("off@mail.test", enabled=False)
        mailbox("mute@mail.test", can_login=False)
        mailbox("full@mail.test", quota=4000)
        mailbox("everything@all.test")
        mailbox("off@all.test", enabled=False)
        mailbox("bob@dark.test")
        alias("@all.test", "everything@all.test")
        alias("sales@mail.test", ANNA)
        alias("sales@mail.test", BEN)
        alias("copy@mail.test", "sales@mail.test")
        alias("expired@mail.test", ANNA, expires=datetime.now(UTC) - timedelta(seconds=1))
        alias("stopped@mail.test", ANNA, enabled=False)
        alias("dead@mail.test", "off@mail.test")
        Sender.objects.create(mailbox=anna, address="team@mail.test")


@pytest.fixture
def mail(people, mail):
    return mail


# --- in -------------------------------------------------------------------------------------------------------


def test_from_another_server_to_the_inbox(mail):
    subject = mail.deliver(ANNA)
    assert mail.arrives(subject, ANNA, PASSWORD)
    assert subject not in mail.subjects(BEN, PASSWORD)


@pytest.mark.parametrize(
    "to", ["anna+shop@mail.test", "ANNA@Mail.Test", "anna@mirror.test", "anna+shop@mirror.test"]
)
def test_other_forms_of_the_same_address(mail, to):
    assert mail.arrives(mail.deliver(to), ANNA, PASSWORD)


@pytest.mark.parametrize(
    "to", ["sales@mail.test", "sales@mirror.test", "sales+list@mail.test", "copy@mail.test"]
)
def test_alias_reaches_all_its_destinations_once(mail, to):
    subject = mail.deliver(to)
    assert mail.arrives(subject, ANNA, PASSWORD)
    assert mail.arrives(subject, BEN, PASSWORD)
    assert mail.settled()
    assert mail.subjects(ANNA, PASSWORD).count(subject) == 1


def test_catch_all_takes_the_rest_and_nobody_elses(mail):
    subject = mail.deliver("no-such-person@all.test")
    assert mail.arrives(subject, "everything@all.test", PASSWORD)
    assert mail.rcpt("off@all.test") == 550


def test_who_may_not_sign_in_still_receives(mail, private):
    mail.deliver("mute@mail.test")
    assert mail.settled()
    assert list((private.directory / "mail" / "mail.test" / "mute" / "Maildir" / "new").iterdir())
    assert mail.sign_in_code("mute@mail.test", PASSWORD) == 535


@pytest.mark.parametrize(
    "to", ["postmaster@mail.test", "abuse@mirror.test", "postmaster", "root@mail.example.test"]
)
def test_postmaster_of_every_domain_answers(mail, to):
    assert mail.arrives(mail.deliver(to), "postmaster@example.test", PASSWORD)


@pytest.mark.parametrize(
    "to",
    [
        "nobody@mail.test", "nobody+tag@mail.test", "off@mail.test", "off+tag@mail.test", "off@mirror.test",
        "expired@mail.test", "stopped@mail.test", "dead@mail.test", "dead@mirror.test", "nobody@mirror.test",
        "nobody@mail.example.test", "anna@[127.0.0.1]", "root@localhost.localdomain",
    ],
)  # fmt: skip
def test_who_cannot_get_it_is_refused_at_rcpt(mail, to):
    code = mail.rcpt(to)
    assert code in (550, 554)
    if to.endswith((".test", "mail.example.test")):
        assert mail.reply.startswith(b"5.1.1")
        assert b"User unknown" in mail.reply  # the same words for all: nobody learns who was switched off
        assert b"table" not in mail.reply


def test_domain_that_is_off_or_unknown_is_no_business_of_ours(mail):
    assert mail.rcpt("bob@dark.test") == 554
    assert mail.rcpt("bob@elsewhere.example.net") == 554
    assert b"Relay access denied" in mail.reply


@pytest.mark.parametrize(
    "to", [b"\xc3\xa9@mail.test", b"\xe9@mail.test", b"anna@m\xc3\xa9.test", b"\xc3\xa9@all.test"]
)
def test_rcpt_of_another_alphabet_harms_nobody(mail, to):
    with Line(mail.port["smtp"]) as line:
        line.until(rb"^220 ")
        line.say("EHLO client.example.net")
        assert line.say("MAIL FROM:<x@elsewhere.example.net> SMTPUTF8").startswith(b"555")
        line.say("MAIL FROM:<x@elsewhere.example.net>")
        assert not line.say(b"RCPT TO:<" + to + b">\r\n").startswith(b"451")
        assert line.say("RCPT TO:<anna@mail.test>").startswith(b"250")
    assert mail.arrives(mail.deliver(ANNA), ANNA, PASSWORD)


# --- full -----------------------------------------------------------------------------------------------------


def test_full_mailbox_is_refused_while_the_sender_waits(mail, private):
    full = "full@mail.test"
    assert mail.arrives(mail.deliver(full, text="x" * 500), full, PASSWORD)
    with mail.smtp() as client:  # told before
        client.mail("x@elsewhere.example.net", ["SIZE=9000"])
        assert client.rcpt(full)[0] == 552
    with mail.smtp() as client:  # told by nobody: taken, and it waits for room
        client.mail("x@elsewhere.example.net")
        client.rcpt(full)
        assert client.data(b"Subject: waits\r\n\r\n" + b"x" * 70 * 128)[0] == 250
    usage = MailboxUsage.objects.get(mailbox_id=full)
    assert 500 < usage.bytes <= 4000
    assert usage.messages == 1
    Mailbox.objects.filter(email=full).update(quota=usage.bytes)
    dovecot.forget([full])
    assert [mail.rcpt(to) for to in (full, "full+tag@mail.test")] == [552, 552]
    # a new quota counts at once, without a restart
    Mailbox.objects.filter(email=full).update(quota=100_000)
    dovecot.forget([full])
    assert mail.arrives(mail.deliver(full, text="z" * 4000), full, PASSWORD)
    assert mail.arrives("waits", full, PASSWORD)
    assert not re.search(rf"to=<{full}>.* status=bounced", private.log("postfix"))


# --- out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["submission", "smtps"])
def test_submitted_with_tls_and_password(mail, door):
    subject = mail.deliver(BEN, sender=ANNA, client=getattr(mail, door)(ANNA, PASSWORD))
    assert mail.arrives(subject, BEN, PASSWORD)


@pytest.mark.parametrize(
    "sender", ["anna+tag@mail.test", "anna@mirror.test", "ANNA@MAIL.TEST", "team@mail.test", ""]
)
def test_sender_addresses_that_are_ones_own(mail, sender):
    assert mail.rcpt(BEN, sender=sender, client=mail.submission(ANNA, PASSWORD)) == 250


@pytest.mark.parametrize(
    "sender",
    [
        BEN, "ben+x@mail.test", "sales@mail.test", "nobody@mail.test", "postmaster@mail.test", "anna@elsewhere.example.net",
        '"ben"@mail.test', "off@mail.test", "anna@dark.test", "anna@all.test", "ben%x@mail.test", "BEN@MAIL.TEST", "ben+anna@mail.test",
        '"anna@mail.test"@all.test', "@mail.test:ben@mail.test", "SRS0=abcd=EF=mail.test=ben@mail.example.test", "ben@mirror.test",
        "root@mail.example.test", "anna@sub.mail.test", "annaa@mail.test",
    ],
)  # fmt: skip
@pytest.mark.parametrize("door", ["submission", "smtps"])
def test_sender_addresses_of_others(mail, door, sender):
    with getattr(mail, door)(ANNA, PASSWORD) as client:
        assert client.docmd("MAIL", f"FROM:<{sender}>")[0] == 553
        client.rset()
        assert client.docmd("MAIL", f"FROM:<{sender}> AUTH={ANNA}")[0] == 553
        client.rset()
        assert client.mail(ANNA)[0] == 250


@pytest.mark.parametrize(
    "sender",
    [
        ANNA, BEN, "ANNA@Mail.Test", "anna+tag@mail.test", "nobody@mail.test", "team@mail.test", "sales@mail.test", '"anna"@mail.test',
        "anna@mirror.test", "off@mail.test", "bob@dark.test", "everything@all.test",
    ],
)  # fmt: skip
def test_sender_addresses_of_ours_from_outside(mail, sender):
    """Somebody who has not signed in writes to our people as one of them."""
    assert mail.rcpt(BEN, sender=sender) == 553
    assert b"not logged in" in mail.reply
    assert "has to sign in" in reasons.words(mail.reply.decode())


@pytest.mark.parametrize(
    "sender",
    [
        "", "anna@elsewhere.example.net", "anna@sub.mail.test", "anna%mail.test@elsewhere.example.net", "anna@mail.test.example.net",
        '"anna@mail.test"@elsewhere.example.net', "somebody@sent-on.test",
    ],
)  # fmt: skip
def test_sender_addresses_that_are_not_ours_from_outside(mail, sender):
    """Bounces, strangers, and a domain whose mail is kept at another server."""
    Domain.objects.get_or_create(name="sent-on.test", transport="smtp:[127.0.0.1]:9")
    assert mail.rcpt(BEN, sender=sender) == 250


def test_switch_of_an_alias_lets_its_mailbox_send_as_it(mail, private):
    desk = "desk@mail.test"
    save_alias(desk, [Destination(ANNA, send_as=True), Destination(BEN)], by=BY)
    assert private.postmap("sender_logins", desk) == {desk: ANNA}
    subject = mail.deliver(BEN, sender=desk, client=mail.submission(ANNA, PASSWORD))
    assert mail.arrives(subject, BEN, PASSWORD)
    with mail.submission(BEN, PASSWORD) as client:
        assert client.mail(desk)[0] == 553
    save_alias(desk, [Destination(ANNA), Destination(BEN)], by=BY)
    with mail.submission(ANNA, PASSWORD) as client:
        assert client.mail(desk)[0] == 553


def test_alias_over_two_steps_to_a_mailbox_that_is_switched_off_later(mail):
    Mailbox.objects.create(email="later@mail.test", domain_id="mail.test", quota=100_000)
    for source, to in (("step2@mail.test", "later@mail.test"), ("step1@mail.test", "step2@mail.test")):
        save_alias(source, [Destination(to)], by=BY)
    assert mail.rcpt("step1@mail.test") == 250
    change_mailbox(Mailbox.objects.get(email="later@mail.test"), {"enabled": False}, by=BY)
    assert [mail.rcpt(to) for to in ("step1@mail.test", "step2@mail.test", "later@mail.test")] == [
        550,
        550,
        550,
    ]


def test_refusals_hold_for_our_own_people_too(mail):
    with mail.submission(ANNA, PASSWORD) as client:
        client.mail(ANNA)
        codes = {
            to: client.rcpt(to)[0] for to in ("off@mail.test", "nobody@mail.test", "dead@mail.test", BEN)
        }
    assert codes == {"off@mail.test": 550, "nobody@mail.test": 550, "dead@mail.test": 550, BEN: 250}


def test_mail_for_the_world_stays_here(mail):
    assert mail.rcpt("x@elsewhere.example.net", sender=ANNA, client=mail.submission(ANNA, PASSWORD)) == 550
    assert b"switched off in this private copy" in mail.reply


# --- fetched --------------------------------------------------------------------------------------------------


def test_all_the_doors_show_the_same_mail(mail):
    subject = mail.deliver(BEN)
    assert mail.arrives(subject, BEN, PASSWORD)
    imap = mail.imap()
    imap.login(BEN, PASSWORD)
    imap.select("INBOX")
    assert imap.search(None, "SUBJECT", f'"{subject}"')[1][0]
    folders = b" ".join(imap.list()[1])
    for use in (b"\\Drafts", b"\\Sent", b"\\Trash", b"\\Junk", b"\\Archive"):
        assert use in folders
    imap.logout()
    for pop in (mail.pop(), mail.pops()):
        pop.user(BEN)
        pop.pass_(PASSWORD)
        count = pop.stat()[0]
        assert any(f"Subject: {subject}".encode() in pop.top(n, 0)[1] for n in range(1, count + 1))
        pop.quit()


def test_filters_by_managesieve(mail):
    import base64

    token = base64.b64encode(f"\0{BEN}\0{PASSWORD}".encode()).decode()
    script = b'require ["fileinto","mailbox"]; fileinto :create "Filed";\r\n'
    with mail.sieve() as line:
        assert b"OK" in line.say(f'AUTHENTICATE "PLAIN" "{token}"', rb"^(OK|NO|BYE)")
        line.send(f'PUTSCRIPT "mine" {{{len(script)}+}}\r\n'.encode() + script + b"\r\n")
        assert line.until(rb"^(OK|NO)").startswith(b"OK")
        assert line.say('SETACTIVE "mine"', rb"^(OK|NO)").startswith(b"OK")
    subject = mail.deliver(BEN)
    assert mail.settled()
    imap = mail.imaps(BEN, PASSWORD)
    assert imap.select("Filed")[0] == "OK"
    assert imap.search(None, "SUBJECT", f'"{subject}"')[1][0]
    imap.logout()
    with mail.sieve() as line:
        line.say(f'AUTHENTICATE "PLAIN" "{token}"', rb"^(OK|NO|BYE)")
        assert line.say('SETACTIVE ""', rb"^(OK|NO)").startswith(b"OK")


def test_last_sign_ins_are_written(mail):
    mail.imaps(ANNA, PASSWORD).logout()
    pop = mail.pops()
    pop.user(ANNA)
    pop.pass_(PASSWORD)
    pop.quit()

    def services():
        return {login.service for login in LastLogin.objects.filter(mailbox__email=ANNA)}

    assert eventually(lambda: services() >= {"imap", "pop3"})
    latest = LastLogin.objects.filter(mailbox_id=ANNA, service="pop3").latest("time")
    assert latest.address.startswith("127.0.")
    assert abs(datetime.now(UTC).timestamp() - latest.time) < 60
    assert Mailbox.objects.get(last_logins__service="pop3", last_logins__time=latest.time).email == ANNA


# --- relay domains --------------------------------------------------------------------------------------------


def test_relay_domain_asks_the_next_hop(mail, next_hop):
    Domain.objects.create(name="relayed.test", transport=f"smtp:[127.0.0.1]:{next_hop.port}")
    Alias.objects.create(source="local@relayed.test", destination=ANNA, domain_id="relayed.test")
    next_hop.knows = {"carl@relayed.test"}
    assert mail.rcpt("carl@relayed.test") == 250
    assert mail.rcpt("nobody@relayed.test") == 550
    assert mail.rcpt("x@sub.relayed.test") == 554
    subject = mail.deliver("carl@relayed.test")
    assert eventually(lambda: any(subject in message for message in next_hop.messages))
    assert mail.arrives(mail.deliver("local@relayed.test"), ANNA, PASSWORD)
    next_hop.stop()
    assert mail.rcpt("new@relayed.test") == 450
