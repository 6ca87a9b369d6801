"""Pages of a list by key, never by offset: page 2,000 costs what page 1 costs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def newest(rows: QuerySet, asked, size: int = SIZE) -> Page:
    """The same by the columns `at` and `id`, the newest first; `first` and `last` are keys as the query strings have them."""
    before, after = _moment_and_id(asked.get("before", "")), _moment_and_id(asked.get("after", ""))
    backwards = after is not None and before is None
    # the first condition is what an index can begin with: of an OR alone SQLite would make two searches and a sort
    if backwards:
        rows = rows.filter(Q(at__gt=after[0]) | Q(id__gt=after[1]), at__gte=after[0]).order_by("at", "id")
    elif before:
        rows = rows.filter(Q(at__lt=before[0]) | Q(id__lt=before[1]), at__lte=before[0]).order_by(
            "-at", "-id"
        )
    else:
        rows = rows.order_by("-at", "-id")
    # First the keys: where an index holds all that is asked for, MariaDB begins at the right place in it (1 against
    # 250 ms in 400,000 rows), and rows of several domains are put in order without being read.
    keys = list(rows.values_list("pk", flat=True)[: size + 1])
    there = rows.model.objects.order_by().in_bulk(keys)
    found = [there[key] for key in keys if key in there]
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Page([])
    first, last = (
        f"{(row.at - _EPOCH) // timedelta(microseconds=1)}-{row.pk}" for row in (found[0], found[-1])
    )
    kept = {name: value for name, value in asked.items() if name not in ("after", "before")}
    return Page(
        found,
        first,
        last,
        earlier="?" + urlencode({**kept, "after": first}) if (more if backwards else before) else "",
        later="?" + urlencode({**kept, "before": last}) if (backwards or more) else "",
    )


def _moment_and_id(key: str) -> tuple[datetime, int] | None:
    moment, _dash, pk = key.partition("-")
    if not (key.isascii() and moment.isdecimal() and pk.isdecimal() and len(moment) < 17 and len(pk) < 19):
        return None
    return _EPOCH + timedelta(microseconds=int(moment)), int(pk)
