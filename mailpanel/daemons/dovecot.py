"""Dovecot's doveadm HTTP API (2.3): https://doc.dovecot.org/2.3/admin_manual/doveadm_http_api/"""

import base64
import json
import logging
import urllib.error
import urllib.request

from django.conf import settings
from django.utils.translation import gettext as _

from mailpanel.daemons import DaemonError

log = logging.getLogger(__name__)

DEADLINE = 3  # seconds for each call
# Exit code 68: nobody is connected (kick), or a folder is listed and was never made (mailboxDelete).
_NOTHING_THERE = {"kick": 68, "delete": 68}


def forget(emails: list[str]) -> None:
    """Make Dovecot forget what it cached of these users, and end their open sessions.

    Needed after each change of a password, a state or a quota: with its auth cache on, the old password works
    until then (measured), and an open session outlives it. Raises DaemonError; safe to repeat.
    """
    if not emails:
        return
    # authCacheFlush without a user kills Dovecot's worker, hence the guard above.
    _call(
        [["authCacheFlush", {"user": emails}, "flush"]]
        + [["kick", {"mask": email}, f"kick {email}"] for email in emails]
    )


def forget_domain(domain: str, emails: list[str]) -> None:
    """The same for all users of a domain; one kick by its mask, and the cache in portions."""
    for start in range(0, len(emails), 1000):
        _call([["authCacheFlush", {"user": emails[start : start + 1000]}, "flush"]])
    _call([["kick", {"mask": f"*@{domain}"}, "kick"]])


def erase(email: str) -> None:
    """Erase all mail, folders and filters of a mailbox, for good: a new owner of an old address inherits nothing.

    The user must exist and be switched on, or be in the trash (deploy/dovecot/*/sql). Raises DaemonError; safe to repeat.
    """
    user = {"user": email}
    answers = _call(
        [
            ["expunge", user | {"query": ["mailbox", "*", "all"]}, "expunge"],
            ["mailboxList", user, "folders"],
            ["sieveList", user, "filters"],
        ]
    )
    rows = {tag: rows for _kind, rows, tag in answers}
    folders = [row["mailbox"] for row in rows["folders"] if row["mailbox"] != "INBOX"]
    filters = [row["script"] for row in rows["filters"]]
    if folders:
        _call([["mailboxDelete", user | {"mailbox": folders, "recursive": True}, "delete folders"]])
    if filters:
        _call(
            [
                ["sieveDeactivate", user, "deactivate filters"],
                ["sieveDelete", user | {"scriptname": filters}, "delete filters"],
            ]
        )


def headers() -> dict[str, str]:
    key = base64.b64encode(settings.MAILPANEL_DOVEADM_API_KEY.encode()).decode()
    return {"Content-Type": "application/json", "Authorization": f"X-Dovecot-API {key}"}


def _call(commands: list) -> list:
    """Each command's result. Raises DaemonError, with the first failing command's name in it."""
    if not settings.MAILPANEL_DOVEADM_URL:
        raise DaemonError(_("No Dovecot is connected to this panel (MAILPANEL_DOVEADM_URL is not set)."))
    request = urllib.request.Request(  # noqa: S310  the address comes from the settings alone
        f"{settings.MAILPANEL_DOVEADM_URL.rstrip('/')}/doveadm/v1",
        data=json.dumps(commands).encode(),
        headers=headers(),
    )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as reply:  # noqa: S310
            answers = json.loads(reply.read(1_000_000))
    except (OSError, ValueError, urllib.error.URLError) as error:
        log.warning("doveadm at %s: %s", settings.MAILPANEL_DOVEADM_URL, error)
        raise DaemonError(_("Dovecot did not answer.")) from error
    for kind, detail, tag in answers:
        if kind == "error" and detail.get("exitCode") != _NOTHING_THERE.get(tag.split()[0], 0):
            log.warning("doveadm %s: %s", tag, detail)
            raise DaemonError(_("Dovecot refused to do this: %s.") % tag)
    return answers
