from django.core.exceptions import ValidationError

from accounts import restore, trash
from domains import addresses
from mailpanel.daemons import DaemonError
from mailpanel.management.operator import NounCommand, Refused, moment


class Command(NounCommand):
    help = "What was deleted: it can be brought back until the purge."
    verbs = ("list", "restore", "purge")
    unnamed = ("list", "purge")
    metavar = "NAME"

    def do_list(self, search, as_json, **options):
        """List what can be brought back, the newest first."""
        found = list(trash.deletions().filter(name__contains=search.lower()).order_by("-id"))
        if as_json:
            self.tell_json(
                [
                    {"name": row.name, "kind": trash.KINDS[row.table], "at": row.at, "by": row.actor}
                    for row in found
                ]
            )
        else:
            self.tell_table(
                ("NAME", "KIND", "DELETED", "BY"),
                (
                    (addresses.to_unicode(row.name), trash.KINDS[row.table], moment(row.at), row.actor)
                    for row in found
                ),
            )

    def do_restore(self, named, as_json, **options):
        """Bring back what was deleted last under this name: mailbox, alias or domain."""
        row = trash.deletions().filter(name__in={named.lower(), _ascii(named)}).order_by("-id").first()
        if row is None:
            raise ValidationError(f"There is nothing of the name {named} in the trash.")
        left = restore.bring_back(row.deletion, by=self.by)
        sentences = [
            f"{addresses.to_unicode(row.name)} is back.",
            *left,
        ]
        self.done(as_json, {"restored": row.name, "left": left}, *sentences)

    def do_purge(self, as_json, **options):
        """End what has been in the trash for longer than MAILPANEL_TRASH_DAYS: rows, and mail on the disk."""
        try:
            ended = trash.purge(trash.due(), by=self.by)
        except DaemonError as error:
            raise Refused(f"{error} What could not be erased stays in the trash; run this again.") from error
        self.done(as_json, {"purged": ended}, f"{ended} deletions are ended for good.")


def _ascii(name: str) -> str:
    """The canonical form of an address, catch-all or domain, or the name as it is."""
    for parse in (addresses.parse_alias_source, addresses.parse_domain):
        try:
            return parse(name)
        except ValidationError:
            continue
    return name
