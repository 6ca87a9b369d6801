from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import access
from accounts import roles as lifecycle
from accounts.access import To
from accounts.forms.roles import HoldersForm, PersonForm, RoleForm
from accounts.models import SERVER, Mailbox, Role, role_words
from accounts.views import by
from domains.models import Domain
from domains.views import head
from mailpanel.forms import ReasonForm
from mailpanel.paging import SIZE, page

ALL = "all"  # in the address of a page; no domain is called that, since there is a dot in a domain's name


@require_safe
def roles(request):
    """Everybody who holds a role, by address."""
    access.server(request.user)
    form = HoldersForm(request.GET)
    form.is_valid()
    kind, domain = form.cleaned_data.get("kind"), form.cleaned_data.get("domain")
    of_kind = {"roles__kind": kind} if kind else {"roles__isnull": False}
    of_domain = {"roles__domain": domain} if domain else {}
    holders = Mailbox.objects.filter(**of_kind, **of_domain).distinct()
    admins = Mailbox.objects.filter(is_superuser=True)
    # an index finds each of the two; one question for both would read all mailboxes
    asked = [holders] * (kind != SERVER) + [admins] * (kind in (None, "", SERVER) and not domain)
    emails = [found.email for rows in asked for found in page(rows, "email", request.GET, SIZE + 1)]
    people = page(Mailbox.objects.filter(email__in=emails), "email", request.GET)
    return render(request, "accounts/roles.html", {"form": form, "people": told(request.user, people)})


def told(actor: Mailbox, people, domain: Domain | None = None):
    """The people with `held`: their roles, or those for one domain, in words, and whether the actor may take each."""
    of = access.roles_of([actor, *people])
    for person in people:
        person.seen = access.rights(actor).helps(person.domain_id)
        person.held = [
            {
                "words": role_words(kind, where),
                "kind": kind,
                "where": where or ALL,
                "may_take": access.may_take(actor, person, kind, where),
            }
            for kind, where in of[person]
            if domain is None or where == domain.name
        ]
    return people


@require_safe
def domain_roles(request, name):
    """Who looks after a domain; and who shall, which leads on to the page of that person."""
    found = access.domain(request.user, name, to=To.SEE)
    form = PersonForm(request.GET if "person" in request.GET else None, actor=request.user)
    if form.is_valid():
        query = urlencode({"kind": form.cleaned_data["kind"], "domain": found.name})
        return redirect(reverse("accounts:role_give", args=[form.cleaned_data["person"]]) + f"?{query}")
    people = page(Mailbox.objects.filter(roles__domain=found).distinct(), "email", request.GET)
    context = head(request, found) | {"form": form, "people": told(request.user, people, found)}
    return render(request, "domains/domain_roles.html", context)


@require_safe
def mailbox_roles(request, email):
    found = access.mailbox(request.user, email, to=To.GRANT)
    initial = {"kind": Role.Kind.HELPDESK, "domain": found.domain_id}
    return _of_one(request, found, RoleForm(actor=request.user, initial=initial))


def _of_one(request, found: Mailbox, form: RoleForm):
    told(request.user, [found])
    return render(request, "accounts/mailbox_roles.html", {"mailbox": found, "form": form})


def role_give(request, email):
    """What would follow from the role that is asked for; and then the role."""
    found = access.mailbox(request.user, email, to=To.GRANT)
    post = request.method == "POST"
    choice = RoleForm(request.POST if post else request.GET, actor=request.user)
    if not choice.is_valid():
        if post:  # the page before offers none of these, or not any more
            raise PermissionDenied(_("This role is not yours to give."))
        return _of_one(request, found, choice)
    kind, where = choice.cleaned_data["kind"], choice.where
    access.give(request.user, found, kind, where)
    form = ReasonForm(request.POST if post else None)
    if post and form.is_valid() and _save(request, form, lifecycle.grant, found, kind, where):
        done = _("%(person)s is %(role)s now.")
        messages.success(request, done % {"person": found, "role": role_words(kind, where)})
        return redirect("accounts:mailbox_roles", found.email)
    return _confirm(request, "accounts/role_give.html", form, found, kind, where)


def role_take(request, email, kind, domain):
    where = None if domain == ALL else domain
    found = access.holder(request.user, email, kind, where)
    access.take(request.user, found, kind, where)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if (
        request.method == "POST"
        and form.is_valid()
        and _save(request, form, lifecycle.revoke, found, kind, where)
    ):
        done = _("%(person)s is not %(role)s any more.")
        messages.success(request, done % {"person": found, "role": role_words(kind, where)})
        return redirect(_back(request.user, found, where))
    return _confirm(request, "accounts/role_take.html", form, found, kind, where)


def _save(request, form, change, found: Mailbox, kind: str, where: str | None) -> bool:
    try:
        domain = None if where is None else Domain(name=where)
        change(found, kind, domain, by=by(request), reason=form.cleaned_data["reason"])
    except ValidationError as error:
        form.take(error)
        return False
    return True


def _confirm(request, template: str, form, found: Mailbox, kind: str, where: str | None):
    context = {
        "form": form,
        "mailbox": found,
        "kind": kind,
        "where": where,
        "role": role_words(kind, where),
        "people": access.reach(found, kind, where),
        "back": _back(request.user, found, where),
    }
    return render(request, template, context)


def _back(actor: Mailbox, found: Mailbox, where: str | None) -> str:
    """The person's page, if the actor may see that and still has a say there; else the domain's, or the first."""
    if actor != found and access.may(actor, To.GRANT, found):
        return reverse("accounts:mailbox_roles", args=[found.email])
    return reverse("domains:domain_roles", args=[where]) if where else reverse("home")
