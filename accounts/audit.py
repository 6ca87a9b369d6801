"""Who did what to which object: one table, one function, in the same transaction as the change."""

import json
from collections.abc import Iterator
from typing import NamedTuple

from django.db import models
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Audit, Mailbox, role_words
from domains import addresses, quota
from domains.models import AddressField, Domain, LimitField, SizeField
from mailpanel import paging
from mailpanel.server.models import SendLimit


class By(NamedTuple):
    """Who acts: an address, or `shell:NAME` for a command; and the client's address where there is one."""

    actor: str
    client: str = ""


# What no audit row may hold. The fact of a change is told; the value is not.
SECRET = {"password", "private_key"}


def snapshot(instance) -> dict:
    """The columns of a row as plain values, without secrets and without the counters that change by themselves."""
    return {
        field.column: value
        if isinstance(value := field.value_from_object(instance), bool | int | None)
        else str(value)
        for field in instance._meta.concrete_fields
        if field.editable and not field.primary_key and field.name not in SECRET
    }


def difference(before: dict, after: dict) -> tuple[dict, dict]:
    """Only the columns that differ, of both."""
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return {key: before.get(key) for key in changed}, {key: after.get(key) for key in changed}


def record(
    by: By, action: str, kind: str, name: str, *, domain: str = "", before=None, after=None, reason: str = ""
):
    """Write one row. `kind` is domain, mailbox, alias, role, filter or quarantine; `name` the address or domain it is about.

    Each pair of action and kind has its words in SENTENCES.
    """
    record_all(by, action, kind, [(name, before, after)], domain=domain, reason=reason)


def record_all(by: By, action: str, kind: str, rows: list[tuple], *, domain: str, reason: str = ""):
    """The same for many objects of one domain, in few statements; `rows` are (name, before, after)."""
    Audit.objects.bulk_create(
        (
            Audit(
                actor=by.actor[:255],
                client=by.client,
                action=action,
                kind=kind,
                name=name[:255],
                domain=domain,
                before=before,
                after=after,
                reason=reason[:255],
            )
            for name, before, after in rows
        ),
        batch_size=1000,
    )


def last(kind: str, name: str) -> Audit | None:
    """The newest row about an object."""
    return Audit.objects.filter(kind=kind, name=name[:255]).first()


# --- reading ------------------------------------------------------------------------------------------------


def everything(rows: QuerySet[Audit]) -> Iterator[Audit]:
    """From the newest to the oldest, read in portions."""
    asked = {}
    while True:
        portion = paging.newest(rows, asked, size=500)
        yield from portion
        if not portion.later:
            return
        asked = {"before": portion.last}


# Each action, as a sentence; a test holds that none is recorded without one.
SENTENCES = {
    ("create", "domain"): gettext_lazy("{actor} made the domain {name}"),
    ("change", "domain"): gettext_lazy("{actor} changed the domain {name}"),
    ("delete", "domain"): gettext_lazy("{actor} deleted the domain {name}"),
    ("restore", "domain"): gettext_lazy("{actor} brought back the domain {name}"),
    ("purge", "domain"): gettext_lazy("{actor} ended the domain {name} for good"),
    ("recount", "domain"): gettext_lazy("{actor} corrected the counters of {name}"),
    ("dkim_make", "domain"): gettext_lazy("{actor} made a key to sign mail of {name}"),
    ("dkim_sign", "domain"): gettext_lazy("{actor} let a key sign mail of {name}"),
    ("dkim_retire", "domain"): gettext_lazy("{actor} retired the key that signed mail of {name}"),
    ("dkim_delete", "domain"): gettext_lazy("{actor} deleted a key of {name}"),
    ("create", "mailbox"): gettext_lazy("{actor} made the mailbox {name}"),
    ("change", "mailbox"): gettext_lazy("{actor} changed the mailbox {name}"),
    ("password", "mailbox"): gettext_lazy("{actor} set a new password for {name}"),
    ("delete", "mailbox"): gettext_lazy("{actor} deleted the mailbox {name}"),
    ("factor_on", "mailbox"): gettext_lazy("{actor} set up the second factor of {name}"),
    ("factor_off", "mailbox"): gettext_lazy("{actor} took off the second factor of {name}"),
    ("factor_clear", "mailbox"): gettext_lazy("{actor} cleared the second factor of {name}"),
    ("new_codes", "mailbox"): gettext_lazy("{actor} made new recovery codes for {name}"),
    ("used_code", "mailbox"): gettext_lazy("{actor} used a recovery code of {name}"),
    ("wrong_codes", "mailbox"): gettext_lazy(
        "Somebody knew the password of {name} and typed five wrong codes"
    ),
    ("unlock", "mailbox"): gettext_lazy("{actor} ended the pause after wrong passwords for {name}"),
    ("restore", "mailbox"): gettext_lazy("{actor} brought back the mailbox {name}"),
    ("purge", "mailbox"): gettext_lazy("{actor} ended the mailbox {name} for good"),
    ("create", "alias"): gettext_lazy("{actor} made the alias {name}"),
    ("change", "alias"): gettext_lazy("{actor} changed the alias {name}"),
    ("delete", "alias"): gettext_lazy("{actor} deleted the alias {name}"),
    ("restore", "alias"): gettext_lazy("{actor} brought back the alias {name}"),
    ("purge", "alias"): gettext_lazy("{actor} ended the alias {name} for good"),
    ("grant", "role"): gettext_lazy("{actor} gave a role to {name}"),
    ("revoke", "role"): gettext_lazy("{actor} took a role from {name}"),
    ("send_limit", "domain"): gettext_lazy("{actor} changed how much the mailboxes of {name} may send"),
    ("send_limit", "mailbox"): gettext_lazy("{actor} changed how much {name} may send"),
    ("export", "domain"): gettext_lazy("{actor} exported the mailboxes of {name}"),
    ("export", "mailbox"): gettext_lazy("{actor} exported a list of mailboxes"),
    ("denied", "page"): gettext_lazy("{actor} was refused at {name}"),
    ("change", "filter"): gettext_lazy("{actor} changed the spam filter of {name}"),
    ("senders", "filter"): gettext_lazy("{actor} changed the allowed and blocked senders of {name}"),
    ("read", "quarantine"): gettext_lazy("{actor} read a message in the quarantine of {name}"),
    ("release", "quarantine"): gettext_lazy("{actor} released a message from the quarantine of {name}"),
    ("delete", "quarantine"): gettext_lazy("{actor} deleted a message from the quarantine of {name}"),
    ("export", "log"): gettext_lazy("{actor} exported the audit log"),
    ("trial", "alert"): gettext_lazy("{actor} sent a test alert"),
    ("hold", "message"): gettext_lazy("{actor} put the message {name} in the queue on hold"),
    ("hold", "messages"): gettext_lazy("{actor} put {name} messages in the queue on hold"),
    ("release", "message"): gettext_lazy("{actor} released the message {name} in the queue"),
    ("release", "messages"): gettext_lazy("{actor} released {name} messages in the queue"),
    ("retry", "message"): gettext_lazy("{actor} had the message {name} in the queue tried again"),
    ("retry", "messages"): gettext_lazy("{actor} had {name} messages in the queue tried again"),
    ("delete", "message"): gettext_lazy("{actor} deleted the message {name} from the queue"),
    ("delete", "messages"): gettext_lazy("{actor} deleted {name} messages from the queue"),
}


def sentence(entry: Audit, actor: str, name: str) -> str:
    """Who did what to which object, as HTML; `actor` and `name` stand in it as they are given, escaped or safe."""
    of_entry = SENTENCES.get((entry.action, entry.kind))
    if of_entry is None:
        return format_html("{} {} {} {}", actor, entry.action, entry.kind, name)
    return format_html(of_entry, actor=actor, name=name)


def actions() -> list[tuple[str, str]]:
    """All that is recorded, as `action kind` and in words."""
    who = _("Somebody")
    return [(" ".join(key), words.format(actor=who, name="…")) for key, words in SENTENCES.items()]


COLUMNS = ["at", "actor", "action", "kind", "name", "domain", "client", "reason", "before", "after"]


def cells(entry: Audit) -> list[str]:
    """One entry for CSV: the time in UTC, before and after as JSON."""
    return [
        entry.at.isoformat(),
        *(getattr(entry, column) for column in COLUMNS[1:-2]),
        *(
            "" if told is None else json.dumps(told, ensure_ascii=False)
            for told in (entry.before, entry.after)
        ),
    ]


class Change(NamedTuple):
    label: str
    before: str
    after: str


NOTHING = "–"
_LABELS = {
    "domain": gettext_lazy("domain"),
    "mailboxes": gettext_lazy("mailboxes"),
    "aliases": gettext_lazy("alias destinations"),
    "mailbox_count": gettext_lazy("mailboxes"),
    "alias_count": gettext_lazy("alias destinations"),
    "quota_given": gettext_lazy("promised quota"),
    "password_changed": gettext_lazy("password changed"),
    "last_login": gettext_lazy("last sign-in here"),
    "role": gettext_lazy("role"),
    "selector": gettext_lazy("selector of the key"),
    "spam_tag_level": gettext_lazy("headers tell the score from"),
    "spam_tag2_level": gettext_lazy("marked as spam from"),
    "spam_kill_level": gettext_lazy("into the quarantine from"),
    "spam_subject_tag2": gettext_lazy("mark in the subject"),
    "bypass_spam_checks": gettext_lazy("no search for spam"),
    "bypass_virus_checks": gettext_lazy("no search for viruses"),
    "bypass_banned_checks": gettext_lazy("no search for banned files"),
    "banned_rulenames": gettext_lazy("banned files"),
    "digest": gettext_lazy("daily digest"),
    "sender": gettext_lazy("sender"),
    "recipient": gettext_lazy("recipient"),
    "message": gettext_lazy("message"),
}
# What one letter stands for in what the content filter has.
_FLAGS = {
    "Y": gettext_lazy("yes"), "N": gettext_lazy("no"), "W": gettext_lazy("allowed"), "B": gettext_lazy("blocked"),
}  # fmt: skip


def changes(entry: Audit) -> list[Change]:
    """What an entry keeps of before and after, field by field, in words."""
    before, after = (
        {"role": role_words(told["kind"], told.get("domain"))}
        if entry.kind == "role" and "kind" in told
        else told
        for told in (
            told if isinstance(told, dict) else {} if told is None else {"": told}
            for told in (entry.before, entry.after)
        )
    )
    kinds = (SendLimit, Domain if entry.kind == "domain" else Mailbox)
    fields = {field.column: field for model in kinds for field in model._meta.concrete_fields}

    def change(key: str) -> Change:
        field = fields.get(key)
        if entry.kind == "alias":
            return Change(
                addresses.to_unicode(key), _destination(before.get(key)), _destination(after.get(key))
            )
        if entry.kind == "filter":
            return Change(
                str(_LABELS.get(key, addresses.to_unicode(key))),
                *(_of_filter(told.get(key)) for told in (before, after)),
            )
        label = _LABELS.get(key) or (field.verbose_name if field else key.replace("_", " "))
        return Change(
            str(label), *(_value(field, told[key]) if key in told else NOTHING for told in (before, after))
        )

    return [change(key) for key in {**before, **after}]


def _value(field, value) -> str:
    match value:
        case None if isinstance(field, SizeField | LimitField):
            return _("unlimited")
        case None | "":
            return NOTHING
        case bool():
            return _("yes") if value else _("no")
        case int() if isinstance(field, SizeField) or (field and field.name == "quota_given"):
            return quota.show(value)
        case str() if isinstance(field, models.DateTimeField):
            return _moment(value)
        case str() if isinstance(field, AddressField | models.ForeignKey):
            return addresses.to_unicode(value)
        case str() | int() | float():
            return str(value)
    return json.dumps(value, ensure_ascii=False)


def _of_filter(value) -> str:
    """NULL leaves a field to the wider scope."""
    return str(_FLAGS[value]) if value in ("Y", "N", "W", "B") else _value(None, value)


def _moment(text: str) -> str:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT") if moment and moment.tzinfo else text


def _destination(told) -> str:
    """A destination of an alias: on or off, until when, and the comment."""
    if not isinstance(told, dict):
        return NOTHING if told is None else _value(None, told)
    words = [_("on") if told.get("enabled") else _("off")]
    if expires := told.get("expires"):
        words.append(_("until %s") % _moment(str(expires)))
    if told.get("send_as"):
        words.append(_("may send as this"))
    if comment := told.get("comment"):
        words.append(_("“%s”") % comment)
    return ", ".join(words)
