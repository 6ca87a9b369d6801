"""manage.py policy: answers Postfix whether a mailbox may send on."""

import signal
from pathlib import Path

from django.core.management.base import BaseCommand
from django.db import connections

from mailpanel.daemons import targets
from mailpanel.server.policy_service import Service


class Command(BaseCommand):
    help = "Answer Postfix whether a mailbox may send on, and count what it sends. Runs for ever."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--socket", type=Path, help="default: where main.cf looks for it")

    def handle(self, *, socket, **options):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # not a new one for each message, which takes longer than the question
        connections.settings["default"]["CONN_MAX_AGE"] = 60
        with Service(socket or Path(targets.find("policy").address)) as service:
            service.serve_forever()
