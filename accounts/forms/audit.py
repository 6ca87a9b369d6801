from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import access, audit
from accounts.models import Audit, Mailbox
from domains import addresses
from mailpanel.forms import AS_IS, PeriodForm, Text


class AuditForm(PeriodForm):
    """What to find in the audit log. A filter that means nothing says so at its field, and narrows nothing."""

    object = Text(label=gettext_lazy("Address or domain"), required=False, max_length=400, attrs=AS_IS)
    who = Text(label=gettext_lazy("Done by"), required=False, max_length=400, attrs=AS_IS)
    domain = Text(label=gettext_lazy("In the domain"), required=False, max_length=400, attrs=AS_IS)
    did = forms.ChoiceField(
        label=gettext_lazy("What was done"),
        required=False,
        choices=lambda: [("", _("anything")), *audit.actions()],
    )

    def __init__(self, *args, actor: Mailbox, **kwargs):
        super().__init__(*args, **kwargs)
        self.actor = actor

    def clean_object(self) -> str:
        """An address, a domain, or the path of a page, of which the log tells who was refused there."""
        typed = self.cleaned_data["object"]
        if not typed or typed.startswith("/"):
            return typed
        return addresses.parse_alias_source(typed) if "@" in typed else addresses.parse_domain(typed)

    def clean_who(self) -> str:
        typed = self.cleaned_data["who"]
        if "@" in typed:
            return addresses.parse_mailbox(typed)
        if typed and not typed.startswith("shell:"):
            raise ValidationError(_("Write an address, or such as shell:root for who used a command."))
        return typed

    def clean_domain(self) -> str:
        typed = self.cleaned_data["domain"]
        name = addresses.parse_domain(typed) if typed else ""
        if name and not access.rights(self.actor).helps(name):
            raise ValidationError(_("You look after no domain of this name."))
        return name

    @property
    def used(self) -> dict[str, str]:
        """The filters that narrow something, as text."""
        self.is_valid()
        return {name: str(value) for name, value in self.cleaned_data.items() if value}

    def find(self) -> QuerySet[Audit]:
        """What the actor may see of what is asked for."""
        self.is_valid()
        data = self.cleaned_data
        rows = access.log(self.actor, about=data.get("object", ""))
        if who := data.get("who"):
            rows = rows.filter(actor=who)
        if domain := data.get("domain"):
            rows = rows.filter(domain=domain)
        if did := data.get("did"):
            action, _blank, kind = did.partition(" ")
            rows = rows.filter(action=action, kind=kind)
        since, until = self.period
        if since:
            rows = rows.filter(at__gte=since)
        if until:
            rows = rows.filter(at__lt=until)
        return rows
