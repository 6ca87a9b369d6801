"""How the settings read the environment: what a variable may hold, and what it is taken for. Raises ValueError with a sentence
that names the variable."""

import ipaddress
import os
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import Env

env = Env()


def secret(name: str, default: str = "") -> str:
    """The variable, or the content of the file that NAME_FILE names: so a secret need not be in the environment."""
    path = env.str(f"{name}_FILE", "")
    if not path:
        return env.str(name, default)
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: {error}") from error


def kept(path: Path) -> str:
    """The content of a file that the private copy of the daemons keeps for the panel; empty where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


# Where the panel and the private daemons of `make run` listen, all on loopback.
_PORTS = {
    "panel": 8000,
    "smtp": 2525,
    "submission": 2587,
    "smtps": 2465,
    "imap": 2143,
    "imaps": 2993,
    "pop3": 2110,
    "pop3s": 2995,
    "managesieve": 24190,
    "doveadm": 28080,
    "amavis": 21024,
    "amavis_submitted": 21026,
    "amavis_probe": 21027,
    "amavis_release": 21998,
    "reinject": 21025,
    "srs": 2528,
    "srs_forward": 21001,
    "srs_reverse": 21002,
}


def ports(changes: dict) -> dict:
    """The table above with the changes in it. Raises ValueError for other names, impossible or double numbers."""
    if unknown := sorted(changes.keys() - _PORTS.keys()):
        raise ValueError(f"MAILPANEL_PORTS names “{unknown[0]}”; there are {', '.join(_PORTS)}")
    ports = _PORTS | changes
    for name, port in ports.items():
        if not 1 <= port <= 65535 or list(ports.values()).count(port) > 1:
            raise ValueError(f"MAILPANEL_PORTS: {name}={port} is out of range or used twice")
    return ports


def networks(text: str) -> list:
    return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]


def blocklists(listed: str) -> list[str]:
    """As Postfix' reject_rbl_client takes them. Without a code, all count that stand for an entry (RFC 5782), and never
    127.255.255.x, by which a list says that it does not answer whoever asks."""
    lists = [each.strip() for each in listed.split(",") if each.strip()]
    for each in lists:
        if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(=127\.[0-9.\[\]]+)?", each):
            raise ValueError(
                f"MAILPANEL_DNSBL: “{each}” has not the form zen.example.org or zen.example.org=127.0.0.[2..11]"
            )
    return [each if "=" in each else f"{each}=127.0.0.[2..255]" for each in lists]


def addresses(listed: list[str]) -> list[str]:
    addresses = [address.strip() for address in listed if address.strip()]
    if wrong := [
        address for address in addresses if not re.fullmatch(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}", address)
    ]:
        raise ValueError(f"MAILPANEL_ALERT_TO: “{wrong[0]}” is no address of the form somebody@example.org")
    return addresses


def limit(text: str) -> int | None:
    """None is unlimited."""
    if text and not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(
            f"MAILPANEL_SEND_PER_HOUR and MAILPANEL_SEND_PER_DAY are numbers, and “{text}” is none"
        )
    return int(text or 0) or None


def mail_host(url: str) -> str:
    parts = urlsplit(url)
    if url and (
        parts.scheme not in ("smtp", "smtps")
        or not parts.hostname
        or parts.path
        or parts.password
        or not parts.port
    ):
        raise ValueError(
            f"MAILPANEL_ALERT_SMTP is “{url}”; it has the form smtp://user@host:587 or smtps://user@host:465, "
            "and the password stands in MAILPANEL_ALERT_SMTP_PASSWORD"
        )
    return url


def webhook(url: str) -> str:
    """Of the address nothing is told, since whoever knows it can write there."""
    parts = urlsplit(url)
    if url and (
        not re.fullmatch(r"[!-~]+", url) or parts.scheme not in ("http", "https") or not parts.hostname
    ):
        raise ValueError("MAILPANEL_ALERT_WEBHOOK has the form https://host/path, in plain letters")
    return url


def kept_secret_key(path: Path) -> str:
    """The key kept beside the embedded database, made on first use with its final mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(48) + "\n")
    return path.read_text().strip()
