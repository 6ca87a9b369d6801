from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import access
from accounts.access import To
from accounts.models import SERVER, Mailbox, Role
from domains import addresses
from domains.models import Domain
from mailpanel.forms import AS_IS, PanelForm, Text

FEW = 20  # domains to choose from; with more of them, the name is typed


class RoleForm(PanelForm):
    """Which role to give: what the actor may give, and in the domains that he administers."""

    kind = forms.ChoiceField(label=gettext_lazy("Role"), widget=forms.RadioSelect)
    domain = Text(
        label=gettext_lazy("For the domain"),
        required=False,
        max_length=300,
        attrs=AS_IS,
    )
    everywhere = forms.BooleanField(label=gettext_lazy("For all domains, also later ones"), required=False)

    def __init__(self, *args, actor: Mailbox, domain: Domain | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.actor = actor
        self.fields["kind"].choices = [
            (Role.Kind.HELPDESK, _("Helpdesk: resets passwords of people without a role")),
            (Role.Kind.ADMIN, _("Domain admin: makes and changes mailboxes and aliases, and gives roles")),
        ]
        if access.rights(actor).server:
            self.fields["kind"].choices += [(SERVER, _("Server admin: everything, in all domains"))]
            self.fields["domain"].help_text = _("A server admin needs none.")
        else:
            del self.fields["everywhere"]
        names = list(access.domains(actor, To.GRANT).values_list("name", flat=True)[: FEW + 1])
        if len(names) <= FEW:
            chosen = forms.Select(choices=[(name, addresses.to_unicode(name)) for name in names])
            self.fields["domain"].widget = chosen

    def clean(self):
        """`where` is the name of the domain, or None for all."""
        data = super().clean()
        self.where = None
        typed = data.get("domain", "")
        if data.get("kind") == SERVER or data.get("everywhere") or "domain" in self.errors:
            return data
        try:
            if not typed:
                raise ValidationError(_("For which domain?"))
            self.where = addresses.parse_domain(typed)
            if not access.domains(self.actor, To.GRANT).filter(name=self.where).exists():
                raise ValidationError(_("You administer no domain of this name."))
        except ValidationError as error:
            self.add_error("domain", error)
        return data


class PersonForm(PanelForm):
    """Who shall look after a domain, among those that the actor may see."""

    person = Text(
        label=gettext_lazy("Address"),
        max_length=400,
        attrs=AS_IS | {"inputmode": "email"},
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Role"), choices=Role.Kind.choices, initial=Role.Kind.HELPDESK
    )

    def __init__(self, *args, actor: Mailbox, **kwargs):
        super().__init__(*args, **kwargs)
        self.actor = actor

    def clean_person(self) -> str:
        email = addresses.parse_mailbox(self.cleaned_data["person"])
        if not access.mailboxes(self.actor).filter(email=email).exists():
            raise ValidationError(_("There is no such mailbox in the domains that you look after."))
        return email


class HoldersForm(PanelForm):
    """Which of those who hold a role to list."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Role"),
        required=False,
        choices=[("", gettext_lazy("any")), (SERVER, gettext_lazy("server admin")), *Role.Kind.choices],
    )
    domain = Text(
        label=gettext_lazy("For the domain"),
        required=False,
        max_length=300,
        attrs=AS_IS,
    )

    def clean_domain(self) -> str:
        name = self.cleaned_data["domain"]
        name = addresses.parse_domain(name) if name else ""
        if name and not Domain.objects.filter(name=name).exists():
            raise ValidationError(_("There is no domain %s here.") % addresses.to_unicode(name))
        return name
