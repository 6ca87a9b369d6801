#!/usr/bin/python3 -I
"""Does with Postfix' queue what root alone may do, for the panel, which is not root.

It listens at a unix socket that belongs to the panel's user and to nobody else. A request is a word and queue ids, a line
each, and an empty line, without which it was cut off; the answer is what Postfix' own program says, and a last line `= STATUS`.
There is no other word than those below, an id is nothing but letters and digits (so not `ALL`, nor an option), and no
shell: whoever takes over the panel can do this much to the queue and no more.

Without the panel's code on purpose: this one file, root's own, is all that runs as root.
"""

import argparse
import contextlib
import os
import re
import shutil
import socketserver
import subprocess
import tempfile
import threading
from pathlib import Path

# Short ids are hexadecimal, long ones (enable_long_queue_ids) have digits and consonants.
ID = re.compile(rb"[0-9A-F]{6,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{12,24}")
ON_STANDARD_INPUT = {b"hold": "-h", b"release": "-H", b"delete": "-d"}
LONGEST = 2_000_000  # bytes of a request: more ids than the panel ever shows
SECONDS = 60  # for one program
REQUEST_SECONDS = 10
AT_ONCE = threading.BoundedSemaphore(4)
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}


def commands(word: bytes, ids: list[bytes], config: list[str]) -> list[list[str]]:
    """What is run, one after the other. Raises ValueError for everything else."""
    if not all(ID.fullmatch(each) for each in ids):
        raise ValueError("not a queue id")
    names = [each.decode() for each in ids]
    match word:
        case b"list" if not ids:
            return [["postqueue", *config, "-j"]]
        case b"retry-all" if not ids:
            return [["postqueue", *config, "-f"]]
        case b"retry" if ids:
            return [["postqueue", *config, "-i", name] for name in names]
        case b"show" if len(ids) == 1:
            return [["postcat", *config, "-eh", "-q", *names]]
        case b"hold" | b"release" | b"delete" if ids:
            return [["postsuper", *config, ON_STANDARD_INPUT[word], "-"]]
    raise ValueError("not a request")


class Request(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(REQUEST_SECONDS)
        with contextlib.suppress(OSError):  # the client has gone
            try:
                word, *ids = self._read().split(b"\n")
                wanted = commands(word, ids, self.server.config)
                with AT_ONCE:
                    self.request.setblocking(True)
                    status = self._run(wanted, ids)
            except ValueError as error:
                self.request.sendall(f"mailpanel-queue: {error}\n".encode())
                status = 64
            except subprocess.TimeoutExpired:
                status = 75
            self.request.settimeout(REQUEST_SECONDS)  # some clients do not read
            self.request.sendall(f"\n= {status}\n".encode())

    def _read(self) -> bytes:
        said = b""
        while more := self.request.recv(65536):
            said += more
            if len(said) > LONGEST:
                raise ValueError("too long")
        if not said.endswith(b"\n\n"):
            raise ValueError("cut off")
        return said[:-2]

    def _run(self, wanted: list[list[str]], ids: list[bytes]) -> int:
        """The programs write to the client themselves, as fast as it reads."""
        status = 0
        with tempfile.TemporaryFile() as listed:
            listed.write(b"".join(each + b"\n" for each in ids))
            for command in wanted:
                listed.seek(0)
                done = subprocess.run(
                    command,
                    env=ENVIRONMENT
                    | {name: value for name, value in os.environ.items() if name == "MAILPANEL_STACK"},
                    stdin=listed,
                    stdout=self.request,
                    stderr=self.request,
                    timeout=SECONDS,
                    check=False,
                )
                status = status or done.returncode
        return status


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 32


def main() -> None:
    parser = argparse.ArgumentParser(description="Postfix' queue for the panel.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--user", required=True, help="whose the socket is")
    parser.add_argument("--config", help="Postfix' configuration, if it is not the system's")
    asked = parser.parse_args()
    asked.socket.unlink(missing_ok=True)
    os.umask(0o177)
    with Server(os.fspath(asked.socket), Request) as server:
        shutil.chown(asked.socket, asked.user)
        server.config = ["-c", asked.config] if asked.config else []
        server.serve_forever()


if __name__ == "__main__":
    main()
