from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import lifecycle, passwords
from accounts.models import Mailbox
from domains import addresses, quota
from mailpanel.forms import AS_IS, EditForm, Password, Switch, Text


class MailboxForm(EditForm):
    """What may be edited of a mailbox; the address never changes."""

    name = Text(
        label=gettext_lazy("Name"),
        required=False,
        help_text=gettext_lazy("As people know this person or place."),
    )
    quota = quota.SizeInput(
        label=gettext_lazy("Quota"),
        help_text=gettext_lazy("Such as 500 MB or 10 GB. Left empty: unlimited."),
    )
    full = forms.BooleanField(
        label=gettext_lazy(
            "Set it all the same: what is in it stays, and nothing comes in until there is room"
        ),
        required=False,
    )
    enabled = Switch(
        label=gettext_lazy("Switched on"),
        help_text=gettext_lazy(
            "Switched off, the address does not exist: mail for it is refused. The mail in it stays."
        ),
    )
    can_login = Switch(
        label=gettext_lazy("May sign in"),
        help_text=gettext_lazy("Without it, the mailbox still receives, and nobody can read it."),
    )
    must_change_password = Switch(
        label=gettext_lazy("Must choose a new password"),
        help_text=gettext_lazy(
            "At the next sign-in here, before anything else. Mail programs go on with the old one until then."
        ),
    )

    def __init__(self, *args, mailbox: Mailbox, **kwargs):
        self.mailbox = mailbox
        about = ("mailbox", mailbox.email) if mailbox.pk else None
        super().__init__(*args, row=mailbox, about=about, **kwargs)
        self.used = max(getattr(getattr(mailbox, "usage", None), "bytes", 0) or 0, 0)
        if self.used:
            self.fields["quota"].help_text += " " + _("%s are in use.") % quota.show(self.used)

    def clean(self):
        """A quota below what is in use is set only knowingly."""
        data = super().clean()
        size = data.get("quota")
        if "quota" in self.changed_data and size is not None and size < self.used and not data.get("full"):
            self.add_error("full", _("%s are in the mailbox, more than this quota.") % quota.show(self.used))
        return data


class NewMailboxForm(MailboxForm):
    GENERATE, TYPED, NONE = "generate", "typed", "none"

    local = Text(
        label=gettext_lazy("Address"),
        max_length=300,
        strip=False,
        attrs=AS_IS,
    )
    how = forms.ChoiceField(
        label=gettext_lazy("Password"),
        initial=GENERATE,
        widget=forms.RadioSelect,
        choices=[
            (GENERATE, gettext_lazy("Generate one and show it once")),
            (TYPED, gettext_lazy("Type one")),
            (NONE, gettext_lazy("None yet: receives, and nobody can sign in")),
        ],
    )
    password = Password(
        label=gettext_lazy("Password to begin with"), autocomplete="new-password", required=False
    )
    anew = forms.BooleanField(
        label=gettext_lazy("Make it anew, and erase the mail that its former owner left"), required=False
    )
    beside_alias = forms.ChoiceField(
        label=gettext_lazy("There is an alias with this address. Who gets the mail?"),
        required=False,
        widget=forms.RadioSelect,
        choices=[
            (lifecycle.AS_WELL, gettext_lazy("The mailbox and the destinations of the alias")),
            (lifecycle.INSTEAD, gettext_lazy("Only the destinations of the alias; the mailbox stays empty")),
        ],
    )
    field_order = ["name", "local", "beside_alias", "anew", "quota", "how", "password"]
    in_trash = False
    is_alias = False

    @property
    def taken(self) -> str:
        """The page of the alias that has the address."""
        return reverse("domains:alias", args=[self.email]) if self.is_alias else ""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in ("full", "enabled", "can_login", "must_change_password"):
            del self.fields[name]
        self.initial["quota"] = self.mailbox.domain.default_quota

    def clean_local(self) -> str:
        local, domain = self.cleaned_data["local"], self.mailbox.domain
        typed, at, typed_domain = local.strip(" ").rpartition("@")
        if at and typed and typed_domain.lower() in (domain.name, str(domain)):
            local = typed
        email = addresses.parse_mailbox(f"{local.strip(' ')}@{domain.name}")
        self.email = email
        if Mailbox.objects.filter(email=email).exists():
            raise ValidationError(_("%s exists already.") % addresses.to_unicode(email))
        return email

    def clean(self):
        data = super().clean()
        self.password = None
        if data.get("how") == self.GENERATE:
            self.password = passwords.generate()
        elif data.get("how") == self.TYPED:
            self.password = data.get("password") or ""
            try:
                passwords.validate(self.password, address=data.get("local", ""), name=data.get("name", ""))
            except ValidationError as error:
                self.add_error("password", error)
        return data

    def take(self, error: ValidationError) -> None:
        if hasattr(error, "error_dict") and "email" in error.error_dict:
            codes = {each.code for each in error.error_dict["email"]}
            self.in_trash, self.is_alias = "in_trash" in codes, "alias" in codes
            error = ValidationError({"local": error.error_dict["email"]})
        super().take(error)

    def build(self) -> Mailbox:
        """The mailbox, cleaned and not saved."""
        data = self.cleaned_data
        mailbox = Mailbox(
            email=data["local"],
            domain=self.mailbox.domain,
            name=data["name"],
            quota=data["quota"],
            must_change_password=data["how"] != self.NONE,
        )
        mailbox.clean()
        return mailbox
