"""Certificates in every state, by the openssl command."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

CONFIG = """
[ca]
default_ca = own
[own]
database = {0}/index
new_certs_dir = {0}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Authority:
    def __init__(self, directory: Path):
        self.directory, self.count = directory, 0
        (directory / "index").touch()
        (directory / "config").write_text(CONFIG.format(directory))
        self.certificate = self._make("authority", "-x509", "-addext", "keyUsage=critical,keyCertSign")[0]

    def server(
        self, *, name="mail.example.test", begins=-10, ends=300, key=EC, digest="sha256", own=False
    ) -> ssl.SSLContext:
        """A server's context; `begins` and `ends` are days from now. `own` means signed by itself."""
        self.count += 1
        extension = ("-addext", f"subjectAltName=DNS:{name}")
        if own:
            return _context(*self._make(f"own{self.count}", "-x509", *extension))
        request, secret = self._make(f"server{self.count}", *extension, key=key)
        signed = self.directory / f"signed{self.count}.pem"
        _openssl(
            "ca", "-batch", "-notext", "-config", self.directory / "config", "-cert", self.certificate,
            "-keyfile", self.directory / "authority.key", "-in", request, "-out", signed, "-md", digest,
            "-startdate", _day(begins), "-enddate", _day(ends),
        )  # fmt: skip
        return _context(signed, secret)

    def _make(self, name: str, *arguments: str, key=EC) -> tuple[Path, Path]:
        made, secret = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        _openssl(
            "req", "-new", *key, "-noenc", "-subj", f"/CN={name}", "-out", made, "-keyout", secret, *arguments
        )
        return made, secret


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(certificate, key)
    return context


def _day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


def _openssl(*arguments) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
