"""What a domain should have in DNS, and the keys that its mail is signed with."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import access
from accounts.access import OutOfReach, To
from accounts.views import by
from domains import dkim, records
from domains.forms import KeyForm, SignForm
from domains.models import DkimKey, Domain
from domains.views import head
from mailpanel.forms import ReasonForm

State, Seen = DkimKey.State, DkimKey.Seen


def dns(request, name):
    """The records; by POST with what DNS has of them, which is asked at that moment and within a deadline."""
    found = access.domain(request.user, name, to=To.SEE)
    keys = list(found.dkim_keys.order_by("-id"))
    signing = next((key for key in keys if key.state == State.SIGNING), None)
    shown = [*map(records.of_key, keys), *records.of_domain(found, signs=bool(signing))]
    if request.method == "POST":
        shown = records.ask(shown)
        dkim.note(shown)
    context = {
        "keys": shown[: len(keys)],
        "records": shown[len(keys) :],
        "signing": signing,
        "waiting": next((key for key in keys if key.state == State.WAITING), None),
        "why": next((record.why for record in shown if record.why), ""),
        "asked": request.method == "POST",
    }
    return render(request, "domains/dns.html", head(request, found) | context)


def key_new(request, name):
    found = access.domain(request.user, name, to=To.CHANGE)
    form = KeyForm(request.POST or None, initial={"selector": dkim.proposed_selector(found)})
    if request.method == "POST" and form.is_valid():
        try:
            key = dkim.make(found, form.cleaned_data["selector"], by=by(request))
        except ValidationError as error:
            form.take(error)
        else:
            messages.success(
                request, _("The key %s is there. Publish its record, then let it sign.") % key.selector
            )
            return redirect("domains:dns", found.name)
    return render(request, "domains/key_new.html", {"form": form, "domain": found})


def key_sign(request, name, selector):
    """Refused while DNS does not have the record, unless somebody says that he knows better."""
    found = access.domain(request.user, name, to=To.CHANGE)
    key = _key(found, selector)
    former = found.dkim_keys.filter(state=State.SIGNING).exclude(pk=key.pk).first()
    form, record = SignForm(request.POST if request.method == "POST" else None), records.of_key(key)
    if request.method == "POST" and form.is_valid():
        (record,) = records.ask([record])
        dkim.note([record])
        if form.may_sign(record) and _do(request, form, dkim.let_sign, key):
            messages.success(request, _signs(key, former))
            return redirect("domains:dns", found.name)
    context = {"form": form, "domain": found, "key": key, "former": former, "record": record}
    return render(request, "domains/key_sign.html", context)


def key_retire(request, name, selector):
    found = access.domain(request.user, name, to=To.CHANGE)
    key, form = _key(found, selector), ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _do(request, form, dkim.retire, key):
        messages.success(request, _("Mail of %s is not signed any more.") % found)
        return redirect("domains:dns", found.name)
    return render(request, "domains/key_retire.html", {"form": form, "domain": found, "key": key})


def key_delete(request, name, selector):
    found = access.domain(request.user, name, to=To.CHANGE)
    key, form = _key(found, selector), ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _do(request, form, dkim.delete, key):
        messages.success(request, _("The key %s is gone. Take its record out of DNS.") % key.selector)
        return redirect("domains:dns", found.name)
    return render(request, "domains/key_delete.html", {"form": form, "domain": found, "key": key})


def _key(domain: Domain, selector: str) -> DkimKey:
    found = domain.dkim_keys.filter(selector=selector).select_related("domain").first()
    if found is None:
        raise OutOfReach(_("There is no such key."))
    return found


def _do(request, form, change, key: DkimKey) -> bool:
    """Whether it was done; a refusal goes to the form."""
    try:
        change(key, by=by(request), reason=form.cleaned_data["reason"])
    except ValidationError as error:
        form.take(error)
        return False
    return True


def _signs(key: DkimKey, former: DkimKey | None) -> str:
    said = _("Mail of %(domain)s is signed with the key %(key)s from now on.") % {
        "domain": key.domain,
        "key": key.selector,
    }
    if not former:
        return said
    former.refresh_from_db()
    return (
        said
        + " "
        + _("Keep the record of %(key)s in DNS until %(day)s.")
        % {
            "key": former.selector,
            "day": date_format(former.published_until, "DATE_FORMAT"),
        }
    )
