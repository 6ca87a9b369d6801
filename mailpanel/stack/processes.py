"""The processes of a private copy, found by what they carry along and by nothing else.

Each daemon is started with MAILPANEL_STACK=<directory>/<daemon> in its environment and hands it on to its children. So
they are known as ours without pid files, which lie after a crash, and however they lost their parents.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

NAME = "MAILPANEL_STACK"

# These overwrite their environment; they are ours if they are at work in our directory. By the program that runs and how
# its command line begins, which for a Perl program is what it calls itself.
_FORGETFUL = {
    "dovecot": (("/usr/sbin/dovecot", "/usr/lib/dovecot/"), b""),
    "amavis": (("/usr/bin/perl",), b"/usr/sbin/amavisd "),
}


def found(mark: str) -> dict[int, int]:
    """Process ids with the id of their parents. `mark` is <directory>/<daemon>."""
    ours = {}
    for entry in Path("/proc").iterdir():
        # gone in the meantime, or somebody else's
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and _is_ours(entry, mark):
                ours[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return ours


def main(mark: str, command: str) -> int | None:
    """The daemon itself, the one that no other one of ours started; None if at most orphans of it run.

    `command` is what the kernel calls it. Empty, its children go by the same name, and it is known by the session that
    it leads.
    """
    ours = found(mark)
    for pid, parent in ours.items():
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if parent not in ours and (command == name or (not command and os.getsid(pid) == pid)):
                return pid
    return None


def end(mark: str, *, within: float) -> None:
    """Ask the first ones to end, then those that they leave behind, and after `within` seconds kill what is left."""
    asked, deadline = set(), time.monotonic() + within
    while ours := found(mark):
        late = time.monotonic() > deadline
        for pid, parent in ours.items():
            if late:
                _signal(pid, mark, signal.SIGKILL)
            elif parent not in ours and pid not in asked:
                _signal(pid, mark, signal.SIGTERM)
                asked.add(pid)
        time.sleep(0.02)


def _is_ours(entry: Path, mark: str) -> bool:
    if f"{NAME}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
        return True
    directory, _slash, daemon = mark.rpartition("/")
    programs, begin = _FORGETFUL.get(daemon, ((), b""))
    if not os.readlink(entry / "exe").startswith(programs):
        return False
    if not (entry / "cmdline").read_bytes().startswith(begin):
        return False
    places = [entry / "cwd", *(entry / "fd").iterdir()]
    return any(os.readlink(place).startswith(f"{directory}/") for place in places)


def _signal(pid: int, mark: str, number: int) -> None:
    """By a handle on the process, checked once more, so that a number given anew meanwhile hits nobody else."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if _is_ours(Path(f"/proc/{pid}"), mark):
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
