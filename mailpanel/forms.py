"""What all forms of the panel share."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django import forms
from django.core import signing
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.models import Audit
from domains import addresses, quota

# For addresses and names, which no keyboard is to correct.
AS_IS = {"autocapitalize": "none", "spellcheck": "false"}


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


@dataclass(frozen=True)
class Difference:
    """What somebody else did to one value, in words. `yours` is empty where this person had not touched it."""

    label: str
    now: str
    yours: str = ""


@dataclass(frozen=True)
class Conflict:
    """Who changed the row meanwhile (the last one that the log knows of), and what is different now."""

    last: Audit | None
    differences: list[Difference]


class EditForm(PanelForm):
    """A form over a row that somebody else may change while its page is open.

    The page carries, signed, what the form showed of the row when it was opened. `changes` are those against that, so
    that a field which nobody touched on this page is never written, however stale it is. The lifecycle function
    calls `compare` with the row as it is, held under lock: if the row is another one by then, nothing is saved, the page
    says who changed it and how, and the next save goes through. A field of these that this person had not touched takes
    the other's value; one that both changed keeps what was typed.

    `about` is (kind, name) as in the audit, and None for a row that is yet to be made. A form with more than columns in
    it says in `stored` what it shows, as JSON; passwords are never in it.
    """

    conflict: Conflict | None = None

    def __init__(self, *args, row, about: tuple[str, str] | None, **kwargs):
        super().__init__(*args, **kwargs)
        self.about, self.opened = about, self.stored(row)
        if about and self.is_bound and (token := self.data.get(self._seen_name)) is not None:
            try:
                self.opened = signing.loads(token, salt=self._salt)
            except signing.BadSignature:
                self.opened = {}  # differs from every row
        self.initial |= {name: value for name, value in self.opened.items() if name in self.fields}

    def stored(self, row) -> dict:
        """What the form shows of a row, as plain values by name."""
        return {
            name: getattr(row, name)
            for name, field in self.fields.items()
            if hasattr(row, name) and not isinstance(field, Password)
        }

    @property
    def changes(self) -> dict:
        """The values that this person changed."""
        return {name: self.cleaned_data[name] for name in self.changed_data if name in self.opened}

    @property
    def seen(self) -> str:
        """The hidden field; form_errors.html puts it into the page."""
        if not self.about:
            return ""
        return format_html(
            '<input type="hidden" name="{}" value="{}">',
            self._seen_name,
            signing.dumps(self.opened, salt=self._salt, compress=True),
        )

    @property
    def _seen_name(self) -> str:
        return self.add_prefix("seen")

    @property
    def _salt(self) -> str:
        return "seen:" + ":".join(self.about)

    def compare(self, row) -> None:
        """Refuse (ValidationError, code "changed") if the row is not as it was when the page was opened."""
        now, opened = self.stored(row), self.opened
        different = [key for key in {**now, **opened} if now.get(key) != opened.get(key)]
        if not different:
            return
        self.conflict = Conflict(audit.last(*self.about), [self.difference(key, now) for key in different])
        self.merge([key for key in different if not self.touched(key)], now)
        self.opened = now
        raise ValidationError(_("Somebody else was faster."), code="changed")

    def touched(self, key: str) -> bool:
        return key in self.changed_data

    def difference(self, key: str, now: dict) -> Difference:
        yours = self._in_words(key, self.cleaned_data.get(key)) if self.touched(key) else ""
        return Difference(self[key].label, self._in_words(key, now.get(key)), yours)

    def merge(self, untouched: list[str], now: dict) -> None:
        """Show the other's value where this person had none of their own."""
        self.data = self.data.copy()
        for name in untouched:
            value = self.fields[name].prepare_value(now.get(name))
            if isinstance(self.fields[name], forms.BooleanField):
                value = "on" if value else None
            if value is None:
                self.data.pop(self.add_prefix(name), None)
            else:
                self.data[self.add_prefix(name)] = value

    def _in_words(self, name: str, value) -> str:
        field = self.fields[name]
        if isinstance(field, forms.BooleanField):
            return _("yes") if value else _("no")
        if isinstance(field, quota.SizeInput):
            return quota.show(value)
        return str(value) if value not in (None, "") else _("empty")


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
        attrs=AS_IS,
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


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class DayInput(forms.DateInput):
    """The browser's own; where it has none, text that is no day is told in the error, since it cannot stand in here."""

    input_type = "date"

    def format_value(self, value):
        return value if not isinstance(value, str) or _DAY.fullmatch(value) else ""


class Day(forms.DateField):
    widget = DayInput(format="%Y-%m-%d")
    # the day after has to be one, in every time zone, and MariaDB's DATETIME begins in 1000
    default_validators = [MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2999, 12, 31))]

    def to_python(self, value):
        try:
            return super().to_python(value)
        except ValidationError:
            sentence = _("“%s” is not a day. Write it such as 2026-03-14.")
            raise ValidationError(sentence % str(value)[:40], code="invalid") from None


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


class PeriodForm(PanelForm):
    """Filters of a list, the last of which are its first and its last day."""

    since = Day(label=gettext_lazy("First day"), required=False)
    until = Day(label=gettext_lazy("Last day"), required=False)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name not in ("since", "until")])

    def clean(self):
        data = super().clean()
        if data.get("since") and data.get("until") and data["until"] < data["since"]:
            self.add_error("until", _("This is before the first day."))
        return data

    @property
    def period(self) -> tuple[datetime | None, datetime | None]:
        """From when, and until before when."""
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        return since and midnight(since), until and midnight(until + timedelta(days=1))
