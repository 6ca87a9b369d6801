from uuid import uuid4

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import access, authentication, lifecycle, passwords, second_factor
from accounts.access import To
from accounts.forms.mailboxes import MailboxForm, NewMailboxForm
from accounts.models import Mailbox, role_words
from accounts.views import by, deleted, tell
from accounts.views.lists import Listing
from domains import reach
from domains.models import Alias
from mailpanel.forms import ReasonForm
from mailpanel.server import sending


@require_safe
def mailboxes(request):
    access.staff(request.user)
    return render(request, "accounts/mailboxes.html", {"list": Listing(request.user, request.GET.dict())})


@require_safe
def mailbox(request, email):
    found = access.mailbox(request.user, email, to=To.SEE)
    return render(
        request,
        "accounts/mailbox.html",
        card(found, request.user, access.log(request.user, about=found.email))
        | {
            "pauses": authentication.pauses(found),
            "may_grant": access.may(request.user, To.GRANT, found),
            "may_change": access.may(request.user, To.CHANGE, found),
            "may_filter": access.may_filter(request.user, found),
            "may_reset": access.may(request.user, To.RESET, found),
        },
    )


def card(found: Mailbox, actor: Mailbox, log) -> dict:
    """What the page of one mailbox shows the actor; `log` is what he may see of the audit log about it."""
    own = list(Alias.objects.filter(source=found.email))
    return {
        "mailbox": found,
        "used": used(found),
        "recovery_codes": second_factor.of(found) and found.recovery_codes.count(),
        "last_sign_ins": found.last_sign_ins[:5],
        "sent": sending.sent(found.email),
        "shadow": any(row.is_alive for row in own),
        "keeps_copy": any(row.is_alive and row.destination == found.email for row in own),
        "roles": [role_words(*role) for role in access.roles_of([found])[found]],
        "changes": log[:8],
    } | reach.pointers(found, actor)


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
                    made,
                    form.password,
                    by=by(request),
                    anew=form.cleaned_data["anew"],
                    beside_alias=form.cleaned_data["beside_alias"],
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
            _change(request, found, form.changes, form.compare)
        except ValidationError as error:
            form.take(error)
        else:
            return redirect("accounts:mailbox", found.email)
    context = {"form": form, "mailbox": found, "ending": reach.refused_without(found, request.user)}
    return render(request, "accounts/mailbox_edit.html", context)


# What the buttons beside the state do, and how it is told when somebody else was faster.
STATES = {
    "on": ("enabled", True, gettext_lazy("%s is switched on already.")),
    "off": ("enabled", False, gettext_lazy("%s is switched off already.")),
    "sign-in": ("can_login", True, gettext_lazy("%s may sign in already.")),
    "no-sign-in": ("can_login", False, gettext_lazy("%s has no sign-in already.")),
}


def mailbox_state(request, email):
    """The buttons beside the state: on, off, sign-in or none. GET asks before switching off, with what follows."""
    found = access.mailbox(request.user, email, to=To.CHANGE)
    if request.method != "POST":
        context = {"mailbox": found, "ending": reach.refused_without(found, request.user)}
        return render(request, "accounts/mailbox_state.html", context)
    if wanted := STATES.get(request.POST.get("state")):
        field, value, already = wanted

        def compare(now: Mailbox):
            if getattr(now, field) == value:
                raise ValidationError(already % now, code="already")

        try:
            _change(request, found, {field: value}, compare)
        except ValidationError as error:
            add = messages.warning if getattr(error, "code", "") == "already" else messages.error
            add(request, " ".join(error.messages))
    return redirect("accounts:mailbox", found.email)


def _change(request, found: Mailbox, changes: dict, compare) -> None:
    tell(
        request,
        lambda: lifecycle.change_mailbox(found, changes, by=by(request), compare=compare),
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


@require_POST
def mailbox_unlock(request, email):
    found = access.mailbox(request.user, email, to=To.RESET)
    authentication.unlock(found, by=by(request))
    messages.success(request, _("The pause is over. %s can sign in again.") % found)
    return redirect("accounts:mailbox", found.email)


def mailbox_delete(request, email):
    found = access.mailbox(request.user, email, to=To.CHANGE)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        reason, deletion = form.cleaned_data["reason"], uuid4()
        try:
            tell(
                request,
                lambda: lifecycle.close_mailbox(found, by=by(request), reason=reason, deletion=deletion),
                deleted(found),
                _("Mail programs that are connected notice it within the hour."),
                deletion=deletion,
            )
        except ValidationError as error:
            form.take(error)
        else:
            return redirect("domains:domain", found.domain_id)
    return render(
        request,
        "accounts/mailbox_delete.html",
        {"form": form, "mailbox": found} | _what_hangs_on(found, request.user),
    )


def _what_hangs_on(found: Mailbox, actor: Mailbox) -> dict:
    """What goes with a mailbox, and what breaks elsewhere."""
    leading = Alias.objects.filter(destination=found.email)
    sources = list(leading.values_list("source", flat=True)[:200])
    others = Alias.objects.filter(source__in=sources).exclude(destination=found.email)
    ending = sorted(set(sources) - set(others.values_list("source", flat=True)))
    return {
        "used": used(found),
        "app_passwords": found.app_passwords.count(),
        "roles": (roles := list(found.roles.select_related("domain"))),
        "held": len(roles) + found.is_superuser,
        "losing": leading.count(),
        "senders": found.senders.count(),
        "ending": reach.scoped(ending, actor),
    }
