"""Tables as CSV: streamed, in constant memory, and nothing in them runs in a spreadsheet."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse

# What a spreadsheet takes for the beginning of a formula; the wide forms, since some of them fold these.
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")


class _Line:
    """A file for csv.writer that hands back what is written."""

    def write(self, text: str) -> str:
        return text


def harmless(cell):
    """The cell, with an apostrophe before a text that a spreadsheet would run."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def lines(head: Sequence[str], rows: Iterable[Sequence]) -> Iterator[str]:
    """RFC 4180, every cell quoted. Begins with a byte order mark, without which Excel does not read UTF-8."""
    write = csv.writer(_Line(), quoting=csv.QUOTE_ALL).writerow
    yield "\ufeff" + write(head)
    for row in rows:
        yield write([harmless(cell) for cell in row])


def download(name: str, head: Sequence[str], rows: Iterable[Sequence]) -> StreamingHttpResponse:
    """The rows as a file of this name, which is the caller's own ASCII; they are read while they are sent.

    The caller asks the database in portions: mysqlclient holds the whole answer to a statement, iterator() or not.
    """
    response = StreamingHttpResponse(lines(head, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
