"""The keys that mail of a domain is signed with: make one, let it sign, retire it, delete it.

A domain has at most one key that waits, so that everybody knows which record is to be published, and at most one that
signs. The private key is made by the openssl command and goes from its output into the table, and nowhere else.
"""

import base64
import re
import subprocess

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.lifecycle import held
from domains import addresses
from domains.models import DkimKey, Domain
from domains.records import Record
from mailpanel.deadlocks import retried_on_deadlock

BITS = 2048  # RFC 8301; 4096 does not fit into one answer by UDP, and some do not verify it
SELECTOR_MAX = 63  # a label in DNS
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PATIENCE = 20  # seconds: two primes of 1024 bits take half of one, and on a busy machine some

State = DkimKey.State


def parse_selector(text: str) -> str:
    """The name of a key, under which its record stands in DNS. Raises ValidationError."""
    selector = text.strip(" ").lower()
    if not text.isascii() or len(selector) > SELECTOR_MAX or not _SELECTOR.fullmatch(selector):
        raise ValidationError(
            _("A selector is one word of at most 63 letters a to z, digits and hyphens, such as 202611."),
            code="selector",
        )
    return selector


def proposed_selector(domain: Domain) -> str:
    """The month, since keys are changed once in a while; with a letter if that is taken."""
    month = timezone.localdate().strftime("%Y%m")
    taken = set(domain.dkim_keys.filter(selector__startswith=month).values_list("selector", flat=True))
    return next(name for name in (month + end for end in _endings()) if name not in taken)


def _endings():
    yield ""
    yield from "bcdefghijklmnopqrstuvwxyz"
    yield from (f"-{number}" for number in range(27, 10**6))


def make(domain: Domain, selector: str, *, by: audit.By) -> DkimKey:
    """A new key, which waits until its record is published. Raises ValidationError."""
    _may_be_made(domain, selector)  # before the work
    private, public = _pair()
    try:
        return _insert(domain, selector, private, public, by)
    except IntegrityError as error:
        raise _taken(selector) from error


@retried_on_deadlock
@transaction.atomic
def _insert(domain: Domain, selector: str, private: str, public: str, by: audit.By) -> DkimKey:
    domain = held(domain)
    _may_be_made(domain, selector)
    key = DkimKey.objects.create(domain=domain, selector=selector, private_key=private, public_key=public)
    _record(by, "dkim_make", key, after={"selector": selector})
    return key


def _may_be_made(domain: Domain, selector: str) -> None:
    parse_selector(selector)
    if len(f"{selector}._domainkey.{domain.name}") > addresses.DOMAIN_MAX:
        raise ValidationError(
            {"selector": _("With this selector the name of the record is too long for DNS.")}
        )
    if domain.dkim_keys.filter(selector=selector).exists():
        raise _taken(selector)
    if waiting := domain.dkim_keys.filter(state=State.WAITING).first():
        raise ValidationError(
            _("The key %s waits for its record already. Let it sign, or delete it.") % waiting.selector,
            code="waiting",
        )


def _taken(selector: str) -> ValidationError:
    return ValidationError({"selector": _("There is a key of the name %s already.") % selector})


@retried_on_deadlock
@transaction.atomic
def let_sign(key: DkimKey, *, by: audit.By, reason: str = "") -> None:
    """From now on mail of the domain is signed with this key, and the one that signed until now is retired. Whether its
    record is published is asked by the caller: that takes DNS, and so no transaction. Raises ValidationError."""
    held(key.domain)
    key = held(key)
    former = key.domain.dkim_keys.filter(state=State.SIGNING).exclude(pk=key.pk).first()
    if key.state == State.SIGNING:
        return
    if former:
        _become(former, State.RETIRED)
    _become(key, State.SIGNING)
    before = {"selector": former.selector} if former else None
    _record(by, "dkim_sign", key, before=before, after={"selector": key.selector}, reason=reason)


@retried_on_deadlock
@transaction.atomic
def retire(key: DkimKey, *, by: audit.By, reason: str = "") -> None:
    """Mail of the domain leaves without a signature, until another key signs. Raises ValidationError."""
    held(key.domain)
    key = held(key)
    if key.state != State.SIGNING:
        raise ValidationError(_("The key %s does not sign.") % key.selector, code="state")
    _become(key, State.RETIRED)
    _record(by, "dkim_retire", key, before={"selector": key.selector}, reason=reason)


@retried_on_deadlock
@transaction.atomic
def delete(key: DkimKey, *, by: audit.By, reason: str = "") -> None:
    """For good: a key can be made anew at any time, and one that is gone cannot be stolen. Raises ValidationError."""
    held(key.domain)
    key = held(key)
    if key.state == State.SIGNING:
        raise ValidationError(
            _("The key %s signs. Let another one sign, or retire it first.") % key.selector, code="state"
        )
    _record(by, "dkim_delete", key, before={"selector": key.selector}, reason=reason)
    key.delete()


def note(asked: list[Record]) -> None:
    """Keep what DNS had just now in the places of the records of keys; where it did not answer, what it had before."""
    now = timezone.now()
    for record in asked:
        key = record.key
        if key and record.seen and (record.seen != DkimKey.Seen.UNKNOWN or not key.seen):
            key.seen, key.asked = record.seen, now
            DkimKey.objects.filter(pk=key.pk).update(seen=key.seen, asked=key.asked)


def _become(key: DkimKey, state: str) -> None:
    key.state, key.since = state, timezone.now()
    key.save(update_fields=["state", "since"])


def _record(by: audit.By, action: str, key: DkimKey, **told) -> None:
    audit.record(by, action, "domain", key.domain_id, domain=key.domain_id, **told)


def _pair() -> tuple[str, str]:
    """(private key as PEM, public key as base64); neither of them touches an argument or a file."""
    private = _openssl(["genrsa", str(BITS)])
    public = _openssl(["pkey", "-pubout", "-outform", "DER"], private)
    return private.decode("ascii"), base64.b64encode(public).decode("ascii")


def _openssl(arguments: list[str], given: bytes = b"") -> bytes:
    try:
        return subprocess.run(
            ["openssl", *arguments], input=given, capture_output=True, check=True, timeout=_PATIENCE
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ValidationError(
            _(
                "The program openssl on the server made no key (%s). Try it again, or tell whoever runs the server."
            )
            % type(error).__name__,
            code="openssl",
        ) from None
