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
# On this machine's loopback, where Amavis' own documentation has them.
FILTER_PORTS = {
    "amavis": 10024, "reinject": 10025, "amavis_submitted": 10026, "amavis_probe": 10027, "amavis_release": 9998,
}  # fmt: skip


def engine() -> str:
    """ "sqlite" or "mariadb", by the settings."""
    return "sqlite" if settings.DATABASES["default"]["ENGINE"] == "mailpanel.sqlite" else "mariadb"


def of_private_copy(place: Place, config: Path) -> dict:
    """For daemons that live in `place` and read their configuration in `config`. Makes the secrets it needs."""
    name = f"mailpanel-{hashlib.sha256(str(place.directory).encode()).hexdigest()[:8]}"
    passwords = _passwords()
    if engine() == "mariadb":
        for daemon in passwords:
            passwords[daemon] = passwords[daemon] or place.secret(
                f"{daemon}_database_password", secrets.token_hex
            )
    return _known(
        _common()
        | _database(**passwords)
        | _filter(settings.MAILPANEL_PORTS)
        | {
            "instance": name,
            "listen": "127.0.0.1",
            "dovecot_listen": "127.0.0.1",
            "inet_protocols": "ipv4",
            # Clients on loopback are strangers, as from outside; who wants to try the other case binds to this one.
            "mynetworks": "127.0.0.2/32",
            **{f"{daemon}_port": str(port) for daemon, port in settings.MAILPANEL_PORTS.items()},
            "srs_secret": settings.MAILPANEL_SRS_SECRET or place.secret("srs_secret", secrets.token_hex),
            "srs_secret_file": str(config / "postsrsd" / "secret"),
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
            "amavis_config": str(config / "amavis"),
            "amavis_home": str(place.amavis / "home"),
            "amavis_run": str(place.amavis / "run"),
            "amavis_log": str(place.log / "amavis.log"),
            "spamassassin_config": str(config / "spamassassin"),
            # what somebody tries here is no mail to learn from
            "bayes_auto_learn": "0",
        }
    )


def of_system() -> dict:
    """For the daemons of this machine, in Debian's places."""
    return _known(
        _common()
        | _database(**_passwords())
        | _filter(FILTER_PORTS)
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
            "srs_port": "10028",
            "srs_forward_port": "10001",
            "srs_reverse_port": "10002",
            "srs_secret": settings.MAILPANEL_SRS_SECRET
            or Place(settings.MAILPANEL_VAR).secret("srs_secret", secrets.token_hex),
            "srs_secret_file": "/etc/postsrsd.secret",  # the one that AppArmor lets it read
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
            "amavis_config": "/etc/amavis/mailpanel",
            "amavis_home": "/var/lib/amavis",
            "amavis_run": "/run/amavis",
            "spamassassin_config": "/etc/spamassassin",
            "bayes_auto_learn": "1",
        }
    )


def _common() -> dict:
    return {
        "hostname": settings.MAILPANEL_HOSTNAME,
        "hostname_pattern": settings.MAILPANEL_HOSTNAME.replace(".", "[.]"),
        "dnsbl": tuple(settings.MAILPANEL_DNSBL),
        "dnsbl_except": tuple(map(_in_a_table, settings.MAILPANEL_DNSBL_EXCEPT)),
        "senders_from": tuple(map(_in_a_table, settings.MAILPANEL_SENDERS_FROM)),
        "outbound_tls": settings.MAILPANEL_OUTBOUND_TLS,
        "outbound_dns": "dnssec" if settings.MAILPANEL_OUTBOUND_TLS == "dane" else "enabled",
        "postmaster": settings.MAILPANEL_POSTMASTER,
        "mail_user": MAIL_USER,
        "mail_uid": str(pwd.getpwnam(MAIL_USER).pw_uid),
    }


def _passwords() -> dict[str, str]:
    return {
        "postfix": settings.MAILPANEL_POSTFIX_DATABASE_PASSWORD,
        "dovecot": settings.MAILPANEL_DOVECOT_DATABASE_PASSWORD,
        "amavis": settings.MAILPANEL_AMAVIS_DATABASE_PASSWORD,
    }


def _filter(ports: Mapping[str, int]) -> dict[str, str]:
    """Where Postfix asks Amavis, before the queue or after it, and what Amavis then does with what it does not like: a
    refusal after the queue would become a bounce to whomever the sender named."""

    def asking(mode: str, port: int) -> str:
        before = mode == "before-queue"
        return (
            f"smtpd_proxy_filter=127.0.0.1:{port}" if before else f"content_filter=amavis:[127.0.0.1]:{port}"
        )

    incoming, processes = settings.MAILPANEL_FILTER_INCOMING, settings.MAILPANEL_FILTER_PROCESSES
    return {
        **{f"{name}_port": str(ports[name]) for name in FILTER_PORTS},
        "incoming_filter": asking(incoming, ports["amavis"]),
        "submitted_filter": asking(settings.MAILPANEL_FILTER_SUBMITTED, ports["amavis_submitted"]),
        "incoming_destiny": "D_REJECT" if incoming == "before-queue" else "D_DISCARD",
        "amavis_processes": str(processes),
        "smtp_processes": str(20 * processes),
    }


def _database(*, postfix: str, dovecot: str, amavis: str) -> dict:
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
        "amavis_database_host": f"mysql_socket={socket}" if socket else f"host={host}:port={port}",
        "database_port": port,
        # as the database server sees the daemons
        "database_client": "localhost"
        if socket
        else host
        if host == "127.0.0.1"
        else settings.MAILPANEL_HOSTNAME,
        "postfix_password": postfix,
        "dovecot_password": dovecot,
        "amavis_password": amavis,
    }


def _in_a_table(network) -> str:
    """As Postfix' cidr tables take it, and so that it does not begin with a colon."""
    return f"[{network.network_address}]/{network.prefixlen}" if network.version == 6 else str(network)


def _known(values: Mapping) -> dict:
    return {name: value for name, value in values.items() if value or value == ()}
