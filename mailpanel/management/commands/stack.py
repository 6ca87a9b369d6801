"""manage.py stack: the private copy of the mail daemons, and their rendered configuration."""

import json
import os
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from mailpanel.stack import local, packages, render, run, values, versions
from mailpanel.stack.daemons import StackError


class Command(BaseCommand):
    help = "The mail daemons of a private copy on loopback ports: run, up, down, info; render writes configuration."
    # The daemons start and stop whatever state the panel is in.
    requires_system_checks = []

    def add_arguments(self, parser):
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        actions.add_parser("run", help="what `make run` does: everything, until Ctrl-C")
        actions.add_parser("up", help="start Postfix, Dovecot, Amavis and clamd")
        actions.add_parser("down", help="end them")
        info = actions.add_parser("info", help="what runs, and where")
        info.add_argument("--json", action="store_true", help="for programs")
        rendering = actions.add_parser("render", help="write the daemons' configuration to a directory")
        rendering.add_argument("directory", type=Path, metavar="DIR")
        rendering.add_argument("--database", choices=render.ENGINES, help="default: that of the settings")
        rendering.add_argument(
            "--system", action="store_true", help="for this machine's own daemons, not for the private copy"
        )
        wanted = actions.add_parser(
            "packages", help="install the daemons' Debian packages, without starting them"
        )
        wanted.add_argument("--tests", action="store_true", help="and those of `make test`")
        actions.add_parser("prepare")  # a step of `run`, as the panel's user

    def handle(self, *args, action, **options):
        if action != "prepare":  # that one comes with a umask of its own
            os.umask(0o022)  # the daemons are other users; what is secret has a mode of its own
        try:
            getattr(self, action)(**options)
        except (StackError, render.RenderError) as error:
            raise CommandError(str(error)) from error

    def run(self, **options):
        run.settled(self.stdout.write)
        run.run(self._say)

    def _say(self, text: str):
        self.stdout.write(text)
        self.stdout.flush()

    def prepare(self, **options):
        run.prepare(self.stdout)

    def packages(self, *, tests, **options):
        names = packages.TESTS if tests else packages.of_daemons(values.engine())
        run.ensure_packages(names, self._say)

    def up(self, **options):
        run.settled(self.stdout.write)
        started = local.up(local.here())
        self.stdout.write(f"Started: {', '.join(started)}." if started else "Everything runs already.")

    def down(self, **options):
        ended = local.down(local.here())
        self.stdout.write(f"Ended: {', '.join(ended)}." if ended else "Nothing ran.")

    def info(self, *, json: bool, **options):
        told = local.info(local.here())
        self.stdout.write(_as_json(told) if json else "\n".join(run.lines(told)))

    def render(self, *, directory, database, system, **options):
        target = directory.absolute()
        engine = database or values.engine()
        filled_in = values.of_system() if system else values.of_private_copy(local.here(), target)
        wanted = render.files(engine, versions.dovecot(), private=not system)
        render.write(target, wanted, filled_in)
        if not system and os.geteuid() == 0 and not packages.missing(packages.of_daemons(engine)):
            local.make_ready(
                local.here()
            )  # so that `postfix check` and the like find what the files speak of
        for file in wanted:
            self.stdout.write(str(target / file.path))


def _as_json(told: dict) -> str:
    return json.dumps(told, indent=2)
