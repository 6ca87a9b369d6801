"""How much a mailbox may send, so that a stolen password does not burn the server.

What counts is recipients, by hour of the clock and by the last 24 of these hours. Postfix asks before each message
(mailpanel.server.policy_service); the hours before this one stand still, so that one guarded UPDATE of this hour's row holds the
limit, however many hosts count at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Case, F, QuerySet, Sum, When
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import Mailbox
from domains import addresses
from domains.models import Domain
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server.models import Sending, SendLimit, SendShare

DAY = 24  # hours
KEPT = 7 * DAY
WRITTEN_AT_ONCE = 500


@dataclass(frozen=True)
class Limit:
    """None is unlimited."""

    per_hour: int | None
    per_day: int | None

    def share(self, hour: int, day: int) -> int:
        """Per cent of the one that is nearer, 999 at most."""
        shares = [used * 100 // most for used, most in ((hour, self.per_hour), (day, self.per_day)) if most]
        return min(max(shares, default=0), 999)


@dataclass(frozen=True)
class Sent:
    """What a mailbox has sent in this hour and within a day, and how much it may."""

    limit: Limit
    hour: int
    day: int
    refused: int

    @property
    def share(self) -> int:
        return self.limit.share(self.hour, self.day)


@dataclass(frozen=True)
class Refusal:
    """`until` is when a message like this one fits again; None for one that never does."""

    mailbox: str
    recipients: int
    limit: Limit
    sent: int
    hourly: bool  # it is the limit of the hour, not of the day
    until: datetime | None

    def __str__(self) -> str:
        """For a mail program, which shows it as it is: plain letters, in one line."""
        most = self.limit.per_hour if self.hourly else self.limit.per_day
        time = "an hour" if self.hourly else "a day"
        may = f"{self.mailbox} may send to {most} recipients {time}"
        if self.until is None:
            return f"{may}, and this message has {self.recipients}. Send it in parts."
        moment = timezone.localtime(self.until)
        day = "" if moment.date() == timezone.localdate() else f"{moment:%Y-%m-%d} "
        return f"{may} and has sent to {self.sent}. This message can be sent from {day}{moment:%H:%M %Z} on."


def hour_of(moment: datetime) -> int:
    return int(moment.timestamp()) // 3600


# --- limits ---------------------------------------------------------------------------------------------------


def default() -> Limit:
    return Limit(settings.MAILPANEL_SEND_PER_HOUR, settings.MAILPANEL_SEND_PER_DAY)


def limit_of(scope: str) -> Limit:
    """Of a mailbox or an `@domain`."""
    wider = f"@{scope.rpartition('@')[2]}"
    rows = {row.scope: row for row in SendLimit.objects.filter(scope__in={scope, wider})}
    found = rows.get(scope) or rows.get(wider)
    return Limit(found.per_hour, found.per_day) if found else default()


def inherited(scope: str) -> Limit:
    """What would hold without a limit of its own."""
    return default() if scope.startswith("@") else limit_of(f"@{scope.rpartition('@')[2]}")


@retried_on_deadlock
@transaction.atomic
def set_limit(
    scope: str,
    wanted: Limit | None,
    *,
    by: audit.By,
    ceiling: Limit | None = None,
    compare: Callable[[SendLimit | None], None] | None = None,
) -> None:
    """Give a mailbox or an `@domain` a limit of its own, or (None) take it away. `ceiling` is what the actor may give at
    most. Raises ValidationError."""
    _hold(scope)
    before = SendLimit.objects.select_for_update().filter(scope=scope).first()
    if compare:
        compare(before)
    if wanted and ceiling:
        _check(wanted, ceiling)
    was = before and {"per_hour": before.per_hour, "per_day": before.per_day}
    now = wanted and {"per_hour": wanted.per_hour, "per_day": wanted.per_day}
    if was == now:
        return
    if now:
        SendLimit.objects.update_or_create(scope=scope, defaults=now)
    else:
        before.delete()
    kind, name = ("domain", scope[1:]) if scope.startswith("@") else ("mailbox", scope)
    audit.record(by, "send_limit", kind, name, domain=scope.rpartition("@")[2], before=was, after=now)


def _hold(scope: str) -> None:
    """Whom it is about stays there until the transaction ends: nobody who has the address later inherits it."""
    domain, mailbox = Domain.objects.filter(name=scope[1:]), Mailbox.objects.filter(email=scope)
    if not (domain if scope.startswith("@") else mailbox).select_for_update().exists():
        raise ValidationError(
            _("%s was deleted meanwhile.") % addresses.to_unicode(scope.removeprefix("@")), code="gone"
        )


def _check(wanted: Limit, ceiling: Limit) -> None:
    errors = {}
    for name in ("per_hour", "per_day"):
        asked, most = getattr(wanted, name), getattr(ceiling, name)
        if most is not None and (asked is None or asked > most):
            errors[name] = _("At most %s, as the domain has it. A server admin can give more.") % most
    if errors:
        raise ValidationError(errors)


# --- counting -------------------------------------------------------------------------------------------------


@retried_on_deadlock
def take(mailbox: str, recipients: int, at: datetime | None = None) -> Refusal | None:
    """Count one message, if it fits; what to say if it does not."""
    hour, limit = hour_of(at or timezone.now()), limit_of(mailbox)
    within = Sending.objects.filter(mailbox=mailbox, hour__gt=hour - DAY, hour__lt=hour)
    earlier = dict(within.values_list("hour", "recipients"))
    rooms = [limit.per_hour, limit.per_day and limit.per_day - sum(earlier.values())]
    room = min((each for each in rooms if each is not None), default=None)
    now = Sending.objects.filter(mailbox=mailbox, hour=hour)
    if _add(now, mailbox, hour, recipients, room):
        return None
    now.update(refused=F("refused") + recipients)
    sent = now.values_list("recipients", flat=True).get()
    return _refusal(mailbox, recipients, limit, earlier | {hour: sent}, hour)


def _add(now: QuerySet, mailbox: str, hour: int, recipients: int, room: int | None) -> bool:
    fits = now if room is None else now.filter(recipients__lte=room - recipients)
    if fits.update(recipients=F("recipients") + recipients):
        return True
    Sending.objects.bulk_create([Sending(mailbox=mailbox, hour=hour)], ignore_conflicts=True)
    return bool(fits.update(recipients=F("recipients") + recipients))


def _refusal(mailbox: str, recipients: int, limit: Limit, sent: dict[int, int], hour: int) -> Refusal:
    over_hour = limit.per_hour is not None and sent[hour] + recipients > limit.per_hour
    if limit.per_hour is not None and recipients > limit.per_hour:
        return Refusal(mailbox, recipients, limit, sent[hour], hourly=True, until=None)
    if limit.per_day is not None and recipients > limit.per_day:
        return Refusal(mailbox, recipients, limit, sum(sent.values()), hourly=False, until=None)

    def fits(later: int) -> bool:
        return limit.per_day is None or limit.per_day >= recipients + sum(
            count for when, count in sent.items() if when > later - DAY
        )

    free = next(later for later in range(hour + 1, hour + DAY + 1) if fits(later))
    hourly = over_hour and free == hour + 1
    counted = sent[hour] if hourly else sum(sent.values())
    return Refusal(mailbox, recipients, limit, counted, hourly, datetime.fromtimestamp(free * 3600, UTC))


# --- showing --------------------------------------------------------------------------------------------------


def sent(mailbox: str) -> Sent:
    hour = hour_of(timezone.now())
    rows = list(
        Sending.objects.filter(mailbox=mailbox, hour__gt=hour - DAY).values_list(
            "hour", "recipients", "refused"
        )
    )
    return Sent(
        limit_of(mailbox),
        hour=sum(recipients for when, recipients, _refused in rows if when == hour),
        day=sum(recipients for _when, recipients, _refused in rows),
        refused=sum(refused for _when, _recipients, refused in rows),
    )


def refresh(at: datetime | None = None, *, everybody: bool = True) -> None:
    """Bring SendShare up to date, with the limits of now: whoever has sent within a day, or in this hour alone, which costs
    a tenth."""
    hour = hour_of(at or timezone.now())
    shares, counts = SendShare.objects.all(), Sending.objects.filter(hour__gt=hour - DAY)
    if not everybody:
        active = Sending.objects.filter(hour=hour).values("mailbox")
        shares, counts = shares.filter(mailbox__in=active), counts.filter(mailbox__in=active)
    limits = {row.scope: Limit(row.per_hour, row.per_day) for row in SendLimit.objects.all()}
    usual = default()
    there = {row.mailbox: row for row in shares}
    changed, seen = [], set()
    for mailbox, in_hour, in_day, refused in _sums(counts, hour):
        domain = addresses.split(mailbox)[1]
        limit = limits.get(mailbox) or limits.get(f"@{domain}") or usual
        row = SendShare(
            mailbox=mailbox, domain=domain, share=limit.share(in_hour, in_day), hour=in_hour, day=in_day,
            refused=refused, per_hour=limit.per_hour, per_day=limit.per_day,
        )  # fmt: skip
        seen.add(mailbox)
        if mailbox not in there or _values(there[mailbox]) != _values(row):
            changed.append(row)
    target = {"unique_fields": ["mailbox"]} if connection.vendor == "sqlite" else {}
    for some in _portions(changed):
        SendShare.objects.bulk_create(some, update_conflicts=True, update_fields=_COLUMNS, **target)
    for some in _portions(list(there.keys() - seen)):
        SendShare.objects.filter(mailbox__in=some).delete()


_COLUMNS = ["share", "hour", "day", "refused", "per_hour", "per_day"]


def _values(row: SendShare) -> tuple:
    return tuple(getattr(row, column) for column in _COLUMNS)


def _sums(counts: QuerySet, hour: int) -> QuerySet:
    return (
        counts.values("mailbox")
        .order_by()
        .annotate(
            in_hour=Sum(Case(When(hour=hour, then="recipients"), default=0)),
            in_day=Sum("recipients"),
            out=Sum("refused"),
        )
        .values_list("mailbox", "in_hour", "in_day", "out")
    )


def _portions(rows: list) -> list[list]:
    return [rows[start : start + WRITTEN_AT_ONCE] for start in range(0, len(rows), WRITTEN_AT_ONCE)]


def trim(at: datetime | None = None) -> None:
    """Delete what is older than a week, a portion of hours at a time."""
    before = hour_of(at or timezone.now()) - KEPT
    for hour in (
        Sending.objects.filter(hour__lt=before).order_by("hour").values_list("hour", flat=True).distinct()
    ):
        Sending.objects.filter(hour=hour).delete()
