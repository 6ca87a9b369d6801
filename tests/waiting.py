"""A queue without a Postfix: what the helper at its socket says, for tests of pages. The real ones are in tests/stack."""

import json
import os
import socketserver
import threading
import time
from pathlib import Path

HOSTILE = "<img src=x onerror=alert(1)>\u202e\x1b[31m"
SAYS = {"hold": "placed on hold", "release": "released from hold", "delete": "removed"}


def message(
    number: int,
    *,
    queue="deferred",
    age=600,
    sender="ada@a.example",
    to=("b@elsewhere.example",),
    why="",
    size=4321,
):
    recipients = [{"address": address} | ({"delay_reason": why} if why else {}) for address in to]
    return {
        "queue_name": queue, "queue_id": f"4jcCW{number:06}zJDhF".translate(str.maketrans("aeiouAEIOU", "bcdfgBCDFG")),
        "arrival_time": int(time.time() - age), "message_size": size, "forced_expire": False, "sender": sender,
        "recipients": recipients,
    }  # fmt: skip


def many(number: int = 120) -> list[dict]:
    """Of every kind, with senders and reasons by people who mean no good."""
    busy = "host mx.elsewhere.example[192.0.2.25] said: 452 4.3.1 Insufficient system storage (in reply to MAIL FROM command)"
    lost = "connect to mx.far-away.example[198.51.100.7]:25: Connection timed out"
    odd = f"host mx.evil.example[203.0.113.9] said: 450 4.2.0 {HOSTILE} (in reply to DATA command)"
    rows = []
    for each in range(number):
        why, to = [
            (busy, "wiktoria.kowalczyk@elsewhere.example"),
            (lost, "office@far-away.example"),
            (busy, "info@elsewhere.example"),
        ][each % 3]
        rows.append(message(each, age=300 * (each + 1), to=[to], why=why, size=1700 * (each + 1)))
    return [
        *rows,
        message(900, queue="hold", age=400_000, sender=f"{HOSTILE}@evil.example", to=[f"{HOSTILE}@evil.example"], why=odd),
        message(901, queue="active", age=2, to=[f"reader{n}@elsewhere.example" for n in range(60)]),
        message(902, queue="incoming", age=0, sender="MAILER-DAEMON", to=["ada@a.example"]),
        message(903, sender=f"{'a-very-long-name-' * 3}@{'sub-domain.' * 8}example", to=[f"{'x' * 64}@far-away.example"], why=lost),
    ]  # fmt: skip


class Helper:
    """Listens at `socket` until stop(). What was done to which ids stands in `done`."""

    def __init__(self, socket: Path, messages: list[dict]):
        self.messages, self.done, self._socket = messages, [], socket
        self.refused, self.end = set(), b"\n= 0\n"
        socket.parent.mkdir(parents=True, exist_ok=True)
        self._server = socketserver.ThreadingUnixStreamServer(os.fspath(socket), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._socket.unlink(missing_ok=True)

    def answer(self, word: str, ids: list[str]) -> str:
        known = {row["queue_id"] for row in self.messages}
        if word == "list":
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.messages)
        if word == "show":
            if ids[0] not in known:
                return f"postcat: fatal: open queue file {ids[0]}: No such file or directory\n"
            return (
                f"*** ENVELOPE RECORDS deferred/4/{ids[0]} ***\nsender: {HOSTILE}\n"
                f"*** MESSAGE CONTENTS ***\nSubject: {HOSTILE}\nX-Long: {'x' * 5000}\n"
            )
        self.done.append((word, ids))
        if word in SAYS:
            return "".join(
                f"postsuper: {each}: {SAYS[word]}\n" for each in ids if each in known - self.refused
            )
        return ""

    def _handler(self):
        helper = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                word, *ids, _last, _end = self.rfile.read().decode().split("\n")
                said = helper.answer(word, ids)
                self.wfile.write(
                    said.encode("utf-8", "surrogateescape") + (b"\n= 0\n" if word == "list" else helper.end)
                )

        return Handler
