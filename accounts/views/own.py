from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import ValidationError
from django.db.models import Count, Sum
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import access, attention, lifecycle, passwords
from accounts.forms.own import PasswordForm
from accounts.views import by, tell
from accounts.views.mailboxes import card
from domains.models import SumOfSizes
from mailpanel.paging import newest, page
from mailpanel.server import traffic


@require_safe
def home(request):
    if not access.rights(request.user).any:
        own = card(request.user, request.user, access.own_log(request.user))
        return render(request, "accounts/my.html", {"own": own})
    found = page(access.domains(request.user).select_related("alias_of"), "name", request.GET, size=20)
    context = {
        "domains": found,
        "totals": access.domains(request.user).aggregate(
            domains=Count("name"),
            mailboxes=Sum("mailbox_count", default=0),
            used=SumOfSizes("quota_used", default=0),
        ),
        "concerns": attention.concerns(request.user),
        "today": traffic.today() if access.rights(request.user).server else None,
        "changes": newest(access.log(request.user), {}, size=6),
    }
    return render(request, "accounts/home.html", context)


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
