from collections.abc import Iterator

from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts import access, audit
from accounts.access import To
from accounts.models import Mailbox
from accounts.views import by
from accounts.views.lists import Listing
from mailpanel.export import download

COLUMNS = (
    "email", "name", "quota", "used", "messages", "enabled", "can_login", "last_sign_in", "created",
)  # fmt: skip
AT_ONCE = 1000


@require_safe
def mailboxes_export(request, name=None):
    """The list as it is filtered, as CSV: sizes in bytes, times in UTC, an empty quota is unlimited."""
    domain = access.domain(request.user, name, to=To.CHANGE) if name else access.admin(request.user)
    listing = Listing(request.user, request.GET.dict(), domain=domain, to=To.CHANGE)
    about = {"filter": listing.here} if listing.filtered else {}
    kind, name = ("domain", domain.name) if domain else ("mailbox", "")
    audit.record(by(request), "export", kind, name, domain=name, after=about)
    file = "-".join(filter(None, ("mailboxes", name, timezone.localdate().isoformat())))
    return download(f"{file}.csv", COLUMNS, map(_cells, _rows(listing)))


def _rows(listing: Listing) -> Iterator[Mailbox]:
    rows, last = listing.rows.select_related("usage").order_by("email"), ""
    while chunk := list(rows.filter(email__gt=last)[:AT_ONCE]):
        yield from chunk
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
