"""What the browser finds: `python -m tests.browser.fill FUNCTION…` in the environment of one panel.

Rows are written past the forms and the lifecycle functions: some of them are such as no form would take.
"""

import json
import random
import sqlite3
import sys
from base64 import b64encode
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import django
from django.core.management import call_command

django.setup()

from axes.models import AccessAttempt  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts import audit, lifecycle, search, usage  # noqa: E402
from accounts.models import Audit, Mailbox, RecoveryCode, Role, Sender  # noqa: E402
from domains import addresses  # noqa: E402
from domains.lifecycle import Destination, open_domain, save_alias  # noqa: E402
from domains.models import Alias, DkimKey, Domain  # noqa: E402
from mailpanel.daemons import DaemonError  # noqa: E402
from mailpanel.daemons.text import Text, plain  # noqa: E402
from mailpanel.management import log_lines  # noqa: E402
from mailpanel.management.junk import make_junk, make_policies  # noqa: E402
from mailpanel.management.past import make_past  # noqa: E402
from mailpanel.management.post import make_mail  # noqa: E402
from mailpanel.server import sending  # noqa: E402
from mailpanel.server.messages import microseconds  # noqa: E402
from mailpanel.server.models import (  # noqa: E402
    Alert,
    FilterPolicy,
    FilterSender,
    Incident,
    Line,
    Message,
    Position,
    Recipient,
    Sending,
    SendLimit,
    Sight,
    Standing,
)  # fmt: skip
from mailpanel.server.models.trace import State  # noqa: E402
from mailpanel.sqlite.base import dovecot_file  # noqa: E402
from tests import people  # noqa: E402
from tests.authenticator import give  # noqa: E402
from tests.held import hold  # noqa: E402
from tests.server.log_lines import took  # noqa: E402

GB = 2**30
LOCAL = "a-name-of-sixty-four-letters-".ljust(64, "z")
IDN = addresses.parse_domain("bücher-und-mehr.example")
RIGHT_TO_LEFT = addresses.parse_domain("بريد.example")
LONG = f"{'a-very-long-name-of-a-school-'.ljust(63, 'x')}.{'in-a-small-town'.ljust(50, 'y')}.example"

NAMES = [
    "Ada Berg", "Katarzyna Wójcik-Brandt", "محمد الحسن", "ליאור כהן", "佐藤 陽子", "Σοφία Παπαδοπούλου", "Олена Шевченко",
    "Nguyễn Thị Minh Khai", "प्रिया शर्मा", "Ọlátúnjí Adébáyọ̀", "Gülşen Yıldız", "Bartłomiej Wiśniewski", "",
    "Prof. Dr. Maximiliane-Sophie Freifrau von und zu Hohenstein-Waldenburg-Schillingsfürst zu Sayn-Wittgenstein-Berleburg",
]  # fmt: skip


def lay():
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)


def empty():
    """A server on its first day: one domain, and in it one mailbox, the server admin's."""
    Domain.objects.create(name="example.test", description="This server's own")
    Mailbox.objects.create(
        email="postmaster@example.test",
        domain_id="example.test",
        is_superuser=True,
        password=people.hashed(),
        password_changed=timezone.now(),
    )
    people.recount()


def full():
    people.settle()
    _domains()
    _mailboxes()
    _aliases()
    _keys()
    _use()
    people.recount()
    _second_factors()
    _sending()
    usage.refresh()
    search.rebuild()
    _trash()
    _audit()
    make_past(timezone.now(), going_on=True)
    _held()
    _mail()
    Alert.objects.create(
        about="trial",
        way="webhook",
        made=timezone.now(),
        tries=3,
        error="hooks.example.org takes no connection within 8 seconds.",
    )


def _held():
    """Enough for two pages, for people whose mailboxes have been there for a while."""
    Mailbox.objects.exclude(domain="b.example").update(created=timezone.now() - timedelta(days=90))
    Domain.objects.update(created=timezone.now() - timedelta(days=90))
    make_junk(
        timezone.now(), [people.CAST[name][0] for name in ("user1", "user2", "chief", "user9", "dadm_a")]
    )
    make_policies(["a.example", "b.example"], ["user1@a.example"])
    FilterSender.objects.bulk_create(
        FilterSender(scope="@.", sender=sender, wb="WB"[number % 3 == 2])
        for number, sender in enumerate(
            [f"newsletter-{one}@shop.example" for one in range(40)] + [f"@{LONG}"]
        )
    )
    hold(
        "user1@a.example",
        mail_id="a-long-one",
        subject="Re: " * 40 + "لكم رسالة",
        text=LETTER,
        ago=30,
        score=7.1,
    )
    hold(
        "user1@a.example",
        "user2@a.example",
        f"{LOCAL}@a.example",
        mail_id="not-scanned",
        kind="U",
        subject=" ".join(HOSTILE[:4]),
        sender="a.name-of-somebody-who-means-no-good@" + LONG,
        text=LETTER,
        ago=10,
        score=0.4,
    )
    hold("user1@a.example", mail_id="a-virus", kind="V", subject="Scan_2026_0417.pdf", text=LETTER, ago=20)


LETTER = (
    b"Received: from outside.example (outside.example [192.0.2.7])\n\tby mail.example.test (Postfix) with ESMTP id 4ABC\n"
    b"X-Envelope-To: <user1@a.example>, <somebody@b.example>\nFrom: =?utf-8?q?J=C3=BCrgen?= <juergen@outside.example>\n"
    b"To: user1@a.example\nSubject: =?utf-8?q?=D9=84=D9=83=D9=85?= Re: Re: Re:\nDate: Fri, 17 Apr 2026 09:00:00 +0200\n"
    b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/html; charset=utf-8\n\n'
    b"<h1>Your parcel</h1><p>Pay <a href='http://127.0.0.1:9/'>here</a> before noon.</p><img src=http://127.0.0.1:9/pixel>"
    + b"<p>"
    + b"And a rather long paragraph which goes on and on. " * 12
    + b"</p>"
    + b"x" * 300
    + b'\n--b\nContent-Type: application/pdf; name="a very long name of a file which nobody would ever have chosen by himself.pdf.exe"\n'
    b"Content-Transfer-Encoding: base64\n\nSGVsbG8gd29ybGQ=\n--b--\n"
)


HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' autofocus onfocus=alert(1) x='",
    "</textarea><svg onload=alert(1)>", "</title></script><script>alert(1)</script>", "]]><b>bold</b>", "\u2028alert(1)",
    "javascript:alert(1)", '{{1337*7}}{{constructor.constructor("alert(1)")()}}', "{% debug %}", "'; DROP TABLE user; --",
    "\u202egnp.exe", "%s %(x)s %n {0} {x}", "&lt;i&gt;&quot;&amp;amp;", "\x1b]0;x\x07",
]  # fmt: skip


def hostile() -> list[str]:
    """All of them, in texts as long as a column holds."""
    texts = [""]
    for text in HOSTILE:
        if len(texts[-1]) + len(text) > 250:
            texts.append("")
        texts[-1] += text + " "
    return texts


def besieged():
    """Whoever could write past the forms has written into each column that holds text."""
    people.settle()
    Domain.objects.filter(name__in=["b.example", "hosted.example"]).update(description=hostile()[0])
    for number, text in enumerate(hostile()):
        domain = f"h{number}.example"
        Domain.objects.create(name=domain, description=text)
        Domain.objects.create(name=f"relay-{domain}", transport="relay:" + text[:240])
        mailbox = Mailbox.objects.create(
            email=f"person@{domain}",
            domain_id=domain,
            name=text,
            password=people.hashed(),
            recovery_email=text,
        )
        FilterPolicy.objects.create(
            scope=mailbox.email, spam_subject_tag2=text[:64], banned_rulenames=text[:250]
        )
        FilterSender.objects.create(scope=mailbox.email, sender=text[:250], wb="W")
        name = json.dumps(text, ensure_ascii=False).encode()
        hold(
            mailbox.email, mail_id=f"hostile-{number}", subject=text, sender=text[:200], ago=-60,
            text=b"From: " + name + b"\nSubject: " + name + b"\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n"
            + text.encode() + b"<iframe src=//127.0.0.1:9/></iframe><meta http-equiv=refresh content=0><base href=//x>\n--b\n"
            + b"Content-Type: image/svg+xml; name=" + name + b"\n\n<svg onload=alert(1)>\n--b--\n",
        )  # fmt: skip
        Role.objects.create(mailbox=mailbox, kind="admin", domain_id=domain)
        Alias.objects.create(
            source=f"alias@{domain}",
            destination=mailbox.email,
            comment=text,
            domain_id=domain,
            enabled=number == 0,
        )
        DkimKey.objects.create(
            domain_id=domain,
            selector="k",
            public_key=text,
            private_key=text,
            seen=text[:16],
            asked=timezone.now(),
        )
        for kind in ("mailbox", "domain", "alias", text[:16]):
            Audit.objects.create(
                actor=text,
                action=text[:32],
                kind=kind,
                name=mailbox.email,
                domain=domain,
                reason=text,
                client=text[:45],
                before={"name": text, text: text, "quota": text, "last_login": text},
                after={
                    "name": {text: [text]},
                    text: None,
                    "person@a.example": {"comment": text, "expires": text},
                },
            )
        Audit.objects.create(
            actor=text, action="grant", kind="role", name=mailbox.email, domain=domain, after={"kind": text}
        )
        Audit.objects.create(actor=mailbox.email, action="denied", kind="page", name=text, domain=domain)
        _as_dovecot(
            "INSERT INTO last_login (email, service, address, time) VALUES (%s, %s, %s, %s)",
            [
                (mailbox.email, text[:16], text[:45], 1_700_000_000),
                (mailbox.email, text[20:36], text[40:85], 1_700_000_001),
            ],
        )
    _besieged_server()
    _besieged_mail()
    Mailbox.objects.update(created=datetime(2020, 1, 1, tzinfo=UTC))  # before the sign-ins
    people.recount()


def _besieged_mail():
    """Whatever stands in a line of the log is a stranger's."""
    now = timezone.now()
    for number, text in enumerate(hostile()):
        row = Message.objects.create(
            pk=900_000 + number, host=text[:64], at=now, last=now, queue_id=text[:32], client=text, address=text[:64],
            login=text, sender=text, message_id=text, quarantine=text[:32], accepted=True, state=State.WAITING,
        )  # fmt: skip
        Recipient.objects.create(
            message=row, address=text, original=text[::-1], state=State.WAITING, waited=True
        )
        at = microseconds(now)
        for scope in ("", f"h{number}.example"):
            for address in ("", text, text[::-1], f"person@h{number}.example"):
                Sight.objects.create(message=row, scope=scope, address=address, state=State.WAITING, at=at)
        words = plain(text)
        for line in (
            f"postfix/smtpd[1]: 4AAAAAA: client={words.split(' ')[0]}[192.0.2.1], sasl_username=x",
            f"postfix/smtpd[1]: 4AAAAAA: reject: RCPT from a[b]: 550 {words}; from=<a@b> to=<person@h{number}.example> proto=ESMTP",
            f"postfix/smtp[1]: 4AAAAAA: to=<person@h{number}.example>, relay={words.replace(' ', '')[:80]}, delay=1, delays=1/0/0/0,"
            f" dsn=4.0.0, status=deferred ({words})",
            f"dovecot: lmtp(person@h{number}.example)<1><x>: sieve: msgid=x: stored mail into mailbox '{words}'",
        ):
            Line.objects.create(message=row, at=now, text=f"{now.isoformat()} mail {line}")
        Position.objects.create(host=text[:64], path=text, error="missing")


def _besieged_server():
    """Daemons say what they like, and an alert's error is what another server said."""
    now = timezone.now()
    make_past(now, going_on=True)
    for number, text in enumerate(hostile()):
        packed = Text("%(said)s", said=text).packed()
        told = {"detail": packed, "hint": Text(text).packed(), "command": text}
        key = ("imap", "smtp", "roundtrip", "clamav")[number % 4]
        Standing.objects.filter(key=key).update(state="bad", stages=[[packed, 0.5]], **told)
        incident = Incident.objects.create(key=key, began=now, **told)
        Incident.objects.create(key=text[:32], began=now, **told)
        Alert.objects.create(incident=incident, about=text[:8], way=text[:8], made=now, tries=1, error=text)


def _domains():
    Domain.objects.filter(name="a.example").update(
        description="Nordwind Verlag, Hamburg",
        quota_pool=2048 * GB,
        default_quota=5 * GB,
        max_mailboxes=500,
        max_aliases=200,
    )
    Domain.objects.bulk_create(
        [
            Domain(name=IDN, description="Buchhandlung in Lübeck", default_quota=2 * GB),
            Domain(name=RIGHT_TO_LEFT, description="شركة البريد"),
            Domain(
                name=LONG,
                description="A name as long as names get, and words to match: " + "so it goes. " * 15,
            ),
            Domain(name="a-mirror.example", alias_of_id="a.example"),
            Domain(
                name="lager.example", transport="relay:[192.0.2.25]:25", description="Has a server of its own"
            ),
            Domain(name="full.example", description="All promised", quota_pool=10 * GB, max_mailboxes=1),
            Domain(name="empty.example"),
        ]
    )
    Role.objects.create(mailbox=people.find("dadm_a"), kind="admin", domain_id="empty.example")
    Mailbox.objects.filter(email="boss@a.example").update(name="Katarzyna Wójcik-Brandt", quota=10 * GB)
    Mailbox.objects.filter(email="user1@a.example").update(
        name="Mehmet Yıldırım", quota=10 * GB, password_changed=timezone.now() - timedelta(days=70)
    )


def _mailboxes():
    """300 in a.example, of every kind and state; a few elsewhere."""
    chance = random.Random("browser")
    rows = [
        Mailbox(
            email=f"{chance.choice('abcdefghijklmnoprstuvwz')}.person-{number:03}@a.example",
            domain_id="a.example",
            name=NAMES[number % len(NAMES)],
            password="{CRYPT}!" if number % 41 == 5 else people.hashed(),
            quota=None if number % 17 == 3 else chance.choice([1, 5, 5, 5, 10]) * GB,
            enabled=number % 29 != 7,
            can_login=number % 31 != 11,
            must_change_password=number % 37 == 13,
        )
        for number in range(300)
    ]
    rows += [
        Mailbox(
            email=f"{'a-name-of-sixty-four-letters-'.ljust(64, 'z')}@{domain}",
            domain_id=domain,
            name=NAMES[-1],
            password=people.hashed(),
        )
        for domain in (LONG, "a.example")
    ]
    rows += [
        Mailbox(
            email=f"lea.brandt@{IDN}",
            domain_id=IDN,
            name="Lea Brandt",
            password=people.hashed(),
            quota=2 * GB,
        ),
        Mailbox(
            email=f"info@{RIGHT_TO_LEFT}", domain_id=RIGHT_TO_LEFT, name="نور منصور", password=people.hashed()
        ),
        Mailbox(email="all@full.example", domain_id="full.example", quota=10 * GB, password=people.hashed()),
        Mailbox(
            email="given@a.example",
            domain_id="a.example",
            name="Has a password from somebody else",
            password=people.hashed(),
            must_change_password=True,
        ),
        Mailbox(email="new@b.example", domain_id="b.example", password=people.hashed()),
    ]
    Mailbox.objects.bulk_create(rows)


def _aliases():
    now = timezone.now()

    def row(source, destination, **more):
        return Alias(source=source, destination=destination, domain_id=source.partition("@")[2], **more)

    rows = [
        row("@a.example", "help@a.example", comment="Whatever is misspelt"),
        # a mailbox of the same address: as well, and instead
        row("user2@a.example", "user2@a.example"),
        row("user2@a.example", "user1@a.example", comment="Reads along until she is back"),
        row("user9@a.example", "user1@a.example", comment="Has left"),
        row("trade-fair@a.example", "user1@a.example", expires=now + timedelta(days=40)),
        row("internship@a.example", "user1@a.example", expires=now - timedelta(days=20)),
        row("party@a.example", "user1@a.example", enabled=False),
        # what was fine when it was saved: dead ends, a circle, and an alias of an alias
        row("archive@a.example", "disabled@a.example", comment="Until the move"),
        row("archive-of-the-archive@a.example", "archive@a.example"),
        row("ring@a.example", "ring-2@a.example"),
        row("ring-2@a.example", "ring@a.example"),
        row("half@a.example", "disabled@a.example"),
        row("half@a.example", "user1@a.example"),
        row("fair-stand@a.example", "trade-fair@a.example"),
        row("elsewhere@b.example", "user1@a.example"),
        row(f"info@{IDN}", f"lea.brandt@{IDN}"),
        row(f"orders@{IDN}", "orders+shop@outside.example", comment="The warehouse of the wholesaler"),
    ]
    team = Mailbox.objects.filter(domain_id="a.example", email__contains=".person-").order_by("pk")[:17]
    rows += [row("everybody@a.example", mailbox.email) for mailbox in team]
    rows += [
        row("everybody@a.example", "b.person@outside.example", comment="Contract until June"),
        row("everybody@a.example", "on.leave@outside.example", comment="Parental leave", enabled=False),
        row("everybody@a.example", f"lea.brandt@{IDN}", expires=now + timedelta(days=90)),
    ]
    Alias.objects.bulk_create(rows)
    for mailbox, address in (
        ("user1", "trade-fair@a.example"),
        ("user1", "elsewhere@b.example"),
        ("help_a", "user1@a.example"),
    ):
        Sender.objects.create(mailbox=people.find(mailbox), address=address)


def _keys():
    now, state, seen = timezone.now(), DkimKey.State, DkimKey.Seen
    for domain, selector, in_state, in_dns, days in (
        ("a.example", "202501", state.RETIRED, seen.RIGHT, 3),
        ("a.example", "202604", state.SIGNING, seen.RIGHT, 200),
        ("a.example", "202611", state.WAITING, seen.MISSING, 1),
        (IDN, "202611", state.SIGNING, seen.OTHER, 5),
        (LONG, "s".ljust(60, "x"), state.WAITING, "", 0),
        ("off.example", "202611", state.SIGNING, seen.UNKNOWN, 5),
    ):
        DkimKey.objects.create(
            domain_id=domain,
            selector=selector,
            state=in_state,
            seen=in_dns,
            since=now - timedelta(days=days),
            asked=now - timedelta(hours=1) if in_dns else None,
            private_key="-",
            public_key=b64encode(random.Random(selector).randbytes(294)).decode(),
        )


def _second_factors():
    """People who have one, and what can have become of it; and some who are about to set it up."""
    about = ["without", "enrolling", "keys-light", "keys-dark", "keys-phone"]
    having = [f"{name}@a.example" for name in ("phone", "moving", "lost", "waiting")]
    Mailbox.objects.bulk_create(
        Mailbox(email=email, domain_id="a.example", name="Zoë Ångström", password=people.hashed())
        for email in [*having, *(f"{name}@a.example" for name in about)]
    )
    for email in having:
        give(email)
    RecoveryCode.objects.filter(
        pk__in=[row.pk for row in people.find("lost@a.example").recovery_codes.all()[:8]]
    ).delete()
    AccessAttempt.objects.create(
        username="lost@a.example", ip_address="203.0.113.40", failures_since_start=10, user_agent="x"
    )
    AccessAttempt.objects.update(attempt_time=timezone.now() + timedelta(hours=3))
    people.recount()


def _sending():
    """Who has sent within a day: hardly anything, near the limit, at it; and without one."""
    hour = sending.hour_of(timezone.now())
    people_who_send = {
        "stolen": (200, 800, 14_210), "user1": (164, 300, 0), "near": (20, 830, 0), "newsletter": (4_000, 9_000, 0),
        "user2": (3, 9, 0), LOCAL: (0, 1, 0),
    }  # fmt: skip
    Mailbox.objects.bulk_create(
        Mailbox(email=f"{name}@a.example", domain_id="a.example", name="Ada Berg", password=people.hashed())
        for name in ("stolen", "near", "newsletter")
    )
    SendLimit.objects.create(scope="newsletter@a.example", per_hour=None, per_day=50_000)
    for name, (now, earlier, refused) in people_who_send.items():
        Sending.objects.create(mailbox=f"{name}@a.example", hour=hour, recipients=now, refused=refused)
        Sending.objects.create(mailbox=f"{name}@a.example", hour=hour - 4, recipients=earlier)
    sending.refresh()
    people.recount()


def _trash():
    by = audit.By("boss@a.example", "192.0.2.7")
    gone = Mailbox(email="gone@a.example", domain_id="a.example", name="محمد الحسن", quota=5 * GB)
    lifecycle.open_mailbox(gone, people.PASSWORD, by=by)
    save_alias("gone-too@a.example", [Destination("user1@a.example")], by=by)
    domain = Domain(name="gone.example", description="Moved elsewhere")
    open_domain(domain, by=by)
    for close in (
        lambda: lifecycle.close_mailbox(gone, by=by, reason="Has left"),
        lambda: save_alias("gone-too@a.example", [], by=by),
        lambda: lifecycle.close_domain(domain, by=by),
    ):
        with suppress(DaemonError):  # there is no Dovecot here
            close()


def _use():
    """What Dovecot writes: use from nothing to over the quota, and sign-ins at three places."""
    now = int(timezone.now().timestamp())
    # sign-ins from before the mailbox was made are somebody else's
    Mailbox.objects.update(created=timezone.now() - timedelta(days=900))
    shares = [0, 0.03, 0.2, 0.52, 0.62, 0.81, 0.96, 1.07]
    mailboxes = list(Mailbox.objects.exclude(email="new@b.example").order_by("pk"))
    usage, sign_ins = [], []
    for number, mailbox in enumerate(mailboxes):
        used = int(
            (mailbox.quota or 3 * GB) * (0.41 if mailbox.name == "Mehmet Yıldırım" else shares[number % 8])
        )
        usage.append((mailbox.email, used, used // 71_000))
        if number % 9 != 4:
            sign_ins.append((mailbox.email, "imap", "2001:db8:52::17", now - 3600 * 7 * number))
            sign_ins.append((mailbox.email, "pop3", "192.0.2.7", now - 3600 * 31 * number - 86_400))
    _as_dovecot("INSERT INTO mailbox_usage (email, bytes, messages) VALUES (%s, %s, %s)", usage)
    _as_dovecot("INSERT INTO last_login (email, service, address, time) VALUES (%s, %s, %s, %s)", sign_ins)


def _mail():
    """A month of it, and what a page has to bear: tries without end, many recipients, long and hostile names."""
    make_mail(timezone.now())
    key, wall = "4FEEDBEEF0", '"<b>&quot;' + "a" * 120 + '"@' + LONG
    many = [f"user{number}@a.example" for number in (1, 2, 9)] + [
        "user1@b.example",
        f"nobody@{IDN}",
        f"x@{LONG}",
    ]
    ago = {"ago": timedelta(minutes=50)}
    took(log_lines.delivered(f"{key}1", "programme@stadttheater.example", *many), **ago)
    took(
        log_lines.waits(
            f"{key}2", "user1@a.example", "lena.orlova@orchester-nord.example", login="user1@a.example"
        ),
        **ago,
    )
    for number in range(1, 6):
        took(
            log_lines.waits(f"{key}2", "", "lena.orlova@orchester-nord.example")[-1:],
            after=300 * number,
            **ago,
        )
    took(
        log_lines.refused(
            wall, "user1@a.example", f"554 5.7.1 Service unavailable; {wall} blocked using zen.spamhaus.org"
        ),
        **ago,
    )
    took(log_lines.spam("00001-01", "win@prize-today.example", "user1@a.example"), **ago)
    hold("user1@a.example", mail_id="mail00001-01", sender="win@prize-today.example", ago=50 * 60)
    took(
        log_lines.spam("00001-03", "kirsten@handwerk.example", "user1@a.example user2@a.example"),
        ago=timedelta(hours=3),
    )
    took(log_lines.released(f"{key}5", "00001-03", "kirsten@handwerk.example", "user1@a.example"), **ago)
    took(
        log_lines.passed_after_queue(
            f"{key}3", f"{key}4", "00001-02", "user1@a.example", "user2@a.example", "everybody@a.example"
        ),
        **ago,
    )
    of_these = Mailbox.objects.filter(email__in=["user1@a.example", "user2@a.example"])
    of_these.update(created=timezone.now() - timedelta(days=400))
    Domain.objects.update(created=timezone.now() - timedelta(days=400))


def _as_dovecot(statement: str, rows: list[tuple]):
    """On SQLite its tables are in a file of their own, which Django has read-only."""
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(dovecot_file(connection.settings_dict["NAME"]))) as file, file:
            file.executemany(statement.replace("%s", "?"), rows)
    else:
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)


def _audit():
    rows = [
        ("root1@c.example", "create", "domain", "a.example", "a.example", ""),
        ("root1@c.example", "grant", "role", "boss@a.example", "a.example", ""),
        ("boss@a.example", "create", "mailbox", "user1@a.example", "a.example", ""),
        ("boss@a.example", "change", "alias", "everybody@a.example", "a.example", ""),
        ("help@a.example", "password", "mailbox", "user1@a.example", "a.example", "called from the office"),
        ("shell:root", "change", "mailbox", "user1@a.example", "a.example", "moved to the big quota"),
        ("help@a.example", "denied", "page", "/mailboxes/chief@a.example/password/", "", "POST"),
        ("root1@c.example", "create", "domain", IDN, IDN, ""),
        ("root1@c.example", "change", "domain", LONG, LONG, "and words to match: " + "so it goes. " * 15),
    ]
    told = {
        "domain": {"description": "Nordwind", "max_mailboxes": 100, "quota_pool": None},
        "role": {"kind": "admin", "domain": "a.example"},
        "mailbox": {"name": NAMES[-1], "quota": 5 * GB, "enabled": True},
        "alias": {
            f"lea.brandt@{IDN}": {"enabled": True, "expires": "", "comment": "Reads along until she is back"}
        },
    }
    Audit.objects.bulk_create(
        [
            Audit(
                actor=actor,
                action=action,
                kind=kind,
                name=name,
                domain=domain,
                reason=reason,
                client="" if actor.startswith("shell:") else "2001:db8:52::17",
                before=dict.fromkeys(told[kind]) if action == "change" and kind in told else None,
                after=told.get(kind) if action != "password" else None,
            )
            for actor, action, kind, name, domain, reason in rows
        ]
    )
    for number, row in enumerate(Audit.objects.order_by("-id")):
        Audit.objects.filter(pk=row.pk).update(at=timezone.now() - timedelta(hours=9 * number))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        globals()[name]()
