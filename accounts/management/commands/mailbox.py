import getpass
import re
import sys
from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import get_supported_language_variant

from accounts import lifecycle, passwords, second_factor
from accounts.models import LastLogin, Mailbox
from domains import addresses, quota
from domains.models import Alias
from mailpanel.daemons import DaemonError
from mailpanel.management.operator import (
    Column,
    NounCommand,
    Switch,
    Usage,
    find_domain,
    find_mailbox,
    moment,
    validate,
)

PASSWORD = "--password-stdin"  # noqa: S105  the option's name


def language(code: str) -> str:
    """The code of a language that the panel may have; empty leaves it to the browser."""
    try:
        return code and get_supported_language_variant(code)
    except LookupError:
        raise ValidationError(f"“{code[:20]}” is not a language code such as en or de.") from None


class Command(NounCommand):
    help = "Mailboxes, which are the people who sign in."
    metavar = "ADDRESS"
    columns = (
        Column("name", "--name", "NAME", "of the person or place"),
        Column("quota", "--quota", "SIZE", "such as 500M or 10G, or unlimited", quota.parse),
        Switch(
            "enabled",
            "--enable",
            "--disable",
            "it receives",
            "the address does not exist for mail and sign-in",
        ),
        Switch(
            "can_login",
            "--can-login",
            "--no-login",
            "its owner may sign in",
            "it receives, and nobody signs in",
        ),
        Switch(
            "must_change_password",
            "--must-change",
            "--need-not-change",
            "with a new password at the next sign-in",
            "with the one that it has",
        ),
        Column("language", "--language", "CODE", "of the panel's pages", language),
    )

    def add_options(self, verb, parser):
        super().add_options(verb, parser)
        if verb == "list":
            parser.add_argument("--domain", metavar="NAME", help="of this domain alone")
        elif verb in ("add", "set"):
            either = parser.add_mutually_exclusive_group()
            either.add_argument(PASSWORD, action="store_true", help="read the password from standard input")
            either.add_argument("--generate", action="store_true", help="make a password and print it once")
        if verb == "set":
            parser.add_argument(
                "--clear-second-factor",
                action="store_true",
                help="its owner has lost the phone: the password alone opens the panel again",
            )
        if verb == "add":
            parser.add_argument(
                "--anew",
                action="store_true",
                help="though it is in the trash: erase the mail that is left there",
            )
            beside = parser.add_mutually_exclusive_group()
            beside.add_argument(
                "--as-well",
                dest="beside_alias",
                action="store_const",
                const=lifecycle.AS_WELL,
                default="",
                help="though it is an alias: the mailbox gets the mail, too",
            )
            beside.add_argument(
                "--instead",
                dest="beside_alias",
                action="store_const",
                const=lifecycle.INSTEAD,
                help="though it is an alias, whose destinations alone go on to get the mail",
            )

    def do_list(self, domain, search, as_json, **options):
        """List mailboxes."""
        found = Mailbox.objects.select_related("domain", "usage", "second_factor").filter(
            Q(email__contains=search.lower()) | Q(name__icontains=search)
        )
        if domain is not None:
            found = found.filter(domain=find_domain(domain))
        if as_json:
            self.tell_json([described(mailbox) for mailbox in found.iterator()])
        else:
            self.tell_table(
                ("ADDRESS", "NAME", "USED", "QUOTA", "STATE"),
                (
                    (str(box), box.name, used(box), quota.show(box.quota), "; ".join(states(box)))
                    for box in found.iterator()
                ),
            )

    def do_show(self, named, as_json, **options):
        """Show a mailbox: state, use, last sign-ins, roles, and the aliases that lead to it."""
        mailbox = find_mailbox(named)
        if as_json:
            self.tell_json(described(mailbox) | hanging_on(mailbox))
        else:
            self.tell_facts(facts(mailbox))

    def do_add(self, named, as_json, password_stdin, generate, anew, beside_alias, **options):
        """Make a mailbox."""
        email = addresses.parse_mailbox(named)
        domain = find_domain(addresses.split(email)[1])
        mailbox = Mailbox(email=email, domain=domain, **{"quota": domain.default_quota} | self.read(options))
        validate(mailbox)
        password = new_password(mailbox, password_stdin, generate)
        try:
            lifecycle.open_mailbox(mailbox, password, by=self.by, anew=anew, beside_alias=beside_alias)
        except DaemonError as error:
            self.stderr.write(
                f"Warning: it is made, but what its former owner left is not erased, so nobody may sign in yet: {error} "
                "Delete it and make it again when Dovecot runs.",
                self.style.WARNING,
            )
        except ValidationError as error:
            if "alias" not in {one.code for one in getattr(error, "error_dict", {}).get("email", ())}:
                raise
            raise ValidationError(f"{error.messages[0]} Add --as-well or --instead.") from error
        self.saved(f"{mailbox} is there.", mailbox, generate and password, as_json)

    def do_set(self, named, as_json, password_stdin, generate, clear_second_factor, **options):
        """Change a mailbox, its password, or clear its second factor."""
        mailbox, changes = find_mailbox(named), self.read(options)
        if not (changes or password_stdin or generate or clear_second_factor):
            raise Usage("say what to change, such as --quota")
        validate(mailbox, changes)
        mailbox.name = changes.get("name", mailbox.name)
        password = new_password(mailbox, password_stdin, generate)
        if clear_second_factor:
            second_factor.take_off(mailbox, by=self.by, action="factor_clear")
        if changes:
            with self.warning(mailbox.email):
                lifecycle.change_mailbox(mailbox, changes, by=self.by)
        if password:
            with self.warning(mailbox.email):
                lifecycle.set_password(
                    mailbox, password, by=self.by, must_change=changes.get("must_change_password", False)
                )
        self.saved(f"{mailbox} is saved.", find_mailbox(named), generate and password, as_json)

    def do_delete(self, named, yes, as_json, **options):
        """Delete a mailbox with all that hangs on it; the mail itself stays on the disk."""
        mailbox = find_mailbox(named)
        with_it = what_goes_with(mailbox)
        self.confirm(str(mailbox), with_it, yes=yes)
        with self.warning(mailbox.email):
            lifecycle.close_mailbox(mailbox, by=self.by)
        self.deleted(mailbox.email, with_it, as_json)

    def saved(self, sentence: str, mailbox: Mailbox, shown_once: str | None, as_json: bool) -> None:
        lines, data = [sentence], described(mailbox)
        if mailbox.quota is not None and (data["used"] or 0) > mailbox.quota:
            lines.append(
                f"{used(mailbox)} are in it, more than its quota: nothing comes in until there is room."
            )
        if shown_once:
            lines.append(f"Password, shown this once: {shown_once}")
            data["password"] = shown_once
        elif not mailbox.has_usable_password():
            lines.append(
                "It has no password, so nobody can sign in yet: "
                f"manage.py mailbox set {mailbox.email} --password-stdin"
            )
        self.done(as_json, data, *lines)


def new_password(mailbox: Mailbox, from_stdin: bool, generate: bool) -> str | None:
    """The password that the options ask for, under the policy; never from the arguments, which every user of the
    machine can read. Raises ValidationError."""
    if generate:
        return passwords.generate()
    if not from_stdin:
        return None
    password = typed_password() if sys.stdin.isatty() else piped_password()
    try:
        passwords.validate(password, address=mailbox.email, name=mailbox.name)
        passwords.make_hash(password)  # what the scheme cannot hash is told before anything is written
    except ValidationError as error:
        raise ValidationError({PASSWORD: error}) from error
    return password


def typed_password() -> str:
    password = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != password:
        raise ValidationError({PASSWORD: "These were two different passwords. Nothing was changed."})
    return password


def piped_password() -> str:
    """Standard input without the line end that `echo` writes."""
    try:
        text = sys.stdin.buffer.read(100_000).decode()
    except UnicodeDecodeError:
        raise ValidationError({PASSWORD: "Standard input is not UTF-8 text."}) from None
    return re.sub(r"\r?\n\Z", "", text)


def what_goes_with(mailbox: Mailbox) -> dict:
    return {
        "app_passwords": mailbox.app_passwords.count(),
        "addresses_to_send_as": list(mailbox.senders.values_list("address", flat=True)),
        "roles": [*(["server admin"] if mailbox.is_superuser else []), *map(str, mailbox.roles.all())],
        "aliases_that_lead_there": list(
            Alias.objects.filter(destination=mailbox.email).values_list("source", flat=True)
        ),
    }


def described(mailbox: Mailbox) -> dict:
    """The JSON of a mailbox: addresses as stored, sizes in bytes, null for an unlimited quota and an unknown use."""
    usage = getattr(mailbox, "usage", None)
    return {
        "address": mailbox.email,
        "name": mailbox.name,
        "domain": mailbox.domain_id,
        "quota": mailbox.quota,
        "used": usage and usage.bytes,
        "messages": usage and usage.messages,
        "enabled": mailbox.enabled,
        "can_login": mailbox.can_login,
        "has_password": mailbox.has_usable_password(),
        "must_change_password": mailbox.must_change_password,
        "second_factor": second_factor.of(mailbox) is not None,
        "server_admin": mailbox.is_superuser,
        "language": mailbox.language,
        "created": mailbox.created,
        "password_changed": mailbox.password_changed,
        "last_login": mailbox.last_login,
    }


def hanging_on(mailbox: Mailbox) -> dict:
    """What `show` has beyond the row."""
    return {
        "roles": [{"kind": role.kind, "domain": role.domain_id} for role in mailbox.roles.all()],
        "aliases": [{"source": alias.source, "alive": alias.is_alive} for alias in leading_to(mailbox)],
        "last_logins": [
            {"service": last.service, "address": last.address, "time": at(last)}
            for last in last_logins(mailbox)
        ],
    }


def facts(mailbox: Mailbox) -> dict:
    """What a person is told of a mailbox, by label."""
    return {
        "Mailbox": str(mailbox) if str(mailbox) == mailbox.email else f"{mailbox} ({mailbox.email})",
        "Name": mailbox.name,
        "State": states(mailbox) or "switched on",
        "Used": f"{used(mailbox)} of {quota.show(mailbox.quota)}",
        "Roles": what_goes_with(mailbox)["roles"],
        "Aliases": [f"{alias}{'' if alias.is_alive else ' (off)'}" for alias in leading_to(mailbox)],
        "Sign-ins": [f"{moment(at(last))} {last.service} {last.address}" for last in last_logins(mailbox)],
        "In the panel": moment(mailbox.last_login),
        "Second factor": codes_left(mailbox),
        "Language": mailbox.language,
        "Password set": moment(mailbox.password_changed),
        "Made": moment(mailbox.created),
    }


def codes_left(mailbox: Mailbox) -> str:
    if second_factor.of(mailbox) is None:
        return ""
    return f"on, {mailbox.recovery_codes.count()} of {second_factor.RECOVERY_CODES} recovery codes left"


def states(mailbox: Mailbox) -> list[str]:
    """What is out of the ordinary; nothing for a mailbox that receives and signs in."""
    told = {
        "switched off": not mailbox.enabled,
        "its domain is switched off": not mailbox.domain.enabled,
        "no sign-in": not mailbox.can_login,
        "no password": not mailbox.has_usable_password(),
        "must change the password": mailbox.must_change_password,
        "server admin": mailbox.is_superuser,
    }
    return [state for state, holds in told.items() if holds]


def used(mailbox: Mailbox) -> str:
    usage = getattr(mailbox, "usage", None)
    return quota.show(usage.bytes) if usage and (usage.bytes or 0) >= 0 else "unknown"


def leading_to(mailbox: Mailbox):
    return Alias.objects.filter(destination=mailbox.email)


def last_logins(mailbox: Mailbox):
    return mailbox.last_sign_ins[:10]


def at(last: LastLogin) -> datetime:
    return datetime.fromtimestamp(last.time, tz=UTC)
