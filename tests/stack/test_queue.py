"""The queue on the real Postfix: read, shown, held, released, tried again and deleted by the helper that is root."""

import contextlib
import importlib.util
import itertools
import os
import pwd
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.conf import settings as panel

from accounts.models import Audit
from domains.models import Domain
from mailpanel.daemons import queue
from mailpanel.daemons.probing import Watch
from tests import people
from tests.stack.mail import eventually
from tests.stack.next_hop import Conversation, Listening

pytestmark = pytest.mark.once

HELPER = Path(panel.BASE_DIR) / "deploy" / "queue" / "mailpanel_queue.py"
HOSTILE = "<img src=x onerror=alert(1)>"
SECONDS = 20
numbers = itertools.count(1)


class Busy(Listening):
    """A next hop that knows everybody and takes nothing, with whatever it says instead; or everything, once it is told."""

    def __init__(self):
        hop, self.takes, self.taken = self, False, 0

        class Handler(Conversation):
            def handle(self):
                self.say("220 busy.example ESMTP")
                for line in self.rfile:
                    match line[:4].upper():
                        case b"DATA" if hop.takes:
                            self.say("354 go on")
                            while self.rfile.readline() not in (b".\r\n", b""):
                                pass
                            hop.taken += 1
                            self.say("250 kept")
                        case b"DATA":
                            self.say(f"450 4.2.0 {HOSTILE} \u202e\x1b[31m later")
                        case b"QUIT":
                            self.say("221 bye")
                            break
                        case _:
                            self.say("250 ok")

        super().__init__(Handler)


@pytest.fixture
def waiting(private, mail, settings):
    """waiting(n): so many messages that wait for a next hop, by their ids; the hop is `waiting.hop`."""
    settings.MAILPANEL_VAR, settings.PRIVATE_COPY = private.directory, True
    hop = Busy()
    name = f"waits-{next(numbers)}.example"
    Domain.objects.create(name=name, transport=f"relay:[127.0.0.1]:{hop.port}")

    def put(number: int) -> list[str]:
        # known to be there before the first message, so that it is taken at once
        assert eventually(lambda: mail.rcpt(f"known@{name}") == 250)
        for _each in range(number):
            mail.deliver(f"known@{name}", sender="stranger@elsewhere.example.net")
        assert eventually(lambda: len(ids("deferred")) == number)
        return ids("deferred")

    def ids(*queues) -> list[str]:
        return [each.id for each in listed() if each.queue in queues and each.recipients[0][0].endswith(name)]

    put.hop, put.ids = hop, ids
    yield put
    left = [each.id for each in listed()]
    if left:
        queue.act(queue.DELETE, left, Watch(SECONDS))
    hop.stop()


def listed():
    return queue.listed(Watch(SECONDS)).messages


def test_life_of_a_message_in_the_queue(waiting):
    one, other, third = waiting(3)
    assert all(map(queue.ID.fullmatch, (one, other, third)))
    message = next(each for each in listed() if each.id == one)
    assert message.sender == "stranger@elsewhere.example.net"
    assert HOSTILE in message.reason
    assert not re.search("[\x1b\u202e]", message.reason)

    assert queue.act(queue.HOLD, [one, other, "ABCDEF123"], Watch(SECONDS)) == ({one, other}, None)
    assert eventually(lambda: set(waiting.ids("hold")) == {one, other})
    assert queue.act(queue.HOLD, [one], Watch(SECONDS)) == (set(), None)
    assert queue.act(queue.DELETE, [other, "ABCDEF123"], Watch(SECONDS)) == ({other}, None)
    waiting.hop.takes = True
    assert queue.act(queue.RETRY, [third], Watch(SECONDS)) == ({third}, None)
    assert eventually(lambda: waiting.ids("deferred", "active", "hold") == [one])
    assert waiting.hop.taken == 1
    assert queue.act(queue.RELEASE, [one], Watch(SECONDS)) == ({one}, None)
    queue.retry_all(Watch(SECONDS))
    assert eventually(lambda: waiting.hop.taken == 2)
    assert listed() == []


def test_envelope_and_headers_and_nothing_more(waiting, mail):
    (one,) = waiting(1)
    text = queue.show(one, Watch(SECONDS))
    assert "sender: stranger@elsewhere.example.net" in text
    assert "Subject: message" in text
    assert "Hello." not in text  # the body
    with pytest.raises(queue.Gone):
        queue.show("ABCDEF123", Watch(SECONDS))


def test_by_the_pages(waiting, db, client, private):
    """As the server admin, with a next hop that answers in markup."""
    some = waiting(2)
    people.settle()
    client.force_login(people.find("root1"), backend="accounts.authentication.MailboxBackend")
    page = client.get("/queue/").content.decode()
    assert set(some) <= set(re.findall(r'name="pick" value="(\w+)"', page))
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img" not in page
    assert b"Subject: message" in client.get(f"/queue/{some[0]}/").content
    for do, state in (("hold", "hold"), ("release", "deferred"), ("hold", "hold")):
        client.post("/queue/do/", {"do": do, "pick": some[0]})
        assert eventually(
            lambda state=state: some[0] in waiting.ids(state, "active" if state == "deferred" else state)
        )
    assert b"Delete 1 message?" in client.post("/queue/do/", {"do": "delete", "pick": some[0]}).content
    assert some[0] in waiting.ids("hold")
    client.post("/queue/do/", {"do": "delete", "pick": some[0], "sure": "1"})
    assert waiting.ids("hold") == []
    page = client.post("/queue/do/", {"do": "delete", "pick": some[0], "sure": "1"}, follow=True)
    assert b"has left the queue meanwhile" in page.content
    done = list(Audit.objects.order_by("id").values_list("action", "kind", "name"))
    assert done == [(do, "message", some[0]) for do in ("hold", "release", "hold", "delete")]


# --- the helper by itself -------------------------------------------------------------------------------------


def said(helper: Path, *lines: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(SECONDS)
        line.connect(str(helper))
        line.sendall(b"\n".join((*lines, b"", b"")))
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while more := line.recv(65536):
            answer += more
    return answer


@pytest.mark.parametrize(
    "lines",
    [
        (), (b"",), (b"delete",), (b"delete", b"ALL"), (b"delete", b"-"), (b"delete", b"-h", b"ABCDEF12"), (b"hold", b"ALL"),
        (b"show", b"../../../etc/shadow"), (b"show", b"ABCDEF12", b"ABCDEF13"), (b"-d", b"ABCDEF12"), (b"list", b"ABCDEF12"),
        (b"delete", b"ABCDEF12 ALL"), (b"delete", b"ABCDEF12\0ALL"), (b"delete", b"ABCDEF12;ALL"), (b"retry-all", b"ABCDEF12"),
        (b"sh", b"ABCDEF12"), (b"delete", b"\xff" * 12), (b"delete", b"A" * 3_000_000),
    ],
)  # fmt: skip
def test_nothing_but_its_words_and_ids(waiting, private, lines):
    waiting(1)
    try:
        answer = said(private.directory / "queue" / "socket", *lines)
    except (BrokenPipeError, ConnectionResetError):  # it had heard enough
        answer = b"= 64"
    assert b"= 64" in answer
    assert len(waiting.ids("deferred", "active")) == 1


@pytest.mark.parametrize("cut", [1, 2, 9])
def test_half_a_request_is_none(waiting, private, cut):
    """As it comes from a panel that is killed while it writes."""
    one, other = waiting(2)
    request = f"delete\n{one}\n{other}\n\n".encode()[:-cut]
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(private.directory / "queue" / "socket"))
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100).startswith(b"mailpanel-queue: cut off")
    assert set(waiting.ids("deferred", "active")) == {one, other}


def test_clients_that_do_not_read_keep_nobody_out(tmp_path, monkeypatch):
    """Nor those that do not write on. As many as it serves at once, and more."""
    found = importlib.util.spec_from_file_location("mailpanel_queue", HELPER)
    helper = importlib.util.module_from_spec(found)
    found.loader.exec_module(helper)
    (tmp_path / "postqueue").write_text("#!/bin/sh\ncase $1 in -j) exec yes;; esac\n")
    (tmp_path / "postqueue").chmod(0o755)
    monkeypatch.setattr(helper, "ENVIRONMENT", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    monkeypatch.setattr(helper, "SECONDS", 1)
    monkeypatch.setattr(helper, "REQUEST_SECONDS", 2)
    path = tmp_path / "socket"
    with helper.Server(os.fspath(path), helper.Request) as server, contextlib.ExitStack() as clients:
        server.config = []
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            for asked in (b"list\n\n", b"retry-all") * 6:
                line = clients.enter_context(socket.socket(socket.AF_UNIX))
                line.connect(str(path))
                line.sendall(asked)
                if asked.endswith(b"\n"):
                    line.shutdown(socket.SHUT_WR)
            assert said(path, b"retry-all") == b"\n= 0\n"
        finally:
            server.shutdown()


def test_for_the_panels_user_alone(waiting, private):
    """Somebody else of this machine is not let in; the user whose the socket is, is, and is no root."""
    (one,) = waiting(1)
    nobody = pwd.getpwnam("nobody")

    def as_nobody(path: Path) -> bytes:
        os.setegid(nobody.pw_gid)
        os.seteuid(nobody.pw_uid)
        try:
            return said(path, b"delete", one.encode())
        finally:
            os.seteuid(0)
            os.setegid(0)

    with pytest.raises(PermissionError):
        as_nobody(private.directory / "queue" / "socket")
    assert len(waiting.ids("deferred", "active")) == 1

    mine = private.directory / "queue" / "of-nobody"
    helper = subprocess.Popen(
        [
            sys.executable,
            "-I",
            HELPER,
            "--socket",
            mine,
            "--user",
            "nobody",
            "--config",
            private.etc / "postfix",
        ]
    )
    try:
        assert eventually(mine.exists)
        assert eventually(lambda: mine.stat().st_uid == nobody.pw_uid)
        assert oct(mine.stat().st_mode & 0o777) == "0o600"
        assert f"postsuper: {one}: removed".encode() in as_nobody(mine)
    finally:
        helper.terminate()
        helper.wait()
    assert waiting.ids("deferred", "active") == []
