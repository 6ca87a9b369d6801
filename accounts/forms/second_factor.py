from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy, ngettext

from accounts import second_factor
from accounts.audit import By
from accounts.authentication import client_address
from accounts.forms.own import CurrentPasswordForm
from accounts.models import Mailbox
from mailpanel.forms import PanelForm, Text

_DIGITS = {"inputmode": "numeric", "autocomplete": "one-time-code", "maxlength": "12"}
_LETTERS = {"autocapitalize": "none", "spellcheck": "false"}


class SecondStepForm(PanelForm):
    """The code after the password, of the person whose password it was."""

    code = Text(label=gettext_lazy("Six digits"), max_length=100, attrs=_DIGITS)
    trust = forms.BooleanField(required=False)

    def __init__(self, *args, request, mailbox: Mailbox, days: int, recovery: bool, **kwargs):
        super().__init__(*args, **kwargs)
        self.mailbox, self.by = mailbox, By(mailbox.email, client_address(request))
        code = self.fields["code"]
        if recovery:
            self.fields["code"] = code = Text(
                label=gettext_lazy("Recovery code"), max_length=100, attrs=_LETTERS
            )
        code.widget.attrs["autofocus"] = True
        if days:
            self.fields["trust"].label = (
                ngettext(
                    "Do not ask on this device for %d day", "Do not ask on this device for %d days", days
                )
                % days
            )
        else:
            del self.fields["trust"]

    def clean_code(self) -> str:
        second_factor.verify(self.mailbox, self.cleaned_data["code"], by=self.by)
        return self.cleaned_data["code"]


class FirstCodeForm(PanelForm):
    """The code that shows that the app has the key."""

    code = Text(label=gettext_lazy("Six digits from the app"), max_length=100, attrs=_DIGITS)


class BothFactorsForm(CurrentPasswordForm):
    """What is asked before the second factor is changed: the password, and a code where there is one already."""

    code = Text(
        label=gettext_lazy("Code"),
        max_length=100,
        attrs={"autocomplete": "one-time-code", **_LETTERS},
        help_text=gettext_lazy("From the app, or a recovery code."),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if second_factor.of(self.mailbox) is None:
            del self.fields["code"]

    def clean(self):
        data = super().clean()
        if "code" in data and "current" in data:  # a wrong password spends no code
            try:
                second_factor.verify(
                    self.mailbox, data["code"], by=By(self.mailbox.email, client_address(self.request))
                )
            except ValidationError as error:
                self.add_error("code", error)
        return data
