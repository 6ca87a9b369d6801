from accounts import lifecycle
from accounts.models import Mailbox
from mailpanel.management.operator import OperatorCommand, find_mailbox


class Command(OperatorCommand):
    help = "Make somebody a server admin: the way back in when nobody can sign in to the panel any more."

    def add_arguments(self, parser):
        parser.add_argument("address", metavar="ADDRESS", help="a mailbox of this server")
        parser.add_argument("--revoke", action="store_true", help="take it away again")
        parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")

    def handle(self, *, address, revoke, as_json, **options):
        mailbox = find_mailbox(address)
        # who is to sign in needs the mailbox and the sign-in on
        changes = (
            {"is_superuser": False} if revoke else {"is_superuser": True, "enabled": True, "can_login": True}
        )
        with self.warning(mailbox.email):
            lifecycle.change_mailbox(mailbox, changes, by=self.by)
        mailbox = find_mailbox(address)
        missing = [] if revoke else still_missing(mailbox)
        if as_json:
            self.tell_json(
                {"address": mailbox.email, "server_admin": mailbox.is_superuser, "still_missing": missing}
            )
        else:
            self.tell(f"{mailbox} is {'no server admin any more' if revoke else 'a server admin'}.", *missing)


def still_missing(mailbox: Mailbox) -> list[str]:
    """What keeps a server admin from signing in, each with what to do."""
    told = []
    if not mailbox.has_usable_password():
        told.append(f"It has no password yet: manage.py mailbox set {mailbox.email} --password-stdin")
    if not mailbox.domain.enabled:
        told.append(
            f"{mailbox.domain} is switched off, so nobody there can sign in: "
            f"manage.py domain set {mailbox.domain_id} --enable"
        )
    return told
