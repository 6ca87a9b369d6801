import json
from datetime import UTC, date, datetime

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


@pytest.mark.parametrize(
    "text",
    [
        Text(""),
        Text("unlimited"),
        Text("50 % full"),
        ngettext("%(number)s day", "%(number)s days", 2),
        Text("%(a)s %(b)s %(c)s %(d)s %(e)s", a=Size(5 * 1024**3), b=1.5, c=["x", Size(1)], d=date(2026, 11, 22), e=Text("unlimited")),
        Text("%(at)s", at=datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", ["en", "de"])
def test_is_kept_as_json_and_translated_later(text, language):
    kept = Text.unpacked(json.loads(json.dumps(text.packed())))
    with translation.override(language):
        assert str(kept) == str(text)
    assert bool(kept) == bool(text)
