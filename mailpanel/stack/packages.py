"""The Debian packages of the daemons: which ones, and how they are installed without taking over the machine."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from mailpanel.stack.daemons import StackError

DAEMONS = (
    "postfix", "dovecot-core", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "dovecot-managesieved",
    "dovecot-sieve", "clamav-daemon", "amavisd-new", "spamassassin", "openssl",
)  # fmt: skip
MAPS = {
    "sqlite": ("postfix-sqlite", "dovecot-sqlite", "libdbd-sqlite3-perl"),
    "mariadb": ("postfix-mysql", "dovecot-mysql", "libdbd-mysql-perl"),
}
# For `make test`: both databases, what mysqlclient is compiled with, and a browser with letters for all scripts.
TESTS = (
    *DAEMONS, *MAPS["sqlite"], *MAPS["mariadb"], "mariadb-server", "libmariadb-dev", "pkg-config", "gcc",
    "python3-dev", "chromium", "fonts-noto-core", "fonts-noto-cjk", "gettext",
)  # fmt: skip

_POLICY = Path("/usr/sbin/policy-rc.d")
_SAVED = _POLICY.with_name("policy-rc.d.before-mailpanel")
_UNIT_DIRECTORIES = ("/lib/systemd/system/", "/usr/lib/systemd/system/")


def of_daemons(engine: str) -> tuple[str, ...]:
    return (*DAEMONS, *MAPS[engine])


def missing(names: tuple[str, ...]) -> list[str]:
    """All of them where there is no dpkg to ask."""
    there = _installed()
    return [name for name in names if name not in there]


def ensure(names: tuple[str, ...]) -> list[str]:
    """Install what is missing, without starting it now or at the next boot; the names of what was installed.

    Another mail server is never replaced (--no-remove). PACKAGES=no in the environment leaves everything alone.
    Raises StackError.
    """
    wanted = missing(names)
    if not wanted:
        return []
    if os.environ.get("PACKAGES", "").lower() == "no":
        raise StackError(f"PACKAGES=no, and these Debian packages are missing: {' '.join(wanted)}.")
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise StackError(
            f"These Debian packages are missing, and only root can install them: {' '.join(wanted)}."
        )
    before = _installed()
    with _starting_denied():
        try:
            _install(wanted)
        finally:
            _disable(_installed() - before)
    return wanted


def _install(names: list[str]) -> None:
    """apt's lists may be missing or old; they are fetched only then."""
    command = ["install", "-y", "--no-remove", "--no-install-recommends", *names]
    if _apt(*command).returncode == 0:
        return
    _apt("update")
    result = _apt(*command)
    if result.returncode:
        raise StackError(
            "The packages could not be installed; nothing was removed for them. If another mail server is in the way, "
            f"decide which one stays. apt-get said:\n{(result.stdout + result.stderr)[-1500:]}"
        )


def _apt(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@contextmanager
def _starting_denied():
    """Debian's packages ask policy-rc.d before they start what they brought. An existing one is put back."""
    if _POLICY.exists() and not _SAVED.exists():
        _POLICY.rename(_SAVED)
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if _SAVED.exists():
            _SAVED.rename(_POLICY)
        else:
            _POLICY.unlink()


def _installed() -> set[str]:
    if not shutil.which("dpkg-query"):
        return set()
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {line.split()[1] for line in told.splitlines() if line.startswith("installed ")}


def _disable(packages: set[str]) -> None:
    """The units of packages that came just now; those that were there before stay as they were."""
    if not packages or not shutil.which("systemctl"):
        return
    files = subprocess.run(
        ["dpkg", "-L", *sorted(packages)], capture_output=True, text=True
    ).stdout.splitlines()
    units = {
        path.name
        for path in map(Path, files)
        if str(path).startswith(_UNIT_DIRECTORIES)
        and path.suffix in (".service", ".socket", ".timer")
        and "@" not in path.name
    }
    if units:
        subprocess.run(
            ["systemctl", "disable", *sorted(units)], capture_output=True, stdin=subprocess.DEVNULL
        )
