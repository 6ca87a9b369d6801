"""How long the quarantine is kept: it goes with its mailbox or domain, comes back with it, and ends after some weeks."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q
from django.utils import timezone

from domains import addresses
from domains.models import Domain
from mailpanel.deadlocks import retried_on_deadlock
from mailpanel.server.models import Maddr, Msg, MsgRcpt, Quarantine
from mailpanel.server.models.quarantine import DELETED, IN_TRASH, KINDS, WAITS

AT_ONCE = 500  # messages in one transaction
# Addresses that Amavis may be about to use for its next message, the newest, are left alone.
RECENT = 100
WALKED = 20 * AT_ONCE  # addresses looked at in one run

# --- with a mailbox or a domain, in the caller's transaction --------------------------------------------------


def to_trash(emails: Iterable[str]) -> None:
    """What waits for these mailboxes waits in the trash."""
    for ids in _recipients(emails):
        MsgRcpt.objects.filter(rid__in=ids, kind__in=KINDS).update(rs=IN_TRASH)


def domain_to_trash(name: str) -> None:
    MsgRcpt.objects.filter(domain=name, kind__in=KINDS).update(rs=IN_TRASH)


def bring_back(emails: Iterable[str], domains: Iterable[Domain]) -> None:
    """What was held before a domain was made belongs to a former one of its name, and stays."""
    for ids in _recipients(emails):
        MsgRcpt.objects.filter(rid__in=ids, rs=IN_TRASH).update(rs=WAITS)
    for domain in domains:
        since = int(domain.created.timestamp())
        MsgRcpt.objects.filter(domain=domain.name, rs=IN_TRASH, made__gte=since).update(rs=WAITS)


def erase(email: str) -> None:
    """What its former owner left in the trash, for good: a new owner of an address inherits nothing."""
    for ids in _recipients([email]):
        rows = MsgRcpt.objects.filter(rid__in=ids, rs=IN_TRASH)
        mail_ids = set(rows.values_list("mail_id", flat=True))
        rows.update(rs=DELETED)
        forget_texts(mail_ids)


def forget_texts(mail_ids: Iterable[str]) -> None:
    """Those of messages for which nobody waits any more, also not in the trash."""
    for some in _portions(mail_ids):
        needed = MsgRcpt.objects.filter(
            Q(kind__isnull=False) | Q(rs=IN_TRASH), partition_tag=0, mail_id=OuterRef("mail_id")
        )
        ids = Msg.objects.filter(~Exists(needed), partition_tag=0, mail_id__in=some).values_list(
            "mail_id", flat=True
        )
        Quarantine.objects.filter(partition_tag=0, mail_id__in=list(ids)).delete()


def _recipients(emails: Iterable[str]) -> Iterable[list[int]]:
    """The recipients that mean these mailboxes: also with +tag, and in mirrors. In portions, since a database that is
    given them as a subquery of an UPDATE reads the whole table."""
    for some in _portions(emails):
        names = set(some)
        mirrors = Domain.objects.filter(alias_of__in={addresses.split(email)[1] for email in some})
        for mirror, target in mirrors.values_list("name", "alias_of"):
            locals_ = (addresses.split(email) for email in some)
            names |= {f"{local}@{mirror}" for local, domain in locals_ if domain == target}
        ids = Maddr.objects.filter(base__in=names).values_list("id", flat=True)
        yield from _portions(ids)


def _portions(rows: Iterable) -> Iterator[list]:
    rows = iter(rows)
    while some := list(islice(rows, AT_ONCE)):
        yield some


# --- in time --------------------------------------------------------------------------------------------------


def purge() -> int:
    """Delete what is older than MAILPANEL_QUARANTINE_DAYS, in portions; returns how many messages."""
    before = int((timezone.now() - timedelta(days=settings.MAILPANEL_QUARANTINE_DAYS)).timestamp())
    purged = 0
    for rows in (
        Msg.objects.filter(time_num__lt=before).order_by("time_num"),
        # and those whose message is not there any more
        *(MsgRcpt.objects.filter(kind=kind, made__lt=before).order_by("made") for kind in KINDS),
        MsgRcpt.objects.filter(kind=None, made__lt=before).order_by("made"),
    ):
        while mail_ids := set(rows.values_list("mail_id", flat=True)[:AT_ONCE]):
            _purge(mail_ids)
            purged += len(mail_ids)
    _forget_addresses()
    return purged


@retried_on_deadlock
def _purge(mail_ids: set[str]) -> None:
    with transaction.atomic():
        these = {"partition_tag": 0, "mail_id__in": mail_ids}  # the beginning of each table's key
        msgs, rows = (model.objects.filter(**these) for model in (Msg, MsgRcpt))
        people = {*msgs.values_list("sid", flat=True), *rows.values_list("rid", flat=True)}
        Quarantine.objects.filter(**these).delete()
        rows.delete()
        msgs.delete()
        _forget(people)


def _forget(ids: Iterable[int]) -> None:
    """Those of the addresses that no message names. Looked up by themselves: asked for all of it at once, MariaDB reads
    all messages."""
    ids = set(ids) - {0}
    used = {
        *Msg.objects.filter(sid__in=ids).values_list("sid", flat=True).distinct(),
        *MsgRcpt.objects.filter(rid__in=ids).values_list("rid", flat=True).distinct(),
    }
    newest = Maddr.objects.aggregate(newest=Max("id"))["newest"] or 0
    Maddr.objects.filter(pk__in=[key for key in ids - used if key <= newest - RECENT]).delete()


_walked = -1


def _forget_addresses() -> None:
    """Go on through the table where the last run has stopped, and begin anew at its end."""
    global _walked
    for _portion in range(WALKED // AT_ONCE):
        ids = list(Maddr.objects.filter(pk__gt=_walked).order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
        _forget(ids)
        _walked = ids[-1] if ids else -1
        if not ids:
            return
