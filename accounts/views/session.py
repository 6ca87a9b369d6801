from axes.helpers import get_cool_off
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import authentication, second_factor
from accounts.forms.own import SignInForm
from accounts.forms.second_factor import SecondStepForm
from accounts.models import Mailbox


@login_not_required
@sensitive_post_parameters("password")
def sign_in(request):
    target = request.POST.get("next", request.GET.get("next", ""))
    if not target.startswith("/") or not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        target = ""  # only a path of our own
    if request.user.is_authenticated:
        return redirect(target or "home")
    if request.method != "POST" and authentication.halfway(request):
        return redirect("accounts:second_step")
    form = SignInForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        person = form.get_user()
        if second_factor.of(person) and not authentication.is_trusted(request, person):
            authentication.stop_halfway(request, person, target)
            return redirect("accounts:second_step")
        return _enter(request, person, target)
    return render(request, "accounts/sign_in.html", {"form": form, "next": target})


def _enter(request, person: Mailbox, target: str):
    authentication.enter(request, person)
    response = redirect(target or "home")
    authentication.remember_device(response, person)
    if person.language in dict(settings.LANGUAGES):
        speak(response, person.language)
    return response


@login_not_required
@sensitive_post_parameters("code")
def second_step(request):
    """The code, of the person whose password was right; nobody is signed in before it."""
    if not (found := authentication.halfway(request)):
        if request.method == "POST":
            messages.warning(
                request, _("That took too long, or something has changed meanwhile. Sign in again.")
            )
        return redirect("accounts:sign_in")
    person, target = found
    recovery, days = "recovery" in request.GET, settings.MAILPANEL_SECOND_FACTOR_DEVICE_DAYS
    form = SecondStepForm(request.POST or None, request=request, mailbox=person, days=days, recovery=recovery)
    if request.method == "POST" and form.is_valid():
        response = _enter(request, person, target)
        if form.cleaned_data.get("trust"):
            authentication.trust(response, person)
        return response
    context = {"form": form, "person": person, "recovery": recovery}
    return render(request, "accounts/second_step.html", context)


@login_not_required
def paused(request, response, credentials):
    """Too many wrong passwords from here: the same page for known and unknown addresses (called by django-axes)."""
    minutes = int(get_cool_off(request).total_seconds() // 60)
    response = render(request, "accounts/paused.html", {"minutes": minutes}, status=429)
    response["Retry-After"] = str(minutes * 60)
    return response


@login_not_required
@require_POST
def sign_out(request):
    """Also for somebody who stands between the two factors and is somebody else."""
    logout(request)
    return redirect("accounts:sign_in")


@login_not_required
@require_POST
def theme(request):
    response = redirect(_back(request))
    choice = request.POST.get("theme")
    if choice in ("light", "dark"):
        response.set_cookie(
            "mailpanel_theme", choice, max_age=365 * 24 * 3600, samesite="Lax", secure=request.is_secure()
        )
    else:
        response.delete_cookie("mailpanel_theme")
    return response


@login_not_required
@require_POST
def language(request):
    """The language of the pages: kept by the browser, and with the person, for the next browser."""
    response, choice = redirect(_back(request)), request.POST.get("language")
    if choice in dict(settings.LANGUAGES):
        speak(response, choice)
        if request.user.is_authenticated:
            Mailbox.objects.filter(pk=request.user.pk).update(language=choice)
    return response


def speak(response, code: str) -> None:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        samesite=settings.LANGUAGE_COOKIE_SAMESITE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=True,
    )


def _back(request) -> str:
    target = request.META.get("HTTP_REFERER", "")
    fine = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if fine else resolve_url("home")
