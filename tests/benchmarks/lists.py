"""How long the database takes for search and lists at a given size; run by hand, and never by pytest.

    MAILPANEL_VAR=/tmp/bench python -m tests.benchmarks.lists fill measure --mailboxes 1000000 --domains 1000
    python -m tests.benchmarks.lists fill measure --mariadb           a private server, which goes with this process

The largest domain has a tenth of the mailboxes. Told are the milliseconds that all statements of a page took in the
database, the median of five, and for what takes longer than `--slow` the statements with their plans.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager

FIRST = [
    "ada",
    "anna",
    "lea",
    "mia",
    "noah",
    "luca",
    "emma",
    "ben",
    "jonas",
    "lena",
    "paul",
    "clara",
    "hugo",
    "ines",
    "jens",
    "karin",
    "lukas",
    "marta",
    "nils",
    "olga",
    "petra",
    "quentin",
    "rosa",
    "sven",
    "tanja",
    "ulrich",
    "vera",
    "wolf",
    "xenia",
    "yusuf",
    "zoe",
    "adaeze",
    "mehmet",
    "katarzyna",
    "sofia",
    "ahmed",
    "aiko",
    "bartlomiej",
    "chidi",
]
LAST = [
    "berg",
    "schmidt",
    "mueller",
    "fischer",
    "weber",
    "wagner",
    "becker",
    "hoffmann",
    "schulz",
    "koch",
    "richter",
    "klein",
    "wolf",
    "neumann",
    "schwarz",
    "braun",
    "zimmermann",
    "krueger",
    "hartmann",
    "lange",
    "werner",
    "krause",
    "meier",
    "lehmann",
    "walter",
    "mayer",
    "huber",
    "kaiser",
    "fuchs",
    "peters",
    "lang",
    "scholz",
    "weiss",
    "jung",
    "hahn",
    "vogel",
    "friedrich",
    "keller",
    "guenther",
    "frank",
    "lorenz",
    "baumann",
    "haas",
    "okafor",
    "lindqvist",
    "yildirim",
    "kowalczyk",
    "papadopoulou",
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="+", choices=["fill", "measure", "check", "serve"])
    parser.add_argument("--mailboxes", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--mariadb", action="store_true")
    parser.add_argument("--slow", type=float, default=50, help="milliseconds")
    parser.add_argument("--only", default="", help="cases whose name has this text")
    options = parser.parse_args()
    if options.mariadb:
        from tests.mariadb import MariaDB

        server = MariaDB()
        server.sql("SET GLOBAL innodb_buffer_pool_size = 1073741824")
        os.environ["MAILPANEL_DATABASE_URL"] = server.url("benchmark")
        print(os.environ["MAILPANEL_DATABASE_URL"], flush=True)
    os.environ.setdefault("MAILPANEL_VAR", tempfile.mkdtemp(prefix="mp-bench-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "mailpanel.settings"
    import django

    django.setup()
    try:
        if "fill" in options.steps:
            fill(options.mailboxes, options.domains)
        if "measure" in options.steps:
            measure(options.slow, options.only)
        if "check" in options.steps:
            from accounts import search

            with told("reindex --check"):
                assert search.correct(check=True) == 0
        if "serve" in options.steps:
            time.sleep(7200)
    finally:
        if options.mariadb:
            server.remove()


# --- fill ---------------------------------------------------------------------------------------------------


@contextmanager
def told(what: str):
    began = time.perf_counter()
    yield
    print(f"{what:40} {time.perf_counter() - began:8.1f} s", flush=True)


def fill(mailboxes: int, domains: int):
    from django.core.management import call_command
    from django.db import connection, transaction

    from accounts import search, usage
    from accounts.management.commands.demo_data import as_dovecot
    from accounts.models import Mailbox
    from domains.models import Alias, Domain

    chance, now = random.Random("lists"), int(time.time())
    call_command("migrate", verbosity=0)
    names = [f"d{number:04}.example" for number in range(domains)]
    largest = mailboxes // 10
    sizes = dict.fromkeys(names, (mailboxes - largest) // (domains - 1)) | {names[0]: largest}
    quote = connection.ops.quote_name
    with told("domains, mailboxes, aliases"), transaction.atomic(), connection.cursor() as cursor:
        Domain.objects.bulk_create(
            Domain(name=name, mailbox_count=size, alias_count=size // 10) for name, size in sizes.items()
        )
        insert = (
            f"INSERT INTO {quote('user')} (email, domain, name, quota, enabled, can_login, created) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)"
        )
        alias = "INSERT INTO alias (source, destination, domain, comment) VALUES (%s, %s, %s, %s)"
        for name, size in sizes.items():
            rows = []
            for number in range(size):
                first, last = chance.choice(FIRST), chance.choice(LAST)
                rows.append(
                    (
                        f"{first}.{last}{number}@{name}", name, f"{first.title()} {last.title()}",
                        None if chance.random() < 0.1 else 2**30, chance.random() > 0.02, chance.random() > 0.03,
                        "2024-01-01 00:00:00",
                    )
                )  # fmt: skip
            cursor.executemany(insert, rows)
            cursor.executemany(
                alias, [(f"team-{i}@{name}", chance.choice(rows)[0], name, "Team") for i in range(size // 10)]
            )
    with told("what Dovecot writes"):
        emails = Mailbox.objects.values_list("email", flat=True).iterator(10000)
        used, sign_ins = [], []
        for email in emails:
            if chance.random() < 0.8:
                used.append((email, int(2**30 * chance.betavariate(1.2, 4)), 100))
                sign_ins.append((email, "imap", "192.0.2.1", now - int(chance.expovariate(1e-6))))
        as_dovecot("INSERT INTO mailbox_usage (email, bytes, messages) VALUES (%s, %s, %s)", used)
        as_dovecot("INSERT INTO last_login (email, service, address, time) VALUES (%s, %s, %s, %s)", sign_ins)
    with told("collect, the first round"):
        usage.refresh()
    with told("collect, a tenth of a second round"):
        usage.refresh(3)
    with told("words"):
        search.rebuild()
    people(names)
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(f"ANALYZE TABLE {quote('user')}, word, alias, domain")
    print(Alias.objects.count(), "aliases")


def people(names: list[str]):
    from accounts.models import Mailbox, Role

    for who, kinds in {
        "root": [], "all-helpdesk": [("helpdesk", None)], "one": [("admin", names[7])], "largest": [("admin", names[0])],
        "few": [("admin", names[n]) for n in (0, 5, 9, len(names) // 5, len(names) // 2)],
        "many": [("helpdesk", name) for name in names[5:95]], "most": [("helpdesk", name) for name in names[100:400]],
    }.items():  # fmt: skip
        box = Mailbox.objects.create(
            email=f"{who}@{names[1]}", domain_id=names[1], is_superuser=who == "root"
        )
        for kind, domain in kinds:
            Role.objects.create(mailbox=box, kind=kind, domain_id=domain)


# --- measure ------------------------------------------------------------------------------------------------

LISTS = {
    "mailboxes": "",
    "by name": "?sort=name",
    "by quota": "?sort=-quota",
    "by quota, up": "?sort=quota",
    "by sign-in": "?sort=-used",
    "by sign-in, up": "?sort=used",
    "deep": "?after=m",
    "deep by name": "?sort=name&after=Mia+Weber,mia",
    "deep by quota": "?sort=-quota&after=12,mia",
    "nearly full": "?show=full&sort=-quota",
    "nearly full by address": "?show=full&sort=address",
    "no sign-in": "?show=no-sign-in",
    "never": "?show=never",
    "never by name": "?show=never&sort=name",
    "off": "?show=off",
    "off by sign-in": "?show=off&sort=-used",
    "q rare": "?q=zoe.papadopoulou7",
    "q frequent": "?q=anna",
    "q one letter": "?q=a",
    "q two words": "?q=anna+berg",
    "q two letters": "?q=a+b",
    "q frequent by quota": "?q=anna&sort=-quota",
    "q frequent, never": "?q=anna&show=never",
    "q domain": "?q=d0500.example",
    "q domain and name": "?q=d0500.example+anna",
    "q nothing": "?q=qqqq",
    "q of the largest domain": "?q=d0000.example+ada+okafor",
}
SEARCHES = {
    "search " + q: f"?all=1&q={q.replace(' ', '+')}"
    for q in ("a", "anna", "anna berg", "ada okafor", "team", "d0000.example", "zz", "a b c")
} | {"search exact": "?q=team-3@d0000.example"}


def cases():
    for who in ("root", "few", "many", "most", "one"):
        for name, query in LISTS.items():
            yield f"{who}: {name}", who, "/mailboxes/" + query
    for name, query in LISTS.items():
        yield f"largest domain: {name}", "largest", "/domains/d0000.example/" + query
        yield f"small domain: {name}", "root", "/domains/d0500.example/" + query
    for who in ("root", "few", "many", "most", "all-helpdesk"):
        for name, query in SEARCHES.items():
            yield f"{who}: {name}", who, "/search/" + query
        for name, query in {"aliases": "", "q": "?q=anna", "q frequent": "?q=t"}.items():
            yield f"{who}: aliases {name}", who, "/aliases/" + query


def measure(slow: float, only: str):
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from accounts.models import Mailbox

    settings.ALLOWED_HOSTS.append("testserver")
    call_command("collectstatic", interactive=False, verbosity=0)
    clients = {}
    worst = []
    for name, who, url in cases():
        if only not in name:
            continue
        if who not in clients:
            clients[who] = Client()
            person = Mailbox.objects.get(email=who if "@" in who else f"{who}@d0001.example")
            clients[who].force_login(person, backend="accounts.authentication.MailboxBackend")
            clients[who].get("/")
        clients[who].get(url)  # once before, with whatever has to be read from the disk
        runs = []
        for _run in range(5):
            done = []

            def timed(execute, sql, params, many, context, done=done):
                began = time.perf_counter()
                try:
                    return execute(sql, params, many, context)
                finally:
                    done.append(((time.perf_counter() - began) * 1000, sql, params))

            with connection.execute_wrapper(timed):
                answer = clients[who].get(url)
            assert answer.status_code in (200, 302), (name, answer.status_code)
            runs.append(done)
            if sum(ms for ms, *_ in done) > 1000:
                break
        total = statistics.median(sum(ms for ms, *_ in run) for run in runs)
        print(f"{total:9.1f} ms  {len(runs[-1]):2} statements  {name}", flush=True)
        if total > slow:
            worst.append((name, max(runs[-1])))
    for name, (ms, sql, params) in worst:
        print(f"\n{name}: {ms:.1f} ms\n{sql[:1500]}\n{str(params)[:300]}", file=sys.stderr)
        with connection.cursor() as cursor:
            explain = "EXPLAIN " if connection.vendor == "mysql" else "EXPLAIN QUERY PLAN "
            cursor.execute(explain + sql, params)
            for row in cursor.fetchall()[:12]:
                print("   ", row, file=sys.stderr)


if __name__ == "__main__":
    main()
