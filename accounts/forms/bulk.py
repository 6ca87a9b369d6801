from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.bulk import Change
from domains import quota
from mailpanel.forms import ReasonForm, Text


class BulkForm(ReasonForm):
    """What is to be done to many mailboxes. `count` is how many were shown on the page: if by now it would be
    another number, it is asked again."""

    preview = Change({})  # what is known of it before the form is filled in
    count = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args, found: int, **kwargs):
        self.found = found
        super().__init__(*args, **kwargs)
        # the number as it is now, also when the page comes back because it has changed
        self.fields["count"].widget.attrs["value"] = found

    def clean(self):
        if self.cleaned_data.get("count") != self.found:
            raise ValidationError(
                _("Something has changed meanwhile. Look at the numbers again, they are new."), code="changed"
            )
        return super().clean()

    @property
    def change(self) -> Change:
        return self.preview


class EnableForm(BulkForm):
    preview = Change({"enabled": True})


class DisableForm(BulkForm):
    preview = Change({"enabled": False})


class QuotaForm(BulkForm):
    quota = quota.SizeInput(
        label=gettext_lazy("Quota of each"),
        help_text=gettext_lazy("Such as 500 MB or 10 GB. Left empty: unlimited."),
    )
    field_order = ["quota", "reason"]

    @property
    def change(self) -> Change:
        return Change({"quota": self.cleaned_data["quota"]})


class DeleteForm(BulkForm):
    preview = Change(None)
    typed = Text(
        label=gettext_lazy("Type the number of mailboxes to confirm"), attrs={"inputmode": "numeric"}
    )
    field_order = ["typed", "reason"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["typed"].help_text = str(self.found)

    def clean_typed(self) -> str:
        if self.cleaned_data["typed"] != str(self.found):
            raise ValidationError(_("This is not the number."))
        return self.cleaned_data["typed"]


FORMS = {"enable": EnableForm, "disable": DisableForm, "quota": QuotaForm, "delete": DeleteForm}
