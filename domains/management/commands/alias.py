from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from accounts.models import Mailbox, Sender
from domains import addresses, lifecycle
from domains.forms import LastDay
from domains.lifecycle import Destination
from domains.models import Alias
from mailpanel.management.operator import Column, NounCommand, Switch, Usage, find_domain

LAST_DAY = LastDay(
    required=False,
    input_formats=["%Y-%m-%d"],
    error_messages={"invalid": "Write the last day as YYYY-MM-DD, or '' for none."},
)


class Command(NounCommand):
    help = "Aliases: addresses that lead to others. @example.org is the catch-all of a domain."
    metavar = "SOURCE"
    columns = (
        Switch("enabled", "--enable", "--disable", "these destinations get the mail", "they do not"),
        Column("comment", "--comment", "TEXT", "for people to read"),
        Column("expires", "--expires", "YYYY-MM-DD", "the last day; '' for none", LAST_DAY.clean),
        Switch(
            "send_as",
            "--send-as",
            "--no-send-as",
            "these destinations, which are mailboxes here, may send as the alias",
            "they may not",
        ),
    )

    def add_options(self, verb, parser):
        if verb == "delete":
            parser.add_argument(
                "destinations", metavar="DEST", nargs="*", help="these alone, not the whole alias"
            )
            return
        super().add_options(verb, parser)
        if verb == "list":
            parser.add_argument("--domain", metavar="NAME", help="of this domain alone")
        elif verb != "show":
            parser.add_argument("destinations", metavar="DEST", nargs="+" if verb == "add" else "*")
            shadow = parser.add_mutually_exclusive_group()
            shadow.add_argument(
                "--as-well", action="store_true", help="a mailbox of this address gets the mail, too"
            )
            shadow.add_argument(
                "--instead", action="store_true", help="a mailbox of this address gets no mail any more"
            )

    def do_list(self, domain, search, as_json, **options):
        """List aliases with their destinations."""
        text = search.lower()
        hits = Alias.objects.filter(Q(source__contains=text) | Q(destination__contains=text))
        rows = Alias.objects.filter(source__in=hits.values("source"))
        if domain is not None:
            rows = rows.filter(domain=find_domain(domain))
        if as_json:
            granted = senders(Sender.objects.all())
            self.tell_json(
                [
                    described(source, list(of_source), granted)
                    for source, of_source in groupby(rows, attrgetter("source"))
                ]
            )
        else:
            self.tell_rows(rows)

    def do_show(self, named, as_json, **options):
        """Show where an alias leads."""
        source = addresses.parse_alias_source(named)
        rows = rows_of(source)
        if as_json:
            self.tell_json(described(source, rows, senders_of(source)))
        else:
            self.tell_rows(rows)
            if Mailbox.objects.filter(email=source).exists():
                copy = any(row.destination == source and row.is_alive for row in rows)
                self.tell(
                    f"The mailbox of this address gets {'a copy' if copy else 'nothing while this leads on'}."
                )

    def do_add(self, named, destinations, as_well, instead, as_json, **options):
        """Make an alias, or add destinations to it."""
        source, columns = self.source(named), self.read(options)
        new = [Destination(address, **columns) for address in parsed(destinations)]

        def edit(now: list[Destination]) -> list[Destination]:
            if double := {to.address for to in now} & {to.address for to in new}:
                raise ValidationError(
                    f"{addresses.to_unicode(source)} leads to {addresses.to_unicode(double.pop())} already; "
                    "manage.py alias set changes it."
                )
            return with_mailbox([*now, *new], source, as_well, instead)

        self.save(source, edit, instead, as_json)

    def do_set(self, named, destinations, as_well, instead, as_json, **options):
        """Make the destinations of an alias exactly these, or change what is said of them."""
        source, columns = self.source(named), self.read(options)
        if not (destinations or columns or as_well or instead):
            raise Usage("say what to change: destinations, or an option such as --comment")
        wanted = parsed(destinations)

        def edit(now: list[Destination]) -> list[Destination]:
            known = {to.address: to for to in existing(source, now)}
            chosen = [known.get(address, Destination(address)) for address in wanted or known]
            # of the own address nothing is to be said: it may send as itself
            own = {key: value for key, value in columns.items() if key != "send_as"}
            changed = [replace(to, **(own if to.address == source else columns)) for to in chosen]
            return with_mailbox(changed, source, as_well, instead)

        self.save(source, edit, instead, as_json)

    def do_delete(self, named, destinations, as_json, **options):
        """Delete an alias, or some of its destinations."""
        source, gone = self.source(named), parsed(destinations)

        def edit(now: list[Destination]) -> list[Destination]:
            there = [to.address for to in existing(source, now)]
            if missing := [address for address in gone if address not in there]:
                raise ValidationError(
                    f"{addresses.to_unicode(source)} does not lead to {addresses.to_unicode(missing[0])}."
                )
            return [to for to in now if gone and to.address not in gone]

        self.save(source, edit, False, as_json)

    def source(self, typed: str) -> str:
        source = addresses.parse_alias_source(typed)
        find_domain(addresses.split(source)[1])
        return source

    def save(self, source: str, edit, instead: bool, as_json: bool) -> None:
        try:
            lifecycle.edit_alias(source, edit, by=self.by, instead_of_mailbox=instead)
        except ValidationError as error:
            if getattr(error, "code", "") != "mailbox":
                raise
            raise ValidationError(f"{error.messages[0]} Add --as-well or --instead.") from error
        rows = list(Alias.objects.filter(source=source))
        self.done(as_json, described(source, rows, senders_of(source)), summary(source, rows))

    def tell_rows(self, rows) -> None:
        granted = senders(Sender.objects.all())
        self.tell_table(
            ("ALIAS", "DESTINATION", "STATE", "COMMENT"),
            (
                (
                    addresses.to_unicode(row.source),
                    addresses.to_unicode(row.destination),
                    state(row) + ("; may send as it" if (row.source, row.destination) in granted else ""),
                    row.comment,
                )
                for row in rows
            ),
        )


def parsed(typed: list[str]) -> list[str]:
    """Destinations in their stored form. Raises ValidationError with a sentence for each that is none."""
    good, wrong = [], []
    for text in typed:
        try:
            good.append(addresses.parse_destination(text))
        except ValidationError as error:
            wrong.append(f"{text[:80]}: {error.messages[0]}")
    if wrong:
        raise ValidationError(wrong)
    return good


def existing(source: str, now: list[Destination]) -> list[Destination]:
    if not now:
        raise ValidationError(f"There is no alias {addresses.to_unicode(source)} here.")
    return now


def with_mailbox(
    destinations: list[Destination], source: str, as_well: bool, instead: bool
) -> list[Destination]:
    """The mailbox of the alias' own address among the destinations or not, where the options say so."""
    if as_well or instead:
        destinations = [to for to in destinations if to.address != source]
    return [*destinations, Destination(source)] if as_well else destinations


def rows_of(source: str) -> list[Alias]:
    return existing(source, list(Alias.objects.filter(source=source)))


def senders(rows: QuerySet) -> set[tuple[str, str]]:
    """Each alias with a mailbox that may send as it."""
    return set(rows.values_list("address", "mailbox__email"))


def senders_of(source: str) -> set[tuple[str, str]]:
    return senders(Sender.objects.filter(address=source))


def described(source: str, rows: list[Alias], granted: set[tuple[str, str]]) -> dict:
    """The JSON of an alias: addresses as stored; an alias without destinations is none."""
    return {
        "source": source,
        "destinations": [
            {
                "address": row.destination,
                "enabled": row.enabled,
                "expires": row.expires,
                "alive": row.is_alive,
                "comment": row.comment,
                "send_as": (row.source, row.destination) in granted,
            }
            for row in rows
        ],
    }


def summary(source: str, rows: list[Alias]) -> str:
    shown = addresses.to_unicode(source)
    if not rows:
        return f"{shown} is deleted."
    if leads := [addresses.to_unicode(row.destination) for row in rows if row.is_alive]:
        return f"{shown} leads to {', '.join(leads)}."
    return f"{shown} leads nowhere now: all its destinations are switched off or have expired."


def state(row: Alias) -> str:
    if not row.enabled:
        return "switched off"
    if row.expires:
        return f"{'until' if row.is_alive else 'expired'} {LAST_DAY.prepare_value(row.expires)}"
    return "on"
