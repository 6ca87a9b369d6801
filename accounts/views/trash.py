from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import access, restore
from accounts.trash import KINDS
from accounts.views import by
from domains import addresses


@require_safe
def trash(request):
    access.staff(request.user)
    found = page_of_deletions(access.deletions(request.user), request.GET)
    may, together = access.may_bring_back(request.user, found), restore.mailboxes_of(found)
    for row in found:
        row.more = together.get(row.deletion, 1) - 1
        row.kind = KINDS.get(row.table, row.table)
        row.until = row.at + timedelta(days=settings.MAILPANEL_TRASH_DAYS)
        row.may_bring_back = row.deletion in may
    return render(request, "accounts/trash.html", {"deletions": found, "days": settings.MAILPANEL_TRASH_DAYS})


def page_of_deletions(rows, asked):
    """The newest first, fifty at a time, by key."""
    before = asked.get("before", "")
    return list((rows.filter(id__lt=before) if before.isdecimal() else rows).order_by("-id")[:50])


@require_POST
def trash_restore(request, deletion):
    found = access.deletion(request.user, deletion)
    back = ("accounts:trash",)
    try:
        left = restore.bring_back(found.deletion, by=by(request), told=access.told(request.user))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("%s is back.") % addresses.to_unicode(found.name))
        if left:
            messages.warning(request, " ".join(left[:10]))
        elif request.POST.get("then") == "show":  # the button of the message that told of the deletion
            back = (_PAGES[found.table], found.name)
    return redirect(*back)


_PAGES = {"domain": "domains:domain", "user": "accounts:mailbox", "alias": "domains:alias"}
