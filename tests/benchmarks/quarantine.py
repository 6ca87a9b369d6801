"""How long the database takes for the lists of the quarantine at a given size; run by hand, and never by pytest.

    MAILPANEL_VAR=/tmp/bench-q python -m tests.benchmarks.quarantine fill measure --messages 1000000
    python -m tests.benchmarks.quarantine fill measure --mariadb      a private server, which goes with this process

A tenth of the messages is for the largest of a thousand domains, and ten thousand for one person in it; one in five is for
two recipients. Told are the milliseconds that all statements of a page took in the database, the median of five.
"""

import argparse
import os
import random
import tempfile
import time
from datetime import UTC, datetime

from tests.benchmarks import lists

DOMAINS, MAILBOXES, SENDERS = 1000, 20_000, 200_000
PORTION = 20_000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="+", choices=["fill", "measure", "purge"])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--mariadb", action="store_true")
    parser.add_argument("--slow", type=float, default=50, help="milliseconds")
    options = parser.parse_args()
    if options.mariadb:
        from tests.mariadb import MariaDB

        server = MariaDB()
        server.sql("SET GLOBAL innodb_buffer_pool_size = 1073741824")
        os.environ["MAILPANEL_DATABASE_URL"] = server.url("benchmark")
    os.environ.setdefault("MAILPANEL_VAR", tempfile.mkdtemp(prefix="bench-q-"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailpanel.settings")

    import django

    django.setup()
    try:
        if "fill" in options.steps:
            fill(options.messages)
        if "measure" in options.steps:
            lists.cases = cases
            lists.measure(options.slow, "")
        if "purge" in options.steps:
            purge()
    finally:
        if options.mariadb:
            server.remove()


def fill(messages: int):
    from django.core.management import call_command
    from django.db import connection, transaction

    from accounts.models import Mailbox
    from domains.models import Alias, Domain

    chance, now = random.Random("quarantine"), int(time.time())
    call_command("migrate", verbosity=0)
    names = [f"d{number:04}.example" for number in range(DOMAINS)]
    long_ago = datetime(2024, 1, 1, tzinfo=UTC)
    Domain.objects.bulk_create(Domain(name=name) for name in names)
    Domain.objects.bulk_create([Domain(name="mirror.example", alias_of_id=names[0])])
    boxes = [f"p{number}@{names[number % DOMAINS]}" for number in range(MAILBOXES)]
    Mailbox.objects.bulk_create(
        (Mailbox(email=email, domain_id=email.partition("@")[2]) for email in boxes), batch_size=5000
    )
    lists.people(names)
    for who in ("p5@" + names[5], "p0@" + names[0]):
        Alias.objects.create(source="team-" + who, destination=who, domain_id=who.partition("@")[2])
    for model in (Mailbox, Domain, Alias):
        model.objects.update(created=long_ago)
    people = boxes + [f"s{number}@x{number % 5000}.example.org" for number in range(SENDERS)]
    with lists.told("addresses"), transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO maddr (id, email, domain) VALUES (%s, %s, %s)",
            [
                (i, one, ".".join(reversed(one.partition("@")[2].split("."))))
                for i, one in enumerate(people, 1)
            ],
        )
    in_largest = range(0, MAILBOXES, DOMAINS)
    with lists.told("messages"):
        for start in range(0, messages, PORTION):
            msgs, rcpts, texts = [], [], []
            for number in range(start, start + PORTION):
                mail_id, when = f"{number:07x}-AbCd", now - int(30 * 86400 * number / messages)
                luck = chance.random()
                kind = "V" if luck < 0.001 else "B" if luck < 0.02 else "S"
                sender = (
                    MAILBOXES
                    + 1
                    + (chance.randrange(100) if chance.random() < 0.05 else chance.randrange(SENDERS))
                )
                msgs.append(
                    (
                        mail_id,
                        "s",
                        "1-1",
                        when,
                        "i",
                        sender,
                        5000,
                        kind,
                        "Q",
                        12.5,
                        people[sender - 1],
                        "Cheap",
                        "h",
                    )
                )
                luck = chance.random()
                to = (
                    1
                    if luck < 0.01
                    else chance.choice(in_largest) + 1
                    if luck < 0.1
                    else chance.randrange(MAILBOXES) + 1
                )
                for number_of_rcpt, rid in enumerate(
                    [to, chance.randrange(MAILBOXES) + 1][: 2 if chance.random() < 0.2 else 1], 1
                ):
                    rcpts.append(
                        (
                            mail_id,
                            number_of_rcpt,
                            rid,
                            "Y",
                            kind,
                            "D",
                            " ",
                            12.5,
                            when,
                            boxes[rid - 1].partition("@")[2],
                        )
                    )
                texts.append((mail_id, 1, b"Subject: Cheap\n\nBuy.\n"))
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO msgs (mail_id, secret_id, am_id, time_num, time_iso, sid, size, content, quar_type, spam_level, "
                    "from_addr, subject, host) VALUES (" + ", ".join(["%s"] * 13) + ")", msgs,
                )  # fmt: skip
                cursor.executemany(
                    "INSERT INTO msgrcpt (mail_id, rseqnum, rid, is_local, content, ds, rs, bspam_level, made, domain) "
                    "VALUES (" + ", ".join(["%s"] * 10) + ")", rcpts,
                )  # fmt: skip
                cursor.executemany(
                    "INSERT INTO quarantine (mail_id, chunk_ind, mail_text) VALUES (%s, %s, %s)", texts
                )
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("ANALYZE TABLE msgs, msgrcpt, maddr, quarantine")


def cases():
    from mailpanel.server.models import MsgRcpt

    middle = MsgRcpt.objects.filter(kind="S").order_by("-made")[1000:1001].get()
    deep = f"after={middle.made - 10 * 86400},{middle.slip}"
    queries = {
        "newest": "", "deep": deep, "viruses": "kind=V", "banned": "kind=B", "something else": "kind=O",
        "to one": "to=p7@d0007.example", "to one with much": "to=p0@d0000.example", "to a domain": "to=@d0007.example",
        "to the largest": "to=@d0000.example", "to the largest, deep": "to=@d0000.example&" + deep,
        "from one": "sender=s5@x5.example.org", "from a domain": "sender=@x5.example.org", "from nobody": "sender=@nowhere.example",
        "from one, viruses": "sender=s5@x5.example.org&kind=V", "from one to one": "sender=s5@x5.example.org&to=p0@d0000.example",
    }  # fmt: skip
    for who in ("root", "few", "many", "most", "one", "largest"):
        for name, query in queries.items():
            yield f"{who}: {name}", f"{who}@d0001.example", f"/quarantine/?{query}"
    for who in ("p5@d0005.example", "p0@d0000.example"):
        for name in ("newest", "deep", "viruses", "from one"):
            yield f"{who}: {name}", who, f"/quarantine/?{queries[name]}"
    yield "a message", "root@d0001.example", f"/quarantine/{middle.slip}/"


def purge():
    from django.conf import settings

    from mailpanel.server import retention

    settings.MAILPANEL_QUARANTINE_DAYS = 29
    with lists.told("purge of a thirtieth"):
        print(retention.purge(), "messages")


if __name__ == "__main__":
    main()
