"""manage.py check_server: what the page “Status” says, for the shell and for Nagios."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import translation

from domains.models import STEERING
from mailpanel.daemons import Probe, State, probing

# Of the plugin interface: OK, WARNING, CRITICAL, UNKNOWN.
EXIT = {State.OK: 0, State.OFF: 0, State.WARN: 1, State.BAD: 2}
UNKNOWN = 3
WORDS = {State.OK: "OK", State.WARN: "WARNING", State.BAD: "CRITICAL", State.OFF: "not checked"}


class Command(BaseCommand):
    help = (
        "See whether mail works: asks every daemon, and says cause and next step. "
        "Exit status 0 all well, 1 warning, 2 something is down, 3 not known, as Nagios reads it."
    )
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("probe", nargs="*", metavar="PROBE", help="only these; all if none is named")
        parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
        parser.add_argument(
            "--changes", action="store_true", help="say only what is new since the last run with --changes"
        )
        parser.add_argument("--list", dest="listed", action="store_true", help="print the probes there are")

    def handle(self, *, probe, as_json, changes, listed, **options):
        known = probing.probes()
        if unknown := [key for key in probe if key not in known]:
            raise CommandError(
                f"There is no probe {unknown[0]}. There are: {', '.join(known)}.", returncode=UNKNOWN
            )
        with translation.override("en"):
            if listed:
                self.stdout.write("\n".join(f"{key:13} {asked.name}" for key, asked in known.items()))
                return
            seen = probing.look(probe or None)
            told = _changed(seen) if changes else seen
            if as_json or told:
                self.stdout.write(_as_json(told) if as_json else _lines(told, _summary(seen)))
        raise SystemExit(max(EXIT[one.state] for one in seen))


def _changed(seen: list[Probe]) -> list[Probe]:
    """Those that are in another state than at the last run, of which a file tells: the database may be what is away."""
    path = settings.MAILPANEL_VAR / "check_server.json"
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        before = {}
    before = before if isinstance(before, dict) else {}
    quiet = {State.OK, State.OFF}  # of what was never seen before, all well is no news
    new = [one for one in seen if before.get(one.key, State.OK if one.state in quiet else None) != one.state]
    _keep(path, before | {one.key: one.state for one in seen})
    return new


def _keep(path: Path, states: dict[str, str]) -> None:
    """All of it or nothing, and for nobody else to read."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # with mode 600
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(states, file)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _lines(seen: list[Probe], summary: str) -> str:
    """The first line is the whole answer, as Nagios shows it."""
    lines = [summary]
    for one in seen:
        lines.append(f"{WORDS[one.state]:11}  {one.name}: {one.detail} ({one.seconds:.2f} s)")
        lines += [f"{'':13}{part}" for part in (str(one.hint), one.command) if part]
        lines += [f"{'':13}{seconds:.2f} s  {name}" for name, seconds in one.stages]
    return "\n".join(STEERING.sub("?", line) for line in lines)


def _summary(seen: list[Probe]) -> str:
    worst = max(seen, key=lambda one: EXIT[one.state])
    wrong = [one for one in seen if EXIT[one.state]]
    if not wrong:
        return f"OK: mail works, {len(seen)} probes"
    others = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"{WORDS[worst.state]}: {worst.name}: {worst.detail}{others}"


def _as_json(seen: list[Probe]) -> str:
    """Seconds are numbers; state is ok, warn, bad or off."""
    return json.dumps(
        [
            {
                "key": one.key,
                "group": str(one.group),
                "name": str(one.name),
                "state": one.state,
                "detail": str(one.detail),
                "hint": str(one.hint),
                "command": one.command,
                "seconds": round(one.seconds, 4),
                "stages": [{"name": str(name), "seconds": round(took, 4)} for name, took in one.stages],
            }
            for one in seen
        ],
        indent=2,
    )
