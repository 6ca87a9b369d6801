"""The world outside, on this machine: a network and a resolver that only these tests see, so that port 53 and port 25 are
free; a nameserver that says what it is told to; our mail server, open to that world as on a host; and somebody else's
Postfix."""

import ctypes
import re
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from mailpanel.stack.render import DEPLOY
from tests.nameserver import Nameserver
from tests.stack.mail import eventually
from tests.stack.private import Private

NAMESERVER = "127.0.0.53"
OURS = "mail.example.test"
OTHER, OTHER_ADDRESS = "mx.other.example", "127.0.2.1"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class World:
    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="mp-world-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.private = self.other = self.holder = self.nameserver = None
        self.records: dict = {}
        self.forget()
        try:
            self._make_network()
            with self.inside():
                self.nameserver = Nameserver(self.records, (NAMESERVER, 53))
            self.private = Private(database="outside")
            self.private.inside = self.command
            self.private.port["smtp"] = 25
            self.private.environment |= {
                "MAILPANEL_PORTS": ",".join(f"{name}={port}" for name, port in self.private.port.items()),
                "MAILPANEL_HOSTNAME": OURS,
                "MAILPANEL_DNSBL": "list.example,second.example=127.0.0.[2..11],0123456789abcdef0123456789.zen.keyed.example",
                "MAILPANEL_DNSBL_EXCEPT": "127.0.77.0/24,2001:db8::/32",
                "MAILPANEL_SENDERS_FROM": "127.0.78.0/24,2001:db8::/32",
            }
        except BaseException:
            self.remove()
            raise

    def up(self) -> None:
        self.private.up()
        self.open()
        self.other = OtherServer(self)

    def remove(self) -> None:
        if self.other:
            self.other.stop()
        if self.private:
            self.private.remove()
        if self.nameserver:
            self.nameserver.door.close()
        if self.holder:
            self.holder.stdin.close()
            self.holder.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- the network ----------------------------------------------------------------------------------------

    def _make_network(self) -> None:
        """A process that holds it, until we end."""
        resolv = self.directory / "resolv.conf"
        resolv.write_text(f"nameserver {NAMESERVER}\noptions timeout:1 attempts:2\n")
        script = f"ip link set lo up && ip addr add {OTHER_ADDRESS}/8 dev lo && mount --bind {resolv} /etc/resolv.conf && echo up && exec cat"
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-ec", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.holder.stdout.readline() == b"up\n"

    @property
    def command(self) -> tuple[str, ...]:
        return ("nsenter", f"--target={self.holder.pid}", "--net", "--mount", "--")

    @contextmanager
    def inside(self):
        """What this thread connects and starts is in there."""
        with open(f"/proc/self/task/{threading.get_native_id()}/ns/net") as ours:
            with open(f"/proc/{self.holder.pid}/ns/net") as theirs:
                _enter(theirs)
            try:
                yield
            finally:
                _enter(ours)

    def forget(self) -> None:
        """The names that there always are, and no others."""
        self.records.clear()
        self.records |= {
            (f"{OURS}.", "A"): ["127.0.0.1"],
            ("example.test.", "MX"): [f"10 {OURS}."],
            ("sends.test.", "MX"): [f"10 {OURS}."],
            (f"{OTHER}.", "A"): [OTHER_ADDRESS],
            ("other.example.", "MX"): [f"10 {OTHER}."],
        }

    # --- our server -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """As on a host: what deploy/ has for that in the place of what keeps mail on this machine. And this machine's own
        programs may send, above all Dovecot."""
        main = self.private.etc / "postfix" / "main.cf"
        text = main.read_text()
        closed, outside = ((DEPLOY / "postfix" / name).read_text() for name in ("closed.cf", "outside.cf"))
        outside = outside.replace("@{srs_port}", str(self.private.port["srs"]))
        assert closed in text
        text = text.replace(closed, outside)
        text = re.sub(
            r"^mynetworks = .*", "mynetworks = 127.0.0.1/32, 127.0.0.2/32", text, flags=re.MULTILINE
        )
        main.write_text(text)
        self.postfix("reload")

    def postfix(self, action: str) -> None:
        subprocess.run(
            [*self.command, "postfix", "-c", self.private.etc / "postfix", action],
            check=True,
            capture_output=True,
        )

    def retry(self) -> None:
        """Do not wait for the time of the next try."""
        self.postfix("flush")


def _enter(namespace) -> None:
    if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


MAIN = """compatibility_level = 3.6
myhostname = {name}
mydestination =
inet_interfaces = {address}
inet_protocols = ipv4
smtp_bind_address = {address}
mynetworks =
queue_directory = {directory}/spool
data_directory = {directory}/data
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
virtual_mailbox_domains = other.example
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = inline:{{anna@other.example=anna/}}
virtual_minimum_uid = 1
virtual_uid_maps = static:8
virtual_gid_maps = static:8
# mail for nobody@ is taken and returned; for refused@ it is not taken
smtpd_reject_unlisted_recipient = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ refused@other.example = REJECT no such person }} }}
smtpd_tls_security_level = {tls}
smtpd_tls_chain_files = {key}, {certificate}
smtpd_tls_received_header = yes
smtp_tls_security_level = may
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 5s
"""
MASTER = """smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class OtherServer:
    """Somebody else's Postfix, at port 25 of an address of its own."""

    def __init__(self, world: World):
        self.world, self.directory = world, world.directory / "other"
        for name, owner in (("etc", "root"), ("spool", "root"), ("data", "postfix"), ("mail", "mail")):
            (self.directory / name).mkdir(parents=True)
            shutil.chown(self.directory / name, owner)
        (self.directory / "etc" / "master.cf").write_text(MASTER)
        self.start()

    def start(self, *, tls: str = "may") -> None:
        place = self.world.private.directory / "tls"
        (self.directory / "etc" / "main.cf").write_text(
            MAIN.format(
                name=OTHER, address=OTHER_ADDRESS, directory=self.directory, tls=tls,
                key=place / "server.key", certificate=place / "server.pem",
            )
        )  # fmt: skip
        self._postfix("start")

    def stop(self) -> None:
        self._postfix("stop", check=False)

    def _postfix(self, action: str, check: bool = True) -> None:
        with (self.directory / "output").open("ab") as output:
            done = subprocess.run(
                [*self.world.command, "postfix", "-c", self.directory / "etc", action],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        assert done.returncode == 0 or not check, (self.directory / "output").read_text() + self.log()

    def message(self, subject: str) -> str | None:
        """As it lies in Anna's mailbox over there, once it is there."""
        found = []
        assert eventually(lambda: found.extend(self._with(subject)) or found), self.log()[-2000:]
        return found[0]

    def _with(self, subject: str) -> list[str]:
        texts = (path.read_text() for path in (self.directory / "mail" / "anna" / "new").glob("*"))
        return [text for text in texts if f"Subject: {subject}\n" in text]

    def log(self) -> str:
        log = self.directory / "log"
        return log.read_text(errors="replace") if log.exists() else ""
