"""The second factor: a code of six digits from an authenticator app (TOTP, RFC 6238), or a recovery code in its place.

A code is good for half a minute before and after its own, once. Wrong ones are slowed down for the person, wherever
they are typed: one second, two, four and so on to half an hour, which leaves fewer than a hundred tries in a day.
"""

import base64
import hashlib
import re
import secrets
import time
from urllib.parse import quote, urlencode

import segno
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Least
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_otp.oath import TOTP

from accounts import access, audit
from accounts.lifecycle import held
from accounts.models import Mailbox, RecoveryCode, SecondFactor

RECOVERY_CODES = 10
ALARM = 5  # wrong codes in a row that are written into the log, where the owner sees them
MOST_FAILURES = 12  # 2 ** 11 seconds
NEIGHBOURS = 1  # steps of 30 seconds that the clocks may differ by


def of(mailbox: Mailbox) -> SecondFactor | None:
    return getattr(mailbox, "second_factor", None)


def is_required(mailbox: Mailbox) -> bool:
    """This person may not use the panel without one."""
    who = settings.MAILPANEL_SECOND_FACTOR
    return who == "everyone" or (who == "staff" and access.rights(mailbox).any)


# --- the key, and how it gets into the app ------------------------------------------------------------------


def new_key(nonce: str, mailbox: Mailbox) -> str:
    """The key (hexadecimal) of an enrolment. It is made from what the session holds, so that until a code has confirmed
    it the key itself is written nowhere, and no other session or person comes to the same one."""
    salt = "accounts.second_factor.new_key"
    return salted_hmac(salt, f"{nonce}:{mailbox.pk}", algorithm="sha1").hexdigest()


def typed_key(key: str) -> str:
    """For people whose phone cannot read the picture: groups of four letters and digits."""
    text = base64.b32encode(bytes.fromhex(key)).decode()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def qr_code(key: str, mailbox: Mailbox) -> SafeString:
    """A picture of the key for the app, black on white whatever the theme; the browser fetches nothing for it."""
    label = quote(f"{settings.MAILPANEL_HOSTNAME}:{mailbox}", safe="")
    asked = {"secret": typed_key(key).replace(" ", ""), "issuer": settings.MAILPANEL_HOSTNAME}
    drawn = segno.make(f"otpauth://totp/{label}?{urlencode(asked)}", error="m", micro=False)
    # numbers and fixed words only; colours are attributes, which the policy lets pass
    return mark_safe(  # noqa: S308
        drawn.svg_inline(omitsize=True, svgclass=None, lineclass=None, dark="#000", light="#fff")
    )


# --- codes --------------------------------------------------------------------------------------------------


def verify(mailbox: Mailbox, typed: str, *, by: audit.By) -> None:
    """Take a code of the app or a recovery code, which is dead from then on. Raises ValidationError: wrong, used, too soon.

    A try is claimed by a guarded UPDATE before it is looked at, so that a hundred at the same moment are one.
    """
    factor = SecondFactor.objects.filter(user=mailbox).first()
    if factor is None:
        raise ValidationError(_("There is no second factor any more. Sign in again."))
    allowed, why = factor.verify_is_allowed()
    if not allowed:
        raise ValidationError(_too_soon(why["locked_until"]))
    now = timezone.now()
    row = SecondFactor.objects.filter(pk=factor.pk, key=factor.key)
    claimed = row.filter(
        throttling_failure_count=factor.throttling_failure_count,
        throttling_failure_timestamp=factor.throttling_failure_timestamp,
    ).update(
        throttling_failure_count=Least(F("throttling_failure_count") + 1, Value(MOST_FAILURES)),
        throttling_failure_timestamp=now,
    )
    if not claimed:
        raise ValidationError(_too_soon(now))
    right = {
        "throttling_failure_count": 0,
        "throttling_failure_timestamp": None,
        "last_used": now,
    }
    step = _step_of(factor.key, typed, after=factor.last_t)
    if step is not None:
        if row.filter(last_t__lt=step).update(last_t=step, **right):
            return
    elif _use_recovery_code(mailbox, typed, by):
        row.update(**right)
        return
    if factor.throttling_failure_count + 1 == ALARM:
        audit.record(by, "wrong_codes", "mailbox", mailbox.email, domain=mailbox.domain_id)
    raise ValidationError(wrong())


def wrong() -> str:
    return _(
        "This code is not right, or it was used already. Wait for the next one; the clock of the device that shows it "
        "must be right, too."
    )


def _too_soon(until) -> str:
    seconds = max(1, int((until - timezone.now()).total_seconds()))
    if seconds < 60:
        return ngettext(
            "That was too soon after a wrong code. Try again in %d second.",
            "That was too soon after a wrong code. Try again in %d seconds.",
            seconds,
        ) % (seconds)
    minutes = -(-seconds // 60)
    return ngettext(
        "Too many wrong codes. Try again in %d minute.",
        "Too many wrong codes. Try again in %d minutes.",
        minutes,
    ) % (minutes)


def _step_of(key: str, typed: str, *, after: int = -1) -> int | None:
    """The time step whose code this is, later than `after`; None if there is none."""
    digits = re.sub(r"\s", "", typed)
    if not re.fullmatch(
        "[0-9]{6}", digits
    ):  # int() would take signs, underscores and the digits of other scripts
        return None
    totp = TOTP(bytes.fromhex(key))
    totp.time = time.time()
    return totp.t() if totp.verify(int(digits), NEIGHBOURS, after + 1) else None


def _use_recovery_code(mailbox: Mailbox, typed: str, by: audit.By) -> bool:
    with transaction.atomic():
        used, _each = RecoveryCode.objects.filter(mailbox=mailbox, hash=_hash(mailbox, typed)).delete()
        if used:
            left = {"recovery_codes": mailbox.recovery_codes.count()}
            audit.record(by, "used_code", "mailbox", mailbox.email, domain=mailbox.domain_id, after=left)
    return bool(used)


def _hash(mailbox: Mailbox, code: str) -> str:
    plain = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(f"{mailbox.pk}:{plain}".encode(errors="replace")).hexdigest()


# --- setting up and taking off ------------------------------------------------------------------------------


def set_up(mailbox: Mailbox, key: str, typed: str, *, by: audit.By) -> list[str]:
    """Confirm a key by a code of it, in place of an older key. The new recovery codes are returned, and kept as hashes
    alone. All sessions end but the one that the view renews. Raises ValidationError for a code that is not of this key.
    """
    step = _step_of(key, typed)
    if step is None:
        raise ValidationError({"code": wrong()})
    with transaction.atomic():
        held(mailbox)
        SecondFactor.objects.filter(user=mailbox).delete()
        SecondFactor.objects.create(user=mailbox, key=key, last_t=step)
        codes = _new_codes(mailbox)
        _end_sessions(mailbox)
        audit.record(by, "factor_on", "mailbox", mailbox.email, domain=mailbox.domain_id)
    return codes


def renew_codes(mailbox: Mailbox, *, by: audit.By) -> list[str]:
    """New recovery codes; the old ones are dead. Raises ValidationError where there is no second factor."""
    with transaction.atomic():
        _held(mailbox)
        codes = _new_codes(mailbox)
        audit.record(by, "new_codes", "mailbox", mailbox.email, domain=mailbox.domain_id)
    return codes


def take_off(mailbox: Mailbox, *, by: audit.By, action: str = "factor_off", reason: str = "") -> None:
    """Back to the password alone; all sessions end, and those that wait for a code. Raises ValidationError where there
    is no second factor. `action` is how the log tells it: `factor_off` by the owner, `factor_clear` by somebody else.
    """
    with transaction.atomic():
        _held(mailbox)
        mailbox.recovery_codes.all().delete()
        SecondFactor.objects.filter(user=mailbox).delete()
        _end_sessions(mailbox)
        audit.record(by, action, "mailbox", mailbox.email, domain=mailbox.domain_id, reason=reason)


def _held(mailbox: Mailbox) -> None:
    held(mailbox)
    if not SecondFactor.objects.filter(user=mailbox).exists():
        raise ValidationError(_("%s has no second factor.") % mailbox)


def _new_codes(mailbox: Mailbox) -> list[str]:
    plain = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _number in range(RECOVERY_CODES)]
    mailbox.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(mailbox=mailbox, hash=_hash(mailbox, code)) for code in plain
    )
    return ["-".join(code[i : i + 4] for i in range(0, 16, 4)) for code in plain]


def _end_sessions(mailbox: Mailbox) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(sessions_ended=F("sessions_ended") + 1)
    mailbox.refresh_from_db(fields=["sessions_ended"])
    mailbox._state.fields_cache.pop("second_factor", None)
