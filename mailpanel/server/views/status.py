"""The status of the server, for server admins. Everything is read from the database: no page waits for a daemon."""

from django.conf import settings
from django.contrib import messages
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from accounts import access, audit
from accounts.views import by
from mailpanel.daemons import probing
from mailpanel.paging import page
from mailpanel.server import alerts, board, history, rounds
from mailpanel.server.board import Board
from mailpanel.server.models import Alert

ALL = "all"  # in the place of a probe
LATEST_ALERTS = 50
WAYS = {Alert.Way.MAIL: gettext_lazy("Mail"), Alert.Way.WEBHOOK: gettext_lazy("Webhook")}


@require_safe
def status(request):
    """The whole page; or for its script, which tells the version of each row that it has, what has become of them."""
    access.server(request.user)
    if request.htmx:
        return _news(request)
    found = Board()
    response = render(request, "server/status.html", {"board": found, "causes": board.latest_causes()})
    return _again(request, response, found.checking)


def _news(request):
    found = Board()
    changed = [row for row in found.rows if request.GET.get(row.key) != row.version]
    context = {"board": found, "changed": changed, "news": True}
    if changed:
        context["causes"] = board.latest_causes()
    return render(request, "server/news.html", context)


@require_POST
def check(request):
    """Begin to look, at one probe or at all, and do not wait for what is seen; `stay` names the page it was asked from,
    if that is a probe's own."""
    access.server(request.user)
    known, keys, stay = probing.probes(), request.POST.getlist("probe"), request.POST.get("stay", "")
    if not set(keys) <= {ALL, *known} or stay not in {"", *known}:
        raise Http404
    rounds.begin(None if ALL in keys else keys)
    if request.htmx:
        return _standing(request, stay) if stay else _news(request)
    page = reverse("server:probe", args=[stay]) if stay else reverse("server:status")
    return redirect(f"{page}?look")


def _again(request, response, checking: bool):
    """Without script, who has asked for a look is shown the page again until it is over."""
    if checking and "look" in request.GET:
        response["Refresh"] = "2"
    return response


@require_safe
def probe(request, key):
    access.server(request.user)
    if not (found := board.row(key)):
        raise Http404
    if request.htmx:
        return _standing(request, key)
    period = history.PERIODS.get(request.GET.get("period", ""), history.PERIODS["day"])
    context = {
        "row": found,
        "chart": history.chart(period, history.seen(key, period)),
        "periods": history.PERIODS.values(),
        "incidents": list(board.incidents().filter(key=key).order_by("-began", "-id")[: board.LATEST]),
    }
    return _again(request, render(request, "server/probe.html", context), found.checking)


def _standing(request, key):
    return render(
        request, "server/standing.html", {"row": board.row(key), "down": board.down(), "news": True}
    )


@require_safe
def incidents(request):
    access.server(request.user)
    rows, key = board.incidents(), request.GET.get("probe", "")
    if key:
        if not (about := probing.probes().get(key)):
            raise Http404
        rows = rows.filter(key=key)
    found = page(rows, ("began", "id"), request.GET, descending=True)
    context = {"incidents": found, "about": about.name if key else None}
    return render(request, "server/incidents.html", context)


@require_safe
def alert_list(request):
    access.server(request.user)
    configured = alerts.ways()
    context = {
        "any_way": configured,
        "mail_to": settings.MAILPANEL_ALERT_TO,
        "webhook": Alert.Way.WEBHOOK in configured,
        "alerts": Alert.objects.select_related("incident").order_by("-made", "-id")[:LATEST_ALERTS],
    }
    return render(request, "server/alerts.html", context)


@require_POST
def alert_trial(request):
    """Send one by each way, and wait for what becomes of it: at most ten seconds."""
    access.server(request.user)
    for way, error in alerts.trial(request.user.email).items():
        words = {"way": WAYS[way], "error": error}
        if error:
            messages.error(request, _("%(way)s: the test alert did not leave. %(error)s") % words)
        else:
            messages.success(request, _("%(way)s: the test alert has left. See whether it arrives.") % words)
    audit.record(by(request), "trial", "alert", "")
    return redirect("server:alerts")
