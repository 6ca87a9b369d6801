"""The database, asked by a connection of the probe's own: with short time limits, and without a transaction."""

import re
import time
from contextlib import contextmanager
from copy import deepcopy
from math import ceil

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.backends.utils import CursorWrapper
from django.db.utils import load_backend
from django.utils import timezone

from mailpanel.daemons import State, Trouble
from mailpanel.daemons.probing import GROUND, Watch, probe
from mailpanel.daemons.text import Text, ngettext
from mailpanel.daemons.text import Text as _
from mailpanel.stack import queries

SLOW = 0.5  # seconds, for what a daemon asks at each message
_SMALL = 1000  # rows that MariaDB may rather read than look up
_TABLES = (
    "domain|user|alias|sender|home|target|mirror"  # the last three are what the queries call `domain`, too
)
# By SQLite's words: from one end to the other, or all that are switched on, which are most.
_READ_THROUGH = re.compile(
    rf"SCAN ({_TABLES})( USING .*)?|SEARCH ({_TABLES}) USING .*INDEX \w+ \((enabled=\?|can_login=\?| AND )+\)"
)
LAG = 60  # seconds that a replica may be behind


@contextmanager
def cursor(watch: Watch):
    """Statements of their own each. Raises DatabaseError, and Trouble where nobody answers."""
    wanted = deepcopy(connections["default"].settings_dict)
    limit = watch.left
    if connections["default"].vendor == "sqlite":
        wanted["OPTIONS"]["timeout"] = limit * 0.8
    else:  # whole seconds, and one after the other
        for name in ("connect_timeout", "read_timeout", "write_timeout"):
            wanted["OPTIONS"][name] = max(1, ceil(limit / 2))
    wrapper = load_backend(wanted["ENGINE"]).DatabaseWrapper(wanted, "probe")
    try:
        try:
            wrapper.ensure_connection()
        except DatabaseError as error:
            raise _away(error) from None
        with wrapper.cursor() as asking:
            yield asking
    finally:
        wrapper.close()


@probe("database", GROUND, _("Database"))
def database(watch: Watch) -> Text:
    try:
        with cursor(watch) as asking:
            asking.execute("SELECT domain FROM domain LIMIT 1")
            asking.fetchone()
            _write(asking)
            slowest, seconds = _daemons_queries(asking, watch)
            cluster = _cluster(asking) if asking.db.vendor == "mysql" else Text("")
    except DatabaseError as error:
        raise _away(error) from None
    if seconds > SLOW:
        raise Trouble(
            _("The query %(query)s of Postfix takes %(seconds)s seconds.", query=slowest, seconds=seconds),
            _("Each message asks it. The database is busy or its memory is small: see what it works at."),
            _processes(),
            state=State.WARN,
        )
    all_well = _(
        "Reads and writes; the slowest query of Postfix takes %(milliseconds)s ms.",
        milliseconds=seconds * 1000,
    )
    return Text("%(all_well)s %(cluster)s", all_well=all_well, cluster=cluster) if cluster else all_well


def _write(asking: CursorWrapper) -> None:
    """A row of the panel's own, that of the mailbox of the probes; where that is not there yet, it takes the lock alone."""
    try:
        asking.execute(
            "UPDATE user SET modified = %s WHERE email = %s",
            [asking.db.ops.adapt_datetimefield_value(timezone.now()), settings.PROBE_ADDRESS],
        )
    except DatabaseError as error:
        raise Trouble(
            _("The database is read and cannot be written to: %(reason)s.", reason=_reason(error)),
            _(
                "Its disk is full, it is a replica, it was set to read-only, or another program holds it locked."
            ),
            "df -h"
            if asking.db.vendor == "sqlite"
            else 'sudo mariadb -e "SELECT @@read_only; SHOW PROCESSLIST"',
        ) from None


def _daemons_queries(asking: CursorWrapper, watch: Watch) -> tuple[str, float]:
    """The slowest of Postfix' queries and its seconds. Raises Trouble if one of them reads a table through."""
    engine = "sqlite" if asking.db.vendor == "sqlite" else "mariadb"
    values = {
        "hostname": settings.MAILPANEL_HOSTNAME,
        "postmaster": settings.MAILPANEL_POSTMASTER,
        "database": "",
        "srs_port": "",
    }
    took = {}
    for name, query in queries.postfix(engine, values).items():
        query, begin = queries.asked_for(query, settings.PROBE_ADDRESS), watch.left
        asking.execute(query)
        asking.fetchall()
        took[name] = begin - watch.left
        asking.execute(f"EXPLAIN {'QUERY PLAN ' if engine == 'sqlite' else ''}{query}")
        if table := read_through(engine, [column[0] for column in asking.description], asking.fetchall()):
            raise Trouble(
                _("The query %(query)s of Postfix reads through the table %(table)s.", query=name, table=table),
                _("An index is missing or was dropped, so each message costs more the more rows there are. This makes it anew."),
                "manage.py migrate; manage.py check --database default",
                state=State.WARN,
            )  # fmt: skip
    slowest = max(took, key=took.get)
    return slowest, took[slowest]


def read_through(engine: str, columns: list[str], plan: list[tuple]) -> str:
    """The table that a plan reads through, though it looks for one row; empty if there is none."""
    for row in plan:
        if engine == "sqlite":
            if found := _READ_THROUGH.fullmatch(str(row[-1])):
                return found[1] or found[3]
        else:  # by a part of an index, that may be as many
            step = dict(zip(columns, row, strict=True))
            if re.fullmatch(_TABLES, step["table"] or "") and int(step["rows"] or 0) > _SMALL:
                return step["table"]
    return ""


def _cluster(asking: CursorWrapper) -> Text:
    """What is to be said of a Galera cluster or a replica; empty for a server alone. Raises Trouble."""
    asking.execute(
        "SHOW GLOBAL STATUS WHERE Variable_name IN "
        "('wsrep_cluster_size', 'wsrep_cluster_status', 'wsrep_ready', 'wsrep_local_state_comment')"
    )
    status = {name.lower(): value for name, value in asking.fetchall()}
    asking.execute("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_cluster_address', 'wsrep_on')")
    status |= {name.lower(): value for name, value in asking.fetchall()}
    if status.get("wsrep_on") == "ON":
        return galera(status)
    try:
        asking.execute("SHOW SLAVE STATUS")
    except DatabaseError:  # that takes a right of its own, which the panel need not have
        return Text("")
    columns = [column[0] for column in asking.description or ()]
    rows = [dict(zip(columns, row, strict=True)) for row in asking.fetchall()]
    return replica(rows[0]) if rows else Text("")


def galera(status: dict[str, str]) -> Text:
    here = int(status.get("wsrep_cluster_size") or 0)
    address = status.get("wsrep_cluster_address", "").partition("://")[2].partition("?")[0]
    wanted = max(len(list(filter(None, address.split(",")))), 1)
    command = "sudo mariadb -e \"SHOW STATUS LIKE 'wsrep_%'\""
    if status.get("wsrep_ready") != "ON" or status.get("wsrep_cluster_status", "").lower() != "primary":
        raise Trouble(
            _("This node of the cluster is cut off from the others (%(state)s).", state=status.get("wsrep_local_state_comment", "")),
            _("It refuses every query until it is back. Look at the network between the nodes, then start this one anew."),
            command,
        )  # fmt: skip
    if here < wanted:
        raise Trouble(
            _("%(here)s of %(wanted)s nodes are in the cluster.", here=here, wanted=wanted),
            _("Mail goes on. Find the one that is missing, and start MariaDB there."),
            command,
            state=State.WARN,
        )
    return ngettext(
        "The %(number)s node of the cluster is there.", "All %(number)s nodes of the cluster are there.", here
    )


def replica(row: dict) -> Text:
    command = 'sudo mariadb -e "SHOW SLAVE STATUS\\G"'
    if "No" in (row.get("Slave_IO_Running"), row.get("Slave_SQL_Running")):
        raise Trouble(
            _("Replication has stopped: %(reason)s", reason=(row.get("Last_Error") or row.get("Last_IO_Error") or "-")[:150]),
            _("What is changed on the other server does not arrive here. Put right what it says, then START SLAVE."),
            command,
        )  # fmt: skip
    behind = row.get("Seconds_Behind_Master")
    if behind is None or int(behind) > LAG:
        raise Trouble(
            _("Replication is %(seconds)s seconds behind.", seconds="?" if behind is None else behind),
            _(
                "A mailbox that was made just now is not known here yet. Wait; if it grows, look what it works at."
            ),
            command,
            state=State.WARN,
        )
    return ngettext(
        "Replication is %(number)s second behind.", "Replication is %(number)s seconds behind.", int(behind)
    )


def seconds_off(watch: Watch) -> float | None:
    """How far the clock of the database's machine is ahead of ours; None where it is the same machine, or away."""
    if connections["default"].vendor == "sqlite":
        return None
    try:
        with cursor(watch) as asking:
            before = time.time()
            asking.execute("SELECT UNIX_TIMESTAMP(NOW(6))")
            (there,) = asking.fetchone()
            return float(there) - (before + time.time()) / 2
    except (DatabaseError, Trouble):
        return None


def domains(watch: Watch, most: int) -> list[str] | None:
    """The first domains whose mail comes here; None while the database does not answer."""
    try:
        with cursor(watch) as asking:
            asking.execute("SELECT domain FROM domain WHERE enabled = 1 ORDER BY domain LIMIT %s", [most])
            return [name for (name,) in asking.fetchall()]
    except (DatabaseError, Trouble):
        return None


def _away(error: DatabaseError) -> Trouble:
    if connections["default"].vendor == "sqlite":
        return Trouble(
            _("The database file cannot be used: %(reason)s.", reason=_reason(error)),
            _("It is missing, belongs to somebody else, is damaged, or another program holds it locked."),
            f"ls -l {settings.DATABASES['default']['NAME']}*",
        )
    return Trouble(
        _("The database does not answer: %(reason)s.", reason=_reason(error)),
        _("MariaDB is not running, hangs, or refuses the panel's password. Mail waits meanwhile and nothing is lost. Look what it said last, then start it anew."),
        "sudo journalctl -n 30 -u mariadb; sudo systemctl restart mariadb",
    )  # fmt: skip


def _reason(error: DatabaseError) -> str:
    return str(error.args[-1] if error.args else error).rstrip(".")[:150]


def _processes() -> str:
    return (
        "uptime" if connections["default"].vendor == "sqlite" else 'sudo mariadb -e "SHOW FULL PROCESSLIST"'
    )
