"""The cast of the tests: the same few people, in three domains, with something in reach that could leak."""

from accounts import passwords, search
from accounts.models import Mailbox, Role, Word
from domains.models import Alias, Domain

PASSWORD = "seven quiet herons"
_HASH = None

# name: (address, roles). A role is (kind, domain), and None for all domains; "server" is the server admin.
CAST = {
    "root1": ("root1@c.example", ["server"]),
    "root2": ("root2@c.example", ["server"]),
    "dadm_a": ("boss@a.example", [("admin", "a.example")]),
    "dadm_b": ("boss@b.example", [("admin", "b.example")]),
    "dadm_ab": ("both@a.example", [("admin", "a.example"), ("admin", "b.example")]),
    "dadm_all": ("all@c.example", [("admin", None)]),
    "help_a": ("help@a.example", [("helpdesk", "a.example")]),
    "help_ab": ("help-ab@a.example", [("helpdesk", "a.example"), ("helpdesk", "b.example")]),
    "help_all": ("help-all@c.example", [("helpdesk", None)]),
    "chief": ("chief@a.example", ["server"]),  # outranks everybody else in a.example
    "user1": ("user1@a.example", []),
    "user2": ("user2@a.example", []),
    "user9": ("user9@a.example", []),
    "disabled": ("disabled@a.example", []),
    "user1_b": ("user1@b.example", []),
    "user1_off": ("user1@off.example", []),
}


def hashed() -> str:
    """One hash of PASSWORD for all, since hashing is slow on purpose."""
    global _HASH
    _HASH = _HASH or passwords.make_hash(PASSWORD)
    return _HASH


_kept: list[list] = []


def settle() -> None:
    """Fill the database. Set-based and past the lifecycle functions, so that each test begins with an empty audit; and
    after the first time with the very same rows, since thousands of tests begin with them."""
    for rows in _kept:
        type(rows[0]).objects.bulk_create(rows)
    if not _kept:
        _settle()
        _kept.extend(list(model.objects.all()) for model in (Domain, Mailbox, Role, Alias, Word))


def _settle() -> None:
    names = ["a.example", "b.example", "c.example", "off.example", "hosted.example"]
    Domain.objects.bulk_create([Domain(name=name, enabled=name != "off.example") for name in names])
    Mailbox.objects.bulk_create(
        [
            Mailbox(
                email=email,
                domain_id=email.partition("@")[2],
                name=name,
                password=hashed(),
                is_superuser="server" in roles,
                enabled=name != "disabled",
                quota=2**30 if name == "user1" else None,
            )
            for name, (email, roles) in CAST.items()
        ]
    )
    Role.objects.bulk_create(
        [
            Role(mailbox=find(name), kind=role[0], domain_id=role[1])
            for name, (_email, roles) in CAST.items()
            for role in roles
            if role != "server"
        ]
    )
    rows = [
        ("alias1@a.example", "user1@a.example"),
        ("info@a.example", "user1@a.example"),
        ("info@a.example", "user2@a.example"),
        ("secret@b.example", "user1@b.example"),
    ]
    Alias.objects.bulk_create(
        [Alias(source=source, destination=to, domain_id=source.partition("@")[2]) for source, to in rows]
    )
    recount()
    search.rebuild()


def recount() -> None:
    for domain in Domain.objects.all():
        quotas = domain.mailboxes.exclude(quota=None).values_list("quota", flat=True)
        Domain.objects.filter(pk=domain.pk).update(
            mailbox_count=domain.mailboxes.count(),
            alias_count=domain.aliases.count(),
            quota_given=sum(quotas),
        )


def find(name: str) -> Mailbox:
    return Mailbox.objects.select_related("domain").get(email=CAST.get(name, [name])[0])
