from mailpanel.management.operator import NounCommand, Refused, Usage, find_domain, find_mailbox
from mailpanel.server import sending
from mailpanel.server.models import SendShare
from mailpanel.server.sending import Limit

UNLIMITED = "unlimited"


def number(text: str) -> int | None:
    if text == UNLIMITED:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:10]) <= 999_999_999):
        raise Refused(f"“{text}” is no number of recipients, nor “{UNLIMITED}”.")
    return int(text)


class Command(NounCommand):
    help = "How much mailboxes send, and how much they may: recipients in an hour and within a day."
    metavar = "ADDRESS"
    verbs = ("list", "show", "limit")

    def add_options(self, verb, parser):
        if verb == "limit":
            parser.add_argument("--per-hour", metavar="N", help=f"recipients in an hour, or “{UNLIMITED}”")
            parser.add_argument("--per-day", metavar="N", help=f"recipients within a day, or “{UNLIMITED}”")
            parser.add_argument("--inherit", action="store_true", help="no limit of its own any more")

    def do_list(self, as_json, **options):
        """List who has sent within a day, nearest to the limit first."""
        rows = SendShare.objects.order_by("-share", "-mailbox")
        if as_json:
            columns = ("mailbox", "share", "hour", "day", "refused", "per_hour", "per_day")
            self.tell_json(list(rows.values(*columns)))
        else:
            heads = ("ADDRESS", "SHARE", "THIS HOUR", "DAY", "REFUSED")
            table = (
                (row.mailbox, f"{row.share} %", str(row.hour), str(row.day), str(row.refused)) for row in rows
            )
            self.tell_table(heads, table)

    def do_show(self, named, as_json, **options):
        """Show what a mailbox has sent and may send; of @example.org, what its mailboxes may."""
        self._show(self._scope(named), as_json)

    def do_limit(self, named, per_hour, per_day, inherit, as_json, **options):
        """Give a mailbox, or with @example.org each mailbox of a domain, a limit of its own."""
        if inherit == bool(per_hour or per_day):
            raise Usage("say --per-hour and --per-day, or --inherit")
        scope = self._scope(named)
        now = sending.limit_of(scope)
        wanted = (
            None
            if inherit
            else Limit(
                number(per_hour) if per_hour else now.per_hour, number(per_day) if per_day else now.per_day
            )
        )
        sending.set_limit(scope, wanted, by=self.by)
        self._show(scope, as_json)

    def _scope(self, named: str) -> str:
        return f"@{find_domain(named[1:]).name}" if named.startswith("@") else find_mailbox(named).email

    def _show(self, scope: str, as_json: bool) -> None:
        limit = sending.limit_of(scope)
        told = {"scope": scope, "per_hour": limit.per_hour, "per_day": limit.per_day}
        lines = [
            f"{scope} may send to {limit.per_hour or UNLIMITED} recipients in an hour and {limit.per_day or UNLIMITED} within a day."
        ]
        if not scope.startswith("@"):
            sent = sending.sent(scope)
            told |= {"hour": sent.hour, "day": sent.day, "refused": sent.refused}
            lines.append(
                f"It has sent to {sent.hour} in this hour and {sent.day} within a day; {sent.refused} were refused."
            )
        self.done(as_json, told, *lines)
