"""What all forms of the panel share."""

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError


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
