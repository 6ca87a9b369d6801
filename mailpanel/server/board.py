"""What the pages tell: the rows of all probes, the sentence about the whole, and the incidents."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby

from django.conf import settings
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailpanel.daemons import State, probing
from mailpanel.daemons.probing import Asked
from mailpanel.daemons.text import Text
from mailpanel.server import history, rounds
from mailpanel.server.models import Alert, Incident, Standing
from mailpanel.server.plots import Plot

STANDS_STILL = timedelta(minutes=3)  # the collector looks every minute
LATEST = 10


@dataclass(frozen=True)
class Row:
    """One probe, and its last word if it has said one."""

    probe: Asked
    standing: Standing | None

    @property
    def plot(self) -> Plot | None:
        return history.small_plots().get(self.key)

    @property
    def uptime(self) -> float | None:
        return history.uptimes().get(self.key)

    @property
    def key(self) -> str:
        return self.probe.key

    @property
    def state(self) -> str:
        """Empty as long as nobody has looked."""
        return self.standing.state if self.standing and self.standing.checked else ""

    @property
    def wrong(self) -> bool:
        return self.state in (State.BAD, State.WARN)

    @property
    def detail(self) -> Text:
        return Text.unpacked(self.standing.detail if self.standing else {})

    @property
    def hint(self) -> Text:
        return Text.unpacked(self.standing.hint if self.standing else {})

    @property
    def checking(self) -> bool:
        """Somebody looks just now, and has not been lost doing so."""
        asked = self.standing and self.standing.asked
        return bool(asked) and timezone.now() - asked < rounds.CLAIM

    @property
    def version(self) -> str:
        """Another one whenever there is something else to show."""
        checked = self.standing and self.standing.checked
        return f"{checked.timestamp() if checked else 0:.3f}{'*' * self.checking}"

    @property
    def stages(self) -> list[tuple[Text, int, int, float]]:
        """Of those that it has: name, where its bar begins and how long it is (per mille of all), and its seconds."""
        told = self.standing.stages if self.standing else []
        whole, begin, found = sum(seconds for _name, seconds in told) or 1, 0.0, []
        for name, seconds in told:
            found.append(
                (Text.unpacked(name), round(1000 * begin / whole), round(1000 * seconds / whole), seconds)
            )
            begin += seconds
        return found


def row(key: str) -> Row | None:
    """One probe without its history; None if there is no such."""
    if not (probe := probing.probes().get(key)):
        return None
    return Row(probe, Standing.objects.filter(pk=key).first())


def down() -> int:
    """How many are; for the navigation of every page."""
    return Standing.objects.filter(state=State.BAD, key__in=probing.probes()).count()


def faults() -> list[Row]:
    """What is down, in the order of the page, without what something else that is down explains."""
    found = {standing.key: standing for standing in Standing.objects.filter(state=State.BAD)}
    rows = [Row(probe, found[key]) for key, probe in probing.probes().items() if key in found]
    return causes_of(rows) if rows else []


@dataclass(frozen=True)
class Verdict:
    """What the whole comes to. `command` is what to type for it, `about` the probe that shows the cure."""

    state: str
    words: str
    more: str = ""
    command: str = ""
    about: str = ""


class Board:
    """All probes as they are now; one statement, and each of the others when it is asked for. `minute` changes with
    what is drawn of their history."""

    def __init__(self):
        self.minute = history.minute()
        self._standings = {standing.key: standing for standing in Standing.objects.all()}

    @cached_property
    def rows(self) -> list[Row]:
        return [Row(probe, self._standings.get(key)) for key, probe in probing.probes().items()]

    @property
    def version(self) -> str:
        """Of all rows together."""
        return " ".join(row.version for row in self.rows)

    @property
    def groups(self) -> list[tuple[Text, list[Row]]]:
        return [(group, list(rows)) for group, rows in groupby(self.rows, key=lambda row: row.probe.group)]

    @property
    def checking(self) -> bool:
        return any(row.checking for row in self.rows)

    @property
    def checked(self) -> datetime | None:
        """When the oldest word was said: not when one of them was asked by itself."""
        return min((row.standing.checked for row in self.rows if row.state), default=None)

    @property
    def down(self) -> int:
        return sum(row.state == State.BAD for row in self.rows)

    @cached_property
    def verdict(self) -> Verdict:
        if self.checked is None:
            return Verdict(
                State.WARN,
                _("Nothing is known yet: the collector has not run"),
                _("It asks every daemon once a minute. It runs beside the panel; this is how it is started:"),
                _start_collector(),
            )
        if timezone.now() - self.checked > STANDS_STILL:
            return Verdict(
                State.WARN,
                _("The collector stands still"),
                _("What stands here was true when it last ran. This is how it is started:"),
                _start_collector(),
            )
        wrong = [row for row in self.rows if row.state == State.BAD]
        return _of_faults(wrong) if wrong else self._of_warnings()

    def _of_warnings(self) -> Verdict:
        warnings = [row for row in self.rows if row.state == State.WARN]
        if not warnings:
            return Verdict(State.OK, _("Mail works"), _("Nothing that is checked here is wrong."))
        words = ngettext(
            "Mail works, and one thing wants attention",
            "Mail works, and %(number)s things want attention",
            len(warnings),
        )
        first = warnings[0]
        more = str(first.detail) if len(warnings) == 1 else _names(warnings)
        return Verdict(State.WARN, words % {"number": len(warnings)}, more, about=first.key)


def _start_collector() -> str:
    return "manage.py collect" if settings.PRIVATE_COPY else "sudo systemctl restart mailpanel-collect"


# Without which of the probes mail does not come in. Sending and reading have two doors each, of which one is enough.
_IN = {"smtp", "lmtp", "clamav", "quota-status", "database", "disks"}
_OUT, _OUT_DOORS = {"sasl", "database"}, {"submission", "smtps"}
_READ, _READ_DOORS = {"database"}, {"imap", "imaps", "pop3", "pop3s"}


def _of_faults(wrong: list[Row]) -> Verdict:
    keys = {row.key for row in wrong}
    roots = causes_of(wrong)
    words, works = _effect(
        bool(keys & _IN),
        bool(keys & _OUT or keys >= _OUT_DOORS),
        bool(keys & _READ or keys >= _READ_DOORS),
        "roundtrip" in keys,
    )
    first = roots[0]
    return Verdict(
        State.BAD,
        ngettext("%(effect)s: %(probes)s is down", "%(effect)s: %(probes)s are down", len(roots))
        % {"effect": words, "probes": _names(roots)},
        " ".join(filter(None, [str(first.detail), works])),
        about=first.key,
    )


def causes_of(wrong: list[Row]) -> list[Row]:
    """Without those that an incident of another explains."""
    effects = set(
        Incident.objects.filter(ended=None, cause__isnull=False, cause__ended=None).values_list(
            "key", flat=True
        )
    )
    return [row for row in wrong if row.key not in effects] or wrong


def _names(rows: list[Row]) -> str:
    names = ", ".join(str(row.probe.name) for row in rows[:3])
    return names if len(rows) <= 3 else _("%(names)s and others") % {"names": names}


def _effect(incoming: bool, sending: bool, reading: bool, trip: bool) -> tuple[str, str]:
    """What does not work, and what still does."""
    match incoming, sending, reading:
        case True, True, True:
            return _("Mail does not work"), ""
        case True, True, False:
            return _("Mail from outside waits, and nobody can send"), _("Reading works.")
        case True, False, True:
            return _("Mail from outside waits, and nobody can read"), _("Sending works.")
        case False, True, True:
            return _("Nobody can send or read"), _("Mail from outside comes in.")
        case True, False, False:
            return _("Mail from outside waits"), _("Sending and reading work.")
        case False, True, False:
            return _("Nobody can send"), _("Mail from outside comes in, and reading works.")
        case False, False, True:
            return _("Nobody can read mail"), _("Mail from outside comes in, and sending works.")
    if trip:
        return _("A message does not get through"), _("Each daemon by itself answers.")
    return _("Mail works in part"), _("Mail comes in, and sending and reading work in at least one way.")


def incidents() -> QuerySet[Incident]:
    """With `effects_count` and `alerts_sent`, and the cause of each."""
    effects = Incident.objects.filter(cause=OuterRef("pk")).order_by().values("cause")
    sent = Alert.objects.filter(incident=OuterRef("pk"), sent__isnull=False).order_by().values("incident")
    return Incident.objects.select_related("cause").annotate(
        effects_count=Coalesce(Subquery(effects.annotate(n=Count("pk")).values("n")), 0),
        alerts_sent=Coalesce(Subquery(sent.annotate(n=Count("pk")).values("n")), 0),
    )


def latest_causes() -> list[Incident]:
    return list(incidents().filter(cause=None).order_by("-began", "-id")[:LATEST])
