"""The policy service that Postfix asks before it takes a message from one of our people (SMTPD_POLICY_README).

A thread for each connection, of which Postfix keeps as many as it has processes at the doors for people; the database is
asked by a few threads for all of them, so that connections to it stay few.
"""

import logging
import os
import socketserver
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections

from mailpanel.server import sending

log = logging.getLogger(__name__)

GO_ON = "DUNNO"
ASKING = 4  # threads that ask the database
IDLE = 600  # seconds; Postfix itself hangs up after 300
LONGEST, LINES = 4096, 100  # of a request


def answer(request: dict[str, str]) -> str:
    """The action for one request. Whatever is not a message of somebody signed in passes, and so does everything while the
    database is away: then Postfix' own maps let mail wait already."""
    mailbox, counted = request.get("sasl_username", "").lower(), request.get("recipient_count", "")
    if (
        request.get("protocol_state") != "DATA"
        or not mailbox
        or not counted.isascii()
        or not counted.isdecimal()
    ):
        return GO_ON
    if mailbox == settings.PROBE_ADDRESS or int(counted) < 1:
        return GO_ON
    try:
        refusal = sending.take(mailbox, min(int(counted), 10**6))
    except (DatabaseError, InterfaceError) as error:
        log.warning("Not counted, since the database did not answer: %s", error)
        return GO_ON
    if refusal is None:
        return GO_ON
    log.info("%s is over its limit: %s", mailbox, refusal)
    # 450: a mail program keeps the message and shows why. One that never fits is refused for good, or it would be
    # tried for ever.
    return f"{'450 4.7.1' if refusal.until else '554 5.7.1'} {refusal}"


def _answered(request: dict[str, str]) -> str:
    close_old_connections()
    try:
        return answer(request)
    except Exception:  # a fault of ours must not stop anybody's mail
        log.exception("A request was not answered")
        return GO_ON


class Connection(socketserver.StreamRequestHandler):
    timeout = IDLE

    def handle(self):
        try:
            while request := self._read():
                action = self.server.asking.submit(_answered, request).result()
                self.wfile.write(f"action={action}\n\n".encode())
        except (OSError, ValueError):  # Postfix hung up, or is not Postfix
            pass

    def _read(self) -> dict[str, str]:
        """The attributes of one request; none at the end of the connection."""
        request = {}
        for _number in range(LINES):
            line = self.rfile.readline(LONGEST)
            if not line.endswith(b"\n"):
                return {}
            name, _equals, value = line.decode(errors="replace").rstrip("\n").partition("=")
            if not name:
                return request
            request[name] = value
        raise ValueError("a request without end")


class Service(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path):
        path.unlink(missing_ok=True)
        self.asking = ThreadPoolExecutor(ASKING, thread_name_prefix="asking")
        super().__init__(os.fspath(path), Connection)
        path.chmod(0o660)  # Postfix, by the group that the directory gives
