"""What whoever looks after mailboxes had best look at first, most urgent first.

Each concern is one count that ends at a hundred and comes from an index, so that the home page costs at a million
mailboxes what it costs at a thousand.
"""

from dataclasses import dataclass
from datetime import timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import access
from accounts.models import Mailbox
from domains.models import DkimKey
from mailpanel.server import board

MOST = 100
FULL = 95  # per cent, where the bar turns red
UNUSED_FOR = timedelta(days=30)
ENDING = timedelta(days=14)


@dataclass(frozen=True)
class Concern:
    level: str  # "bad", "warn" or "info": the icon, too
    words: str
    hint: str
    url: str
    action: str


def concerns(actor: Mailbox) -> list[Concern]:
    """One statement for each kind of concern, and one or two more for those that there are."""
    found = [_down, _sending, _full, _paused, _lost, _no_room, _unsigned, _ending, _unused]
    return [concern for look in found if (concern := look(actor))]


def _count(rows: QuerySet) -> tuple[int, str]:
    """How many, and how that is said: “100+” is not counted further."""
    number = rows.order_by().values("pk")[: MOST + 1].count()
    return number, str(number) if number <= MOST else f"{MOST}+"


def _down(actor: Mailbox) -> Concern | None:
    """For server admins alone: nobody else has the page that it leads to."""
    if not access.rights(actor).server or not (rows := board.faults()):
        return None
    first = rows[0]
    words = _("%(probe)s is down")
    if others := len(rows) - 1:
        words = ngettext(
            "%(probe)s and %(others)s more are down", "%(probe)s and %(others)s more are down", others
        )
    return Concern(
        "bad",
        words % {"probe": first.probe.name, "others": others},
        str(first.detail),
        reverse("server:status"),
        _("Show cause and cure"),
    )


def _sending(actor: Mailbox) -> Concern | None:
    """Who was stopped at the limit within a day. Forbidden to sign in, a mailbox needs nobody any more."""
    stopped = access.senders(actor).filter(refused__gt=0).values("mailbox")
    rows = access.mailboxes(actor).filter(email__in=stopped, enabled=True, can_login=True)
    number, said = _count(rows)
    words = ngettext(
        "%(number)s mailbox was stopped at its sending limit",
        "%(number)s mailboxes were stopped at their sending limits",
        number,
    )
    return number and Concern(
        "bad",
        words % {"number": said},
        _("A stolen password sends like this. Ask the owner, or forbid the sign-in at once."),
        reverse("server:sending") + "?show=refused",
        _("Show who"),
    )


def _full(actor: Mailbox) -> Concern | None:
    number, said = _count(access.mailboxes(actor).filter(fullness__gte=FULL))
    words = ngettext("%(number)s mailbox is nearly full", "%(number)s mailboxes are nearly full", number)
    return number and Concern(
        "bad",
        words % {"number": said},
        _("At 100 % new mail is refused. A larger quota takes effect at once."),
        reverse("accounts:mailboxes") + "?show=full&sort=-quota",
        _("Show the fullest"),
    )


def _paused(actor: Mailbox) -> Concern | None:
    """Wrong passwords are few enough to be counted by account first."""
    since = timezone.now() - timedelta(minutes=settings.MAILPANEL_SIGNIN_PAUSE_MINUTES)
    accounts = (
        AccessAttempt.objects.filter(attempt_time__gte=since)
        .values("username", "ip_address")
        .annotate(failures=Sum("failures_since_start"))
        .filter(failures__gte=settings.AXES_FAILURE_LIMIT)
        .values_list("username", flat=True)
    )
    paused = access.mailboxes(actor).filter(email__in=list(accounts.distinct()[: MOST + 1]))
    emails = list(paused.values_list("email", flat=True)[:2])
    if not emails:
        return None
    if len(emails) == 1:
        return Concern(
            "warn",
            _("Sign-in of %s is paused after wrong passwords") % emails[0],
            _("The pause ends by itself. If it was the owner, it can be ended now."),
            reverse("accounts:mailbox", args=emails),
            _("Show the mailbox"),
        )
    return Concern(
        "warn",
        _("Sign-in of %(first)s and others is paused after wrong passwords") % {"first": emails[0]},
        _("Somebody may be guessing passwords. The log of the mail server tells from where."),
        reverse("accounts:mailbox", args=emails[:1]),
        _("Show the first mailbox"),
    )


def _lost(actor: Mailbox) -> Concern | None:
    off = Mailbox.objects.filter(enabled=False).values("email")
    rows = access.aliases(actor).alive().filter(destination__in=off)
    first = rows.values_list("source", flat=True).first()
    if first is None:
        return None
    number, said = _count(rows)
    words = ngettext(
        "%(number)s alias destination is switched off",
        "%(number)s alias destinations are switched off",
        number,
    )
    return Concern(
        "warn",
        words % {"number": said},
        _("Mail that they are to get is refused or lost. Switch the mailbox on, or change the alias."),
        reverse("domains:alias", args=[first]),
        _("Show the alias") if number == 1 else _("Show the first alias"),
    )


def _no_room(actor: Mailbox) -> Concern | None:
    domains = access.domains(actor).filter(
        Q(mailbox_count__gte=F("max_mailboxes"))
        | Q(alias_count__gte=F("max_aliases"))
        | Q(quota_given__gte=F("quota_pool") / 100.0 * 95),
        alias_of=None,
    )
    names = list(domains.order_by("name")[: MOST + 1])
    if not names:
        return None
    words = _("%(domain)s has nothing left to give")
    if others := len(names) - 1:
        words = ngettext(
            "%(domain)s and %(others)s more domain have nothing left to give",
            "%(domain)s and %(others)s more domains have nothing left to give",
            others,
        )
    return Concern(
        "info",
        words % {"domain": names[0], "others": others},
        _("All its mailboxes, aliases or quota are given. A server admin sets the limits."),
        reverse("domains:domain", args=[names[0].name]),
        _("Show the domain"),
    )


def _unsigned(actor: Mailbox) -> Concern | None:
    """For those who can make a key. Nobody verifies what a private copy signs: its domains stand in no DNS."""
    if settings.PRIVATE_COPY or not access.rights(actor).administers_some:
        return None
    signing = DkimKey.objects.filter(domain=OuterRef("pk"), state=DkimKey.State.SIGNING)
    rows = access.domains(actor, access.To.CHANGE).filter(~Exists(signing), enabled=True)
    first = rows.order_by("name").first()
    if first is None:
        return None
    number, said = _count(rows)
    words = ngettext(
        "Mail of %(number)s domain is not signed", "Mail of %(number)s domains is not signed", number
    )
    return Concern(
        "info",
        words % {"number": said},
        _("Many servers take unsigned mail for junk. A key is made in a second; its record goes into DNS."),
        reverse("domains:dns", args=[first.name]),
        _("Show the domain") if number == 1 else _("Show the first domain"),
    )


def _ending(actor: Mailbox) -> Concern | None:
    now = timezone.now()
    rows = access.aliases(actor).filter(enabled=True, expires__gt=now, expires__lt=now + ENDING)
    number, said = _count(rows)
    words = ngettext(
        "%(number)s alias destination ends within two weeks",
        "%(number)s alias destinations end within two weeks",
        number,
    )
    return number and Concern(
        "info",
        words % {"number": said},
        _("After their last day they get no mail any more."),
        reverse("domains:aliases") + "?show=ending",
        _("Show them"),
    )


def _unused(actor: Mailbox) -> Concern | None:
    rows = access.mailboxes(actor).filter(
        last_used=None, enabled=True, can_login=True, created__lt=timezone.now() - UNUSED_FOR
    )
    number, said = _count(rows)
    words = ngettext("%(number)s mailbox was never used", "%(number)s mailboxes were never used", number)
    return number and Concern(
        "info",
        words % {"number": said},
        _("They are older than a month, and no mail program has signed in to them."),
        reverse("accounts:mailboxes") + "?show=never",
        _("Show them"),
    )
