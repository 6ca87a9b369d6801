import csv
from collections.abc import Iterator

from django.http import StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts import access, audit
from accounts.access import To
from accounts.models import Mailbox
from accounts.views import by
from accounts.views.lists import Listing

COLUMNS = (
    "email", "name", "quota", "used", "messages", "enabled", "can_login", "last_sign_in", "created",
)  # fmt: skip
AT_ONCE = 1000
# What a spreadsheet takes for a formula when a cell begins with it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@require_safe
def mailboxes_export(request, name=None):
    """The list as it is filtered, as CSV: sizes in bytes, times in UTC, an empty quota is unlimited."""
    domain = access.domain(request.user, name, to=To.CHANGE) if name else access.admin(request.user)
    listing = Listing(request.user, request.GET.dict(), domain=domain, to=To.CHANGE)
    about = {"filter": listing.here} if listing.filtered else {}
    kind, name = ("domain", domain.name) if domain else ("mailbox", "")
    audit.record(by(request), "export", kind, name, domain=name, after=about)
    answer = StreamingHttpResponse(_lines(listing), content_type="text/csv; charset=utf-8")
    day = timezone.localdate().isoformat()
    answer["Content-Disposition"] = f'attachment; filename="mailboxes-{name + "-" if name else ""}{day}.csv"'
    return answer


class _Line:
    """Where csv.writer writes to: each line goes straight on."""

    write = staticmethod(lambda line: line)


def _lines(listing: Listing) -> Iterator[str]:
    writer = csv.writer(_Line)
    yield writer.writerow(COLUMNS)
    rows, last = listing.rows.select_related("usage").order_by("email"), ""
    while chunk := list(rows.filter(email__gt=last)[:AT_ONCE]):
        yield "".join(writer.writerow(map(harmless, _cells(row))) for row in chunk)
        last = chunk[-1].email


def _cells(row: Mailbox) -> tuple:
    usage = getattr(row, "usage", None)
    return (
        row.email,
        row.name,
        row.quota,
        max(usage.bytes or 0, 0) if usage else 0,
        max(usage.messages or 0, 0) if usage else 0,
        int(row.enabled),
        int(row.can_login),
        row.last_used.isoformat() if row.last_used else "",
        row.created.isoformat(timespec="seconds"),
    )


def harmless(value) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
