import secrets
import time

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import PermissionDenied, ValidationError
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import access
from accounts import second_factor as factor
from accounts.access import To
from accounts.forms.second_factor import BothFactorsForm, FirstCodeForm
from accounts.views import by
from mailpanel.forms import ReasonForm

ENROLMENT = "enrolment"  # in the session: from what the new key is made, and since when
ENROLMENT_SECONDS = 900
FRESH_SECONDS = 600  # after which the password is asked again


@require_safe
def second_factor(request):
    context = {
        "factor": factor.of(request.user),
        "codes": request.user.recovery_codes.count(),
        "of": factor.RECOVERY_CODES,
        "required": factor.is_required(request.user),
    }
    return render(request, "accounts/second_factor.html", context)


@sensitive_post_parameters("current", "code")
def second_factor_set_up(request):
    """First the password, then the key with a code of it. The key of before stays in force until that code."""
    if nonce := _enrolling(request) or (_has_just_signed_in(request) and _begin(request)):
        return _confirm(request, nonce)
    form = BothFactorsForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        _begin(request)
        return redirect("accounts:second_factor_set_up")
    return render(request, "accounts/second_factor_begin.html", {"form": form})


def _begin(request) -> str:
    request.session[ENROLMENT] = [secrets.token_urlsafe(32), int(time.time())]
    return request.session[ENROLMENT][0]


def _enrolling(request) -> str | None:
    nonce, since = request.session.get(ENROLMENT, ("", 0))
    return nonce if 0 <= time.time() - since < ENROLMENT_SECONDS else None


def _has_just_signed_in(request) -> bool:
    """Whoever is led here by the sign-in has just typed the password."""
    forced = factor.of(request.user) is None and factor.is_required(request.user)
    return forced and 0 <= time.time() - request.session.get("signed_in", 0) < FRESH_SECONDS


def _confirm(request, nonce: str):
    key = factor.new_key(nonce, request.user)
    form = FirstCodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            codes = factor.set_up(request.user, key, form.cleaned_data["code"], by=by(request))
        except ValidationError as error:
            form.take(error)
        else:
            del request.session[ENROLMENT]
            update_session_auth_hash(request, request.user)
            return _show_once(
                request, codes, _("The second factor is on. Your other sessions here have ended.")
            )
    context = {
        "form": form,
        "typed_key": factor.typed_key(key),
        "qr_code": factor.qr_code(key, request.user),
        "required": factor.is_required(request.user),
    }
    return render(request, "accounts/second_factor_set_up.html", context)


def _show_once(request, codes: list[str], done: str):
    """The one page that holds the recovery codes; their hashes are all that is kept."""
    messages.success(request, done)
    return render(request, "accounts/second_factor_codes_once.html", {"codes": codes})


@sensitive_post_parameters("current", "code")
def second_factor_codes(request):
    if factor.of(request.user) is None:
        return redirect("accounts:second_factor")
    form = BothFactorsForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        try:
            codes = factor.renew_codes(request.user, by=by(request))
        except ValidationError as error:
            form.take(error)
        else:
            return _show_once(request, codes, _("The old recovery codes have stopped working."))
    return render(request, "accounts/second_factor_codes.html", {"form": form})


@sensitive_post_parameters("current", "code")
def second_factor_off(request):
    if factor.of(request.user) is None:
        return redirect("accounts:second_factor")
    if factor.is_required(request.user):
        raise PermissionDenied(_("This server asks for a second factor. It can be moved, and not taken off."))
    form = BothFactorsForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        try:
            factor.take_off(request.user, by=by(request))
        except ValidationError as error:
            form.take(error)
        else:
            update_session_auth_hash(request, request.user)
            messages.success(request, _("The second factor is off. Your other sessions here have ended."))
            return redirect("accounts:second_factor")
    return render(request, "accounts/second_factor_off.html", {"form": form})


def mailbox_second_factor(request, email):
    """Cleared for somebody who has lost the phone."""
    found = access.mailbox(request.user, email, to=To.RESET)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            factor.take_off(found, by=by(request), action="factor_clear", reason=form.cleaned_data["reason"])
        except ValidationError as error:
            form.take(error)
        else:
            messages.success(request, _("The second factor is cleared, and all sessions here have ended."))
            return redirect("accounts:mailbox", found.email)
    context = {"form": form, "mailbox": found, "required": factor.is_required(found)}
    return render(request, "accounts/mailbox_second_factor.html", context)
