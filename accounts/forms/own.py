from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import passwords
from domains import addresses
from mailpanel.forms import PanelForm, Password


class SignInForm(PanelForm, AuthenticationForm):
    # One answer for an unknown address, a wrong password, a mailbox or domain that is off.
    error_messages = {
        "invalid_login": gettext_lazy(
            "The address and the password do not go together, or this mailbox may not sign in."
        ),
    }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["username"] = forms.CharField(
            label=_("Address"),
            max_length=400,
            widget=forms.TextInput(
                attrs={
                    "autocomplete": "username",
                    "autocapitalize": "none",
                    "spellcheck": "false",
                    "inputmode": "email",
                    "placeholder": _("you@example.org"),
                    "autofocus": True,
                }
            ),
        )
        self.fields["password"] = Password(label=_("Password"), autocomplete="current-password")

    def clean_username(self) -> str:
        """The canonical form, so that the throttle counts all spellings as one; or the text as it is, to fail later."""
        typed = self.cleaned_data["username"]
        try:
            return addresses.parse_mailbox(typed)
        except ValidationError:
            return typed[:255]


class CurrentPasswordForm(PanelForm):
    """What is asked again before something that a session alone may not do."""

    current = Password(label=gettext_lazy("Current password"), autocomplete="current-password")

    def __init__(self, *args, request, **kwargs):
        super().__init__(*args, **kwargs)
        self.request, self.mailbox = request, request.user

    def clean_current(self) -> str:
        """By the same road as a sign-in, so that guessing here is throttled with the guesses there."""
        current = self.cleaned_data["current"]
        if authenticate(self.request, username=self.mailbox.email, password=current) is None:
            raise ValidationError(_("This is not your current password."))
        return current


class PasswordForm(CurrentPasswordForm):
    """The own password: the current one, then the new one under the policy."""

    new = Password(label=gettext_lazy("New password"), autocomplete="new-password")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["new"].widget.attrs |= {"aria-describedby": "strength rules"}

    def clean_new(self) -> str:
        new = self.cleaned_data["new"]
        passwords.validate(new, address=self.mailbox.email, name=self.mailbox.name)
        if new == self.cleaned_data.get("current"):
            raise ValidationError(_("This is the password that you have. Choose another one."))
        return new
