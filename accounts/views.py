from datetime import timedelta

from axes.helpers import get_cool_off
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import access, audit, lifecycle, passwords
from accounts.access import To
from accounts.authentication import client_address, remember_device
from accounts.forms import MailboxForm, NewMailboxForm, PasswordForm, ReasonForm, SignInForm
from accounts.models import Audit, LastLogin, Mailbox
from domains import addresses
from domains.models import Alias
from mailpanel.daemons import DaemonError
from mailpanel.paging import page


def by(request) -> audit.By:
    """Who acts in this request."""
    return audit.By(request.user.email, client_address(request))


def tell(request, change, done: str, otherwise: str) -> None:
    """Run a change that ends at Dovecot, and say what was done; or what was not, and what to do."""
    try:
        change()
    except DaemonError as error:
        messages.warning(request, f"{done} {error} {otherwise}")
    else:
        messages.success(request, done)


# --- sign-in ------------------------------------------------------------------------------------------------


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


def _back(request) -> str:
    target = request.META.get("HTTP_REFERER", "")
    fine = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if fine else resolve_url("home")


# --- the own mailbox ----------------------------------------------------------------------------------------


@require_safe
def home(request):
    if not access.rights(request.user).any:
        return render(request, "accounts/my.html", {"own": _card(request.user)})
    found = page(access.domains(request.user).select_related("alias_of"), "name", request.GET, size=20)
    changes = Audit.objects.filter(access.rights(request.user).within("domain"))[:6]
    return render(request, "accounts/home.html", {"domains": found, "changes": changes})


@sensitive_post_parameters("current", "new")
def password(request):
    form = PasswordForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        try:
            tell(
                request,
                lambda: lifecycle.set_password(request.user, form.cleaned_data["new"], by=by(request)),
                _(
                    "Your password is changed. The old one has stopped working; your other sessions have ended."
                ),
                _(
                    "Mail programs that are connected may go on with the old password for up to an hour. "
                    "If somebody else knows it, ask your helpdesk to restart the mail server."
                ),
            )
        except ValidationError as error:
            form.add_error("new", error)
        else:
            update_session_auth_hash(request, request.user)
            return redirect("home")
    context = {"form": form, "min_length": settings.MAILPANEL_PASSWORD_MIN_LENGTH}
    return render(request, "accounts/password.html", context)


@require_POST
@sensitive_post_parameters("new")
def password_strength(request):
    """The meter beside the field, while it is typed in."""
    new = request.POST.get("new", "")[: passwords.MAX_LENGTH]
    try:
        passwords.validate(new, address=request.user.email, name=request.user.name)
        wrong = []
    except ValidationError as error:
        wrong = error.messages
    words = [request.user.email, request.user.name]
    context = {"strength": passwords.strength(new, words=words), "wrong": wrong, "typed": bool(new)}
    return render(request, "accounts/strength.html", context)


# --- mailboxes ----------------------------------------------------------------------------------------------


@require_safe
def mailboxes(request):
    access.staff(request.user)
    found = find(access.mailboxes(request.user), request.GET.get("q", ""))
    return render(
        request,
        "accounts/mailboxes.html",
        {"mailboxes": listed(found, request.GET), "q": request.GET.get("q", "")},
    )


def find(rows, text: str):
    """Mailboxes whose address begins with this text; a range, so that the index answers."""
    text = text.strip().lower()[:255]
    return rows.filter(email__gte=text, email__lt=text + "\x7f") if text else rows


def listed(rows, asked):
    """A page of mailboxes with what they hold and their last sign-in; two statements, however many rows."""
    found = page(rows.select_related("usage"), "email", asked)
    last = {}
    for sign_in in LastLogin.objects.filter(mailbox__in=[row.email for row in found]).order_by("time"):
        last[sign_in.mailbox_id] = sign_in
    for row in found:
        row.last_sign_in = own if (own := last.get(row.email)) and own.moment >= row.created else None
    return found


@require_safe
def mailbox(request, email):
    found = access.mailbox(request.user, email, to=To.SEE)
    return render(
        request,
        "accounts/mailbox.html",
        _card(found)
        | {
            "may_change": access.may(request.user, To.CHANGE, found),
            "may_reset": access.may(request.user, To.RESET, found),
        },
    )


def _card(found: Mailbox) -> dict:
    """What the page of one mailbox shows."""
    return {
        "mailbox": found,
        "used": used(found),
        "last_sign_ins": found.last_sign_ins[:5],
        "aliases": Alias.objects.filter(destination=found.email)[:20],
        "shadow": Alias.objects.filter(source=found.email).exists(),
        "roles": found.roles.select_related("domain"),
        "changes": Audit.objects.filter(name=found.email)[:8],
    }


def used(found: Mailbox):
    usage = getattr(found, "usage", None)
    return {"bytes": max(usage.bytes or 0, 0), "messages": max(usage.messages or 0, 0)} if usage else None


@sensitive_post_parameters("password")
def mailbox_new(request, name):
    domain = access.domain(request.user, name, to=To.CHANGE)
    form = NewMailboxForm(request.POST or None, mailbox=Mailbox(domain=domain))
    if request.method == "POST" and form.is_valid():
        made = form.build()
        try:
            tell(
                request,
                lambda: lifecycle.open_mailbox(
                    made, form.password, by=by(request), anew=form.cleaned_data["anew"]
                ),
                _("%s is there and receives mail.") % made,
                _(
                    "What its former owner left is not erased, so nobody may sign in yet. Delete it, and make it again later."
                ),
            )
        except ValidationError as error:
            form.take(error)
        else:
            if form.cleaned_data["how"] == form.GENERATE:
                return _show_once(request, made, form.password)
            return redirect("accounts:mailbox", made.email)
    return render(request, "accounts/mailbox_new.html", {"form": form, "domain": domain})


def _show_once(request, mailbox: Mailbox, password: str) -> HttpResponse:
    """The one page that holds the password; it is kept nowhere else, so there is no going back to it."""
    return render(request, "accounts/password_once.html", {"mailbox": mailbox, "password": password})


def mailbox_edit(request, email):
    found = access.mailbox(request.user, email, to=To.CHANGE)
    form = MailboxForm(request.POST or None, mailbox=found)
    if request.method == "POST" and form.is_valid():
        try:
            _change(request, found, form.changes)
        except ValidationError as error:
            form.take(error)
        else:
            return redirect("accounts:mailbox", found.email)
    return render(request, "accounts/mailbox_edit.html", {"form": form, "mailbox": found})


@require_POST
def mailbox_state(request, email):
    """The buttons beside the state: on, off, sign-in or none."""
    found = access.mailbox(request.user, email, to=To.CHANGE)
    changes = {
        "on": {"enabled": True},
        "off": {"enabled": False},
        "sign-in": {"can_login": True},
        "no-sign-in": {"can_login": False},
    }.get(request.POST.get("state"), {})
    try:
        _change(request, found, changes)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("accounts:mailbox", found.email)


def _change(request, found: Mailbox, changes: dict) -> None:
    tell(
        request,
        lambda: lifecycle.change_mailbox(found, changes, by=by(request)),
        _("%s is saved.") % found,
        _("Mail programs that are connected notice it within the hour."),
    )


def mailbox_password(request, email):
    found = access.mailbox(request.user, email, to=To.RESET)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        new, reason = passwords.generate(), form.cleaned_data["reason"]
        try:
            tell(
                request,
                lambda: lifecycle.set_password(found, new, by=by(request), must_change=True, reason=reason),
                _("The old password has stopped working and all sessions have ended."),
                _("Mail programs that are connected may go on with the old password for up to an hour."),
            )
        except ValidationError as error:
            form.take(error)
        else:
            return _show_once(request, found, new)
    return render(request, "accounts/mailbox_password.html", {"form": form, "mailbox": found})


def mailbox_delete(request, email):
    found = access.mailbox(request.user, email, to=To.CHANGE)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            tell(
                request,
                lambda: lifecycle.close_mailbox(found, by=by(request), reason=form.cleaned_data["reason"]),
                _("%s is deleted. It can be brought back for %s days.")
                % (found, settings.MAILPANEL_TRASH_DAYS),
                _("Mail programs that are connected notice it within the hour."),
            )
        except ValidationError as error:
            form.take(error)
        else:
            return redirect("domains:domain", found.domain_id)
    return render(
        request, "accounts/mailbox_delete.html", {"form": form, "mailbox": found} | _what_hangs_on(found)
    )


def _what_hangs_on(found: Mailbox) -> dict:
    """What goes with a mailbox, and what breaks elsewhere."""
    leading = Alias.objects.filter(destination=found.email)
    sources = list(leading.values_list("source", flat=True)[:200])
    others = Alias.objects.filter(source__in=sources).exclude(destination=found.email)
    return {
        "used": used(found),
        "app_passwords": found.app_passwords.count(),
        "roles": list(found.roles.select_related("domain")),
        "losing": leading.count(),
        "ending": sorted(set(sources) - set(others.values_list("source", flat=True))),
    }


# --- the trash ----------------------------------------------------------------------------------------------


@require_safe
def trash(request):
    access.staff(request.user)
    found = page_of_deletions(access.deletions(request.user), request.GET)
    may = access.may_bring_back(request.user, found)
    for row in found:
        row.kind = lifecycle.KINDS.get(row.table, row.table)
        row.until = row.at + timedelta(days=settings.MAILPANEL_TRASH_DAYS)
        row.may_bring_back = row.deletion in may
    return render(request, "accounts/trash.html", {"deletions": found, "days": settings.MAILPANEL_TRASH_DAYS})


def page_of_deletions(rows, asked):
    """The newest first, fifty at a time, by key."""
    before = asked.get("before", "")
    return list((rows.filter(id__lt=before) if before.isdecimal() else rows).order_by("-id")[:50])


@require_POST
def trash_restore(request, deletion):
    found = access.deletion(request.user, deletion)
    left = []
    try:
        tell(
            request,
            lambda: left.extend(lifecycle.bring_back(found.deletion, by=by(request))),
            _("%s is back.") % addresses.to_unicode(found.name),
            _("Sign-in may need a minute."),
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    if left:
        messages.warning(request, _("Left in the trash: %s") % ", ".join(left[:10]))
    return redirect("accounts:trash")
