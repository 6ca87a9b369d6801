"""What the content filter has held back: the list, a message, and what is done with it."""

from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect, render, resolve_url
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts.access import OutOfReach
from accounts.views import by
from mailpanel.forms import ReasonForm
from mailpanel.server import decisions, quarantine
from mailpanel.server.forms.filter import QuarantineForm

RELEASE, ALLOW, DELETE = "release", "allow", "delete"


@require_safe
def held(request):
    """Everybody sees what was held back for the own mailbox, and staff what is in their domains."""
    form = QuarantineForm(request.GET, actor=request.user)
    listing = form.listing
    context = {
        "form": form,
        "listing": listing,
        "page": listing.page(request.GET),
        "here": request.GET.urlencode(),
    }
    return render(request, "server/quarantine.html", context)


@require_safe
def held_message(request, slip):
    one = _one(request.user, slip)
    if not one.may_read:
        raise PermissionDenied(_("This is for somebody with a role that you do not have, who can read it."))
    if one.owner != request.user:
        decisions.record_reading(one, by=by(request))
    context = {
        "one": one,
        "letter": quarantine.text_of(one),
        "may_allow": decisions.may_allow(request.user, one),
    }
    return render(request, "server/held.html", context)


@require_POST
def held_act(request):
    """Release or delete those that were picked. What cannot be undone, and viruses, are asked about first."""
    do, picked = request.POST.get("do"), request.POST.getlist("pick")
    found = quarantine.find(request.user, picked)
    if not found or do not in (RELEASE, ALLOW, DELETE):
        messages.warning(request, _("Nothing is selected that still waits."))
        return redirect(_back(request))
    if len(picked) == 1 and not (found[0].may_read if do == DELETE else found[0].may_release):
        raise PermissionDenied(_why_not(found[0]))
    chosen = [one for one in found if (one.may_read if do == DELETE else one.may_release)]
    viruses = [one for one in chosen if one.is_virus and do != DELETE]
    form = ReasonForm(request.POST if "sure" in request.POST else None)
    form.fields["reason"].required = bool(viruses)
    if (do == DELETE or viruses) and not (form.is_bound and form.is_valid()):
        context = {
            "form": form,
            "do": do,
            "chosen": chosen,
            "viruses": viruses,
            "left_out": len(found) - len(chosen),
        }
        return render(request, "server/held_act.html", context | {"here": request.POST.get("here", "")})
    reason = form.cleaned_data["reason"] if form.is_bound and form.is_valid() else ""
    _carry_out(request, do, chosen, reason)
    if left_out := len(found) - len(chosen):
        messages.warning(
            request,
            ngettext(
                "%s message stays: it is not yours to decide.",
                "%s messages stay: they are not yours to decide.",
                left_out,
            )
            % left_out,
        )
    return redirect(_back(request))


def _carry_out(request, do: str, chosen: list, reason: str) -> None:
    if do == DELETE:
        outcome = decisions.delete(chosen, by=by(request), reason=reason)
        if number := len(outcome.done):
            done = ngettext("%s message is deleted.", "%s messages are deleted.", number) % number
            messages.success(request, done)
        for sentence in outcome.refused[:5]:
            messages.warning(request, sentence)
        return
    outcome = decisions.release(chosen, by=by(request), reason=reason)
    if number := len(outcome.done):
        done = (
            ngettext("%s message is on its way to the mailbox.", "%s messages are on their way.", number)
            % number
        )
        messages.success(request, done)
    for sentence in outcome.refused[:5]:
        messages.error(request, _("Not released, and still here: %s") % sentence)
    if do == ALLOW:
        _allow(request, outcome.done)


def _allow(request, done: list) -> None:
    allowed, refused = decisions.allow_senders(done, request.user, by=by(request))
    for sender in sorted(allowed)[:5]:
        messages.success(request, _("Mail from %s is not taken for spam any more.") % sender)
    for sentence in refused[:5]:
        messages.warning(request, _("This sender cannot be allowed. %s") % sentence)


def _one(actor, slip: str):
    found = quarantine.find(actor, [slip])
    if not found:
        raise OutOfReach(_("There is no such message in the quarantine, or it was released or deleted."))
    return found[0]


def _why_not(one) -> str:
    if one.may_read and one.is_virus:
        return _("A virus is released by a server admin alone.")
    return _("This is for somebody with a role that you do not have, who can decide it.")


def _back(request) -> str:
    """The list as it was; its query string is built anew, so that it leads nowhere else."""
    here = QuarantineForm.kept(request.POST.get("here", ""))
    return resolve_url("server:quarantine") + (f"?{urlencode(here)}" if here else "")
