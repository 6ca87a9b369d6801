"""The status of the server, for server admins. Everything is read from the database: no page waits for a daemon."""

from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts import access
from mailpanel.daemons import probing
from mailpanel.paging import page
from mailpanel.server import board, history, rounds
from mailpanel.server.board import Board


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
    """Begin to look, at one probe or at all, and do not wait for what is seen."""
    access.server(request.user)
    key = request.POST.get("probe", "")
    if key and key not in probing.probes():
        raise Http404
    rounds.begin([key] if key else None)
    if request.htmx:
        return _standing(request, key) if "stay" in request.POST else _news(request)
    page = reverse("server:probe", args=[key]) if "stay" in request.POST and key else reverse("server:status")
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
    return render(request, "server/standing.html", {"row": board.row(key)})


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
