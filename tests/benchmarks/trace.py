"""How long searches of the message trace take in so many messages; run by hand, and never by pytest.

    MAILPANEL_VAR=/tmp/bench python -m tests.benchmarks.trace fill measure --messages 1000000
    python -m tests.benchmarks.trace fill measure --mariadb           a private server, which goes with this process

The largest domain has a tenth of the messages, one sender has a third of them, and 0.1 % lie in quarantine. Told are the
milliseconds that a page took in the database, the least of five, since other programs are at work here, too.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta

DOMAINS, DAYS = 1000, 30
COLUMNS = {
    "trace_message": "id,host,at,last,queue_id,client,address,login,sender,size,message_id,verdict,score,quarantine,accepted,state,lines",
    "trace_key": "message_id,host,name,begun,ended",
    "trace_recipient": "message_id,address,original,state,waited,queue_id",
    "trace_line": "message_id,at,text",
    "trace_sight": "message_id,scope,address,state,at",
}
LINE = (
    "Nov 28 14:52:20 mail postfix/lmtp[18103]: {key}: to=<{to}>, relay=mail.example.test[/run/dovecot/lmtp-postfix], delay=0.04,"
    " delays=0.01/0.01/0/0.02, dsn=2.0.0, status=sent (250 2.0.0 <{to}> YGyMAaTqCmu4RgAAg+zDdQ Saved)"
)


def fill(messages: int) -> None:
    from django.db import connection, transaction

    from domains.models import Domain

    chance = random.Random(1)
    Domain.objects.bulk_create([Domain(name=f"d{number}.example") for number in range(DOMAINS)])
    end = datetime.now(UTC)
    step = timedelta(days=DAYS) / messages
    mark = "?" if connection.vendor == "sqlite" else "%s"
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
        for first in range(1, messages + 1, 5000):
            rows = {name: [] for name in COLUMNS}
            for pk in range(first, min(first + 5000, messages + 1)):
                make(rows, pk, end - step * (messages - pk), chance)
            with transaction.atomic():
                raw = cursor.connection.cursor() if connection.vendor == "sqlite" else cursor
                for name, columns in COLUMNS.items():
                    marks = ",".join([mark] * (columns.count(",") + 1))
                    quoted = ",".join(map(connection.ops.quote_name, columns.split(",")))
                    raw.executemany(f"INSERT INTO {name} ({quoted}) VALUES ({marks})", rows[name])


def make(rows: dict, pk: int, at: datetime, chance: random.Random) -> None:
    domain = "d0.example" if chance.random() < 0.1 else f"d{chance.randrange(1, DOMAINS)}.example"
    to = f"user{chance.randrange(20)}@{domain}"
    sender = (
        "news@big.example"
        if chance.random() < 0.33
        else f"s{chance.randrange(200_000)}@x{chance.randrange(5000)}.example"
    )
    luck = chance.random()
    state = 3 if luck < 0.001 else 6 if luck < 0.004 else 5 if luck < 0.01 else 4 if luck < 0.4 else 1
    key, when, micro = f"{pk:011X}", at.strftime("%Y-%m-%d %H:%M:%S.%f"), int(at.timestamp() * 1e6)
    accepted = state != 4
    rows["trace_message"].append(
        (pk, "mail", when, when, key if accepted else "", "mx.x.example", "192.0.2.1", "", sender, 5000, f"{pk}@x.example", "", None, "", accepted, state, 1)
    )  # fmt: skip
    rows["trace_recipient"].append((pk, to, "", state, False, key if accepted else ""))
    if accepted:
        rows["trace_key"] += [
            (pk, "mail", key, when, when),
            (pk, "mail", f"dovecot:{key}abcdefghi", when, None),
        ]
    rows["trace_line"] += [(pk, when, LINE.format(key=key, to=to))] * (7 if accepted else 1)
    rows["trace_sight"] += [
        (pk, scope, one, state, micro) for scope in ("", domain, to) for one in ("", sender, to)
    ]


def measure() -> bool:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from mailpanel.server import path, trace
    from mailpanel.server.models import Message
    from mailpanel.server.models.trace import State
    from mailpanel.server.trace import Sought

    count = Message.objects.order_by("-id").first().pk
    middle = Message.objects.get(pk=count // 2)
    deep = {"before": f"{int(middle.at.timestamp() * 1e6)}-{middle.pk}"}
    late = Message.objects.get(pk=count // 50)
    deepest = {"before": f"{int(late.at.timestamp() * 1e6)}-{late.pk}"}
    made, lately = datetime(2020, 1, 1, tzinfo=UTC), middle.at - timedelta(days=3)
    some = {"d7.example": None}
    many = {f"d{number}.example": made if number % 10 else lately for number in range(0, 300, 3)}
    everything, big, own = (
        {"": None},
        {"d0.example": None},
        {"user3@d0.example": made},
    )
    day = {"since": middle.at - timedelta(days=1), "until": middle.at}
    kinds = {
        "all": Sought(), "waiting": Sought(states=(State.WAITING,)), "quarantined": Sought(states=(State.QUARANTINED,)),
        "a day": Sought(**day), "sender of a third": Sought(address="news@big.example"),
        "sender of a third, quarantined": Sought(address="news@big.example", states=(State.QUARANTINED,)),
        "recipient": Sought(address="user3@d0.example"), "recipient in a day": Sought(address="user3@d0.example", **day),
        "nobody": Sought(address="nobody@nowhere.example"), "Message-ID": Sought(name=middle.message_id),
        "queue id": Sought(name=middle.queue_id or f"{middle.pk:011X}"),
    }  # fmt: skip
    slowest = 0.0
    for who, scopes in (
        ("server", everything),
        ("large domain", big),
        ("domain", some),
        ("100 domains", many),
        ("mailbox", own),
    ):
        for what, sought in kinds.items():
            for where, asked in (("", {}), ("half way", deep), ("deep", deepest)):
                times = []
                for _try in range(5):
                    with CaptureQueriesContext(connection) as queries:
                        began, cpu = time.perf_counter(), time.process_time()
                        trace.find(scopes, scopes, sought, asked)
                        took, used = time.perf_counter() - began, time.process_time() - cpu
                    in_database = sum(float(query["time"]) for query in queries)
                    # SQLite works while rows are fetched, in this process: all of it is told, with what Django takes
                    busy = used if connection.vendor == "sqlite" else in_database
                    times.append((busy * 1000, took * 1000, len(queries)))
                found = min(times)
                slowest = max(slowest, found[0])
                print(
                    f"{who:13} {what:31} {where:9} {found[0]:7.1f} ms in {found[2]} statements, {found[1]:7.1f} ms in all",
                    flush=True,
                )
    began = time.perf_counter()
    told = trace.one(middle.pk, everything)
    path.way(told, list(told.row.log.order_by("at", "id")))
    print(f"{'one message':55} {1000 * (time.perf_counter() - began):7.1f} ms in all")
    size(connection)
    print(f"slowest: {slowest:.1f} ms in the database")
    return slowest < 50


def size(connection) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(
                "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_name LIKE 'trace%'"
            )
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        print(f"{int(cursor.fetchone()[0]) / 1e9:.2f} GB")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", choices=["fill", "measure"])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--mariadb", action="store_true")
    asked = parser.parse_args()
    os.environ.setdefault("MAILPANEL_VAR", tempfile.mkdtemp(prefix="mp-bench-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "mailpanel.settings"
    server = None
    if asked.mariadb:
        from tests.mariadb import MariaDB

        server = MariaDB()
        server.sql("SET GLOBAL innodb_buffer_pool_size = 2147483648")
        os.environ["MAILPANEL_DATABASE_URL"] = server.url("bench")
    import django

    django.setup()
    from django.core.management import call_command

    try:
        call_command("migrate", verbosity=0)
        if "fill" in asked.what:
            began = time.perf_counter()
            fill(asked.messages)
            print(f"filled in {time.perf_counter() - began:.0f} s")
        return 0 if "measure" not in asked.what or measure() else 1
    finally:
        if server:
            server.remove()


if __name__ == "__main__":
    sys.exit(main())
