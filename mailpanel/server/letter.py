"""A message from a stranger as plain text: bounded, whatever it is made of, and with nothing left that a browser or a
terminal would act on."""

import email.policy
import html
import re
from dataclasses import dataclass, field
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser

from domains.models import STEERING

MOST_BYTES = 512 * 1024  # of a message that are looked at
MOST_TEXT = 50_000  # characters shown
MOST_HTML = 128 * 1024
MOST_PARTS, MOST_HEADERS, MOST_VALUE = 60, 120, 1000
MOST_COMPARED = (
    10**7
)  # lines times boundaries: the parser compares each line with that of each multipart around it

# What tells of other recipients, or was written by the filter about them.
HIDDEN = {
    "bcc", "resent-bcc", "x-envelope-to", "x-envelope-to-blocked", "x-original-to", "delivered-to", "envelope-to",
    "apparently-to", "x-rcpt-to", "x-recipient", "x-quarantine-id",
}  # fmt: skip
SHOWN_FIRST = ("from", "to", "cc", "date", "subject", "reply-to")


@dataclass
class Attachment:
    name: str
    type: str
    size: int


@dataclass
class Letter:
    headers: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""
    from_html: bool = False
    cut: bool = False
    attachments: list[Attachment] = field(default_factory=list)

    @property
    def first_headers(self) -> list[tuple[str, str]]:
        named = {name.lower(): (name, value) for name, value in reversed(self.headers)}
        return [named[name] for name in SHOWN_FIRST if name in named]


class _Policy(email.policy.Compat32):
    def header_source_parse(self, sourcelines):
        """Its parameters are looked for in a time that grows with the square of its length."""
        name, value = super().header_source_parse(sourcelines)
        return name, value[: 4 * MOST_VALUE]


def read(data: bytes, *, cut: bool = False) -> Letter:
    """Never fails: of what cannot be read, as much is told as can."""
    whole, data = len(data), data[:MOST_BYTES]
    compared = data.count(b"\n") * len(re.findall(rb"(?i)boundary", data))
    if compared > MOST_COMPARED:
        data = data[: len(data) * MOST_COMPARED // compared]
    letter = Letter(cut=cut or len(data) < whole)
    try:
        message = BytesParser(policy=_Policy()).parsebytes(data)
    except Exception:  # the parser meets what no standard knows
        message = Message()
        message.set_payload(plain(data.decode("latin-1")))
    letter.headers = _headers(message)
    plains, htmls = [], []
    for part in _parts(message):
        kind, name = part.get_content_type(), _name(part)
        if name or kind not in ("text/plain", "text/html") or part.get_content_disposition() == "attachment":
            letter.attachments.append(Attachment(name, plain(kind)[:100], len(_bytes(part))))
        else:
            (plains if kind == "text/plain" else htmls).append(part)
    letter.from_html = not any(map(_bytes, plains)) and bool(htmls)
    texts = [text_of(_text(part)) for part in htmls] if letter.from_html else [_text(part) for part in plains]
    text = plain("\n\n".join(texts).strip())
    letter.text, letter.cut = text[:MOST_TEXT], letter.cut or len(text) > MOST_TEXT
    return letter


def plain(text: str, *, line: bool = False) -> str:
    """Without control characters and what turns the direction of writing; of one line, without line ends, too."""
    if line:
        return STEERING.sub("�", re.sub(r"\s+", " ", text)).strip()
    lines = re.split(r"\r\n|\r|\n", text)
    return "\n".join(STEERING.sub("�", one.replace("\t", "    ")) for one in lines)


def decoded(value) -> str:
    """A header's value in letters, on one line."""
    raw = str(value)[: 4 * MOST_VALUE]
    try:
        words = "".join(
            part if isinstance(part, str) else _in_letters(part, charset)
            for part, charset in decode_header(raw)
        )
    except Exception:  # encoded words that are none
        words = raw
    words = words.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return plain(words, line=True)[:MOST_VALUE]


def _headers(message: Message) -> list[tuple[str, str]]:
    try:
        items = message.items()[:MOST_HEADERS]
    except Exception:
        return []
    return [
        (plain(name, line=True)[:80], decoded(value))
        for name, value in items
        if name.lower().strip() not in HIDDEN
    ]


def _parts(message: Message) -> list[Message]:
    """The leaves, as far as anybody wants to know."""
    found, waiting = [], [message]
    while waiting and len(found) < MOST_PARTS:
        part = waiting.pop(0)
        if part.is_multipart():
            waiting[:0] = part.get_payload()[:MOST_PARTS]
        else:
            found.append(part)
    return found


def _name(part: Message) -> str:
    try:
        return decoded(part.get_filename() or "")[:200]
    except Exception:
        return "�"


def _bytes(part: Message) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except Exception:
        payload = None
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    try:
        charset = part.get_content_charset()
    except Exception:
        charset = None
    return _in_letters(_bytes(part), charset)


def _in_letters(data: bytes, charset: str | None) -> str:
    """Only character sets: others among Python's codecs unpack, and a small message would become a large one."""
    if not re.fullmatch(
        r"(?i)utf-?8|us-?ascii|iso-?8859-\d+|windows-\d+|koi8-.|big5|gb\w+|euc\w*-\w+|shift_jis|iso-2022-\w+",
        charset or "",
    ):
        charset = "utf-8"
    try:
        return data.decode(charset, "replace")
    except (LookupError, ValueError):
        return data.decode("latin-1")


# By patterns and not by a parser, since each of these looks at every letter a few times at most, whatever it is given;
# what is left is text, and escaped as any other.
_GONE = re.compile(
    r"(?is)<!--.*?(?:-->|\Z)|<(script|style|title|template|svg|math|iframe|object)\b.*?(?:</\1\s*>|\Z)"
)
_BREAK = re.compile(r"(?i)</?(?:br|p|div|tr|li|h[1-6]|table|blockquote|hr|pre|ul|ol)\b[^<>]{0,2000}>")
_TAG = re.compile(r"""<[a-zA-Z/!?](?:[^<>"']|"[^"]{0,5000}"|'[^']{0,5000}')*>""")


def text_of(page: str) -> str:
    """What a page says, with line ends where a browser would make them."""
    page = re.sub(r"[ \t\r\n]+", " ", _GONE.sub(" ", page[:MOST_HTML]))
    page = html.unescape(_TAG.sub("", _BREAK.sub("\n", page)))
    lines = [line.strip(" \t") for line in page.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
