"""What the views of all apps share: who acts, and how the outcome is told."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.audit import By
from accounts.authentication import client_address
from mailpanel.daemons import DaemonError


def by(request) -> By:
    """Who acts in this request."""
    return By(request.user.email, client_address(request))


def deleted(name) -> str:
    """What is said after a deletion."""
    last = timezone.localdate() + timedelta(days=settings.MAILPANEL_TRASH_DAYS)
    return _("%(name)s is deleted. It can be brought back until %(day)s.") % {
        "name": name,
        "day": date_format(last, "DATE_FORMAT"),
    }


def tell(request, change, done: str, otherwise: str, *, deletion: UUID | None = None) -> None:
    """Run a change that ends at Dovecot, and say what was done; or what was not, and what to do.

    With the key of a `deletion`, the message has a button to undo it.
    """
    tags = str(deletion or "")
    try:
        change()
    except DaemonError as error:
        messages.warning(request, f"{done} {error} {otherwise}", extra_tags=tags)
    else:
        messages.success(request, done, extra_tags=tags)
