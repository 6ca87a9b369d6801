"""What our SQL maps cost: messages a second that one smtpd takes with them, against the same smtpd with static maps; run by
hand, and never by pytest.

    python -m tests.benchmarks.smtpd --messages 3000 --mailboxes 100000
    DATABASE=mariadb python -m tests.benchmarks.smtpd

Both are the same private copy with the same restrictions, every message to another mailbox, by Postfix' own smtp-source.
What is taken is thrown away (discard), neither filtered nor delivered, so that little but the maps is measured. The two
take turns, and told are the medians and their ratio.
"""

import argparse
import statistics
import subprocess
import time

import tests.environment  # noqa: F401  first: it sets what Django reads

# isort: split
import django

django.setup()

from accounts.models import Mailbox  # noqa: E402
from domains.models import Domain  # noqa: E402
from tests.stack.private import Private  # noqa: E402

DOMAIN = "bench.test"
RECIPIENT = f"box@{DOMAIN}"  # smtp-source puts a number before it
SEND = [
    "smtp-source", "-N", "-l", "1000", "-M", "client.example.net", "-f", "stranger@elsewhere.example.net", "-t", RECIPIENT,
]  # fmt: skip
# Everything that asks a table, and what it asks with static maps.
STATIC = {
    "virtual_alias_domains": "",
    "virtual_mailbox_domains": DOMAIN,
    "virtual_mailbox_maps": "hash:{0}/mailboxes",
    "virtual_alias_maps": "hash:{0}/mailboxes, hash:{0}/none",
    "relay_domains": "hash:{0}/none",
    "transport_maps": "hash:{0}/none",
    "refused_recipients": "check_recipient_access hash:{0}/none",
    "verified_recipients": "check_recipient_access hash:{0}/none",
    "smtpd_sender_login_maps": "hash:{0}/none",
    "smtpd_sender_restrictions": "check_sender_access hash:{0}/none",
}
ALONE = {"virtual_transport": "discard:"}


def fill(private: Private, mailboxes: int) -> None:
    with private.orm():
        Domain.objects.create(name=DOMAIN)
        for start in range(0, mailboxes, 2000):
            numbers = range(start, min(start + 2000, mailboxes))
            Mailbox.objects.bulk_create(Mailbox(email=f"{n}{RECIPIENT}", domain_id=DOMAIN) for n in numbers)


class Postfix:
    def __init__(self, private: Private, mailboxes: int):
        self.etc, self.port = private.etc / "postfix", private.port["smtp"]
        static = self.etc / "static"
        static.mkdir()
        lines = "".join(f"{n}{RECIPIENT} {n}{RECIPIENT}\n" for n in range(mailboxes))
        for name, text in {"mailboxes": lines, "none": ""}.items():
            (static / name).write_text(text)
            subprocess.run(["postmap", f"hash:{static / name}"], check=True)
        # of this machine, where smtp-source is, the sender would not be asked about
        of_strangers = {"smtpd_sender_restrictions": "check_sender_access ${sql}/own_senders.cf"}
        self.by_sql = {name: self._set_now(name) for name in STATIC} | of_strangers
        self.static = {name: value.format(static) for name, value in STATIC.items()}
        self._set(ALONE)
        # by name, and not by what the settings above are just now
        self._set(
            {"proxy_read_maps": " ".join(f"${{sql}}/{path.name}" for path in (self.etc / "sql").glob("*.cf"))}
        )
        for name in ("smtpd_proxy_filter", "receive_override_options"):
            self._postconf("-P", f"{self.port}/inet/{name}=")

    def messages_a_second(self, maps: dict[str, str], messages: int, sessions: int) -> float:
        self._set(maps)
        subprocess.run(["postfix", "-c", self.etc, "reload"], check=True, capture_output=True)
        time.sleep(2)  # smtpd processes of before end by themselves
        self._send(200, sessions)  # processes are started, tables opened
        began = time.monotonic()
        self._send(messages, sessions)
        return messages / (time.monotonic() - began)

    def _send(self, messages: int, sessions: int) -> None:
        subprocess.run(
            [*SEND, "-m", str(messages), "-s", str(sessions), f"inet:127.0.0.1:{self.port}"],
            check=True,
            timeout=600,
        )

    def _set_now(self, name: str) -> str:
        return self._postconf("-h", name).strip()

    def _set(self, values: dict[str, str]) -> None:
        self._postconf("-e", *(f"{name} = " + " ".join(value.split()) for name, value in values.items()))

    def _postconf(self, *arguments: str, check: bool = True) -> str:
        command = ["postconf", "-c", self.etc, *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    private = Private(database="benchmark")
    try:
        private.migrate()
        private.up()
        fill(private, asked.mailboxes)
        postfix = Postfix(private, asked.mailboxes)
        found = {"sql": [], "static": []}
        for _round in range(asked.rounds):
            for name, maps in (("sql", postfix.by_sql), ("static", postfix.static)):
                found[name].append(postfix.messages_a_second(maps, asked.messages, asked.sessions))
    finally:
        private.remove()
    sql, static = (statistics.median(found[name]) for name in ("sql", "static"))
    print(f"{sql:.0f} messages a second with SQL maps, {static:.0f} with static ones: {sql / static:.2f}")


if __name__ == "__main__":
    main()
