"""Sending limits on the real Postfix and the real service: at both doors for people, over several connections and
addresses, and what happens while the service or the database is away."""

import smtplib

import pytest

from accounts import audit
from accounts.models import Mailbox
from domains.models import Domain
from mailpanel.server import sending
from mailpanel.server.models import Sending, SendLimit
from mailpanel.server.sending import Limit
from tests.stack.mail import eventually
from tests.stack.private import quick_hash

PASSWORD = "seven quiet herons"
DOMAIN = "sends.example"


@pytest.fixture
def people(private):
    """Nobody has sent yet, and there is no limit."""
    private.count()
    Domain.objects.get_or_create(name=DOMAIN)
    for name in ("thief", "honest", "reader", "other"):
        Mailbox.objects.get_or_create(
            email=f"{name}@{DOMAIN}", defaults={"domain_id": DOMAIN, "password": quick_hash(PASSWORD)}
        )
    Sending.objects.all().delete()
    SendLimit.objects.all().delete()


def limit(who: str, per_hour=None, per_day=None):
    sending.set_limit(f"{who}@{DOMAIN}", Limit(per_hour, per_day), by=audit.By("shell:root"))


def send(mail, who: str, *recipients: str, door="submission") -> tuple[int, str]:
    """The code and the words at the end of one message, from a client address of its own."""
    with getattr(mail, door)(f"{who}@{DOMAIN}", PASSWORD) as client:
        client.mail(f"{who}@{DOMAIN}")
        for recipient in recipients:
            assert client.rcpt(f"{recipient}@{DOMAIN}")[0] == 250
        code, words = client.docmd("DATA")
        if code == 354:
            client.send("Subject: x\r\n\r\nx\r\n.\r\n")
            code, words = client.getreply()
        return code, words.decode()


def counted(who: str) -> tuple[int, int]:
    row = Sending.objects.filter(mailbox=f"{who}@{DOMAIN}").first()
    return (row.recipients, row.refused) if row else (0, 0)


@pytest.mark.parametrize("door", ["submission", "smtps"])
def test_a_stolen_password_ends_at_the_limit(mail, people, door):
    """Whichever door and address it comes from; and nobody else is stopped."""
    limit("thief", per_hour=5)
    assert [send(mail, "thief", "reader", "other", door=door)[0] for _message in range(2)] == [250, 250]
    code, words = send(mail, "thief", "reader", "other", door=door)
    assert code == 450
    assert (
        f"4.7.1 <DATA>: Data command rejected: thief@{DOMAIN} may send to 5 recipients an hour and has sent to 4."
        in words
    )
    assert "This message can be sent from " in words
    assert send(mail, "thief", "reader", door="smtps" if door == "submission" else "submission")[0] == 250
    assert send(mail, "thief", "reader", door=door)[0] == 450
    assert counted("thief") == (5, 3)
    assert send(mail, "honest", "reader", door=door)[0] == 250
    assert send(mail, "honest", "thief", door=door)[0] == 250  # over the limit, it still gets mail


def test_within_one_connection(mail, people):
    limit("thief", per_day=3)
    with mail.submission(f"thief@{DOMAIN}", PASSWORD) as client:
        for _message in range(3):
            client.sendmail(f"thief@{DOMAIN}", [f"reader@{DOMAIN}"], "Subject: x\r\n\r\nx\r\n")
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail(f"thief@{DOMAIN}", [f"reader@{DOMAIN}"], "Subject: x\r\n\r\nx\r\n")
    assert refused.value.smtp_code == 450
    assert b"3 recipients a day" in refused.value.smtp_error


def test_in_chunks(mail, people):
    """BDAT in the place of DATA is no way around it (RFC 3030)."""
    limit("thief", per_hour=2)
    chunk = "Subject: x\r\n\r\nx\r\n"

    def in_chunks(*recipients: str) -> int:
        with mail.submission(f"thief@{DOMAIN}", PASSWORD) as client:
            assert client.has_extn("chunking")
            client.mail(f"thief@{DOMAIN}")
            for recipient in recipients:
                client.rcpt(f"{recipient}@{DOMAIN}")
            client.send(f"BDAT {len(chunk)} LAST\r\n{chunk}")
            return client.getreply()[0]

    assert [in_chunks("reader", "other"), in_chunks("reader")] == [250, 450]
    assert counted("thief") == (2, 1)


def test_without_a_sender(mail, people):
    """Receipts have none, and are somebody's all the same."""
    limit("thief", per_hour=1)
    codes = []
    for _message in range(2):
        with mail.submission(f"thief@{DOMAIN}", PASSWORD) as client:
            assert client.mail("")[0] == 250
            assert client.rcpt(f"reader@{DOMAIN}")[0] == 250
            code, _words = client.docmd("DATA")
            if code == 354:
                client.send("Subject: x\r\n\r\nx\r\n.\r\n")
                code, _words = client.getreply()
            codes.append(code)
    assert codes == [250, 450]
    assert counted("thief") == (1, 1)


def test_what_never_fits_is_refused_for_good(mail, people):
    """Or the mail program would try it for ever."""
    limit("thief", per_hour=1)
    code, words = send(mail, "thief", "reader", "other")
    assert code == 554
    assert "this message has 2. Send it in parts." in words
    assert counted("thief") == (0, 2)


def test_limits_of_a_domain_and_changes_hold_at_once(mail, people):
    sending.set_limit(f"@{DOMAIN}", Limit(1, None), by=audit.By("shell:root"))
    assert [send(mail, "thief", "reader")[0] for _message in range(2)] == [250, 450]
    limit("thief", per_hour=2)
    assert [send(mail, "thief", "reader")[0] for _message in range(2)] == [250, 450]
    assert send(mail, "honest", "reader")[0] == 250


def test_port_25_is_not_counted(mail, people):
    limit("reader", per_hour=1)
    for _message in range(3):
        mail.deliver(f"reader@{DOMAIN}")
    assert Sending.objects.count() == 0


def test_sign_in_forbidden_ends_an_open_connection(mail, people):
    """What the button beside “stopped at its sending limit” does."""
    with mail.submission(f"other@{DOMAIN}", PASSWORD) as client:
        client.sendmail(f"other@{DOMAIN}", [f"reader@{DOMAIN}"], "Subject: x\r\n\r\nx\r\n")
        Mailbox.objects.filter(email=f"other@{DOMAIN}").update(can_login=False)
        try:
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.sendmail(f"other@{DOMAIN}", [f"reader@{DOMAIN}"], "Subject: x\r\n\r\nx\r\n")
        finally:
            Mailbox.objects.filter(email=f"other@{DOMAIN}").update(can_login=True)


def test_without_the_service_mail_goes_out(mail, people, private):
    """And the status page says that nobody counts."""
    limit("honest", per_hour=1)
    private.stop_counting()
    try:
        assert [send(mail, "honest", "reader")[0] for _message in range(2)] == [250, 250]
        said = private.manage("check_server", "policy", check=False).stdout
        assert "Nobody counts what is sent" in said
    finally:
        private.count()
    assert counted("honest") == (0, 0)
    assert eventually(
        lambda: "stops a mailbox at its limit" in private.manage("check_server", "policy", check=False).stdout
    )
    assert send(mail, "honest", "reader")[0] == 250
    assert send(mail, "honest", "reader")[0] == 450
