"""The spam filter of the server, of a domain, of a mailbox, and of the own one."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import access
from accounts.access import To
from accounts.models import Mailbox
from accounts.views import by
from domains.views import head
from mailpanel.server import filter_policy
from mailpanel.server.forms.filter import LABELS, PolicyForm, SendersForm, whose, words
from mailpanel.server.models import FilterSender
from mailpanel.server.models.filter import ALLOWED, SERVER


def server_filter(request):
    access.server(request.user)
    return _page(request, SERVER, "server/filter.html", {})


def domain_filter(request, name):
    found = access.domain(request.user, name, to=To.SEE if request.method in ("GET", "HEAD") else To.CHANGE)
    may_change = access.rights(request.user).administers(found.name) and not found.alias_of_id
    whose = found.alias_of_id or found.name
    if not access.sees(request.user, whose):
        return render(request, "domains/domain_filter.html", head(request, found))
    scope = filter_policy.of_domain(whose)
    return _page(request, scope, "domains/domain_filter.html", head(request, found), may_set=may_change)


def mailbox_filter(request, email):
    found = access.mailbox(request.user, email, to=To.SEE)
    may_change = access.may_filter(request.user, found)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(access.why_not(request.user, To.CHANGE, found))
    return _of_mailbox(request, found, may_change=may_change)


def filter_own(request):
    """Everybody may see and set what is for the own mailbox."""
    return _of_mailbox(request, request.user, own=True)


def _of_mailbox(request, found: Mailbox, *, may_change: bool = True, own: bool = False):
    context = {"mailbox": found, "own": own}
    return _page(request, found.email, "accounts/mailbox_filter.html", context, may_set=may_change)


def _page(request, scope: str, template: str, context: dict, *, may_set: bool = True):
    """The policy and the senders of a scope. Three forms: `do` says which one was sent."""
    do = request.POST.get("do") if may_set else None
    form = PolicyForm(
        request.POST if do == "save" else None,
        row=filter_policy.row(scope),
        may_skip_virus_checks=access.may_skip_virus_checks(request.user, filter_policy.domain(scope)),
    )
    senders = SendersForm(request.POST if do == "add" else None, prefix="of")
    if do in _DO and _DO[do](request, scope, form, senders):
        return redirect(request.path)
    there = FilterSender.objects.filter(scope=scope).order_by("sender")
    facts = filter_policy.applied([scope, *filter_policy.wider(scope)])
    context |= {
        "form": form,
        "senders_form": senders,
        "allowed": [row.sender for row in there if row.wb == ALLOWED],
        "blocked": [row.sender for row in there if row.wb != ALLOWED],
        "facts": [
            (label, words(column, facts[column].value), whose(facts[column].scope))
            for column, label in LABELS.items()
        ],
        "may_set": may_set,
    }
    return render(request, template, context)


def _save(request, scope, form, senders) -> bool:
    return form.is_valid() and _done(
        request,
        form,
        lambda: filter_policy.change(scope, form.columns, by=by(request), compare=form.compare),
        _("It is saved, and holds for the next message."),
    )


def _add(request, scope, form, senders) -> bool:
    if not senders.is_valid():
        return False
    chosen, wb = senders.cleaned_data["senders"], senders.cleaned_data["wb"]
    done = (
        ngettext("%s sender is allowed.", "%s senders are allowed.", len(chosen))
        if wb == ALLOWED
        else ngettext("%s sender is blocked.", "%s senders are blocked.", len(chosen))
    )
    return _done(
        request,
        senders,
        lambda: filter_policy.add_senders(scope, chosen, wb, by=by(request)),
        done % len(chosen),
    )


def _remove(request, scope, form, senders) -> bool:
    chosen = request.POST.getlist("sender")[: filter_policy.MOST_SENDERS]
    if filter_policy.remove_senders(scope, chosen, by=by(request)):
        messages.success(request, _("It is removed from the list."))
    return True


_DO = {"save": _save, "add": _add, "remove": _remove}


def _done(request, form, change, done: str) -> bool:
    try:
        change()
    except ValidationError as error:
        form.take(error)
        return False
    messages.success(request, done)
    return True
