"""A list of mailboxes as it was asked for: searched, filtered, sorted, one page of it; the same for pages, the export
and bulk actions, so that they never speak of different rows."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlencode

from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from accounts import access, search
from accounts.access import To
from accounts.models import LastLogin, Mailbox
from domains.models import Domain
from mailpanel.paging import Page, page

# What `sort` may say, each with an index in this order; a minus before it turns it round.
ORDERS = {
    "address": ("email",),
    "name": ("name", "email"),
    "quota": ("fullness", "email"),
    "used": ("last_used", "email"),
}
# What `show` may say. A list of one, since SQLite has no index for `NOT enabled`.
SHOWN = {
    "full": Q(fullness__gte=Mailbox.NEARLY_FULL),
    "no-sign-in": Q(enabled__in=[True], can_login__in=[False]),
    "never": Q(last_used=None),
    "off": Q(enabled__in=[False]),
}
# Where the index has more than one range for it.
RANGES = {
    "off": [Q(enabled__in=[False], can_login__in=[False]), Q(enabled__in=[False], can_login__in=[True])]
}
# The order in which the index of a filter gives its rows.
OF_SHOWN = {"full": "-quota", "no-sign-in": "address", "never": "address", "off": "address"}
# A person with more domains than this has so large a part of all that the list of all is read.
MOST_DOMAINS = 100
# Up to here it is counted how many there are; nobody reads more.
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Listing:
    actor: Mailbox
    asked: dict  # request.GET or POST
    domain: Domain | None = None  # the list of one domain, which access has let through
    to: To = To.SEE  # To.CHANGE leaves out domains that the actor only sees

    @property
    def q(self) -> str:
        return self.asked.get("q", "")[: 4 * search.LONGEST]

    @property
    def show(self) -> str:
        return show if (show := self.asked.get("show", "")) in SHOWN else ""

    @cached_property
    def sort(self) -> str:
        sort = self.asked.get("sort", "")
        return sort if self._sortable(sort.removeprefix("-")) else OF_SHOWN.get(self.show, "address")

    def _sortable(self, name: str) -> bool:
        """Each order has an index, and so has each filter with the order of its own; a filter with another order takes
        sorting, which is for few rows."""
        usual = OF_SHOWN.get(self.show, name).removeprefix("-")
        return name in ORDERS and (name == usual or (self.total is not None and self.total <= search.FEW))

    @property
    def filtered(self) -> bool:
        return bool(self.q.strip() or self.show)

    @cached_property
    def _domains(self) -> Collection[str] | None:
        return [self.domain.name] if self.domain else access.scope(self.actor, self.to)

    @cached_property
    def _found(self) -> search.Found:
        rows = Mailbox.objects.all()
        if self._domains is not None and len(self._domains) <= MOST_DOMAINS and not self.q.strip():
            rows = rows.filter(domain__in=self._domains)
        elif self._domains is not None:
            # said so that no database thinks of its index of domains, after which it would have to sort
            rows = rows.alias(within=Coalesce("domain_id", Value(""))).filter(within__in=self._domains)
        return search.find(rows, self.q, self._domains)

    @property
    def rows(self) -> QuerySet[Mailbox]:
        """All that the filters leave, without order."""
        return self._found.rows.filter(SHOWN.get(self.show, Q()))

    @cached_property
    def page(self) -> Page:
        """One page, each row with what it holds and its last sign-in; three statements at most, however many rows."""
        found = page(
            self._found.rows.select_related("usage"),
            ORDERS[self.sort.removeprefix("-")],
            self.asked,
            descending=self.sort.startswith("-"),
            parts=self._parts,
        )
        last = {}
        for sign_in in LastLogin.objects.filter(mailbox__in=[row.email for row in found]).order_by("time"):
            last[sign_in.mailbox_id] = sign_in
        for row in found:
            row.last_sign_in = own if (own := last.get(row.email)) and own.moment >= row.created else None
        return found

    @property
    def _parts(self) -> list[Q]:
        """The ranges of the index that paging puts together."""
        shown = SHOWN.get(self.show, Q())
        if self._found.few:
            return [shown]
        names = self._domains if self._domains is not None and 0 < len(self._domains) <= MOST_DOMAINS else ()
        domains = [Q(domain=name) for name in sorted(names)] or [Q()]
        return [domain & part for domain in domains for part in RANGES.get(self.show, [shown])]

    @cached_property
    def total(self) -> int | None:
        """How many there are on all pages; None where it would take long to count."""
        if self.domain and not self.filtered:
            return self.domain.mailbox_count
        if not self.filtered:
            within = (
                Domain.objects.all()
                if self._domains is None
                else Domain.objects.filter(name__in=self._domains)
            )
            return within.aggregate(total=Sum("mailbox_count", default=0))["total"]
        many = self._domains is not None and len(self._domains) > MOST_DOMAINS
        if not self._found.few and (many or self.q.strip()):
            return None
        counted = self.rows.order_by()[: MOST_COUNTED + 1].count()
        return counted if counted <= MOST_COUNTED else None

    # --- for the templates ---

    def query(self, **changes: str) -> str:
        """The query string of this list with other filters, from its beginning; empty ones are left out."""
        now = {"q": self.q, "show": self.show, "sort": self.asked.get("sort", "") and self.sort} | changes
        return "?" + urlencode({name: value for name, value in now.items() if value})

    @property
    def here(self) -> str:
        return self.query()

    @property
    def everything(self) -> str:
        return self.query(q="", show="")

    @property
    def chips(self) -> list[tuple[str, str, bool]]:
        """(words, query string, whether it is this one)."""
        chips = [
            ("", _("All")),
            ("full", _("Nearly full")),
            ("no-sign-in", _("No sign-in")),
            ("never", _("Never signed in")),
            ("off", _("Switched off")),
        ]
        return [(words, self.query(show=name, sort=""), self.show == name) for name, words in chips]

    @property
    def heads(self) -> list["Head"]:
        """One for each column of the table."""
        columns = [
            {"address": _("Mailbox"), "name": _("Name")},
            {"quota": _("Quota")},
            {"": _("State")},
            {"used": _("Last sign-in")},
        ]
        return [
            Head(
                [self._order(name, words) for name, words in column.items() if self._sortable(name)],
                [words for name, words in column.items() if not self._sortable(name)],
            )
            for column in columns
        ]

    def _order(self, name: str, words: str) -> "Order":
        """An order of the list as a link; a click on that of now turns it round, and the others begin with the most."""
        now = self.sort.removeprefix("-") == name
        turned = name if self.sort.startswith("-") else f"-{name}"
        query = self.query(sort=turned if now else name if name in ("address", "name") else f"-{name}")
        return Order(
            words, query, ("descending" if self.sort.startswith("-") else "ascending") if now else ""
        )

    @property
    def caption(self) -> str:
        return {
            "address": _("Mailboxes, sorted by address"),
            "name": _("Mailboxes, sorted by name"),
            "quota": _("Mailboxes, sorted by the part of the quota that is used"),
            "used": _("Mailboxes, sorted by last sign-in"),
        }[self.sort.removeprefix("-")]

    @property
    def may_change(self) -> bool:
        held = access.rights(self.actor)
        return held.administers(self.domain.name) if self.domain else held.administers_some


class Order(NamedTuple):
    words: str
    query: str
    sort: str  # the value of aria-sort, if the list has this order


class Head(NamedTuple):
    orders: list[Order]
    words: list[str]  # of what the list cannot be sorted by now

    @property
    def sort(self) -> str:
        return next((order.sort for order in self.orders if order.sort), "")
