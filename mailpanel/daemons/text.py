"""Sentences that are made in one place and translated in another."""

from datetime import date, datetime

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext
from django.utils.translation import ngettext as _ngettext

from domains import quota


def plain(text: str) -> str:
    """A stranger's words, without what could steer a terminal or turn the writing around."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Size(int):
    """Bytes, to be shown as people say them."""


_PLAIN = (str, int, float, date, list, tuple)


class Text:
    """A sentence with what is to be filled in. It is translated where it is shown, by str(): probes run in threads and in
    a process of their own, where nobody's language is known. Modules import it as `_`, so that it is collected.
    """

    def __init__(self, singular: str, plural: str = "", number: int | None = None, /, **values):
        self.singular, self.plural, self.number = singular, plural, number
        self.values = {
            name: value if isinstance(value, (Text, *_PLAIN)) else str(value)
            for name, value in values.items()
        }

    def __str__(self) -> str:
        if not self.singular:  # gettext answers that with the head of the catalogue
            return ""
        text = (
            _ngettext(self.singular, self.plural, self.number)
            if self.number is not None
            else gettext(self.singular)
        )
        return text % {name: _shown(value) for name, value in self.values.items()} if self.values else text

    def __repr__(self) -> str:
        return f"Text({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self.singular)

    def packed(self) -> dict:
        """As JSON can hold it, to be kept; `unpacked` makes the same text of it."""
        if not self:
            return {}
        number = {} if self.number is None else {"plural": self.plural, "number": self.number}
        return {
            "text": self.singular,
            **number,
            "values": {name: _packed(value) for name, value in self.values.items()},
        }

    @classmethod
    def unpacked(cls, kept: dict) -> "Text":
        values = {name: _unpacked(value) for name, value in kept.get("values", {}).items()}
        return cls(kept.get("text", ""), kept.get("plural", ""), kept.get("number"), **values)


def ngettext(singular: str, plural: str, number: int, **values) -> Text:
    return Text(singular, plural, number, **values, number=number)


def _packed(value):
    match value:
        case Text():
            return {"": "text", **value.packed()}
        case Size():
            return {"": "size", "bytes": int(value)}
        case date():  # a moment, too
            return {"": type(value).__name__, "at": value.isoformat()}
        case list() | tuple():
            return [_packed(each) for each in value]
    return value


def _unpacked(kept):
    match kept:
        case {"": "text"}:
            return Text.unpacked(kept)
        case {"": "size", "bytes": size}:
            return Size(size)
        case {"": "datetime", "at": at}:
            return datetime.fromisoformat(at)
        case {"": "date", "at": at}:
            return date.fromisoformat(at)
        case list():
            return [_unpacked(each) for each in kept]
    return kept


def _shown(value) -> str:
    match value:
        case Size():
            return quota.show(value)
        case int():
            return number_format(value, force_grouping=True)
        case float():
            rounded = round(value, 1 if value >= 1 else 2)
            return number_format(int(rounded) if rounded.is_integer() else rounded)
        case datetime():
            return date_format(timezone.localtime(value), "DATETIME_FORMAT")
        case date():
            return date_format(value, "DATE_FORMAT")
        case list() | tuple():
            return ", ".join(map(_shown, value))
    return str(value)
