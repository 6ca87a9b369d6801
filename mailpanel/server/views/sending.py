"""Who sends how much, for whoever looks after the mailboxes, and how much each may."""

from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from accounts import access
from accounts.access import To
from accounts.views import by
from domains import addresses
from mailpanel.paging import page
from mailpanel.server import sending
from mailpanel.server.forms.sending import LimitForm
from mailpanel.server.models import SendLimit
from mailpanel.server.sending import Limit

MOST_DOMAINS = 100  # of more, the list of all is read


@require_safe
def senders(request):
    """Sorted by the share of the limit; those who were refused alone, if that is asked for."""
    access.staff(request.user)
    rows, only_refused = access.senders(request.user), request.GET.get("show") == "refused"
    scope = access.scope(request.user)
    few = scope is not None and 0 < len(scope) <= MOST_DOMAINS
    parts = [Q(domain=name) for name in sorted(scope)] if few else [Q()]
    if only_refused:
        rows = rows.filter(refused__gt=0)
    found = page(rows, ("share", "mailbox"), request.GET, descending=True, parts=parts)
    context = {"senders": found, "only_refused": only_refused, "limit": words(sending.default())}
    return render(request, "server/sending.html", context)


def mailbox_limit(request, email):
    found = access.mailbox(request.user, email, to=To.CHANGE)
    around = sending.inherited(found.email)
    return _limit(
        request,
        found.email,
        ("mailbox", found.email),
        _("That of the domain: %s") % words(around),
        ceiling=None if access.rights(request.user).server else around,
        back=("accounts:mailbox", found.email),
        context={"mailbox": found, "sent": sending.sent(found.email)},
    )


def domain_limit(request, name):
    found = access.domain(request.user, name, to=To.OWN)
    return _limit(
        request,
        f"@{found.name}",
        ("domain", found.name),
        _("That of the server: %s") % words(sending.default()),
        ceiling=None,
        back=("domains:domain", found.name),
        context={
            "domain": found,
            "own": SendLimit.objects.filter(scope__endswith=f"@{found.name}")
            .exclude(scope=f"@{found.name}")
            .count(),
        },
    )


def _limit(request, scope: str, about: tuple[str, str], inherited: str, *, ceiling, back, context: dict):
    row = SendLimit.objects.filter(scope=scope).first()
    form = LimitForm(
        request.POST if request.method == "POST" else None, row=row, inherited=inherited, about=about
    )
    if request.method == "POST" and form.is_valid():
        try:
            sending.set_limit(scope, form.wanted, by=by(request), ceiling=ceiling, compare=form.compare)
        except ValidationError as error:
            form.take(error)
        else:
            name = addresses.to_unicode(about[1])
            messages.success(request, _("The limit of %s holds from the next message on.") % name)
            return redirect(*back)
    return render(
        request, "server/send_limit.html", context | {"form": form, "ceiling": ceiling and words(ceiling)}
    )


def words(limit: Limit) -> str:
    """“100 recipients an hour, 500 a day”."""
    hour, day = (intcomma(most) for most in (limit.per_hour, limit.per_day))
    if limit.per_hour is None and limit.per_day is None:
        return _("unlimited")
    if limit.per_day is None:
        return ngettext("%s recipient an hour", "%s recipients an hour", limit.per_hour) % hour
    if limit.per_hour is None:
        return ngettext("%s recipient a day", "%s recipients a day", limit.per_day) % day
    return ngettext(
        "%(hour)s recipient an hour, %(day)s a day",
        "%(hour)s recipients an hour, %(day)s a day",
        limit.per_hour,
    ) % {"hour": hour, "day": day}
