"""The one directory in which the private copy lives, and who owns what in it."""

import grp
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from mailpanel.stack.render import put

CHECKOUT = Path(__file__).resolve().parent.parent.parent

# Mail belongs to Debian's own user and group `mail` (uid and gid 8, in every installation): nothing is created for it,
# and nothing else of the system runs as it.
MAIL_USER = "mail"

# A unix socket's name holds 107 bytes, and the longest of ours is 45 below the directory.
_LONGEST = 60
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+", re.ASCII)
_ELSEWHERE = "/var/lib"


class Place:
    """Paths of the private copy."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.etc = directory / "etc"
        self.database = directory / "database"
        self.secrets = directory / "secrets"
        self.mail = directory / "mail"
        self.tls = directory / "tls"
        self.log = directory / "log"
        self.postfix = directory / "postfix"
        self.dovecot = directory / "dovecot"
        self.clamav = directory / "clamav"
        self.amavis = directory / "amavis"
        self.ports = directory / "ports.json"

    def prepare(self) -> None:
        """Make the directories, each with its owner and mode; set right those that were there. Root only."""
        owner = panel_user()
        for path, user, group, mode in (
            # everybody may pass through: the daemons are users of their own
            (self.directory, owner.pw_name, "root", 0o755),
            # the panel and the daemons read and write the SQLite files by their common group
            (self.database, owner.pw_name, "postfix", 0o2770),
            (self.secrets, owner.pw_name, "root", 0o700),
            (self.mail, MAIL_USER, MAIL_USER, 0o700),
            (self.etc, "root", "root", 0o755),
            (self.tls, "root", "root", 0o755),
            (self.log, "root", "root", 0o755),
            (self.postfix, "root", "root", 0o755),
            (self.postfix / "spool", "root", "root", 0o755),
            (self.postfix / "data", "postfix", "postfix", 0o700),
            (self.dovecot, "root", "root", 0o755),
            (self.dovecot / "run", "root", "root", 0o755),
            (self.dovecot / "state", "root", "root", 0o755),
            (self.clamav, "root", "root", 0o755),
            (self.clamav / "database", "root", "root", 0o755),
            # as Debian has it: everybody may have things scanned
            (self.clamav / "run", "clamav", "clamav", 0o755),
            (self.amavis, "root", "root", 0o755),
            (self.amavis / "home", "amavis", "amavis", 0o750),
            (self.amavis / "home" / "tmp", "amavis", "amavis", 0o750),
            (self.amavis / "home" / ".spamassassin", "amavis", "amavis", 0o750),
            (self.amavis / "run", "amavis", "amavis", 0o750),
        ):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.chown(path, user, group)
            path.chmod(mode)
        for path in self.database.iterdir():
            shutil.chown(path, owner.pw_name, "postfix")
            path.chmod(0o660)
        for name, user in (("clamd", "clamav"), ("amavis", "amavis"), ("panel", owner.pw_name)):
            path = self.log / f"{name}.log"
            path.touch(mode=0o600)
            shutil.chown(path, user)
        key = self.directory / "secret_key"
        if key.exists():
            shutil.chown(key, owner.pw_name)
            key.chmod(0o600)

    def secret(self, name: str, make) -> str:
        """The content of a file that is the panel's alone, made by `make` the first time."""
        path = self.secrets / name
        if not path.exists():
            self.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
            put(path, make(), mode=0o600, user=panel_user().pw_name)
        return path.read_text().strip()


def panel_user() -> pwd.struct_passwd:
    """Whoever owns the checkout: as this user the panel runs, and nothing of it as root when a person cloned it."""
    return pwd.getpwuid((CHECKOUT / "manage.py").stat().st_uid)


def as_panel() -> dict:
    """Arguments for subprocess: the panel's user, with the group by which it shares the database. Root only."""
    user = panel_user()
    return {
        "user": user.pw_uid,
        "group": grp.getgrnam("postfix").gr_gid,
        "extra_groups": os.getgrouplist(user.pw_name, user.pw_gid),
        "umask": 0o007,
    }


def suits(directory: Path) -> bool:
    """Whether other users can reach what is in it and its name fits into those of sockets and settings."""
    above = [path for path in directory.parents if path.exists()]
    return (
        len(str(directory)) <= _LONGEST
        and bool(_PLAIN.fullmatch(str(directory)))
        and all(path.stat().st_mode & 0o001 for path in above)
    )


def settle(wanted: Path) -> Path:
    """The directory itself, or a new one below /var/lib to which it becomes a symlink, if the daemons could not work in
    it: in a home directory that is closed to others, or with a long name. Root only.

    The new one's name is made up, so that a later checkout of the same path never meets an older one's data. What was
    there is copied first and removed last; a crash in between loses nothing.
    """
    place = wanted.resolve()
    if suits(place):
        return place
    elsewhere = Path(tempfile.mkdtemp(prefix="mailpanel-", dir=_ELSEWHERE))
    link = wanted.with_name(f".{wanted.name}.new")
    link.unlink(missing_ok=True)
    link.symlink_to(elsewhere)
    if wanted.exists():
        subprocess.run(["cp", "-a", "--", f"{wanted}/.", elsewhere], check=True)
        before = wanted.with_name(f".{wanted.name}.moved")
        wanted.rename(before)
        link.rename(wanted)
        before.unlink() if before.is_symlink() else shutil.rmtree(before)
    else:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        link.rename(wanted)
    elsewhere.chmod(0o755)
    return elsewhere
