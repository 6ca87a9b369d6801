from django.db.models import Q

from accounts import lifecycle as accounts
from domains import addresses, lifecycle, quota
from domains.models import Alias, Domain
from mailpanel.management.operator import (
    Column,
    NounCommand,
    Switch,
    Usage,
    find_domain,
    moment,
    number,
    validate,
)


def mirrored(name: str) -> Domain | None:
    return find_domain(name) if name.strip() else None


class Command(NounCommand):
    help = "The domains that this server answers for."
    metavar = "NAME"
    columns = (
        Switch(
            "enabled",
            "--enable",
            "--disable",
            "mail for it is accepted",
            "it is refused, and nobody of it signs in",
        ),
        Column("description", "--description", "TEXT", "for people to read"),
        Column("max_mailboxes", "--max-mailboxes", "N", "most mailboxes, or unlimited", number),
        Column("max_aliases", "--max-aliases", "N", "most alias destinations, or unlimited", number),
        Column(
            "quota_pool", "--quota-pool", "SIZE", "for all its mailboxes together, or unlimited", quota.parse
        ),
        Column("default_quota", "--default-quota", "SIZE", "of a new mailbox, or unlimited", quota.parse),
        Column("transport", "--transport", "WHERE", "virtual: (here), or smtp:[host]:port or relay:[host]"),
        Column("alias_of", "--mirror-of", "NAME", "share the mailboxes of that domain; '' ends it", mirrored),
    )

    def do_list(self, search, as_json, **options):
        """List the domains."""
        found = Domain.objects.filter(Q(name__contains=search.lower()) | Q(description__icontains=search))
        if as_json:
            self.tell_json([described(domain) for domain in found])
        else:
            self.tell_table(
                ("DOMAIN", "MAILBOXES", "ALIASES", "QUOTA GIVEN", "STATE"),
                (
                    (
                        str(domain),
                        mailboxes(domain),
                        aliases(domain),
                        given(domain),
                        "; ".join(states(domain)),
                    )
                    for domain in found
                ),
            )

    def do_show(self, named, as_json, **options):
        """Show a domain."""
        domain = find_domain(named)
        if as_json:
            self.tell_json(described(domain))
        else:
            self.tell_facts(facts(domain))

    def do_add(self, named, as_json, **options):
        """Make a domain."""
        domain = Domain(name=addresses.parse_domain(named), **self.read(options))
        validate(domain)
        lifecycle.open_domain(domain, by=self.by)
        self.done(as_json, described(domain), f"{domain} is there.")

    def do_set(self, named, as_json, **options):
        """Change the settings of a domain."""
        domain, changes = find_domain(named), self.read(options)
        if not changes:
            raise Usage("say what to change, such as --description")
        validate(domain, changes)
        with self.warning(f"*@{domain.name}"):
            lifecycle.change_domain(domain, changes, by=self.by)
        self.done(as_json, described(find_domain(named)), f"{domain} is saved.")

    def do_delete(self, named, yes, as_json, **options):
        """Delete a domain with all that is in it."""
        domain = find_domain(named)
        with_it = what_goes_with(domain)
        self.confirm(str(domain), with_it, yes=yes)
        with self.warning(f"*@{domain.name}"):
            accounts.close_domain(domain, by=self.by)
        self.deleted(domain.name, with_it, as_json)


def what_goes_with(domain: Domain) -> dict[str, int]:
    """How many rows of each kind go with a domain; all counted by the database."""
    leading = Alias.objects.filter(destination__in=domain.mailboxes.values("email")).exclude(domain=domain)
    return {
        "mailboxes": domain.mailbox_count,
        "alias_destinations": domain.alias_count,
        "alias_destinations_elsewhere": leading.count(),
        "roles": domain.roles.count(),
        "keys": domain.dkim_keys.count(),
    }


def described(domain: Domain) -> dict:
    """The JSON of a domain: names as stored, sizes in bytes, null for unlimited."""
    return {
        "domain": domain.name,
        "description": domain.description,
        "enabled": domain.enabled,
        "transport": domain.transport,
        "mirror_of": domain.alias_of_id,
        "mailboxes": domain.mailbox_count,
        "max_mailboxes": domain.max_mailboxes,
        "aliases": domain.alias_count,
        "max_aliases": domain.max_aliases,
        "quota_given": domain.quota_given,
        "quota_pool": domain.quota_pool,
        "default_quota": domain.default_quota,
        "created": domain.created,
    }


def facts(domain: Domain) -> dict:
    """What a person is told of a domain, by label."""
    return {
        "Domain": str(domain) if str(domain) == domain.name else f"{domain} ({domain.name})",
        "Description": domain.description,
        "State": states(domain) or "switched on",
        "Mirrors": [str(mirror) for mirror in domain.mirrors.all()],
        "Mailboxes": mailboxes(domain),
        "Alias destinations": aliases(domain),
        "Quota given": given(domain),
        "Quota of a new mailbox": quota.show(domain.default_quota),
        "Made": moment(domain.created),
    }


def states(domain: Domain) -> list[str]:
    """What is out of the ordinary; nothing for a domain with mailboxes here that is on."""
    return [
        *(["switched off"] if not domain.enabled else []),
        *([f"mirror of {addresses.to_unicode(domain.alias_of_id)}"] if domain.alias_of_id else []),
        *([f"sent on to {domain.transport}"] if domain.is_relay else []),
    ]


def mailboxes(domain: Domain) -> str:
    return of(domain.mailbox_count, domain.max_mailboxes)


def aliases(domain: Domain) -> str:
    return of(domain.alias_count, domain.max_aliases)


def given(domain: Domain) -> str:
    pool = domain.quota_pool
    return of(quota.show(domain.quota_given), pool and quota.show(pool))


def of(now, most) -> str:
    return str(now) if most is None else f"{now} of {most}"
