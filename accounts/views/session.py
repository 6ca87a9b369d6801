from axes.helpers import get_cool_off
from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_not_required
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.authentication import remember_device
from accounts.forms.own import SignInForm
from accounts.models import Mailbox


@login_not_required
@sensitive_post_parameters("password")
def sign_in(request):
    target = request.POST.get("next", request.GET.get("next", ""))
    if not target.startswith("/") or not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        target = ""  # only a path of our own
    if request.user.is_authenticated:
        return redirect(target or "home")
    form = SignInForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        login(request, form.get_user())
        response = redirect(target or "home")
        remember_device(response, request.user)
        if request.user.language in dict(settings.LANGUAGES):
            speak(response, request.user.language)
        return response
    return render(request, "accounts/sign_in.html", {"form": form, "next": target})


@login_not_required
def paused(request, response, credentials):
    """Too many wrong passwords from here: the same page for known and unknown addresses (called by django-axes)."""
    minutes = int(get_cool_off(request).total_seconds() // 60)
    response = render(request, "accounts/paused.html", {"minutes": minutes}, status=429)
    response["Retry-After"] = str(minutes * 60)
    return response


@require_POST
def sign_out(request):
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
