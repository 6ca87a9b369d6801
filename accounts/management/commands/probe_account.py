from django.conf import settings

from accounts import probe_account
from mailpanel.management.operator import OperatorCommand


class Command(OperatorCommand):
    help = "Make the mailbox by which the probes sign in, or put it right."

    def add_arguments(self, parser):
        parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")

    def handle(self, *, as_json, **options):
        changed = False
        with self.warning(settings.PROBE_ADDRESS):
            changed = probe_account.ensure(by=self.by)
        if as_json:
            self.tell_json({"address": settings.PROBE_ADDRESS, "changed": changed})
        else:
            done = "is ready" if changed else "was in order"
            self.tell(f"The mailbox of the probes, {settings.PROBE_ADDRESS}, {done}.")
