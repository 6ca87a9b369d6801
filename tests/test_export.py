"""CSV that comes back as it went, and in which nothing begins as a formula does."""

import csv
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpanel import export


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))


@pytest.mark.parametrize(
    "cell",
    ['=HYPERLINK("http://evil","x")', "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1", "＝1", "-"],
)
def test_what_would_run_is_a_text(cell):
    assert export.harmless(cell) == "'" + cell
    assert read("".join(export.lines(["a"], [[cell]])))[1] == ["'" + cell]


@pytest.mark.parametrize("cell", ["", "user1@a.example", "a=b", " =1", -5, 0, None, "'quoted", '{"a": 1}'])
def test_everything_else_stays(cell):
    assert export.harmless(cell) == cell


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2), max_size=5))
def test_comes_back(rows):
    text = "".join(export.lines(["one", "two"], rows))
    assert text.startswith('\ufeff"one","two"\r\n')
    assert read(text)[1:] == [[export.harmless(cell) for cell in row] for row in rows]


def test_rows_are_read_while_they_are_sent():
    numbers = itertools.count()
    response = export.download("numbers.csv", ["number"], ([number] for number in numbers))
    sent = list(itertools.islice(response, 4))
    assert sent[3] == b'"2"\r\n'
    assert next(numbers) == 3
    assert response["Content-Disposition"] == 'attachment; filename="numbers.csv"'
    assert response["Content-Type"] == "text/csv; charset=utf-8"
