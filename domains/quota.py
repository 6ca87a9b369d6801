"""Sizes as people type them, to bytes and back."""

import re

from django import forms
from django.core.exceptions import ValidationError
from django.utils.formats import get_format, number_format
from django.utils.translation import gettext as _

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4, "P": 1024**5}
LARGEST = 1024**5  # 1 PB; far below what a BIGINT holds, so that sums over a domain do too
_SIZE = re.compile(r"(\d{1,20})(?:([.,])(\d{1,6}))? ?(?:([KMGTP]?)(?:i?[Bo])?)", re.ASCII | re.IGNORECASE)


def parse(text: str) -> int | None:
    """Bytes, or None for unlimited (empty, `0`, `unlimited`).

    A KB, MB, GB and TB is 1,024 of the next smaller, with or without the `i`, as Dovecot counts; Ko and Go are French. A bare number is
    refused, since it could mean bytes as well as megabytes. The point is read everywhere, the comma where the language
    has it; there `1.024 MB` is refused, since it could mean a thousand as well as one.
    """
    text = text.strip(" ")
    if text in ("", "0") or text.lower() == _("unlimited").lower() or text.lower() == "unlimited":
        return None
    match, decimal = _SIZE.fullmatch(text), get_format("DECIMAL_SEPARATOR")
    if match and match[2] not in (None, decimal) and (match[2] == "," or len(match[3]) == 3):
        match = None
    if not match:
        raise ValidationError(
            _("“%(text)s” is not a size. Write it such as 500 MB or 10 GB; left empty means unlimited."),
            code="size",
            params={"text": text[:40]},
        )
    whole, fraction, unit = match[1], match[3] or "", (match[4] or "").upper()
    if not unit and not text.upper().endswith(("B", "O")):
        raise ValidationError(
            _("%(text)s of what? Add the unit, such as %(text)s MB or %(text)s GB."),
            code="unit",
            params={"text": text},
        )
    scaled = int(whole + fraction) * UNITS[unit]
    size, rest = divmod(scaled, 10 ** len(fraction))
    size += bool(rest)
    if size == 0:
        return None
    if size > LARGEST:
        raise ValidationError(
            _("%(text)s is more than the largest quota, %(most)s. Left empty means unlimited."),
            code="large",
            params={"text": text, "most": show(LARGEST)},
        )
    return size


def number_and_unit(size: int) -> tuple[str, str]:
    """(“9.6”, “GB”): one decimal at most, by locale."""
    unit, step = _("B"), 1
    for name in (_("KB"), _("MB"), _("GB"), _("TB")):
        if size < step * 1024:
            break
        unit, step = name, step * 1024
    value = size / step
    decimals = 0 if step == 1 or value >= 100 or size % step == 0 else 1
    return number_format(round(value, decimals), decimal_pos=decimals), unit


def show(size: int | None) -> str:
    """“9.6 GB”, or the word “unlimited” for None."""
    return _("unlimited") if size is None else " ".join(number_and_unit(size))


def exact(size: int | None) -> str:
    """The shortest text that `parse` reads back as the same number of bytes; for form fields and exports."""
    if size is None:
        return ""
    for unit in "PTGMK":
        if size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]} {unit}B"
    return f"{size} B"


class SizeInput(forms.Field):
    """A form field in which people type a size; its value is bytes or None."""

    def __init__(self, **kwargs):
        widget = forms.TextInput(attrs={"autocomplete": "off", "maxlength": 40})
        super().__init__(**{"required": False, "widget": widget, **kwargs})

    def to_python(self, value):
        return parse(str(value or ""))

    def prepare_value(self, value):
        return exact(value) if value is None or isinstance(value, int) else value

    def has_changed(self, initial, data):
        try:
            return self.to_python(data) != initial
        except ValidationError:
            return True
