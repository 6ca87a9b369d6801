"""What other programs ask: /healthz of a load balancer, /metrics of Prometheus."""

import tomllib
from functools import lru_cache

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotFound
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from domains.models import Domain
from mailpanel.daemons import State, Trouble, database
from mailpanel.daemons.probing import Watch
from mailpanel.server.models import Incident, Standing

DEADLINE = 2  # seconds
FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class Monitoring:
    """Answers these before a session is looked for, and whatever name the panel is called by: a load balancer asks for an
    address, and more often than people do."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        view = {"/healthz": healthz, "/metrics": metrics}.get(request.path_info)
        if not view:
            return self.get_response(request)
        try:
            response = view(request)
        except Http404:
            response = HttpResponseNotFound("not found\n", content_type="text/plain")
        response["Cache-Control"] = "no-store"
        return response


@login_not_required
@csrf_exempt
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process and the database, which has a connection of its own: a frozen one must not hold all threads."""
    try:
        with database.cursor(Watch(DEADLINE)) as asking:
            asking.execute("SELECT domain FROM domain LIMIT 1")
            asking.fetchone()
    except (DatabaseError, InterfaceError, Trouble, TimeoutError):
        return HttpResponse("unavailable\n", status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@csrf_exempt
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """By https://prometheus.io/docs/practices/naming/. Of the last round: nothing is asked for it."""
    if not settings.MAILPANEL_METRICS_TOKEN:
        raise Http404
    given = request.headers.get("Authorization", "")
    if not constant_time_compare(given, f"Bearer {settings.MAILPANEL_METRICS_TOKEN}"):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        return HttpResponse("".join(_families()), content_type=FORMAT)
    except (DatabaseError, InterfaceError):
        return HttpResponse(status=503)


def _families():
    rows = list(Standing.objects.exclude(checked=None).order_by("key"))
    asked = [row for row in rows if row.state != State.OFF]
    yield _family("build_info", "The version of the panel.", [(f'version="{_version()}"', 1)])
    yield _family(
        "probe_up", "Whether what the probe asks works.", [(_label(row), int(row.ok)) for row in asked]
    )
    yield _family(
        "probe_state",
        "1 for the state that the probe is in.",
        [(f'{_label(row)},state="{state}"', int(row.state == state)) for row in rows for state in State],
    )
    yield _family(
        "probe_duration_seconds", "How long the probe took.", [(_label(row), row.seconds) for row in asked]
    )
    yield _family(
        "probe_last_check_timestamp_seconds",
        "When the probe has ended.",
        [(_label(row), row.checked.timestamp()) for row in rows],
    )
    yield _family(
        "incidents_open", "Incidents that go on.", [("", Incident.objects.filter(ended=None).count())]
    )
    there = Domain.objects.aggregate(mailboxes=Sum("mailbox_count"), aliases=Sum("alias_count"))
    yield _family("domains", "Domains that there are.", [("", Domain.objects.count())])
    yield _family("mailboxes", "Mailboxes that there are.", [("", there["mailboxes"] or 0)])
    yield _family("aliases", "Destinations of aliases that there are.", [("", there["aliases"] or 0)])


def _family(name: str, help_: str, samples: list[tuple[str, float]]) -> str:
    name = f"mailpanel_{name}"
    lines = [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in samples]
    return "\n".join([f"# HELP {name} {help_}", f"# TYPE {name} gauge", *lines, ""])


def _label(row: Standing) -> str:
    return f'probe="{row.key}"'


@lru_cache
def _version() -> str:
    return tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
