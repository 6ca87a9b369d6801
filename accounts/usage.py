"""What Dovecot writes of each mailbox, copied into two columns that lists can be sorted and filtered by.

Dovecot's tables hold bytes and times, and on SQLite they are in a file of their own: neither the share of a quota nor
the newest sign-in of all can have an index there.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from math import ceil

from django.db import connection, transaction
from django.db.models import Max, Min, OuterRef, QuerySet, Subquery

from accounts.models import LastLogin, Mailbox, MailboxUsage
from domains.models import Domain, SumOfSizes
from mailpanel.sqlite.base import dovecot_file

AT_ONCE = 5000
WRITTEN_AT_ONCE = 500
# So many are looked at in each minute whatever it is; of more than that, a tenth.
EACH_MINUTE = 50_000
# Sign-ins (rows of last_login) that each mailbox keeps, how many are looked through at once, and how many deleted:
# so few that Dovecot, which gives up on a busy SQLite file after a second, never waits for it.
KEPT, LOOKED_THROUGH, DELETED_AT_ONCE = 20, 50_000, 500
_LATEST = 2**33  # seconds; what is later than the year 2242 is no time


def refresh(tenth: int | None = None) -> int:
    """Bring `fullness` and `last_used` up to date, of all mailboxes or (0 to 9) of a tenth; how many have changed.

    A tenth of few mailboxes is all of them. Rows are read outside of any transaction and written, those that differ,
    in short ones.
    """
    keys = Mailbox.objects.aggregate(first=Min("pk"), last=Max("pk"))
    start, end = (keys["first"] or 1) - 1, keys["last"] or 0
    if tenth is not None and (span := end - start) > EACH_MINUTE:
        start, end = start + span * tenth // 10, start + span * (tenth + 1) // 10
    return sum(
        _refresh(Mailbox.objects.filter(pk__gt=low, pk__lte=min(low + AT_ONCE, end)))
        for low in range(start, end, AT_ONCE)
    )


def refresh_domains(tenth: int | None = None) -> None:
    """Bring the domains' `quota_used` up to date, of all or (0 to 9) of a tenth, as above."""
    if tenth is not None and (Mailbox.objects.aggregate(last=Max("pk"))["last"] or 0) <= EACH_MINUTE:
        tenth = None
    step = 1 if tenth is None else 10
    for name in Domain.objects.order_by("name").values_list("name", flat=True)[tenth::step]:
        used = MailboxUsage.objects.filter(mailbox__domain=name).aggregate(
            sum=SumOfSizes("bytes", default=0)
        )["sum"]
        used = min(used, 2**63 - 1)
        Domain.objects.filter(name=name).exclude(quota_used=used).update(quota_used=used)


def _refresh(mailboxes: QuerySet[Mailbox]) -> int:
    newest = LastLogin.objects.filter(mailbox=OuterRef("email")).order_by().values("mailbox")
    rows = mailboxes.annotate(
        newest=Subquery(newest.annotate(newest=Max("time")).values("newest"))
    ).values_list("pk", "quota", "created", "fullness", "last_used", "usage__bytes", "newest")
    changed = []
    for key, quota, created, full, last, used, time in rows:
        now = fullness(used, quota), _last_used(time, created)
        if now != (full, last):
            changed.append((*now, key))
    adapt = connection.ops.adapt_datetimefield_value
    update = f"UPDATE {connection.ops.quote_name('user')} SET fullness = %s, last_used = %s WHERE id = %s"  # noqa: S608
    for start in range(0, len(changed), WRITTEN_AT_ONCE):
        portion = changed[start : start + WRITTEN_AT_ONCE]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(update, [(full, adapt(last), key) for full, last, key in portion])
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


def trim_sign_ins() -> int:
    """Delete all but the last sign-ins of each mailbox; how many. An address from which somebody signs in is a row, and
    there is no end of them."""
    deleted, low = 0, ""
    with _writing() as (run, mark):
        while low is not None:
            above = f"FROM last_login WHERE email > {mark}"
            edge = run(f"SELECT email {above} ORDER BY email LIMIT 1 OFFSET {LOOKED_THROUGH}", [low])
            within, values = (f"{above} AND email <= {mark}", [low, edge[0][0]]) if edge else (above, [low])
            place = "ROW_NUMBER() OVER (PARTITION BY email ORDER BY time DESC, service, address)"
            many = f"SELECT email {within} GROUP BY email HAVING COUNT(*) > {KEPT}"
            ranked = f"SELECT email, service, address, time, {place} AS place FROM last_login WHERE email IN ({many})"  # noqa: S608
            old = run(
                f"SELECT email, service, address, time FROM ({ranked}) AS ranked WHERE place > {KEPT}",  # noqa: S608
                values,
            )
            # one of them may have signed in again meanwhile: then its time is another
            this = " AND ".join(f"{column} = {mark}" for column in ("email", "service", "address", "time"))
            for start in range(0, len(old), DELETED_AT_ONCE):
                run(f"DELETE FROM last_login WHERE {this}", old[start : start + DELETED_AT_ONCE], many=True)  # noqa: S608
            deleted += len(old)
            low = edge[0][0] if edge else None
    return deleted


@contextmanager
def _writing() -> Iterator[tuple]:
    """A function that runs a statement on Dovecot's tables, with many values in a transaction, and the placeholder. On
    SQLite by a connection of its own, since Django's sees them read-only."""
    if connection.vendor != "sqlite":

        def run(statement, values, *, many=False):
            with transaction.atomic(), connection.cursor() as cursor:
                (cursor.executemany if many else cursor.execute)(statement, values)
                return [] if many else cursor.fetchall()

        yield run, "%s"
        return
    with closing(sqlite3.connect(dovecot_file(connection.settings_dict["NAME"]), timeout=5)) as file:

        def run(statement, values, *, many=False):
            with file:
                return (file.executemany if many else file.execute)(statement, values).fetchall()

        yield run, "?"
