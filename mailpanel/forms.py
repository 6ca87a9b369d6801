"""What all forms of the panel share."""

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from domains import addresses


class PanelForm(forms.Form):
    """A form that puts the focus on the first field with an error, and takes the refusals of the lifecycle functions."""

    def full_clean(self):
        super().full_clean()
        self._focus()

    def take(self, error: ValidationError) -> None:
        """Show a refusal that came while saving, at its field if the form has it."""
        errors = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error}
        for field, of_field in errors.items():
            self.add_error(field if field in self.fields else None, of_field)
        self._focus()

    def _focus(self):
        first = next((name for name in self.fields if name in self.errors), None)
        if first:
            self.fields[first].widget.attrs["autofocus"] = True


class Text(forms.CharField):
    """One line; blanks at the ends go, everything else is the business of whoever reads it."""

    def __init__(self, **kwargs):
        attrs = kwargs.pop("attrs", {})
        kwargs.setdefault("widget", forms.TextInput(attrs={"autocomplete": "off", **attrs}))
        super().__init__(**{"max_length": 255, **kwargs})


class Password(forms.CharField):
    """Nothing is stripped: blanks are part of a password."""

    def __init__(self, *, autocomplete: str, **kwargs):
        widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
        super().__init__(**{"strip": False, "widget": widget, **kwargs})


class Switch(forms.BooleanField):
    def __init__(self, **kwargs):
        super().__init__(
            **{
                "required": False,
                "widget": forms.CheckboxInput(attrs={"class": "switch", "role": "switch"}),
                **kwargs,
            }
        )


class ReasonForm(PanelForm):
    """What is done to somebody else's mailbox, or to a domain, and why."""

    reason = Text(
        label=gettext_lazy("Reason"),
        required=False,
        help_text=gettext_lazy(
            "Such as “called from the office”. It stands in the log, where the owner sees it."
        ),
    )


class TypedNameForm(ReasonForm):
    """For what is hard to undo by hand: the name is typed to confirm."""

    name = Text(
        label=gettext_lazy("Type the name to confirm"),
        attrs={"autocapitalize": "none", "spellcheck": "false"},
    )
    field_order = ["name", "reason"]

    def __init__(self, *args, name: str, **kwargs):
        super().__init__(*args, **kwargs)
        self.names = {name, addresses.to_unicode(name)}
        self.fields["name"].help_text = addresses.to_unicode(name)

    def clean_name(self) -> str:
        typed = self.cleaned_data["name"].lower()
        if typed not in self.names:
            raise ValidationError(_("This is not the name."))
        return typed
