"""What DNS says of this server: a resolver that answers, our own name there and back, the MX of the domains, and whether
our address is on a list of senders of junk. What comes back is a stranger's word: bounded, and shown without what could
steer."""

import ipaddress

import dns.exception
import dns.name
import dns.resolver
import dns.reversename
from django.conf import settings

from mailpanel.daemons import State, Trouble, database, targets
from mailpanel.daemons.probing import GROUND, Watch, probe
from mailpanel.daemons.text import Text, ngettext, plain
from mailpanel.daemons.text import Text as _

MOST_DOMAINS = 50
_SHOWN = 5
_RESERVE = 0.2  # seconds, to come to a sentence
_cache = dns.resolver.LRUCache(1000)  # as long as the answers allow


class Resolver:
    def __init__(self, watch: Watch, *, cached: bool = True):
        self.watch, own = watch, targets.resolver()
        try:
            self._resolver = dns.resolver.Resolver(configure=own is None)
        except dns.resolver.NoResolverConfiguration:
            raise _silent() from None
        if own:
            self._resolver.nameservers, self._resolver.port = [own[0]], own[1]
        self._resolver.cache = _cache if cached else None

    def ask(self, name, kind: str) -> list:
        """The records; none where there are none. Raises Trouble where the resolver fails."""
        try:
            lifetime = max(self.watch.left - _RESERVE, 0.05)
            return list(self._resolver.resolve(name, kind, lifetime=lifetime, search=False))[:100]
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.Timeout:
            raise _silent() from None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise Trouble(
                _(
                    "The resolver has no answer for %(name)s: %(reason)s.",
                    name=str(name).rstrip("."),
                    reason=type(error).__name__,
                ),
                _("Its own resolver fails, or the servers of that domain do. Ask it by hand."),
                f"dig {name} {kind}",
                state=State.WARN,
            ) from None

    def texts(self, name: str) -> list[str]:
        """The TXT records of a name, each with its strings put together; a stranger's word."""
        records = self.ask(dns.name.from_text(name), "TXT")
        return [b"".join(record.strings).decode("ascii", "replace") for record in records]

    def mail_servers(self, name: str) -> list[str]:
        """The names in its MX records, the preferred first; a lone dot comes as the empty name."""
        records = sorted(self.ask(dns.name.from_text(name), "MX"), key=lambda record: record.preference)
        return [str(record.exchange).rstrip(".").lower() for record in records]

    def own_addresses(self) -> list[str]:
        host = dns.name.from_text(settings.MAILPANEL_HOSTNAME)
        return [record.address for kind in ("A", "AAAA") for record in self.ask(host, kind)]


def _silent() -> Trouble:
    return Trouble(
        _("The resolver does not answer."),
        _("Without it no mail goes out, and every sign-in that looks up a name is slow. Look at /etc/resolv.conf and at the program that it names."),
        "resolvectl status; cat /etc/resolv.conf",
    )  # fmt: skip


@probe("resolver", GROUND, _("Resolver"))
def resolver(watch: Watch) -> Text:
    if not Resolver(watch, cached=False).ask(dns.name.root, "NS"):
        raise _silent()
    return _("Knows the servers of the root, so it reaches the world.")


@probe("hostname", GROUND, _("Name of this server in DNS"))
def hostname(watch: Watch) -> Text:
    asking, host = Resolver(watch), settings.MAILPANEL_HOSTNAME
    found = asking.own_addresses()
    if not found:
        raise Trouble(
            _("%(host)s has no address in DNS.", host=host),
            _(
                "Nobody finds this server by its name. Add an A record, or set MAILPANEL_HOSTNAME to the right name."
            ),
            f"dig {host} A",
        )
    for address in found:
        back = [
            str(record.target).rstrip(".").lower()
            for record in asking.ask(dns.reversename.from_address(address), "PTR")
        ]
        if host not in back:
            raise Trouble(
                _("%(address)s leads back to %(back)s instead of %(host)s.", address=address, back=_plain(back) or "-", host=host),
                _("Many servers refuse mail from an address whose name does not fit. Whoever rents you the address sets its PTR record."),
                f"dig -x {address}",
                state=State.WARN,
            )  # fmt: skip
    return _("%(host)s leads to %(addresses)s and back.", host=host, addresses=_plain(found))


@probe("mx", GROUND, _("MX of the domains"))
def mx(watch: Watch) -> Text:
    asking = Resolver(watch)
    names = database.domains(watch, MOST_DOMAINS)
    if not names:
        raise Trouble(_("There is no domain yet, or the database does not answer."), state=State.OFF)
    elsewhere, refusing = [], []
    for name in names:
        hosts = asking.mail_servers(name)
        if hosts == [""]:
            refusing.append(name)
        elif settings.MAILPANEL_HOSTNAME not in hosts:
            elsewhere.append(name)
    if refusing:
        raise Trouble(
            ngettext("%(number)s domain tells the world that it takes no mail: %(names)s.", "%(number)s domains tell the world that they take no mail: %(names)s.", len(refusing), names=_plain(refusing)),
            _("Its MX is a single dot (RFC 7505). Set it to %(host)s, or delete the domain here.", host=settings.MAILPANEL_HOSTNAME),
            f"dig {refusing[0]} MX",
            state=State.WARN,
        )  # fmt: skip
    if elsewhere:
        raise Trouble(
            ngettext("The MX of %(number)s domain does not name this server: %(names)s.", "The MX of %(number)s domains does not name this server: %(names)s.", len(elsewhere), names=_plain(elsewhere)),
            _("Mail for it goes elsewhere, or nowhere. Add an MX record with %(host)s.", host=settings.MAILPANEL_HOSTNAME),
            f"dig {elsewhere[0]} MX",
            state=State.WARN,
        )  # fmt: skip
    return ngettext("%(number)s domain leads here.", "%(number)s domains lead here.", len(names))


@probe("blocklists", GROUND, _("Blocklists"))
def blocklists(watch: Watch) -> Text:
    """RFC 5782. 127.255.255.x is a list's word for “I do not answer this resolver”, and no listing."""
    asking, lists = Resolver(watch), settings.MAILPANEL_PROBE_BLOCKLISTS
    found = [address for address in asking.own_addresses() if ipaddress.ip_address(address).is_global]
    if not (found and lists):
        raise Trouble(_("There is no public address of this server, or no list to ask."), state=State.OFF)
    mute = []
    for name in lists:
        for address in found:
            asked = dns.name.from_text(f"{_reversed(address)}.{name}.")
            said = [record.address for record in asking.ask(asked, "A")]
            if any(answer.startswith("127.") and not answer.startswith("127.255.") for answer in said):
                reasons = [
                    b" ".join(record.strings).decode("ascii", "replace")
                    for record in asking.ask(asked, "TXT")
                ]
                raise _listed(address, name, reasons)
            if said:
                mute.append(name)
    if mute:
        raise Trouble(
            _("%(names)s does not answer this resolver, so it is not known whether we are listed.", names=_plain(mute)),
            _("Such lists refuse large public resolvers. Run a resolver of your own on this machine, such as unbound."),
            "sudo apt install unbound",
            state=State.WARN,
        )  # fmt: skip
    return ngettext("On none of %(number)s list.", "On none of %(number)s lists.", len(lists))


def _listed(address: str, name: str, reasons: list[str]) -> Trouble:
    return Trouble(
        _("%(address)s is on the list %(name)s: “%(reason)s”.", address=address, name=name, reason=_plain(reasons) or "-"),
        _("Other servers refuse mail from here. Find who sends junk through this server and stop that first; then ask the list to take the address off."),
        f"dig {_reversed(address)}.{name} TXT",
    )  # fmt: skip


def _reversed(address: str) -> str:
    """4.3.2.1 for 1.2.3.4, the single digits of an IPv6 address."""
    return ipaddress.ip_address(address).reverse_pointer.rsplit(".", 2)[0]


def _plain(words: list[str]) -> str:
    shown = [word[:150] for word in words[:_SHOWN]] + (["…"] if len(words) > _SHOWN else [])
    return plain(", ".join(shown))
