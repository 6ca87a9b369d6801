"""Pages of a list by key, never by offset: page 2,000 costs what page 1 costs."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import QuerySet

SIZE = 50


@dataclass
class Page:
    rows: list
    first: str = ""
    last: str = ""
    earlier: str = ""  # query strings of the neighbours, empty where there is none
    later: str = ""

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)


def page(rows: QuerySet, key: str, asked, size: int = SIZE) -> Page:
    """The rows after `asked["after"]` or before `asked["before"]`, ordered by the unique column `key`.

    `asked` is request.GET; whatever else it holds goes along in the neighbours' query strings.
    """
    after, before = asked.get("after", ""), asked.get("before", "")
    backwards = bool(before) and not after
    if backwards:
        found = list(rows.filter(**{f"{key}__lt": before}).order_by(f"-{key}")[: size + 1])
    else:
        found = list(rows.filter(**{f"{key}__gt": after} if after else {}).order_by(key)[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Page([])
    first, last = (_value(row, key) for row in (found[0], found[-1]))
    kept = {name: value for name, value in asked.items() if name not in ("after", "before")}
    return Page(
        found,
        first,
        last,
        earlier="?" + urlencode({**kept, "before": first}) if (more if backwards else after) else "",
        later="?" + urlencode({**kept, "after": last}) if (backwards or more) else "",
    )


def _value(row, key: str) -> str:
    return row[key] if isinstance(row, dict) else getattr(row, key)
