"""How long each daemon of the private copy takes to start, and what memory it holds; run by hand, and never by pytest.

    python -m tests.benchmarks.daemons

They are started one after the other and waited for until they greet. Memory is the proportional set size of all processes of
a daemon (what they share is counted once) after a few messages have gone through.
"""

import argparse
import smtplib
import time
from pathlib import Path

import tests.environment  # noqa: F401  first: it sets what Django reads

# isort: split
import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402

from accounts.models import Mailbox  # noqa: E402
from domains.models import Domain  # noqa: E402
from mailpanel.stack import local, processes  # noqa: E402
from mailpanel.stack.daemons import Daemon, daemons, wait_until_ready  # noqa: E402
from tests.stack.private import free_ports  # noqa: E402

RECIPIENT = "box@bench.test"


def seconds_to_start(daemon: Daemon, place) -> float:
    began = time.monotonic()
    wait_until_ready({daemon: daemon.begin()}, place, settings.MAILPANEL_PORTS)
    return time.monotonic() - began


def megabytes(daemon: Daemon) -> float:
    kilobytes = 0
    for pid in processes.found(daemon.mark):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kilobytes += int(line.split()[1])
    return kilobytes / 1024


def send(messages: int) -> None:
    for number in range(messages):
        with smtplib.SMTP("127.0.0.1", settings.MAILPANEL_PORTS["smtp"], "client.example.net") as client:
            text = f"Subject: message {number}\r\n\r\nHello.\r\n"
            client.sendmail("stranger@elsewhere.example.net", [RECIPIENT], text)
    time.sleep(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=20)
    asked = parser.parse_args()
    place = local.here()
    settings.MAILPANEL_PORTS |= free_ports()
    try:
        local.configure(place)
        call_command("migrate", verbosity=0)
        took = {daemon: seconds_to_start(daemon, place) for daemon in daemons(place)}
        Domain.objects.create(name="bench.test")
        Mailbox.objects.create(email=RECIPIENT, domain_id="bench.test")
        send(asked.messages)
        for daemon, seconds in took.items():
            print(f"{daemon.name}: {seconds:.2f} s to its greeting, {megabytes(daemon):.0f} MB")
    finally:
        local.down(place)


if __name__ == "__main__":
    main()
