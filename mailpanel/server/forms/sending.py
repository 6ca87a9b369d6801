from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailpanel.forms import EditForm
from mailpanel.server.models import SendLimit
from mailpanel.server.sending import Limit

MOST = 999_999_999


class Number(forms.IntegerField):
    def __init__(self, **kwargs):
        widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
        super().__init__(required=False, min_value=1, max_value=MOST, widget=widget, **kwargs)


class LimitForm(EditForm):
    """The limit of a mailbox or a domain: of its own, or that of what is around it."""

    INHERIT, OWN = "inherit", "own"
    which = forms.ChoiceField(label=gettext_lazy("Limit"), widget=forms.RadioSelect)
    per_hour = Number(
        label=gettext_lazy("Recipients an hour"), help_text=gettext_lazy("Left empty: unlimited.")
    )
    per_day = Number(label=gettext_lazy("Recipients a day"), help_text=gettext_lazy("Left empty: unlimited."))

    def __init__(self, *args, row: SendLimit | None, inherited: str, about: tuple[str, str], **kwargs):
        super().__init__(*args, row=row, about=about, **kwargs)
        self.fields["which"].choices = [(self.INHERIT, inherited), (self.OWN, _("A limit of its own:"))]

    def stored(self, row: SendLimit | None) -> dict:
        own = row is not None
        return {
            "which": self.OWN if own else self.INHERIT,
            "per_hour": row.per_hour if own else None,
            "per_day": row.per_day if own else None,
        }

    def clean(self):
        data = super().clean()
        typed = [name for name in ("per_hour", "per_day") if name in self.changed_data and data.get(name)]
        if data.get("which") == self.INHERIT and typed:
            self.add_error("which", _("Choose a limit of its own for these numbers, or leave them empty."))
        return data

    @property
    def wanted(self) -> Limit | None:
        data = self.cleaned_data
        return Limit(data["per_hour"], data["per_day"]) if data["which"] == self.OWN else None
