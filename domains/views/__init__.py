from datetime import timedelta
from uuid import uuid4

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts import access, search
from accounts.access import To
from accounts.lifecycle import AS_WELL, INSTEAD, close_domain
from accounts.models import Mailbox, MailboxUsage
from accounts.views import by, deleted, tell
from accounts.views.lists import MOST_DOMAINS, Listing
from domains import addresses, lifecycle, routing
from domains.forms import AliasForm, Destinations, DomainForm, NewAliasForm, NewDomainForm
from domains.lifecycle import Destination
from domains.models import Alias, Domain, SumOfSizes
from mailpanel.forms import ReasonForm, TypedNameForm
from mailpanel.paging import page


@require_safe
def domains(request):
    access.staff(request.user)
    q = request.GET.get("q", "")
    rows = search.find(access.domains(request.user), q, access.scope(request.user)).rows
    found = page(rows.select_related("alias_of"), "name", request.GET)
    return render(request, "domains/domains.html", {"domains": found, "q": q})


def domain_new(request):
    access.server(request.user)
    form = NewDomainForm(request.POST or None, actor=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            lifecycle.open_domain(form.instance, by=by(request))
        except ValidationError as error:
            form.take(error)
        else:
            messages.success(
                request,
                _("%s is there. Mail for it is accepted as soon as it has a mailbox.") % form.instance,
            )
            return redirect("domains:domain", form.instance.name)
    return render(request, "domains/domain_new.html", {"form": form})


@require_safe
def domain(request, name):
    found = access.domain(request.user, name, to=To.SEE)
    listing = Listing(request.user, request.GET.dict(), domain=found)
    return render(request, "domains/domain.html", head(request, found) | {"list": listing})


@require_safe
def domain_aliases(request, name):
    found = access.domain(request.user, name, to=To.SEE)
    return render(
        request,
        "domains/domain_aliases.html",
        head(request, found) | {"chips": CHIPS} | grouped(found.aliases, request.GET, [found.name]),
    )


def domain_edit(request, name):
    found = access.domain(request.user, name, to=To.CHANGE)
    form = DomainForm(request.POST or None, instance=found, actor=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            tell(
                request,
                lambda: lifecycle.change_domain(found, form.changes, by=by(request), compare=form.compare),
                _("%s is saved.") % found,
                _("Mail programs that are connected notice it within the hour."),
            )
        except ValidationError as error:
            form.take(error)
        else:
            return redirect("domains:domain_edit", found.name)
    return render(request, "domains/domain_edit.html", head(request, found) | {"form": form})


def domain_delete(request, name):
    found = access.domain(request.user, name, to=To.OWN)
    form = TypedNameForm(request.POST or None, name=found.name)
    if request.method == "POST" and form.is_valid():
        reason, deletion = form.cleaned_data["reason"], uuid4()
        try:
            tell(
                request,
                lambda: close_domain(found, by=by(request), reason=reason, deletion=deletion),
                deleted(found),
                _("Mail programs that are connected notice it within the hour."),
                deletion=deletion,
            )
        except ValidationError as error:
            form.take(error)
        else:
            return redirect("domains:domains")
    emails = found.mailboxes.values("email")
    context = {
        "form": form,
        "domain": found,
        "mirrors": found.mirrors.all(),
        "bytes": MailboxUsage.objects.filter(mailbox__in=emails).aggregate(
            sum=SumOfSizes("bytes", default=0)
        )["sum"],
        "elsewhere": Alias.objects.filter(destination__in=emails).exclude(domain=found.name).count(),
        "roles": found.roles.count(),
        "keys": found.dkim_keys.count(),
    }
    return render(request, "domains/domain_delete.html", context)


def head(request, found: Domain) -> dict:
    """What the head of each of a domain's pages shows."""
    return {
        "domain": found,
        "mirrors": found.mirrors.all(),
        "catch_all": list(
            found.aliases.filter(source=f"@{found.name}").alive().values_list("destination", flat=True)
        ),
        "may_change": access.rights(request.user).administers(found.name),
    }


# --- aliases ------------------------------------------------------------------------------------------------


@require_safe
def aliases(request):
    access.staff(request.user)
    rows, to = access.aliases(request.user), request.GET.get("to", "")
    if to:
        rows = rows.filter(destination=to)
    found = grouped(rows, request.GET, access.scope(request.user))
    return render(request, "domains/aliases.html", found | {"chips": CHIPS, "to": to})


# What the list can be narrowed to: what an index answers, whatever the number of rows.
CHIPS = {
    "": gettext_lazy("All"),
    "off": gettext_lazy("Switched off"),
    "ending": gettext_lazy("Ends within a month"),
}


def grouped(rows, asked, domains, size=None) -> dict:
    """`aliases`, a page of them by address, each with its destinations and what becomes of their mail, and `q`, what
    was searched for; three statements, those of the search, and three more for each step of the longest chain,
    however many rows. `domains` are the names to which the rows belong, or None for all."""
    now = timezone.now()
    if asked.get("show") == "off":
        rows = rows.filter(enabled=False)
    elif asked.get("show") == "ending":
        rows = rows.filter(expires__gt=now, expires__lt=now + timedelta(days=31))
    searched = search.find(rows, q := asked.get("q", ""), domains)
    parts = [Q(domain=name) for name in domains] if domains and len(domains) <= MOST_DOMAINS else ()
    rows, parts = searched.rows.values("source").distinct(), () if searched.few else parts
    found = page(rows, "source", asked, size, parts=parts)
    sources = [row["source"] for row in found]
    of_source = {}
    for row in Alias.objects.filter(source__in=sources).order_by("destination"):
        of_source.setdefault(row.source, []).append(row)
    boxes = set(Mailbox.objects.filter(email__in=sources, enabled=True).values_list("email", flat=True))
    routing.mark(of_source)
    for row in found:
        rows_of = of_source.get(row["source"], [])
        row["state"] = routing.state(rows_of, row["source"] in boxes)
        row["destinations"] = rows_of[:5]
        row["more"] = len(rows_of) - 5
        if row["source"] in boxes and any(to.is_alive for to in rows_of):
            own = any(to.destination == row["source"] and to.is_alive for to in rows_of)
            row["shadow"] = "as_well" if own else "instead"
    return {"aliases": found, "q": q}


def alias_new(request, name):
    found = access.domain(request.user, name, to=To.CHANGE)
    form = NewAliasForm(
        request.POST or None, domain=found, mailbox=_shadowed(request.POST.get("local", ""), found.name)
    )
    destinations = Destinations.of(request.POST or None)
    if _is_save(request) and form.is_valid() and destinations.is_valid():
        access.source_of_alias(request.user, form.source)
        if _save(request, form, destinations, form.source):
            return redirect("domains:alias", form.source)
    return render(
        request, "domains/alias_new.html", {"form": form, "destinations": destinations, "domain": found}
    )


def alias(request, source):
    rows = access.alias(request.user, source, to=To.SEE if request.method in ("GET", "HEAD") else To.CHANGE)
    source, found = rows[0].source, rows[0].domain
    shadowed = Mailbox.objects.filter(email=source).select_related("usage").first()
    there = lifecycle.destinations_of(source)
    others = [to for to in there if to.address != source]
    shadow = AS_WELL if len(others) < len(there) else INSTEAD
    form = AliasForm(
        request.POST or None, mailbox=shadowed, source=source, row=there, initial={"shadow": shadow}
    )
    destinations = Destinations.of(request.POST or None, others, catch_all=source.startswith("@"))
    if _is_save(request) and form.is_valid() and destinations.is_valid():
        if _save(request, form, destinations, source):
            return redirect("domains:domain_aliases", found.name)
        if form.merged is not None:
            destinations = Destinations.of(None, form.merged, catch_all=source.startswith("@"))
    pages = _mark(request.user, rows, destinations)
    return render(
        request,
        "domains/alias.html",
        {
            "form": form,
            "destinations": destinations,
            "domain": found,
            "source": source,
            "rows": rows,
            "pages": pages,
            "senders": {to.address for to in there if to.send_as},
            "state": routing.state(rows, bool(shadowed and shadowed.enabled)),
            "shadowed": shadowed,
            "may_change": access.may_change_alias(request.user, source),
        },
    )


def alias_delete(request, source):
    rows = access.alias(request.user, source, to=To.CHANGE)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        deletion = uuid4()
        try:
            told = access.told(request.user)
            lifecycle.save_alias(rows[0].source, [], by=by(request), deletion=deletion, told=told)
        except ValidationError as error:
            form.take(error)
        else:
            sentence = deleted(addresses.to_unicode(rows[0].source))
            messages.success(request, sentence, extra_tags=str(deletion))
            return redirect("domains:domain_aliases", rows[0].domain_id)
    mailbox = Mailbox.objects.filter(email=rows[0].source).exists()
    context = {
        "form": form,
        "rows": rows,
        "source": rows[0].source,
        "domain": rows[0].domain,
        "mailbox": mailbox,
    }
    return render(request, "domains/alias_delete.html", context)


def _mark(actor: Mailbox, rows: list[Alias], destinations) -> set[str]:
    """Tell the rows of an alias, and the form of each, what becomes of the mail; which of them have a page to link."""
    routing.mark({row.source: rows for row in rows}, every=True)
    addresses_of = [row.destination for row in rows]
    pages = set(access.mailboxes(actor).filter(email__in=addresses_of).values_list("email", flat=True))
    of_address = {addresses.to_unicode(row.destination): row for row in rows}
    for form in destinations:
        if row := of_address.get(form["address"].value()):
            form.mark, form.page = row.mark, row.destination if row.destination in pages else None
    return pages


def _is_save(request) -> bool:
    return request.method == "POST" and request.POST.get("do") != "add"


def _shadowed(local: str, domain: str) -> Mailbox | None:
    try:
        return Mailbox.objects.filter(email=addresses.parse_mailbox(f"{local.strip(' ')}@{domain}")).first()
    except ValidationError:
        return None


def _save(request, form, destinations, source: str) -> bool:
    """Save what the forms hold; a refusal goes to the form. An alias without destinations is deleted."""
    chosen, deletion = [row.destination() for row in destinations.kept], uuid4()
    shadow = form.cleaned_data.get("shadow")
    if shadow == AS_WELL and source not in {to.address for to in chosen}:
        chosen.append(Destination(source))
    form.chosen = {to.address: to for to in chosen}
    try:
        if not chosen and not Alias.objects.filter(source=source).exists():
            raise ValidationError(_("An alias needs a destination: where shall its mail go?"))
        lifecycle.save_alias(
            source,
            chosen,
            by=by(request),
            instead_of_mailbox=shadow == INSTEAD,
            deletion=deletion,
            compare=form.compare,
            told=access.told(request.user, [source, *form.chosen]),
        )
    except ValidationError as error:
        form.take(error)
        return False
    done = _("%s is saved and takes effect at once.") if chosen else _("%s is deleted.")
    tags = "" if chosen else str(deletion)
    messages.success(request, done % addresses.to_unicode(source), extra_tags=tags)
    return True
