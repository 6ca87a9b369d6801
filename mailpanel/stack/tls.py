"""A certificate authority of the private copy and the server certificate that it signs, by the openssl command."""

import subprocess
from pathlib import Path

from mailpanel.stack.render import put

CA_DAYS, SERVER_DAYS, RENEW_BEFORE_DAYS = 3650, 397, 30
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]


def ensure(directory: Path, hostname: str) -> None:
    """Make or renew ca.pem and server.pem (with the chain) and their keys in `directory`, as far as needed.

    A running daemon takes up a new certificate at its next start.
    """
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    server, server_key = directory / "server.pem", directory / "server.key"
    if not (_lasts(ca) and ca_key.exists()):
        _make(
            ca, ca_key, CA_DAYS, "mailpanel private copy", "basicConstraints=critical,CA:TRUE,pathlen:0",
            "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
        server.unlink(missing_ok=True)
    if not (_lasts(server) and server_key.exists() and _is_for(server, hostname)):
        _make(
            server, server_key, SERVER_DAYS, hostname, "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth",
            f"subjectAltName=DNS:{hostname},DNS:localhost,IP:127.0.0.1,IP:::1",
            signed_by=(ca, ca_key),
        )  # fmt: skip


def _make(
    certificate: Path,
    key: Path,
    days: int,
    name: str,
    *extensions: str,
    signed_by: tuple[Path, Path] | None = None,
) -> None:
    """Both files appear whole: the key is written with its mode first, and the certificate goes last."""
    new_key, new = key.with_name(f".{key.name}.new"), certificate.with_name(f".{certificate.name}.new")
    put(new_key, "", mode=0o600)
    by = ["-CA", signed_by[0], "-CAkey", signed_by[1]] if signed_by else []
    _openssl(
        "req", "-x509", *_KEY, "-keyout", new_key, "-out", new, "-days", str(days), "-subj", f"/CN={name}", *by,
        *(part for extension in extensions for part in ("-addext", extension)),
    )  # fmt: skip
    chain = new.read_bytes() + (signed_by[0].read_bytes() if signed_by else b"")
    new.unlink()
    new_key.replace(key)
    put(certificate, chain, mode=0o644)


def _lasts(certificate: Path) -> bool:
    seconds = RENEW_BEFORE_DAYS * 86400
    return certificate.exists() and not _openssl(
        "x509", "-checkend", str(seconds), "-noout", "-in", certificate, check=False
    )


def _is_for(certificate: Path, hostname: str) -> bool:
    return not _openssl(
        "verify", "-verify_hostname", hostname, "-CAfile", certificate, certificate, check=False
    )


def _openssl(*arguments, check: bool = True) -> int:
    return subprocess.run(
        ["openssl", *arguments], check=check, capture_output=True, stdin=subprocess.DEVNULL
    ).returncode
