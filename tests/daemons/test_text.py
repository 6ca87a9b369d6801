from datetime import UTC, datetime

import pytest
from django.utils import translation

from mailpanel.daemons.text import Size, Text, ngettext


def test_is_translated_where_it_is_shown():
    text = Text("Delete %(name)s?", name="x")
    with translation.override("de"):
        german = str(Text("unlimited"))
    assert german != "unlimited"
    assert str(text) == "Delete x?"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("50 % full", "50 % full"), (12345, "12,345"), (3.0, "3"), (0.8, "0.8"), (1.2345, "1.2"), (0.0123, "0.01"),
        (Size(5 * 1024**3), "5 GB"), (datetime(2026, 11, 22, 9, 30, tzinfo=UTC), "22 November 2026, 09:30"), (["a", "b"], "a, b"),
        (Text("within"), "within"),
    ],
)  # fmt: skip
def test_what_is_filled_in(value, shown):
    assert str(Text("%(value)s", value=value)) == shown


def test_plural():
    assert str(ngettext("%(number)s day", "%(number)s days", 1)) == "1 day"
    assert str(ngettext("%(number)s day", "%(number)s days", 2000)) == "2,000 days"


def test_empty_is_empty_in_every_language():
    with translation.override("de"):
        assert str(Text("")) == ""
    assert not Text("")
