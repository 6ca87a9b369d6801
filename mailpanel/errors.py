"""The pages for what went wrong. They ask nothing of the database, which may be what went wrong."""

import logging
import sys
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpResponse, HttpResponseForbidden, HttpResponseNotFound
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.authentication import client_address
from accounts.models import Audit

RETRY_SECONDS = 10
REFUSALS = 100  # of one person, in an hour; whoever tries more is seen well enough
log = logging.getLogger(__name__)


def not_found(request, exception=None):
    if isinstance(exception, access.OutOfReach):
        for name in request.resolver_match.kwargs.values() if request.method == "POST" else ():
            if gone := access.deleted(request.user, str(name)):
                return _page(request, "404.html", HttpResponseNotFound, gone=gone)
        _audit_refusal(request)
    return _page(request, "404.html", HttpResponseNotFound)


def forbidden(request, exception=None):
    if request.user.is_authenticated:
        _audit_refusal(request)
    return _page(request, "403.html", HttpResponseForbidden, why=str(exception or ""))


def csrf_failure(request, reason=""):
    return _page(
        request,
        "403.html",
        HttpResponseForbidden,
        why=_(
            "This form was open too long, or came from another site. Go back, load the page again and send it once more."
        ),
    )


def server_error(request):
    """500, or 503 with Retry-After while the database is away or busy: nothing was saved, and trying again is right."""
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("The database did not answer: %s", error)
        response = _page(
            request, "503.html", HttpResponse, retry=RETRY_SECONDS, posted=request.method == "POST"
        )
        response.status_code = 503
        response["Retry-After"] = str(RETRY_SECONDS)
        return response
    response = _page(request, "500.html", HttpResponse)
    response.status_code = 500
    return response


def _page(request, template, response, **context):
    return response(
        render_to_string(f"errors/{template}", {"theme": request.COOKIES.get("mailpanel_theme"), **context})
    )


def _audit_refusal(request):
    """Each is written down, and the same reading once an hour, so that nobody fills the log by it."""
    by = audit.By(request.user.email, client_address(request))
    refused = Audit.objects.filter(
        actor=by.actor, action="denied", at__gte=timezone.now() - timedelta(hours=1)
    )
    try:
        if request.method != "POST" and refused.filter(name=request.path[:255]).exists():
            return
        if refused.count() < REFUSALS:
            audit.record(by, "denied", "page", request.path, reason=request.method)
    except DatabaseError as error:  # it is refused all the same
        log.warning("A refusal is not in the audit log, since the database did not answer: %s", error)
