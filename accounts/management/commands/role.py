from accounts import roles
from accounts.access import roles_of
from accounts.models import SERVER, Mailbox, Role, role_words
from domains.models import Domain
from mailpanel.management.operator import NounCommand, Usage, find_domain, find_mailbox

KINDS = (Role.Kind.HELPDESK, Role.Kind.ADMIN, SERVER)


class Command(NounCommand):
    help = "Who looks after the mailboxes of others. Nobody can sign in any more? That is grant_admin's."
    metavar = "ADDRESS"
    verbs = ("list", "grant", "revoke")

    def add_options(self, verb, parser):
        if verb != "list":
            parser.add_argument("kind", choices=[str(kind) for kind in KINDS], help="admin is a domain admin")
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--domain", metavar="NAME", help="for this domain")
        if verb != "list":
            where.add_argument("--all-domains", action="store_true", help="for all domains, also later ones")

    def do_list(self, domain, as_json, **options):
        """List everybody who holds a role."""
        holders = Mailbox.objects.filter(roles__isnull=False).distinct()
        if domain is None:
            holders = holders | Mailbox.objects.filter(is_superuser=True).distinct()
        else:
            holders = holders.filter(roles__domain=find_domain(domain))
        held = roles_of(list(holders))
        if as_json:
            self.tell_json([described(person, of) for person, of in held.items()])
        else:
            rows = ((str(person), ", ".join(role_words(*role) for role in of)) for person, of in held.items())
            self.tell_table(("ADDRESS", "ROLES"), rows)

    def do_grant(self, named, kind, domain, all_domains, as_json, **options):
        """Give somebody a role."""
        mailbox, where = find_mailbox(named), self.where(kind, domain, all_domains)
        new = roles.grant(mailbox, kind, where, by=self.by)
        sentence = "%s is %s." if new else "%s was %s already."
        self.told(mailbox, sentence, kind, where, as_json)

    def do_revoke(self, named, kind, domain, all_domains, as_json, **options):
        """Take a role away."""
        mailbox, where = find_mailbox(named), self.where(kind, domain, all_domains)
        gone = roles.revoke(mailbox, kind, where, by=self.by)
        sentence = "%s is not %s any more." if gone else "%s was not %s."
        self.told(mailbox, sentence, kind, where, as_json)

    def where(self, kind: str, domain: str | None, all_domains: bool) -> Domain | None:
        if kind == SERVER and (domain or all_domains):
            raise Usage("a server admin is one for all domains anyhow")
        if kind != SERVER and not (domain or all_domains):
            raise Usage("say --domain NAME or --all-domains")
        return find_domain(domain) if domain else None

    def told(self, mailbox: Mailbox, sentence: str, kind: str, where: Domain | None, as_json: bool) -> None:
        mailbox = find_mailbox(mailbox.email)
        data = described(mailbox, roles_of([mailbox])[mailbox])
        self.done(as_json, data, sentence % (mailbox, role_words(kind, where and where.name)))


def described(person: Mailbox, held: list) -> dict:
    """The JSON of one person: {"kind", "domain"} for each role, with null for all domains."""
    return {
        "address": person.email,
        "name": person.name,
        "roles": [{"kind": str(kind), "domain": where} for kind, where in held],
    }
