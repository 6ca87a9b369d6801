"""The panel is started anew, or a process of it killed, while people use it."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from django.conf import settings

from mailpanel.stack.render import DEPLOY
from tests import people
from tests.shell import database_url


@pytest.fixture
def panel(transactional_db):
    """As the unit of systemd has it."""
    people.settle()
    unit = (DEPLOY / "systemd" / "mailpanel-web.service").read_text()
    arguments = re.search(r"^ExecStart=\S+gunicorn (.*)$", unit, re.MULTILINE)[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *arguments.replace("127.0.0.1:8000", f"127.0.0.1:{port}").split()],
        cwd=settings.BASE_DIR,
        env=os.environ | {"MAILPANEL_DATABASE_URL": database_url()},
        stderr=subprocess.DEVNULL,
    )
    process.port = port
    try:
        deadline = time.monotonic() + 60
        while ask(port) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def ask(port: int, path="/sign-in/") -> int | str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        answer = connection.getresponse()
        return answer.status if answer.read() else "empty"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def workers(process) -> list[int]:
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return [int(pid) for pid in file.read().split()]


def under_load(process, do) -> Counter:
    """What those who ask all the time get, while `do` is done."""
    over, got = threading.Event(), []

    def person():
        while not over.is_set():
            got.append(ask(process.port, "/sign-in/" if len(got) % 2 else "/healthz"))
            time.sleep(0.05)

    threads = [threading.Thread(target=person) for _number in range(4)]
    for thread in threads:
        thread.start()
    try:
        do()
        wait(lambda: len(got) > 20)  # and those after it
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return Counter(got)


def others(process, before: list[int], count: int) -> bool:
    return len(set(workers(process)) - set(before)) >= count


def wait(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_started_anew_nobody_is_turned_away(panel):
    def reload():
        for _time in range(3):
            before = workers(panel)
            panel.send_signal(signal.SIGHUP)
            wait(lambda: others(panel, before, 2) and not set(before) & set(workers(panel)))  # noqa: B023

    got = under_load(panel, reload)
    assert set(got) == {200}


def test_killed_it_costs_what_it_was_doing(panel):
    def kill():
        for _time in range(3):
            before = workers(panel)
            os.kill(before[0], signal.SIGKILL)
            wait(lambda: others(panel, before, 1))  # noqa: B023
            time.sleep(0.5)

    got = under_load(panel, kill)
    lost = sum(number for answer, number in got.items() if answer != 200)
    assert lost <= 3 * 4, got  # each of the four people once, each time
    assert ask(panel.port) == 200
