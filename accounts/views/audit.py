from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts import access
from accounts import audit as log
from accounts.forms.audit import AuditForm
from accounts.models import Mailbox
from accounts.views import by
from domains.views import head
from mailpanel.export import download
from mailpanel.paging import newest


@require_safe
def audit(request):
    access.staff(request.user)
    form = AuditForm(request.GET, actor=request.user)
    entries = told(newest(form.find(), request.GET), request.user)
    return render(request, "accounts/audit.html", {"form": form, "entries": entries})


@require_POST
def audit_export(request):
    """What the filters in the query string find, as CSV; nothing while one of them means nothing."""
    access.staff(request.user)
    form = AuditForm(request.GET, actor=request.user)
    if not form.is_valid():
        return redirect(f"{reverse('accounts:audit')}?{request.GET.urlencode()}")
    log.record(by(request), "export", "log", "", domain=form.cleaned_data["domain"], after=form.used or None)
    return download("audit.csv", log.COLUMNS, map(log.cells, log.everything(form.find())))


@require_safe
def audit_own(request):
    """What was done to the own mailbox: everybody may see that, whoever did it."""
    entries = told(newest(access.own_log(request.user), request.GET))
    return render(request, "accounts/audit_own.html", {"entries": entries})


@require_safe
def domain_activity(request, name):
    found = access.domain(request.user, name, to=access.To.SEE)
    entries = told(newest(access.log(request.user).filter(domain=found.name), request.GET), request.user)
    return render(request, "domains/domain_activity.html", head(request, found) | {"entries": entries})


def told(entries, actor: Mailbox | None = None):
    """The entries with `changes` in words, and `url`: the page of the object, if it is still there and the actor may
    see it. Three statements, however many entries."""
    urls = {} if actor is None else _urls(actor, {entry.name for entry in entries if entry.kind != "page"})
    for entry in entries:
        entry.changes = log.changes(entry)
        of_kind = {"alias": "alias", "domain": "domain"}.get(entry.kind, "mailbox")
        entry.url = urls.get((of_kind, entry.name))
    return entries


def _urls(actor: Mailbox, names: set[str]) -> dict[tuple[str, str], str]:
    there = {
        ("mailbox", "accounts:mailbox"): access.mailboxes(actor).filter(email__in=names).values_list("email"),
        ("alias", "domains:alias"): access.aliases(actor).filter(source__in=names).values_list("source"),
        ("domain", "domains:domain"): access.domains(actor).filter(name__in=names).values_list("name"),
    }
    return {
        (kind, name): reverse(page, args=[name])
        for (kind, page), rows in there.items()
        for (name,) in rows.distinct()
    }
