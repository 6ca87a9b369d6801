"""The mailbox by which the probes sign in, send and fetch. Above the probes, which are leaves and know no model.

The panel alone holds its password, in a file with its final mode or in MAILPANEL_PROBE_PASSWORD. It cannot sign in to the
panel (accounts.authentication), has a small quota, and whoever is about to delete it is told what it is for.
"""

import secrets

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts import audit, lifecycle
from accounts.models import Mailbox
from domains import addresses
from domains.models import Domain
from mailpanel.stack.place import panel_user
from mailpanel.stack.render import put

QUOTA = 10 * 1024**2
NAME = "Probes of the panel"


def ensure(*, by: audit.By) -> bool:
    """Make the mailbox, or put right what keeps the probes from using it; whether anything had to be done.

    Raises ValidationError where its domain does not exist or has no room, and DaemonError where Dovecot was not told.
    """
    password = settings.MAILPANEL_PROBE_PASSWORD or _kept()
    mailbox = Mailbox.objects.filter(email=settings.PROBE_ADDRESS).first()
    if mailbox is None:
        _open(password, by=by)
        return True
    wanted = {"enabled": True, "can_login": True, "quota": QUOTA}
    changes = {field: value for field, value in wanted.items() if getattr(mailbox, field) != value}
    fits = bool(password) and mailbox.check_password(password)
    if not fits:
        # a new one even where one is kept: the probes rest for a while from one that was refused
        lifecycle.set_password(mailbox, settings.MAILPANEL_PROBE_PASSWORD or _keep(), by=by)
    if changes:
        lifecycle.change_mailbox(mailbox, changes, by=by)
    return bool(changes) or not fits


def _open(password: str, *, by: audit.By) -> None:
    domain = Domain.objects.filter(name=addresses.split(settings.PROBE_ADDRESS)[1]).first()
    if domain is None:
        raise ValidationError(
            f"The mailbox of the probes belongs to the domain of MAILPANEL_POSTMASTER, {settings.MAILPANEL_POSTMASTER}. "
            "Make that domain first."
        )
    mailbox = Mailbox(email=settings.PROBE_ADDRESS, domain=domain, name=NAME, quota=QUOTA)
    mailbox.clean()
    lifecycle.open_mailbox(mailbox, password or _keep(), by=by, anew=True)


def _kept() -> str:
    try:
        return settings.PROBE_PASSWORD_KEPT.read_text().strip()
    except OSError:
        return ""


def _keep() -> str:
    """A new password, in its file first: what is in the database and not in the file would be lost."""
    password = secrets.token_urlsafe(32)
    settings.PROBE_PASSWORD_KEPT.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    put(settings.PROBE_PASSWORD_KEPT, password, mode=0o600, user=panel_user().pw_name)
    return password
