"""Where the programs beside us are: from the settings alone, never from a request.

Addresses and no names, so that a resolver that hangs turns one row red and not all.
"""

import ipaddress
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from mailpanel.daemons import State, Trouble
from mailpanel.daemons.text import Text as _

OFF = "off"
# The ports of this machine's own daemons.
_STANDARD = {
    "smtp": 25, "submission": 587, "smtps": 465, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995,
    "managesieve": 4190,
}  # fmt: skip
# Amavis' doors for the panel: by its name in the private copy's ports, and this machine's own one.
_FILTER = {"amavis": ("amavis_probe", 10027), "amavis-release": ("amavis_release", 9998)}
# What else has a place: a unix socket, and the resolver, which is that of /etc/resolv.conf where none is set.
NAMES = (*_STANDARD, *_FILTER, "lmtp", "quota-status", "clamd", "resolver")
TLS_AT_ONCE = ("smtps", "imaps", "pop3s")
_UNITS = {
    "smtp": "postfix", "submission": "postfix", "smtps": "postfix", "clamd": "clamav-daemon", "amavis": "amavis",
    "amavis-release": "amavis",
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    name: str
    address: tuple[str, int] | str  # or the path of a unix socket

    @property
    def tls(self) -> bool:
        return self.name in TLS_AT_ONCE

    @property
    def unit(self) -> str:
        """The systemd unit of the program that should be there."""
        return _UNITS.get(self.name, "dovecot")

    @property
    def source(self) -> tuple[str, int] | None:
        """Ask as a stranger does: for a client from the very same address Dovecot and Postfix make exceptions."""
        return ("127.0.0.3", 0) if self.address[0].startswith("127.") else None

    def __str__(self) -> str:
        if isinstance(self.address, str):
            return self.address
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def on_port(self) -> bool:
        return not isinstance(self.address, str)


def read(pairs: dict[str, str]) -> dict[str, str]:
    """The value of MAILPANEL_PROBE_TARGETS, looked through. Raises ValueError."""
    for name, value in pairs.items():
        if name not in NAMES:
            raise ValueError(f"MAILPANEL_PROBE_TARGETS names “{name}”; there are {', '.join(NAMES)}")
        _parsed(name, value)
    return pairs


def find(name: str) -> Target:
    """Raises Trouble (OFF) where the settings leave it out."""
    address = _address(name)
    if address is None:
        raise Trouble(_("Switched off in the settings, so it is not checked."), state=State.OFF)
    return Target(name, address)


def resolver() -> tuple[str, int] | None:
    """None is that of /etc/resolv.conf. Raises Trouble (OFF): what the private copy is called stands in no DNS."""
    if "resolver" in settings.MAILPANEL_PROBE_TARGETS:
        return find("resolver").address
    if settings.PRIVATE_COPY:
        raise Trouble(_("The names of a private copy stand in no DNS, so nothing is asked."), state=State.OFF)
    return None


def _address(name: str):
    if name in settings.MAILPANEL_PROBE_TARGETS:
        return _parsed(name, settings.MAILPANEL_PROBE_TARGETS[name])
    if settings.PRIVATE_COPY:
        place = settings.MAILPANEL_VAR
        if name in _STANDARD:
            return ("127.0.0.1", settings.MAILPANEL_PORTS[name])
        if name in _FILTER:
            return ("127.0.0.1", settings.MAILPANEL_PORTS[_FILTER[name][0]])
        return {
            "lmtp": f"{place}/dovecot/run/lmtp-postfix",
            "quota-status": f"{place}/dovecot/run/quota-status",
            "clamd": f"{place}/clamav/run/clamd.sock",
        }.get(name)
    if name == "smtp":
        return (_outward(), _STANDARD[name])
    if name in _STANDARD:
        return ("127.0.0.1", _STANDARD[name])
    if name in _FILTER:
        return ("127.0.0.1", _FILTER[name][1])
    return {
        "lmtp": "/run/dovecot/lmtp-postfix",
        "quota-status": "/run/dovecot/quota-status",
        "clamd": "/run/clamav/clamd.sock",
    }.get(name)


def _outward() -> str:
    """This machine's address for the world, as routed; nothing is sent. From loopback one may send anywhere (mynetworks),
    so that Postfix would look like an open relay."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nowhere:
        try:
            nowhere.connect(("192.0.2.1", 9))
            return nowhere.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def _parsed(name: str, value: str):
    """An address and port, a path, or None for off. Raises ValueError."""
    if value == OFF:
        return None
    if value.startswith("/") and name not in _STANDARD and name != "resolver":
        return value
    parts = re.fullmatch(r"\[?([0-9a-f.:]+?)\]?:(\d{1,5})", value)
    try:
        host, port = str(ipaddress.ip_address(parts[1])), int(parts[2])
    except (TypeError, ValueError):
        port = 0
    if not 1 <= port <= 65535:
        raise ValueError(
            f"MAILPANEL_PROBE_TARGETS: {name}={value} is no address with a port such as 192.0.2.25:25 or "
            f"[2001:db8::25]:25{'' if name in _STANDARD else ', nor a path'}, nor “{OFF}”"
        )
    return host, port


# --- what to type ---------------------------------------------------------------------------------------------


def start(unit: str) -> str:
    """The command that starts what has ended."""
    return "sudo make run" if settings.PRIVATE_COPY else f"sudo systemctl restart {unit}"


def last_words(unit: str) -> str:
    """The command that shows what the program said last."""
    if settings.PRIVATE_COPY:
        name = {"clamav-daemon": "clamd"}.get(unit, unit)
        return f"tail -n 30 {settings.MAILPANEL_VAR}/log/{name}.log"
    return f"sudo journalctl -n 30 -u {unit}"


def postfix_etc() -> Path | None:
    """The configuration of the private copy; None for the system's."""
    return settings.MAILPANEL_VAR / "etc" / "postfix" if settings.PRIVATE_COPY else None


# --- who we are there -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    address: str
    password: str


_refused: dict[str, float] = {}  # passwords that were refused, and when
_REST = 900  # seconds


def account() -> Account:
    """The mailbox by which the probes sign in. Raises Trouble where there is none yet (WARN), and where its password was
    refused just now: one that is tried each minute at seven doors looks like somebody who guesses, and is shut out."""
    address, password = settings.PROBE_ADDRESS, settings.MAILPANEL_PROBE_PASSWORD
    if not password:
        try:
            password = settings.PROBE_PASSWORD_KEPT.read_text().strip()
        except OSError:
            raise Trouble(
                _("The probes have no mailbox yet, so nobody has signed in."),
                _(
                    "The panel makes one, %(address)s, with a password that it keeps to itself.",
                    address=address,
                ),
                "manage.py probe_account",
                state=State.WARN,
            ) from None
    if (when := _refused.get(password)) and time.monotonic() - when < _REST:
        raise refused(address)
    return Account(address, password)


def refused(address: str, password: str = "") -> Trouble:
    """`password` is the one that was refused now."""
    if password:
        _refused.clear()
        _refused[password] = time.monotonic()
    return Trouble(
        _("The password of %(address)s is refused.", address=address),
        _(
            "Somebody changed, locked or deleted the mailbox of the probes, or the database of the daemons is not the panel's. This puts the mailbox right."
        ),
        "manage.py probe_account",
    )


def nobody() -> str:
    """An address of the same domain that does not exist."""
    return settings.PROBE_ADDRESS.replace("@", "-unknown@")
