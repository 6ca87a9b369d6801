"""The machine itself: room on its disks, memory, load, and the clock."""

import os
from pathlib import Path

from django.conf import settings

from mailpanel.daemons import State, Trouble, database
from mailpanel.daemons.probing import GROUND, Watch, probe
from mailpanel.daemons.text import Size, Text
from mailpanel.daemons.text import Text as _

FULL, FULL_WARN = 0.97, 0.90  # of the room, and of the places for files
MEMORY, MEMORY_WARN = 0.03, 0.08  # still to be had
LOAD_WARN = 4  # for each processor, over five minutes
CLOCK, CLOCK_WARN = 30, 2  # seconds


@probe("disks", GROUND, _("Disks"))
def disks(watch: Watch) -> Text:
    """The fullest of the volumes of mail, queue and database, as far as they are on this machine."""
    parts = {kind: part for kind, path in _volumes().items() if (part := _used(path))}
    if not parts:
        raise Trouble(_("No volume of mail, queue or database is on this machine."), state=State.OFF)
    kind, (part, left) = max(parts.items(), key=lambda volume: volume[1])
    detail = _is_full(kind, percent=int(part * 100), left=Size(left))
    if part >= FULL_WARN:
        raise Trouble(
            detail,
            _("When it is full, mail waits outside and nothing can be changed. Find what grows, or make the volume larger."),
            f"sudo du -xh --max-depth=2 {_volumes()[kind]} | sort -h | tail",
            state=State.BAD if part >= FULL else State.WARN,
        )  # fmt: skip
    return detail


def _is_full(kind: str, **values) -> Text:
    match kind:
        case "mail":
            return _("The volume of the mail is %(percent)s %% full, %(left)s are left.", **values)
        case "queue":
            return _("The volume of the queue is %(percent)s %% full, %(left)s are left.", **values)
    return _("The volume of the database is %(percent)s %% full, %(left)s are left.", **values)


def _used(path: Path) -> tuple[float, int] | None:
    """The part that is used, of room or of places for files, and the bytes left; None where the path is not there."""
    try:
        of = os.statvfs(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Trouble(
            _("%(path)s cannot be read: %(reason)s.", path=path, reason=error.strerror),
            _("See whether its volume is mounted, and what the kernel says of it."),
            f"findmnt -T {path}; sudo dmesg --level=err,warn | tail",
        ) from None
    # as df has it: what root alone may fill does not count as free
    room = of.f_blocks - of.f_bfree + of.f_bavail
    files = 1 - of.f_favail / of.f_files if of.f_files else 0
    return max(1 - of.f_bavail / room if room else 0, files), of.f_bavail * of.f_frsize


def _volumes() -> dict[str, Path]:
    place, database_file = settings.MAILPANEL_VAR, Path(settings.DATABASES["default"]["NAME"])
    embedded = settings.DATABASES["default"]["ENGINE"] == "mailpanel.sqlite"
    private = settings.PRIVATE_COPY
    return {
        "mail": place / "mail" if private else Path("/var/lib/mailpanel/mail"),
        "queue": place / "postfix" / "spool" if private else Path("/var/spool/postfix"),
        "database": database_file.parent if embedded else Path("/var/lib/mysql"),
    }


@probe("memory", GROUND, _("Memory and load"))
def memory(watch: Watch) -> Text:
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(told[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    load = os.getloadavg()[1] / (os.cpu_count() or 1)
    if free / total < MEMORY_WARN:
        raise Trouble(
            _("%(free)s of %(total)s memory are left.", free=Size(free), total=Size(total)),
            _("When there is none, the kernel ends programs, ClamAV first. See who uses it."),
            "ps -eo rss,comm --sort=-rss | head",
            state=State.BAD if free / total < MEMORY else State.WARN,
        )
    if load > LOAD_WARN:
        raise Trouble(
            _("For each processor %(load)s programs wait for their turn.", load=load),
            _("Mail is slow meanwhile. See who is at work."),
            "top -b -n 1 | head -n 20",
            state=State.WARN,
        )
    return _(
        "%(free)s of %(total)s memory are free; load %(load)s for each processor.",
        free=Size(free),
        total=Size(total),
        load=load,
    )


@probe("clock", GROUND, _("Clock"))
def clock(watch: Watch) -> Text:
    off = database.seconds_off(watch)
    if off is None:
        raise Trouble(
            _(
                "There is no other clock to compare with: the database is on this machine, or does not answer."
            ),
            state=State.OFF,
        )
    if abs(off) >= CLOCK_WARN:
        raise Trouble(
            _("The clocks of this machine and of the database are %(seconds)s seconds apart.", seconds=abs(off)),
            _("Codes of the second factor, expiry of aliases and the order of the log depend on them. Let both follow a time server."),
            "timedatectl",
            state=State.BAD if abs(off) >= CLOCK else State.WARN,
        )  # fmt: skip
    return _("This machine and the database are %(milliseconds)s ms apart.", milliseconds=abs(off) * 1000)
