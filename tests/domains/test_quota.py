"""Sizes are parsed or refused, never misread."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from domains import quota

MB, GB = 1024**2, 1024**3


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5 GB", 5 * GB), ("5GiB", 5 * GB), ("5gb", 5 * GB), ("5G", 5 * GB), (" 10 MB ", 10 * MB), ("1.5 GB", 1536 * MB),
        ("1024 B", 1024), ("0.5 KB", 512), ("2 TB", 2048 * GB), ("5 Go", 5 * GB), ("20 Mo", 20 * MB), ("7 o", 7), ("1024 TB", 1024**5), ("2147483647 B", 2**31 - 1),
        ("0", None), ("", None), ("   ", None), ("0 GB", None), ("unlimited", None), ("Unlimited", None),
    ],
)  # fmt: skip
def test_parsed(text, size):
    assert quota.parse(text) == size


@pytest.mark.parametrize(
    "text",
    ["-1", "-0", "1e3", "0x10", "1_000", "\uff11\uff10", "\uff11 GB", "10", "500", "1,5 GB", "NaN", "inf", "5 GG", "5 G B",
     "GB", "5 GB 5 MB", "9" * 25 + " B", "2 PB", "1025 TB", "5\nGB", "5 GB\x00", "5 ГБ", "∞", "-5 GB", "+5 GB"],
)  # fmt: skip
def test_refused(text):
    with pytest.raises(ValidationError) as error:
        quota.parse(text)
    assert error.value.messages[0]


@pytest.mark.parametrize("language", ["de", "fr", "es"])
def test_comma_where_the_language_has_it(language):
    with translation.override(language):
        assert quota.parse("1,5 GB") == quota.parse("1.5 GB") == 1536 * MB
        assert quota.parse("1,024 KB") == 1049
        with pytest.raises(ValidationError):  # a thousand, or one and a bit
            quota.parse("1.024 MB")
        shown = quota.show(1536 * MB)
        assert quota.parse(shown.replace("\xa0", " ")) == 1536 * MB


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text):
    try:
        size = quota.parse(text)
    except ValidationError:
        return
    assert size is None or 0 < size <= quota.LARGEST


@given(st.integers(1, quota.LARGEST))
def test_exact_is_read_back(size):
    assert quota.parse(quota.exact(size)) == size


@given(st.integers(0, 10**18))
def test_shown_is_near(size):
    number, unit = quota.number_and_unit(size)
    value = float(number.replace(",", "")) * {"B": 1, "KB": 1024, "MB": MB, "GB": GB, "TB": 1024 * GB}[unit]
    assert abs(value - size) <= max(size * 0.05, 1)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (None, "unlimited"),
        (0, "0 B"),
        (512, "512 B"),
        (5 * GB, "5 GB"),
        (int(9.6 * GB), "9.6 GB"),
        (300 * MB, "300 MB"),
    ],
)
def test_shown(size, shown):
    assert quota.show(size) == shown
