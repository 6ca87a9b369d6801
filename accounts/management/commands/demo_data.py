import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import islice

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django.utils.dateparse import parse_date

from accounts import lifecycle, passwords, roles, usage
from accounts.management import cast
from accounts.management.cast import GB, Person, Place
from accounts.models import Mailbox
from domains import addresses, dkim
from domains.lifecycle import Destination, open_domain, save_alias
from domains.models import Alias, DkimKey, Domain
from mailpanel.management.junk import make_junk, make_policies
from mailpanel.management.operator import OperatorCommand, Refused, validate
from mailpanel.management.past import make_past
from mailpanel.management.post import make_mail, make_sending
from mailpanel.sqlite.base import dovecot_file


class Command(OperatorCommand):
    help = "Fill the database with a believable set of domains, mailboxes and aliases, to look at and to try things on."

    def add_arguments(self, parser):
        parser.add_argument("--yes", action="store_true", help="beside the data that is there already")
        parser.add_argument("--now", metavar="YYYY-MM-DD", help="the day that it is made for; default: today")
        parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")

    def handle(self, *, yes, now, as_json, **options):
        if not yes and (found := other_data()):
            raise Refused(f"There is data here already: {found}. Say --yes to have the demo data beside it.")
        password = passwords.generate()
        demo = Demo(midnight(now), passwords.make_hash(password), self.by)
        with transaction.atomic():
            demo.make()
        demo.use()
        usage.refresh()
        usage.refresh_domains()
        end = timezone.now() if now is None else demo.midnight
        with transaction.atomic():
            make_past(end)
            make_junk(end, demo.bothered)
            make_policies([cast.NORDWIND, cast.BOOKSHOP], [cast.OVER_QUOTA, cast.SERVER_ADMIN])
        # as old as their mailboxes: nobody is shown mail of before
        Domain.objects.filter(name__in=demo.people).update(created=demo.midnight - timedelta(days=900))
        make_mail(end)
        make_sending(end, demo.senders)
        demo.sign()
        others = dict.fromkeys(email for email, _kind, _domains in cast.ROLES)
        staff = {email: told_roles(email) for email in [cast.SERVER_ADMIN, *others]}
        if as_json:
            self.tell_json(demo.counts | {"password": password, "roles": staff})
            return
        self.tell("{domains} domains, {mailboxes} mailboxes and {aliases} aliases.".format(**demo.counts), "")
        self.tell_table(
            ("SIGN IN AS", "WHO IS"),
            ((addresses.to_unicode(who), ", ".join(of)) for who, of in staff.items()),
        )
        self.tell("", f"Everybody's password, shown this once: {password}")


def other_data() -> str:
    """What is here beyond the first domain with its postmaster."""
    first = settings.MAILPANEL_POSTMASTER
    rows = {
        "domain": Domain.objects.exclude(name=addresses.split(first)[1]),
        "mailbox": Mailbox.objects.exclude(email=first),
        "alias": Alias.objects.all(),
    }
    return ", ".join(f"{kind} {found.first()}" for kind, found in rows.items() if found.exists())


def midnight(day: str | None) -> datetime:
    try:
        parsed = timezone.now().date() if day is None else parse_date(day)
    except ValueError:
        parsed = None
    if parsed is None:
        raise ValidationError({"--now": f"“{day}” is not a day. Write it as YYYY-MM-DD."})
    return datetime.combine(parsed, time.min, tzinfo=UTC)


def told_roles(email: str) -> list[str]:
    mailbox = Mailbox.objects.get(email=email)
    return [*(["server admin"] if mailbox.is_superuser else []), *map(str, mailbox.roles.all())]


class Demo:
    """One run: all chance comes from one seed, and all times are counted back from one midnight."""

    def __init__(self, midnight: datetime, stored: str, by):
        self.midnight, self.by = midnight, by
        # One hash for all: four hundred of them would take half a minute. Real people never share one, of course.
        self.stored = stored
        self.chance = random.Random("mailpanel")  # noqa: S311  it is to be the same each time
        self.people: dict[str, list[Mailbox]] = {}
        self.counts = {"domains": 0, "mailboxes": 0, "aliases": 0}

    def make(self) -> None:
        for place in cast.PLACES:
            self.settle(place)
        for email, kind, names in cast.ROLES:
            for name in names:
                domain = name and Domain.objects.get(pk=name)
                roles.grant(Mailbox.objects.get(email=email), kind, domain, by=self.by)
        self.lead()

    # --- domains and mailboxes ---

    def settle(self, place: Place) -> None:
        domain = Domain(name=place.name, **place.settings)
        validate(domain)
        open_domain(domain, by=self.by)
        self.counts["domains"] += 1
        known = [*place.staff, *place.shared]
        taken = {person.local for person in known}
        strangers = (
            person for person in cast.people(place.languages, self.chance) if person.local not in taken
        )
        known += islice(strangers, place.size - len(known))
        self.people[place.name] = [self.open(place, domain, person) for person in known]

    def open(self, place: Place, domain: Domain, person: Person) -> Mailbox:
        mailbox = Mailbox(
            email=f"{person.local}@{domain.name}",
            domain=domain,
            name=person.name,
            quota=domain.default_quota if person in place.staff else self.quota_of(domain),
            is_superuser=f"{person.local}@{domain.name}" == cast.SERVER_ADMIN,
        )
        if person in place.staff:
            mailbox.last_login = datetime.fromtimestamp(self.moment(), tz=UTC)
            has_password = True
        elif person in place.shared:
            mailbox.can_login = has_password = self.chance.random() < 0.3
        else:
            self.vary(mailbox)
            has_password = self.chance.random() < 0.97
        if has_password:
            mailbox.password = self.stored
            mailbox.password_changed = self.midnight - timedelta(days=self.chance.randrange(1, 900))
        mailbox.enabled &= mailbox.email != cast.LEFT
        validate(mailbox)
        lifecycle.open_mailbox(mailbox, None, by=self.by)
        # the sign-ins of the last weeks are its own
        Mailbox.objects.filter(pk=mailbox.pk).update(created=self.midnight - timedelta(days=900))
        self.counts["mailboxes"] += 1
        return mailbox

    def quota_of(self, domain: Domain) -> int | None:
        """Mostly what the domain gives; unlimited only where it has no pool."""
        usual = domain.default_quota
        rare = [usual * 2, usual * 4, GB // 2] + ([None] if domain.quota_pool is None else [])
        return usual if self.chance.random() < 0.85 else self.chance.choice(rare)

    def vary(self, mailbox: Mailbox) -> None:
        """Some are switched off, some do not sign in, some have yet to choose a password."""
        luck = self.chance.random()
        mailbox.enabled = luck > 0.03
        mailbox.can_login = not 0.03 < luck < 0.06
        mailbox.must_change_password = 0.06 < luck < 0.1

    @property
    def bothered(self) -> list[str]:
        """Who gets the most spam, those who are known first."""
        return [
            box.email
            for name in (cast.NORDWIND, cast.BOOKSHOP, cast.CLINIC)
            for box in self.people[name][:12]
        ]

    @property
    def senders(self) -> list[str]:
        return [box.email for box in self.people[cast.NORDWIND] if box.is_active][-20:]

    def sign(self) -> None:
        """One domain signs its mail, and the key of another waits for its record."""
        signing, waiting = (
            dkim.make(Domain.objects.get(pk=name), f"{self.midnight:%Y%m}", by=self.by)
            for name in (cast.NORDWIND, cast.BOOKSHOP)
        )
        dkim.let_sign(signing, by=self.by)
        for key, seen in ((signing, DkimKey.Seen.RIGHT), (waiting, DkimKey.Seen.MISSING)):
            DkimKey.objects.filter(pk=key.pk).update(seen=seen, asked=self.midnight)

    # --- aliases ---

    def lead(self) -> None:
        for name, groups in cast.GROUPS.items():
            there = [mailbox.email for mailbox in self.people[name] if mailbox.enabled]
            for local, (count, comment) in groups.items():
                chosen = self.chance.sample(there, count)
                first, *others = map(Destination, chosen)
                self.alias(f"{local}@{name}", replace(first, comment=comment), *others)
        self.lead_otherwise()

    def lead_otherwise(self) -> None:
        """One of each kind that is not just a group."""
        here, shop, clinic = cast.NORDWIND, cast.BOOKSHOP, cast.CLINIC
        jens, ines = f"jens.petersen@{here}", f"ines.hoffmann@{here}"
        later, before = self.midnight + timedelta(days=40), self.midnight - timedelta(days=20)
        self.alias(f"kontakt@{here}", Destination(f"info@{here}", comment="Steht noch auf alten Prospekten"))
        self.alias(
            f"rechnung@{here}",
            Destination(ines),
            Destination("buchhaltung@steuerbuero.example", comment="Außer Haus"),
        )
        self.alias(f"messe@{here}", Destination(jens, expires=later, comment="Bis zum Ende der Messe"))
        self.alias(f"praktikum@{here}", Destination(jens, expires=before, comment="Ausschreibung vorbei"))
        self.alias(f"sommerfest@{here}", Destination(jens, enabled=False, comment="Erst nächstes Jahr"))
        self.alias(
            f"empfang@{here}",
            Destination(f"empfang@{here}"),
            Destination(jens, comment="Liest mit, vertretungsweise"),
        )
        self.alias(cast.LEFT, Destination(jens, comment="Hat den Verlag verlassen"), instead=True)
        self.alias(f"bestellung@{cast.WAREHOUSE}", Destination(f"vertrieb@{here}"))
        self.alias(
            f"newsletter@{shop}",
            Destination(f"lea.brandt@{shop}"),
            Destination(f"lesungen@{shop}", enabled=False, comment="Elternzeit bis Mai"),
            Destination(f"presse+buchhandel@{here}"),
        )
        self.alias(f"@{clinic}", Destination(f"recepcion@{clinic}", comment="Todo lo demás"))

    def alias(self, source: str, *destinations: Destination, instead: bool = False) -> None:
        save_alias(source, list(destinations), by=self.by, instead_of_mailbox=instead)
        self.counts["aliases"] += 1

    # --- what Dovecot writes ---

    def use(self) -> None:
        usage, sign_ins = [], []
        for mailboxes in self.people.values():
            for mailbox in mailboxes:
                used = self.used(mailbox)
                usage += (
                    [(mailbox.email, used, used // self.chance.randrange(40_000, 120_000))] if used else []
                )
                sign_ins += self.sign_ins(mailbox) if mailbox.is_active else []
        as_dovecot("REPLACE INTO mailbox_usage (email, bytes, messages) VALUES (%s, %s, %s)", usage)
        as_dovecot(
            "REPLACE INTO last_login (email, service, address, time) VALUES (%s, %s, %s, %s)", sign_ins
        )

    def used(self, mailbox: Mailbox) -> int:
        """Bytes: most hold little, one in thirty is nearly full, one is over quota, and some have never been used."""
        room = mailbox.quota or 20 * GB
        if mailbox.email == cast.OVER_QUOTA:
            return int(room * 1.07)
        luck = self.chance.random()
        share = (
            0
            if luck < 0.05
            else self.chance.uniform(0.95, 0.995)
            if luck < 0.085
            else self.chance.betavariate(1.2, 4)
        )
        return int(room * share)

    def sign_ins(self, mailbox: Mailbox) -> list[tuple]:
        """One in ten has never signed in; the others have at one to three places, most of them this week."""
        places = 0 if self.chance.random() < 0.1 else self.chance.choice([1, 1, 2, 2, 3])
        return [
            (
                mailbox.email,
                self.chance.choice(["imap", "imap", "imap", "pop3"]),
                self.address(),
                self.moment(),
            )
            for _place in range(places)
        ]

    def address(self) -> str:
        """From the networks of RFC 5737 and RFC 3849, which are nobody's."""
        network = self.chance.choice(["192.0.2.{}", "198.51.100.{}", "203.0.113.{}", "2001:db8:52::{:x}"])
        return network.format(self.chance.randrange(1, 255))

    def moment(self) -> int:
        """Unix time, in the working hours of a day before the midnight, most often of the last few."""
        days = min(int(self.chance.expovariate(0.25)), 60) + 1
        return int((self.midnight - timedelta(days=days)).timestamp()) + self.chance.randrange(
            6 * 3600, 19 * 3600
        )


def as_dovecot(statement: str, rows: list[tuple]) -> None:
    """Write where Dovecot does: on SQLite that is a file of its own, which Django has read-only."""
    if connection.vendor == "sqlite":
        path = dovecot_file(connection.settings_dict["NAME"])
        try:
            with closing(sqlite3.connect(path, timeout=10)) as file, file:
                file.executemany(statement.replace("%s", "?"), rows)
        except sqlite3.Error as error:
            raise DatabaseError(f"{path.name}: {error}") from error
    else:
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)
