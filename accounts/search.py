"""Find mailboxes, aliases and domains by the beginnings of words: the index and its queries.

A contained-in LIKE reads a million rows for each search; here it is one range of an index. An address gives a word at
each of its parts up to its end, so that `berg`, `berg@ex` and `ada.be` all find ada.berg@example.org. Case, width and
accents do not count. The words are kept with the row, in the same transaction, by the lifecycle functions; what goes
to the trash and comes back goes through accounts.trash, which keeps them, too.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from django.db import connection, transaction
from django.db.models import Exists, Model, OuterRef, QuerySet, Subquery

from accounts.models import Mailbox, Word
from domains import addresses
from domains.models import Alias, Domain

MOST_WORDS = 6
LONGEST = 255  # characters of a word that count
# A search that finds no more than this is answered by its hits, others by walking the list in its order.
FEW = 1000
# Up to here, hits are still fetched and sorted: quicker than walking a list in which they may all be at the end.
MOST_SORTED = 60_000
AT_ONCE = 1000  # rows that are indexed or forgotten in one go
_LAST = "\U0010ffff"
_BETWEEN = re.compile(r"[-._'’/+&=,;:()\[\]<>\"“”„«»·|\\@]+")
_AROUND = ',;:()[]<>"“”„«»'  # what people paste along with a word
_UNSEEN = {"Cf": "", "Cc": " ", "Cs": " ", "Zl": " ", "Zp": " ", "Zs": " "}
# Letters that no decomposition brings back to the one that people type for them.
_PLAIN = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th"})


def fold(text: str) -> str:
    """What is compared: NFKC, case and accents folded, without invisible characters and with blanks for controls."""
    text = "".join(_UNSEEN.get(unicodedata.category(character), character) for character in text)
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    # A class above 9 is an accent; below are the nukta, the kana's voice and the virama, which make another letter.
    text = "".join(character for character in text if unicodedata.combining(character) <= 9)
    return unicodedata.normalize("NFKC", text.translate(_PLAIN))


def typed(text: str) -> list[str]:
    """The words of a search, each of which must be found."""
    words = (word.rstrip(_AROUND) for word in fold(text[: 4 * LONGEST]).split())
    words = (_BETWEEN.sub("", word, count=1) if _BETWEEN.match(word) else word for word in words)
    return list(dict.fromkeys(word[:LONGEST] for word in words if word))[:MOST_WORDS]


# --- what is found ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """`rows` without order; `few` says that counting and sorting them costs nothing to speak of."""

    rows: QuerySet
    few: bool = True


def find(rows: QuerySet, text: str, domains: Collection[str] | None = None) -> Found:
    """Those of the mailboxes, alias rows or domains in which every typed word begins a word; nothing typed, all.

    `rows` are those that the actor may see, and `domains` the names that he may see, or None for all: each search
    stays within them. Three statements at most for each typed word, and one more where all of them are frequent.
    """
    kind, wanted = _KINDS[rows.model._meta.db_table].kind, typed(text)
    if not text.strip():
        return Found(rows, few=False)
    key = "domain" if kind is Word.Kind.DOMAIN else "object"
    everywhere = Word.objects.filter(kind=kind)
    within = everywhere if domains is None else everywhere.filter(domain__in=domains)
    most = None if kind is Word.Kind.DOMAIN else FEW + 1

    def some(words) -> tuple[set, bool]:
        keys = list(words.values_list(key, flat=True)[:most])
        return set(keys), most is None or len(keys) < most

    wanted.sort(key=len, reverse=True)  # the longest is mostly the rarest
    for word in wanted:
        keys, all_of_them = some(_beginning(within, word))
        if all_of_them:
            for other in wanted:
                if keys and other != word:
                    keys &= set(
                        _beginning(everywhere.filter(**{f"{key}__in": keys}), other).values_list(
                            key, flat=True
                        )
                    )
            return Found(rows.filter(pk__in=keys))
    if not wanted:
        return Found(rows.none())
    for word in wanted:
        words = _beginning(within, word)
        if words.values(key)[: MOST_SORTED + 1].count() <= MOST_SORTED:
            keys = set(words.values_list(key, flat=True))
            for other in wanted:
                if keys and other != word:
                    keys &= set(
                        _beginning(everywhere.filter(object__in=keys), other).values_list(key, flat=True)
                    )
            return Found(rows.filter(pk__in=keys), few=len(keys) <= FEW)
    both = _beginning(within, wanted[0])
    for other in wanted[1:]:
        both = both.filter(Exists(_beginning(everywhere.filter(object=OuterRef("object")), other)))
    if len(wanted) > 1:
        keys, all_of_them = some(both)
        if all_of_them:
            return Found(rows.filter(pk__in=keys))
    for word in wanted:
        # Asked of each row: written as an EXISTS, MariaDB would turn it round and sort all that it finds.
        words = _beginning(everywhere.filter(object=OuterRef("pk")), word)
        rows = rows.filter(pk=Subquery(words.values("object")[:1]))
    return Found(rows, few=False)


def _beginning(words: QuerySet[Word], beginning: str) -> QuerySet[Word]:
    return words.filter(word__gte=beginning, word__lt=beginning + _LAST)


# --- what is kept -------------------------------------------------------------------------------------------


def of_address(address: str) -> Iterator[str]:
    """Each part of the local part, with all that follows, and the domain; as A-labels and as people write it."""
    for form in {address, fold(addresses.to_unicode(address))}:
        local, domain = addresses.split(form)
        yield domain
        yield from _tails(form, len(local))


def of_text(text: str) -> Iterator[str]:
    for word in fold(text).split():
        yield from _tails(word, len(word))


def of_domain(name: str) -> Iterator[str]:
    for form in {name, fold(addresses.to_unicode(name))}:
        yield from _tails(form, len(form))


def _tails(text: str, end: int) -> Iterator[str]:
    """The text from its beginning and from behind each separator that stands before `end`."""
    yield text
    for between in _BETWEEN.finditer(text, 0, end):
        if between.end() < len(text):
            yield text[between.end() :]


@dataclass(frozen=True)
class _Kind:
    kind: Word.Kind
    columns: tuple[str, ...]  # the key, the domain, then those below

    def words(self, row: tuple) -> set[tuple]:
        """The rows of `word` for one row: (domain, kind, word, object)."""
        key, domain, *texts = row
        if self.kind is Word.Kind.DOMAIN:
            key, words = 0, [*of_domain(domain), *of_text(texts[0])]
        elif self.kind is Word.Kind.ALIAS:
            words = [*of_address(texts[0]), *of_address(texts[1]), *of_text(texts[2])]
        else:
            words = [*of_address(texts[0]), *of_text(texts[1])]
        return {(domain, int(self.kind), word[:LONGEST], key) for word in words}

    def kept(self, keys: Iterable) -> QuerySet[Word]:
        of_keys = {"domain__in" if self.kind is Word.Kind.DOMAIN else "object__in": keys}
        return Word.objects.filter(kind=self.kind, **of_keys)


_KINDS = {
    "user": _Kind(Word.Kind.MAILBOX, ("pk", "domain_id", "email", "name")),
    "alias": _Kind(Word.Kind.ALIAS, ("pk", "domain_id", "source", "destination", "comment")),
    "domain": _Kind(Word.Kind.DOMAIN, ("pk", "name", "description")),
}


def index(rows: QuerySet) -> None:
    """Write the words of these mailboxes, alias rows or domains anew, in the caller's transaction."""
    kind = _KINDS[rows.model._meta.db_table]
    for chunk in _chunks(rows.order_by().values_list(*kind.columns)):
        with transaction.atomic(savepoint=False):
            kind.kept([row[0] for row in chunk]).delete()
            _insert(word for row in chunk for word in kind.words(row))


def forget(rows: QuerySet) -> None:
    """Take away the words of rows that are about to go, in the caller's transaction; of other tables' rows, nothing."""
    if kind := _KINDS.get(rows.model._meta.db_table):
        for keys in _chunks(rows.order_by().values_list("pk", flat=True)):
            kind.kept(keys).delete()


def remember(model: type[Model], keys: list) -> None:
    """Index the rows that have come back under these keys, in the caller's transaction; of other tables, nothing."""
    if model._meta.db_table in _KINDS:
        for start in range(0, len(keys), AT_ONCE):
            index(model.objects.filter(pk__in=keys[start : start + AT_ONCE]))


def rebuild() -> None:
    """All words anew, for rows that were written past the lifecycle functions."""
    Word.objects.all().delete()
    for model in (Domain, Mailbox, Alias):
        index(model.objects.all())


def correct(*, check: bool = False) -> int:
    """Compare the words with the rows, and (unless `check`) write anew what differs; how many rows had wrong words.

    In portions, each with its rows held, so that nobody waits long and what is changed meanwhile is not undone.
    """
    wrong = 0
    for model in (Domain, Mailbox, Alias):
        kind, last = _KINDS[model._meta.db_table], None
        while True:
            with transaction.atomic():
                rows = model.objects.order_by("pk").select_for_update()
                rows = rows if last is None else rows.filter(pk__gt=last)
                chunk = list(rows.values_list(*kind.columns)[:AT_ONCE])
                wrong += _correct(model, kind, last, chunk, check)
            if not chunk:
                break
            last = chunk[-1][0]
    return wrong


def _correct(model, kind: _Kind, last, chunk: list[tuple], check: bool) -> int:
    """The rows of one portion, and whatever words there are between them for rows that are gone."""
    key = "domain" if kind.kind is Word.Kind.DOMAIN else "object"
    kept = Word.objects.filter(kind=kind.kind)
    kept = kept if last is None else kept.filter(**{f"{key}__gt": last})
    kept = kept.filter(**{f"{key}__lte": chunk[-1][0]}) if chunk else kept
    place = 0 if key == "domain" else 3
    actual: dict = {}
    for word in kept.values_list("domain", "kind", "word", "object"):
        actual.setdefault(word[place], set()).add(word)
    wanted = {row[0]: kind.words(row) for row in chunk}
    wrong = {row for row in {*actual, *wanted} if actual.get(row) != wanted.get(row)}
    if wrong and not check:
        kind.kept(wrong).delete()
        index(model.objects.filter(pk__in=wrong))
    return len(wrong)


def _insert(words: Iterable[tuple]) -> None:
    with connection.cursor() as cursor:  # a bulk_create is ten times as slow here
        cursor.executemany(
            "INSERT INTO word (domain, kind, word, object) VALUES (%s, %s, %s, %s)", list(words)
        )


def _chunks(rows: QuerySet) -> Iterator[list]:
    rows = rows.iterator(AT_ONCE)
    while chunk := list(islice(rows, AT_ONCE)):
        yield chunk
