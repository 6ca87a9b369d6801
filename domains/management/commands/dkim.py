from domains import dkim, records
from domains.models import DkimKey, Domain
from mailpanel.management.operator import NounCommand, Refused, find_domain, moment

State, Seen = DkimKey.State, DkimKey.Seen
IN_WORDS = {State.WAITING: "waits for its record", State.SIGNING: "signs", State.RETIRED: "retired"}


class Command(NounCommand):
    help = "The keys that mail of the domains is signed with (DKIM). A private key is never printed."
    metavar = "NAME"
    verbs = ("list", "make", "record", "switch", "retire", "delete")

    def add_options(self, verb, parser):
        super().add_options(verb, parser)
        if verb == "make":
            parser.add_argument(
                "--selector", metavar="WORD", default="", help="the name of the key; else the month"
            )
        elif verb != "list":
            parser.add_argument(
                "--selector", metavar="WORD", default="", help="which key, if there are several"
            )
        if verb == "switch":
            parser.add_argument("--anyway", action="store_true", help="even if DNS does not have the record")

    def do_list(self, search, as_json, **options):
        """List the keys, and the domains that have none."""
        found = Domain.objects.filter(name__contains=search.lower()).prefetch_related("dkim_keys")
        if as_json:
            self.tell_json([described(key) for domain in found for key in domain.dkim_keys.all()])
        else:
            self.tell_table(
                ("DOMAIN", "SELECTOR", "STATE", "IN DNS", "SINCE"),
                (row for domain in found for row in rows(domain)),
            )

    def do_make(self, named, selector, as_json, **options):
        """Make a key for a domain, which waits for its record."""
        domain = find_domain(named)
        selector = dkim.parse_selector(selector) if selector else dkim.proposed_selector(domain)
        key = dkim.make(domain, selector, by=self.by)
        self.done(as_json, described(key), *published(key))

    def do_record(self, named, selector, as_json, **options):
        """Print the record to publish, and what DNS has in its place."""
        key = self.find(named, selector)
        (record,) = records.ask([records.of_key(key)])
        dkim.note([record])
        self.done(as_json, described(key), *published(key), f"In DNS now: {in_dns(record)}")

    def do_switch(self, named, selector, anyway, as_json, **options):
        """Let a key sign, if DNS has its record; the one that signed is retired."""
        key = self.find(named, selector, State.WAITING)
        (record,) = records.ask([records.of_key(key)])
        dkim.note([record])
        if record.seen != Seen.RIGHT and not anyway:
            raise Refused(
                f"DNS does not have the record of {key.selector}: {in_dns(record)} "
                "Publish it, or say --anyway if you know that others find it."
            )
        dkim.let_sign(key, by=self.by)
        key.refresh_from_db()
        self.done(as_json, described(key), f"Mail of {key.domain} is signed with {key.selector} from now on.")

    def do_retire(self, named, selector, as_json, **options):
        """Sign mail of a domain no more."""
        key = self.find(named, selector, State.SIGNING)
        dkim.retire(key, by=self.by)
        key.refresh_from_db()
        self.done(
            as_json,
            described(key),
            f"{key.selector} is retired. Keep its record in DNS until {key.published_until:%Y-%m-%d}.",
        )

    def do_delete(self, named, selector, yes, as_json, **options):
        """Delete a key that does not sign, for good."""
        key = self.find(named, selector)
        self.confirm(key.selector, {}, yes=yes)
        dkim.delete(key, by=self.by)
        self.done(as_json, {"deleted": str(key)}, f"{key.selector} is gone. Take its record out of DNS.")

    def find(self, named: str, selector: str, state: str = "") -> DkimKey:
        """The key of this name; without one the only key there is, of those in `state` if that is said."""
        domain = find_domain(named)
        keys = domain.dkim_keys.select_related("domain")
        found = list(
            keys.filter(selector=selector) if selector else keys.filter(state=state) if state else keys
        )
        if not found:
            raise Refused(f"{domain} has no such key.")
        if len(found) > 1:
            raise Refused(f"Say which with --selector: {', '.join(key.selector for key in found)}")
        return found[0]


def rows(domain: Domain):
    keys = domain.dkim_keys.all()
    for key in keys:
        yield str(domain), key.selector, IN_WORDS[key.state], key.seen, moment(key.since)
    if not keys:
        yield str(domain), "-", "not signed", "", ""


def published(key: DkimKey) -> list[str]:
    record = records.of_key(key)
    return [f"Publish in the DNS of {key.domain}:", record.zone_line]


def in_dns(record: records.Record) -> str:
    match record.seen:
        case Seen.RIGHT:
            return "the record is there."
        case Seen.OTHER:
            return f"another record is there: {'; '.join(record.found)}"
        case Seen.MISSING:
            return "it is not found."
    return record.why


def described(key: DkimKey) -> dict:
    """The JSON of a key; what is private is not in it."""
    record = records.of_key(key)
    return {
        "domain": key.domain_id,
        "selector": key.selector,
        "state": key.state,
        "since": key.since,
        "record_name": record.name,
        "record_value": record.value,
        "in_dns": key.seen or None,
        "asked": key.asked,
        "created": key.created,
    }
