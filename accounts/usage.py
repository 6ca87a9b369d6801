"""What Dovecot writes of each mailbox, copied into two columns that lists can be sorted and filtered by.

Dovecot's tables hold bytes and times, and on SQLite they are in a file of their own: neither the share of a quota nor
the newest sign-in of all can have an index there.
"""

from datetime import UTC, datetime
from math import ceil

from django.db.models import Max, QuerySet

from accounts.models import LastLogin, Mailbox, MailboxUsage

AT_ONCE = 2000
# So many are looked at in each minute whatever it is; of more than that, a tenth.
EACH_MINUTE = 50_000
_LATEST = 2**33  # seconds; what is later than the year 2242 is no time


def refresh(tenth: int | None = None) -> int:
    """Bring `fullness` and `last_used` up to date, of all mailboxes or (0 to 9) of a tenth; how many have changed.

    A tenth of few mailboxes is all of them. Rows are read outside of any transaction and written, those that differ,
    in short ones.
    """
    last = Mailbox.objects.aggregate(last=Max("pk"))["last"] or 0
    start, end = 0, last
    if tenth is not None and last > EACH_MINUTE:
        start, end = last * tenth // 10, last * (tenth + 1) // 10
    return sum(
        _refresh(Mailbox.objects.filter(pk__gt=low, pk__lte=min(low + AT_ONCE, end)))
        for low in range(start, end, AT_ONCE)
    )


def _refresh(mailboxes: QuerySet[Mailbox]) -> int:
    rows = list(mailboxes.only("pk", "email", "quota", "created", "fullness", "last_used"))
    emails = [row.email for row in rows]
    used = dict(MailboxUsage.objects.filter(mailbox__in=emails).values_list("mailbox_id", "bytes"))
    sign_ins = LastLogin.objects.filter(mailbox__in=emails).order_by().values_list("mailbox_id")
    newest = dict(sign_ins.annotate(newest=Max("time")))
    changed = []
    for row in rows:
        now = fullness(used.get(row.email), row.quota), _last_used(newest.get(row.email), row.created)
        if now != (row.fullness, row.last_used):
            row.fullness, row.last_used = now
            changed.append(row)
    for start in range(0, len(changed), 500):
        Mailbox.objects.bulk_update(changed[start : start + 500], ["fullness", "last_used"])
    return len(changed)


def fullness(used: int | None, quota: int | None) -> int | None:
    """Per cent of the quota, 999 at most; None for unlimited and unknown."""
    if used is None or not quota:
        return None
    return min(max(used, 0) * 100 // quota, 999)


def _last_used(newest: int | None, created: datetime) -> datetime | None:
    """The newest sign-in, unless it was a former owner's."""
    if newest is None or not ceil(created.timestamp()) <= newest < _LATEST:
        return None
    return datetime.fromtimestamp(newest, UTC)
