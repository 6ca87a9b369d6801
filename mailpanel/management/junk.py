"""A month of what a content filter holds back, for the demo data and for tests to look at; the same each time."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

from domains import addresses
from mailpanel.server.models import FilterPolicy, FilterSender, Maddr, Msg, MsgRcpt, Quarantine

# Who says that he writes, from where it really comes, the subject, the text.
JUNK = [
    ("Paketdienst", "zustellung@paket-info.example", "Ihr Paket konnte nicht zugestellt werden", "Bitte begleichen Sie 1,99 € Zoll."),
    ("Crypto Signals", "vip@moon-gains.example", "Turn 250 into 11,400 in nine days", "Our algorithm never loses."),
    ("Dr. Meds", "offers@pills4less.example", "Your refill is 80% off today", "No prescription. Discreet parcel."),
    ("Ihre Hausbank", "sicherheit@banking-update.example", "Handlungsbedarf: Ihr Konto wird gesperrt", "Bestätigen Sie Ihre Daten binnen 24 Stunden."),
    ("Mrs. Ester Duval", "ester@lottery-fund.example", "You have been selected, please reply", "I am contacting you about the sum of 4.2 million."),
    ("SEO Team", "lena@rank-first.example", "We found 17 errors on your website", "Quick question: who looks after your site?"),
    ("Montres de luxe", "vente@replica.example", "Des montres à prix d'ami ⌚", "Livraison gratuite aujourd'hui."),
    ("Premios", "sorteo@premio.example", "Ha ganado un teléfono", "Haga clic para recibir su premio."),
]  # fmt: skip
# Held back by mistake: what somebody waits for.
HAM = [
    ("Buchmesse Newsletter", "news@buchmesse.example", "Programm und Karten für das Wochenende", "Liebe Ausstellerinnen und Aussteller, …"),
    ("Kleinanzeigen", "no-reply@market.example", "Somebody answered your advertisement", "Is the bookshelf still there?"),
]  # fmt: skip
VIRUS = ("Scanner", "scan@copier.example", "Scan_2026_0417.pdf", "See the attached scan.")
BANNED = ("Softwarehaus", "support@tools.example", "Das Update, um das Sie baten", "Bitte einmal ausführen.")
DAYS = 28


def make_junk(end: datetime, recipients: Iterable[str], *, messages: int = 240) -> None:
    """For these recipients, the first of whom get the most of it."""
    chance, to = random.Random("junk"), list(recipients)  # noqa: S311  it is to be the same each time
    for model in (Quarantine, MsgRcpt, Msg):
        model.objects.filter(mail_id__startswith="demo-").delete()
    made = [_one(number, end, to, chance) for number in range(messages)]
    people = sorted({email for _msg, sender, its, _text in made for email in (sender, *its)})
    Maddr.objects.bulk_create(
        (
            Maddr(email=email, domain=".".join(reversed(addresses.split(email)[1].split("."))))
            for email in people
        ),
        ignore_conflicts=True,
    )
    ids = dict(Maddr.objects.filter(email__in=people).values_list("email", "id"))
    for msg, sender, _to, _text in made:
        msg.sid = ids[sender]
    Msg.objects.bulk_create(msg for msg, *_rest in made)
    MsgRcpt.objects.bulk_create(
        MsgRcpt(
            mail_id=msg.mail_id, rseqnum=number, rid=ids[email], is_local="Y", content=msg.content, ds="D", rs=" ",
            bspam_level=msg.spam_level, made=msg.time_num, domain=addresses.split(email)[1],
        )
        for msg, _sender, its, _text in made
        for number, email in enumerate(its, 1)
    )  # fmt: skip
    Quarantine.objects.bulk_create(
        Quarantine(mail_id=msg.mail_id, chunk_ind=1, mail_text=text) for msg, _sender, _to, text in made
    )


def make_policies(domains: list[str], people: list[str]) -> None:
    """A strict domain, one that has a mark of its own, and people who have chosen for themselves."""
    strict, marked = domains[:2]
    FilterPolicy.objects.update_or_create(
        scope=f"@{strict}",
        defaults={"spam_kill_level": 8.0, "banned_rulenames": "programs,macros", "digest": True},
    )
    FilterPolicy.objects.update_or_create(
        scope=f"@{marked}", defaults={"spam_tag2_level": 4.0, "spam_subject_tag2": "[SPAM] "}
    )
    for email in people:
        FilterPolicy.objects.update_or_create(scope=email, defaults={"spam_kill_level": 6.0, "digest": True})
        for sender, wb in (
            ("@buchmesse.example", "W"),
            ("news@travel.example", "W"),
            ("@rank-first.example", "B"),
        ):
            FilterSender.objects.update_or_create(scope=email, sender=sender, defaults={"wb": wb})


def _one(number: int, end: datetime, recipients: list[str], chance: random.Random) -> tuple:
    """A message, its sender, its recipients, and its text."""
    luck = chance.random()
    kind = "V" if luck < 0.03 else "B" if luck < 0.08 else "S"
    chosen = VIRUS if kind == "V" else BANNED if kind == "B" else chance.choice(HAM if luck > 0.95 else JUNK)
    name, sender, subject, text = chosen
    to = sorted(
        {
            recipients[min(int(chance.expovariate(0.12)), len(recipients) - 1)]
            for _number in range(1 + (luck > 0.9))
        }
    )
    at = end - timedelta(days=min(chance.expovariate(0.25), DAYS), seconds=number)
    score = (
        None if kind == "V" else round(chance.uniform(6.5, 8) if chosen in HAM else chance.uniform(8, 31), 1)
    )
    letter = _letter(name, sender, to[0], subject, text, at, kind)
    msg = Msg(
        mail_id=f"demo-{number:05}", secret_id="", am_id="", time_num=int(at.timestamp()), time_iso=f"{at:%Y%m%dT%H%M%SZ}",
        sid=0, size=len(letter), content=kind, quar_type="Q", quar_loc="", spam_level=score, subject=subject,
        from_addr=f'"{name}" <{sender}>', client_addr=f"203.0.113.{chance.randrange(1, 255)}", host="",
    )  # fmt: skip
    return msg, sender, to, letter


def _letter(name, sender, to, subject, text, at, kind) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"{name} <{sender}>", to, subject
    message["Date"] = format_datetime(at)
    message.set_content(f"{text}\n")
    if kind == "S":
        message.add_alternative(
            f"<p>{text}</p><p><a href='https://{sender.partition('@')[2]}/'>…</a></p>", subtype="html"
        )
    else:
        name = "invoice.pdf.exe" if kind == "V" else "update.exe"
        message.add_attachment(b"MZ", maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()
