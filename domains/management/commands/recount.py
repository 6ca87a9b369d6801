from django.db import transaction
from django.db.models import BigIntegerField, Count, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts import audit
from accounts.models import Mailbox
from domains.models import Alias, Domain
from mailpanel.management.operator import OperatorCommand, Refused


def counted(model, what) -> Coalesce:
    """The same for each domain's own rows, by one subquery on the index (domain, …)."""
    rows = model.objects.filter(domain=OuterRef("pk")).order_by().values("domain")
    return Coalesce(Subquery(rows.annotate(n=what).values("n"), output_field=BigIntegerField()), 0)


RIGHT = {
    "mailbox_count": counted(Mailbox, Count("pk")),
    "alias_count": counted(Alias, Count("pk")),
    "quota_given": counted(Mailbox, Sum("quota")),
}


class Command(OperatorCommand):
    help = "Compare the counters of the domains with what they count, and correct them."

    def add_arguments(self, parser):
        parser.add_argument("--check", action="store_true", help="correct nothing; exit 1 where one is wrong")
        parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")

    def handle(self, *, check, as_json, **options):
        wrong = differences()
        if not check:
            correct(wrong, by=self.by)
        if as_json:
            self.tell_json(wrong)
        elif wrong:
            self.tell_table(
                ("DOMAIN", "COUNTER", "WAS", "IS"),
                ((d["domain"], d["counter"], str(d["was"]), str(d["is"])) for d in wrong),
            )
        else:
            self.tell("All counters are right.")
        if check and wrong:
            raise Refused("These counters are wrong; without --check they are corrected.")


def differences() -> list[dict]:
    """The wrong counters: [{"domain", "counter", "was", "is"}]; one statement, however many rows are counted."""
    rights = {f"right_{counter}": right for counter, right in RIGHT.items()}
    wrong = Q()
    for counter in RIGHT:
        wrong |= ~Q(**{counter: F(f"right_{counter}")})
    return [
        {
            "domain": domain.name,
            "counter": counter,
            "was": getattr(domain, counter),
            "is": int(getattr(domain, f"right_{counter}")),  # MariaDB sums to a Decimal
        }
        for domain in Domain.objects.annotate(**rights).filter(wrong)
        for counter in RIGHT
        if getattr(domain, counter) != getattr(domain, f"right_{counter}")
    ]


def correct(wrong: list[dict], *, by: audit.By) -> None:
    """Count again with the rows of the domains held: whoever makes a mailbox or an alias holds them as well, so what
    is counted now is what is there at the commit."""
    with transaction.atomic():
        domains = Domain.objects.filter(name__in={difference["domain"] for difference in wrong})
        list(domains.select_for_update().order_by("name").values_list("pk"))
        domains.update(**RIGHT)
        for one in wrong:
            change = {"before": {one["counter"]: one["was"]}, "after": {one["counter"]: one["is"]}}
            audit.record(by, "recount", "domain", one["domain"], domain=one["domain"], **change)
