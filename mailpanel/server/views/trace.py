"""“Did it arrive?”: messages, for everybody as far as they are theirs; and how many there were."""

from django.conf import settings
from django.db.models import Min
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts import access
from accounts.access import OutOfReach, To
from domains.models import Domain
from domains.views import head
from mailpanel.server import path, quarantine, trace, traffic
from mailpanel.server.forms.trace import TraceForm
from mailpanel.server.models import Position


@require_safe
def messages(request):
    sees = access.traced(request.user)
    return render(request, "server/messages.html", _found(request, sees, sees))


@require_safe
def domain_messages(request, name):
    found = access.domain(request.user, name, to=To.SEE)
    sees = access.traced(request.user)
    context = _found(request, {found.name: sees.get(found.name)}, sees)
    return render(request, "domains/domain_messages.html", head(request, found) | context)


def _found(request, scopes, sees) -> dict:
    form = TraceForm(request.GET)
    found = trace.find(scopes, sees, form.sought(), request.GET.dict())
    context = {"form": form, "found": found, "days": settings.MAILPANEL_TRACE_DAYS}
    if not found and access.rights(request.user).server:
        context["logs"] = list(Position.objects.exclude(error="").order_by("host", "path"))
        context["read"] = Position.objects.aggregate(first=Min("read"))["first"]
    return context


@require_safe
def message(request, pk):
    found = trace.one(pk, access.traced(request.user))
    if not found:
        raise OutOfReach
    way = path.way(found, list(found.row.log.order_by("at", "id")))
    due = path.next_try(found, way)
    context = {
        "message": found,
        "way": way,
        "next_try": due,
        "overdue": due is not None and due < timezone.now(),
        "held": [one for one in quarantine.of_message(request.user, found.row.quarantine) if one.may_read],
        "sees_log": access.rights(request.user).server,
    }
    return render(request, "server/trace_message.html", context)


@require_safe
def all_traffic(request):
    access.server(request.user)
    return render(request, "server/traffic.html", _chart(request))


@require_safe
def domain_traffic(request, name):
    found = access.traffic(request.user, name)
    return render(request, "domains/domain_traffic.html", head(request, found) | _chart(request, found))


def _chart(request, domain: Domain | None = None) -> dict:
    period = traffic.PERIODS.get(request.GET.get("period", ""), traffic.PERIODS["week"])
    since = access.traced(request.user).get(domain.name) if domain else None
    return {
        "chart": traffic.chart(domain.name if domain else "", period, since),
        "periods": traffic.PERIODS.values(),
    }
