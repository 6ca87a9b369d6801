"""What the views of all apps share: who acts, and how the outcome is told."""

from django.contrib import messages

from accounts import audit
from accounts.authentication import client_address
from mailpanel.daemons import DaemonError


def by(request) -> audit.By:
    """Who acts in this request."""
    return audit.By(request.user.email, client_address(request))


def tell(request, change, done: str, otherwise: str) -> None:
    """Run a change that ends at Dovecot, and say what was done; or what was not, and what to do."""
    try:
        change()
    except DaemonError as error:
        messages.warning(request, f"{done} {error} {otherwise}")
    else:
        messages.success(request, done)
