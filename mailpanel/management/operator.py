"""What the commands for operators share: verbs, options that are columns, refusals, JSON and tables.

Exit codes: 0 done, 1 refused with the reason on standard error, 2 usage. These commands speak English alone, as logs
do: scripts read them, and people search for their sentences.
"""

import getpass
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, InterfaceError
from django.db.models import Model
from django.utils import timezone

from accounts import audit
from accounts.models import Mailbox
from domains import addresses
from domains.models import STEERING, Domain
from mailpanel.daemons import DaemonError


class Refused(CommandError):
    """Exit 1. Django writes the name of the class before the sentence."""


class Usage(CommandError):
    """Exit 2, for what argparse cannot see."""

    def __init__(self, sentence: str):
        super().__init__(sentence, returncode=2)


@dataclass(frozen=True)
class Column:
    """An option that is a column: what it is called here and there, and how its text is read."""

    field: str
    option: str
    metavar: str
    help: str
    read: Callable[[str], object] = str

    def add_to(self, parser) -> None:
        parser.add_argument(self.option, dest=self.field, metavar=self.metavar, help=self.help)


@dataclass(frozen=True)
class Switch:
    """Two options that are one column, on and off."""

    field: str
    option: str
    opposite: str
    help: str
    help_opposite: str
    read = staticmethod(bool)

    def add_to(self, parser) -> None:
        either = parser.add_mutually_exclusive_group()
        on = {"dest": self.field, "action": "store_const", "default": None}
        either.add_argument(self.option, const=True, help=self.help, **on)
        either.add_argument(self.opposite, const=False, help=self.help_opposite, **on)


class OperatorCommand(BaseCommand):
    requires_system_checks = []  # the way in from the shell stays open when a page is broken
    columns: tuple[Column | Switch, ...] = ()

    def run_from_argv(self, argv):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding does not have
        super().run_from_argv(argv)

    def execute(self, *args, **options):
        try:
            super().execute(*args, **options)
            self.stdout.flush()
        except ValidationError as error:
            raise Refused("\n".join(map(printable, self.sentences(error)))) from error
        except (DatabaseError, InterfaceError) as error:
            reason = printable(str(error.args[-1] if error.args else error))
            raise Refused(
                f"The database did not do this: {reason}. Look what it holds now before you try again."
            ) from error
        except BrokenPipeError:  # `… list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def sentences(self, error: ValidationError) -> Iterable[str]:
        """One for each problem, after the option that it is about."""
        options = {column.field: column.option for column in self.columns}
        of_fields = error.error_dict if hasattr(error, "error_dict") else {"": [error]}
        for field, errors in of_fields.items():
            option = options.get(field, field)
            before = f"{option}: " if option.startswith("--") else ""
            yield from (f"{before}{message}" for one in errors for message in one.messages)

    @property
    def by(self) -> audit.By:
        return audit.By(f"shell:{getpass.getuser()}")

    @contextmanager
    def warning(self, who: str):
        """The database holds the change by the time that Dovecot fails: that is a warning, and no refusal."""
        try:
            yield
        except DaemonError as error:
            self.stderr.write(
                f"Warning: it is done in the database, but Dovecot was not told: {error} Whoever is signed in stays so, "
                "and an old password may go on working for up to an hour. On the mail server, run: "
                f"doveadm auth cache flush; doveadm kick '{who}'",
                self.style.WARNING,
            )

    def read(self, options: dict) -> dict:
        """The columns that the options name. Raises ValidationError with all that cannot be read, not just the first."""
        values, errors = {}, {}
        for column in self.columns:
            typed = options.get(column.field)
            if typed is not None:
                try:
                    values[column.field] = column.read(typed)
                except ValidationError as error:
                    errors[column.field] = error
        if errors:
            raise ValidationError(errors)
        return values

    def tell(self, *lines: str) -> None:
        for line in lines:
            self.stdout.write(printable(line))

    def tell_json(self, data) -> None:
        # ASCII, so that no name can steer the terminal
        self.stdout.write(json.dumps(data, indent=2, cls=DjangoJSONEncoder))

    def tell_table(self, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        rows = [head, *([printable(cell) for cell in row] for row in rows)]
        widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            padded = [cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True)]
            self.stdout.write("  ".join(padded).rstrip())

    def tell_facts(self, facts: dict[str, str | list[str]]) -> None:
        """Label and value, one a line; a list goes on below its first line, and what is empty is left out."""
        lines = []
        for label, value in facts.items():
            values = value if isinstance(value, list) else [value]
            lines += zip([label] + [""] * len(values), filter(None, values), strict=False)
        widest = max(len(label) for label, _value in lines)
        self.tell(*(f"{label:{widest}}  {value}" for label, value in lines))


class NounCommand(OperatorCommand):
    """`manage.py NOUN VERB`. Each verb is a method `do_VERB`, whose docstring is its help and which gets the options by
    name: `named` is the address or domain that all verbs but the `unnamed` are about."""

    verbs = ("list", "show", "add", "set", "delete")
    unnamed = ("list",)
    metavar = ""

    def add_arguments(self, parser):
        of_verbs = parser.add_subparsers(dest="verb", metavar="|".join(self.verbs), required=True)
        for verb in self.verbs:
            summary = getattr(self, f"do_{verb}").__doc__
            of_verb = of_verbs.add_parser(verb, help=summary, description=summary)
            of_verb.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
            if verb not in self.unnamed:
                of_verb.add_argument("named", metavar=self.metavar)
            self.add_options(verb, of_verb)

    def add_options(self, verb: str, parser) -> None:
        """The options of one verb; a noun with more of them extends this."""
        if verb in ("add", "set"):
            for column in self.columns:
                column.add_to(parser)
        elif verb == "list":
            parser.add_argument("--search", metavar="TEXT", default="", help="only what has this text in it")
        elif verb == "delete":
            parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *, verb, **options):
        getattr(self, f"do_{verb}")(**options)

    def done(self, as_json: bool, described: dict, *lines: str) -> None:
        """What the object is now for a program, or what was done for a person."""
        if as_json:
            self.tell_json(described)
        else:
            self.tell(*lines)

    def confirm(self, name: str, with_it: dict, *, yes: bool) -> None:
        """Ask on a terminal; without one, `--yes` has to say it. Raises Refused."""
        if yes:
            return
        told = (
            "\n".join(["This goes with it:", *counted(with_it)])
            if counted(with_it)
            else "Nothing goes with it."
        )
        if not sys.stdin.isatty():
            raise Refused(f"Say --yes to delete {name}. {told}")
        self.stderr.write(told)
        try:
            typed = input(f"Type {name} to delete it: ")
        except (EOFError, KeyboardInterrupt):
            typed = ""
        if typed.strip() != name:
            raise Refused("Nothing was deleted.")

    def deleted(self, key: str, with_it: dict, as_json: bool) -> None:
        if as_json:
            self.tell_json({"deleted": key, "with_it": with_it})
        else:
            gone = "; ".join(counted(with_it))
            self.tell(f"{addresses.to_unicode(key)} is deleted{gone and f', and with it {gone}'}.")


def counted(with_it: dict[str, int | list[str]]) -> list[str]:
    """What goes with an object, for people: {"app_passwords": 2, "roles": []} gives ["2 app passwords"]."""
    return [
        printable(
            f"{len(of_kind)} {kind.replace('_', ' ')}: {', '.join(of_kind)}"
            if isinstance(of_kind, list)
            else f"{of_kind} {kind.replace('_', ' ')}"
        )
        for kind, of_kind in with_it.items()
        if of_kind
    ]


def find_domain(name: str) -> Domain:
    name = addresses.parse_domain(name)
    found = Domain.objects.select_related("alias_of").filter(name=name).first()
    if found is None:
        raise ValidationError(f"There is no domain {addresses.to_unicode(name)} here.")
    return found


def find_mailbox(address: str) -> Mailbox:
    email = addresses.parse_mailbox(address)
    found = Mailbox.objects.select_related("domain", "usage", "second_factor").filter(email=email).first()
    if found is None:
        raise ValidationError(f"There is no mailbox {addresses.to_unicode(email)} here.")
    return found


def validate(row: Model, changes: dict | None = None) -> None:
    """Ask all rules of the model, as a form does, whether the row could have these columns. Raises ValidationError."""
    row = copy(row)
    for field, value in (changes or {}).items():
        setattr(row, field, value)
    # what is there already is told by the database, in the sentences of lifecycle
    row.full_clean(validate_unique=False, validate_constraints=False)


def printable(text: str) -> str:
    """Without characters that could steer a terminal; rows that others wrote may have them."""
    return STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def width(text: str) -> int:
    """Columns on a terminal: East Asian letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def moment(value) -> str:
    """A time as the table shows it, in the server's zone; empty for None."""
    return timezone.localtime(value).strftime("%Y-%m-%d %H:%M") if value else ""


def number(text: str) -> int | None:
    """A limit: a whole number, or None for `unlimited` and nothing."""
    text = text.strip()
    if text.lower() in ("", "unlimited"):
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ValidationError(f"“{text[:40]}” is not a limit. Write a number such as 100, or unlimited.")
    return int(text)
