from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.shortcuts import redirect, render, resolve_url
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts import access, bulk
from accounts.access import To
from accounts.forms.bulk import FORMS
from accounts.models import Mailbox
from accounts.views import by, tell
from accounts.views.lists import Listing


@require_POST
def mailboxes_bulk(request):
    """First the consequences of what the bar of a list was told to do; then, with `sure`, it is done."""
    access.admin(request.user)
    listing, do = _listing(request), request.POST.get("do")
    chosen = _chosen(request, listing)
    if do not in FORMS or not chosen.exists():
        messages.warning(request, _("No mailbox is selected."))
        return redirect(_back(listing))
    found = bulk.consequences(request.user, chosen, FORMS[do].preview)
    form = FORMS[do](request.POST if "sure" in request.POST else None, found=found.count)
    if found.count and form.is_bound and form.is_valid():
        done = bulk.carry_out(
            request.user, chosen, form.change, by=by(request), reason=form.cleaned_data["reason"]
        )
        _told(request, do, done)
        return redirect(_back(listing))
    context = {"form": form, "do": do, "found": found, "list": listing, "back": _back(listing)}
    if not request.POST.get("all"):
        context["picked"] = chosen.values_list("pk", flat=True)
    return render(request, "accounts/mailboxes_bulk.html", context)


def _listing(request) -> Listing:
    name = request.POST.get("domain")
    domain = access.domain(request.user, name, to=To.CHANGE) if name else None
    return Listing(request.user, request.POST.dict(), domain=domain)


def _chosen(request, listing: Listing) -> QuerySet[Mailbox]:
    """All that the list finds, or those that were ticked; nothing that the actor may not see."""
    if request.POST.get("all"):
        return listing.rows
    keys = [int(key) for key in request.POST.getlist("pick") if key.isdecimal() and len(key) < 19]
    rows = access.mailboxes(request.user).filter(pk__in=keys)
    return rows.filter(domain=listing.domain) if listing.domain else rows


def _back(listing: Listing) -> str:
    if listing.domain:
        return resolve_url("domains:domain", listing.domain.name) + listing.here
    return resolve_url("accounts:mailboxes") + listing.here


def _told(request, do: str, done: bulk.Done) -> None:
    for sentence in done.refused:
        messages.error(request, sentence)
    if not done.count:
        if not done.refused:
            messages.warning(request, _("Nothing was changed: it was so already."))
        return
    numbers = {"number": done.count, "days": settings.MAILPANEL_TRASH_DAYS}
    tell(
        request,
        lambda: bulk.tell_dovecot(done),
        {
            "enable": ngettext(
                "%(number)s mailbox is switched on.", "%(number)s mailboxes are switched on.", done.count
            ),
            "disable": ngettext(
                "%(number)s mailbox is switched off.", "%(number)s mailboxes are switched off.", done.count
            ),
            "quota": ngettext(
                "%(number)s mailbox has the new quota.",
                "%(number)s mailboxes have the new quota.",
                done.count,
            ),
            "delete": ngettext(
                "%(number)s mailbox is deleted. The trash brings it back for %(days)s days.",
                "%(number)s mailboxes are deleted. The trash brings them back together for %(days)s days.",
                done.count,
            ),
        }[do]
        % numbers,
        _("Mail programs that are connected notice it within the hour."),
    )
