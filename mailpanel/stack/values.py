"""What is filled in for the placeholders of deploy/: from the settings, for the private copy or for this machine's own
daemons. A value that is not known is left out, and rendering stops where it is needed."""

import hashlib
import pwd
import secrets
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings

from mailpanel.stack.place import MAIL_USER, Place

MARIADB_SOCKET = "/run/mysqld/mysqld.sock"


def engine() -> str:
    """ "sqlite" or "mariadb", by the settings."""
    return "sqlite" if settings.DATABASES["default"]["ENGINE"] == "mailpanel.sqlite" else "mariadb"


def of_private_copy(place: Place, config: Path) -> dict[str, str]:
    """For daemons that live in `place` and read their configuration in `config`. Makes the secrets it needs."""
    name = f"mailpanel-{hashlib.sha256(str(place.directory).encode()).hexdigest()[:8]}"
    return _known(
        _common()
        | _database(
            postfix=settings.MAILPANEL_POSTFIX_DATABASE_PASSWORD
            or (engine() == "mariadb" and place.secret("postfix_database_password", secrets.token_hex)),
            dovecot=settings.MAILPANEL_DOVECOT_DATABASE_PASSWORD
            or (engine() == "mariadb" and place.secret("dovecot_database_password", secrets.token_hex)),
        )
        | {
            "instance": name,
            "listen": "127.0.0.1",
            "dovecot_listen": "127.0.0.1",
            "inet_protocols": "ipv4",
            # Clients on loopback are strangers, as from outside; who wants to try the other case binds to this one.
            "mynetworks": "127.0.0.2/32",
            **{f"{daemon}_port": str(port) for daemon, port in settings.MAILPANEL_PORTS.items()},
            "submission_host": f"127.0.0.1:{settings.MAILPANEL_PORTS['smtp']}",
            "doveadm_key": place.secret("doveadm_key", secrets.token_hex),
            "mail": str(place.mail),
            "tls_certificate": str(place.tls / "server.pem"),
            "tls_key": str(place.tls / "server.key"),
            "log": str(place.log),
            "postfix_log": str(place.log / "postfix.log"),
            "postfix_spool": str(place.postfix / "spool"),
            "postfix_data": str(place.postfix / "data"),
            "dovecot_config": str(config / "dovecot"),
            "dovecot_run": str(place.dovecot / "run"),
            "dovecot_state": str(place.dovecot / "state"),
            "dovecot_log": str(place.log / "dovecot.log"),
            "policy_socket": str(place.policy / "sending"),
            "clamav_run": str(place.clamav / "run"),
            "clamav_database": str(place.clamav / "database"),
            "clamav_log": str(place.log / "clamd.log"),
        }
    )


def of_system() -> dict[str, str]:
    """For the daemons of this machine, in Debian's places."""
    return _known(
        _common()
        | _database(
            postfix=settings.MAILPANEL_POSTFIX_DATABASE_PASSWORD,
            dovecot=settings.MAILPANEL_DOVECOT_DATABASE_PASSWORD,
        )
        | {
            "instance": "mailpanel",
            "listen": "all",
            "dovecot_listen": "0.0.0.0,::",
            "inet_protocols": "all",
            "mynetworks": "127.0.0.0/8,[::1]/128",
            "smtp_port": "25",
            "submission_port": "587",
            "smtps_port": "465",
            "imap_port": "143",
            "imaps_port": "993",
            "pop3_port": "110",
            "pop3s_port": "995",
            "managesieve_port": "4190",
            "doveadm_port": str(settings.MAILPANEL_PORTS["doveadm"]),
            "submission_host": "127.0.0.1:25",
            "doveadm_key": settings.MAILPANEL_DOVEADM_API_KEY,
            "mail": "/var/lib/mailpanel/mail",
            "tls_certificate": "/etc/mailpanel/tls/server.pem",
            "tls_key": "/etc/mailpanel/tls/server.key",
            "dovecot_config": "/etc/dovecot",
            "dovecot_run": "/run/dovecot",
            "dovecot_state": "/var/lib/dovecot",
            "dovecot_log": "syslog",
            "policy_socket": "/run/mailpanel/sending",
            "clamav_run": "/run/clamav",
            "clamav_database": "/var/lib/clamav",
            "clamav_log": "/var/log/clamav/clamav.log",
        }
    )


def _common() -> dict:
    return {
        "hostname": settings.MAILPANEL_HOSTNAME,
        "postmaster": settings.MAILPANEL_POSTMASTER,
        "mail_user": MAIL_USER,
        "mail_uid": str(pwd.getpwnam(MAIL_USER).pw_uid),
    }


def _database(*, postfix: str | bool, dovecot: str | bool) -> dict:
    database = settings.DATABASES["default"]
    if engine() == "sqlite":
        from mailpanel.sqlite.base import dovecot_file

        name = Path(database["NAME"]).absolute()
        return {"maptype": "sqlite", "database": str(name), "dovecot_database": str(dovecot_file(name))}
    host, port = database["HOST"], str(database["PORT"] or 3306)
    socket = database["OPTIONS"].get("unix_socket") or (MARIADB_SOCKET if host in ("", "localhost") else None)
    return {
        "maptype": "mysql",
        "database_name": database["NAME"],
        "database_host": f"unix:{socket}" if socket else f"inet:{host}:{port}",
        "dovecot_database_host": socket or host,
        "database_port": port,
        # as the database server sees the daemons
        "database_client": "localhost"
        if socket
        else host
        if host == "127.0.0.1"
        else settings.MAILPANEL_HOSTNAME,
        "postfix_password": postfix,
        "dovecot_password": dovecot,
    }


def _known(values: Mapping) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
