"""The records that a domain should have in DNS: what to publish, and what DNS has of it.

What DNS says is a stranger's word: it is compared, and shown without what could steer. Nothing here is asked while a page
is made or within a transaction, but when somebody wants to know.
"""

import re
from dataclasses import dataclass, replace

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from domains.models import STEERING, DkimKey, Domain
from mailpanel.daemons import Trouble
from mailpanel.daemons.probing import Watch
from mailpanel.daemons.resolver import Resolver

Seen = DkimKey.Seen
STRING_MAX = 255  # octets in one string of a TXT record, RFC 1035
_SHOWN, _SHOWN_LETTERS = 5, 500
_MOST = 12  # names that are asked for one page: no domain has more keys in DNS than a few


@dataclass(frozen=True)
class Record:
    """A record to publish. `seen` is what DNS had when it was asked, `found` the records that stood there, and
    `why` the words for no answer."""

    kind: str
    name: str
    value: str
    purpose: str | Promise
    key: DkimKey | None = None
    seen: str = ""
    found: tuple[str, ...] = ()
    why: str = ""

    @property
    def id(self) -> str:
        return re.sub("[^a-z0-9]+", "-", f"{self.kind}-{self.name}".lower())

    @property
    def zone_line(self) -> str:
        """As a zone file has it; long text in strings of 255 octets, within brackets."""
        if self.kind != "TXT":
            return f"{self.name}. IN {self.kind} {self.value}"
        quoted = " ".join(f'"{part}"' for part in strings(self.value))
        return (
            f"{self.name}. IN TXT ( {quoted} )"
            if len(self.value) > STRING_MAX
            else f"{self.name}. IN TXT {quoted}"
        )

    @property
    def words(self) -> str:
        return Seen(self.seen).label if self.seen else ""


def strings(text: str) -> list[str]:
    """Pieces of at most 255 octets, of which DNS makes the whole again without anything between them."""
    return [text[start : start + STRING_MAX] for start in range(0, len(text), STRING_MAX)] or [""]


def of_key(key: DkimKey) -> Record:
    name = f"{key.selector}._domainkey.{key.domain_id}"
    purpose = _("With it other servers see that a message is from this domain, and unchanged.")
    return Record("TXT", name, f"v=DKIM1; k=rsa; p={key.public_key}", purpose, key=key)


def of_domain(domain: Domain, *, signs: bool) -> list[Record]:
    """MX, SPF and DMARC. As long as nothing is signed, DMARC only asks for reports: who is strict too early loses mail."""
    host = settings.MAILPANEL_HOSTNAME
    policy = "quarantine" if signs else "none"
    return [
        Record("MX", domain.name, f"10 {host}.", _("With it the world finds this server when it has mail for the domain.")),
        Record("TXT", domain.name, f"v=spf1 mx a:{host} ~all", _("SPF tells which servers send mail of the domain.")),
        Record(
            "TXT",
            f"_dmarc.{domain.name}",
            f"v=DMARC1; p={policy}; rua=mailto:postmaster@{domain.name}",
            _("DMARC tells others what to do with mail that is neither signed nor from such a server, and where to report it."),
        ),
    ]  # fmt: skip


# --- what DNS has of it -------------------------------------------------------------------------------------


def ask(records: list[Record], seconds: float | None = None) -> list[Record]:
    """The same records with what DNS has now. All of them together take no longer than one probe."""
    watch = Watch(seconds or settings.MAILPANEL_PROBE_SECONDS)
    try:
        asking = Resolver(watch, cached=False)
    except Trouble as trouble:
        return [replace(record, seen=Seen.UNKNOWN, why=str(trouble.detail)) for record in records]
    return [_asked(asking, record) for record in records[:_MOST]] + records[_MOST:]


def _asked(asking: Resolver, record: Record) -> Record:
    try:
        found = asking.mail_servers(record.name) if record.kind == "MX" else asking.texts(record.name)
    except TimeoutError:
        return replace(record, seen=Seen.UNKNOWN, why=str(_("The time for this was over.")))
    except Trouble as trouble:
        return replace(record, seen=Seen.UNKNOWN, why=str(trouble.detail))
    found = [text for text in found if _is_about(record, text)]
    seen = Seen.MISSING if not found else Seen.RIGHT if _is_right(record, found) else Seen.OTHER
    return replace(record, seen=seen, found=tuple(map(plain, found[:_SHOWN])))


def _is_about(record: Record, text: str) -> bool:
    """A domain has many TXT records, of which the one for SPF is meant; at the other names all of them."""
    return record.kind != "TXT" or "_" in record.name or text.lower().split(" ")[0] == "v=spf1"


def _is_right(record: Record, found: list[str]) -> bool:
    if record.kind == "MX":
        return settings.MAILPANEL_HOSTNAME in found
    if len(found) > 1:  # RFC 6376, 7208 and 7489 all say that nobody can tell which one counts
        return False
    if record.key:
        return is_record_of(found[0], record.key.public_key)
    if record.name.startswith("_dmarc."):
        told = tags(found[0])
        return next(iter(told), "") == "v" and told["v"] == "DMARC1" and told.get("p", "") in _POLICIES
    terms = {term.removeprefix("+") for term in found[0].lower().split()}
    return bool(terms & {"mx", f"a:{settings.MAILPANEL_HOSTNAME}"})


_POLICIES = ("none", "quarantine", "reject")


def is_record_of(text: str, public_key: str) -> bool:
    """Whether this is a record by which other servers verify what was signed with the key (RFC 6376, section 3.6.1)."""
    told = tags(text)
    return (
        told.get("v", "DKIM1") == "DKIM1"
        and told.get("k", "rsa") == "rsa"
        and re.sub(r"\s", "", told.get("p", "")) == public_key
        and "sha256" in told.get("h", "sha256").split(":")
        and bool({"*", "email"} & set(told.get("s", "*").split(":")))
    )


def tags(text: str) -> dict[str, str]:
    """`a=b; c=d` as a dictionary, the first of two of one name; what is no such pair is left out."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, is_pair, value = part.partition("=")
        if is_pair:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def plain(text: str) -> str:
    """A stranger's word for people to read: no longer than a record should be, and nothing that steers."""
    shown = STEERING.sub("?", text[:_SHOWN_LETTERS])
    return shown + "…" if len(text) > _SHOWN_LETTERS else shown
