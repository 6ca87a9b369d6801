from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts import access
from accounts import search as index
from domains import addresses
from domains.views import grouped
from mailpanel.paging import page

EACH = 8


@require_safe
def search(request):
    """The one search box: what is called exactly so is shown at once, and otherwise a few of each kind."""
    access.staff(request.user)
    q, scope = request.GET.get("q", "")[: 4 * index.LONGEST].strip(), access.scope(request.user)
    if not request.GET.get("all") and (target := _exactly(request.user, q)):
        return redirect(*target)
    context = {"searched": q, "words": index.typed(q)}
    if context["words"]:
        boxes = index.find(access.mailboxes(request.user), q, scope).rows.select_related("usage")
        names = index.find(access.domains(request.user), q, scope).rows.select_related("alias_of")
        context |= {
            "mailboxes": page(boxes, "email", {}, EACH),
            "aliases": grouped(access.aliases(request.user), {"q": q}, scope, EACH)["aliases"],
            "domains": page(names, "name", {}, EACH),
        }
    return render(request, "accounts/search.html", context)


def _exactly(actor, q: str) -> tuple | None:
    """The page of the one mailbox or alias that has this address; None if there is none, or one of each."""
    try:
        source = addresses.parse_alias_source(q)
    except ValidationError:
        return None
    mailbox = access.mailboxes(actor).filter(email=source).exists()
    alias = access.aliases(actor).filter(source=source).exists()
    if mailbox == alias:
        return None
    return ("accounts:mailbox" if mailbox else "domains:alias", source)
