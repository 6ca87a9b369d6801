"""Postfix' queue, as `postqueue -j` lists it."""

import json
import time

import pytest

from mailpanel.daemons import State, queue
from tests.daemons.conftest import look


@pytest.fixture
def postqueue(tmp_path, monkeypatch, settings):
    """postqueue(script): what stands in for the program."""
    settings.MAILPANEL_PROBE_SECONDS = 0.8
    settings.PRIVATE_COPY = False

    def put(script: str):
        path = tmp_path / "postqueue"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setitem(queue._READABLE, "PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def message(queue="deferred", age=0, reason=None):
    recipient = {"address": "x@example.net"} | ({"delay_reason": reason} if reason else {})
    return json.dumps(
        {"queue_name": queue, "queue_id": "A1", "arrival_time": int(time.time() - age), "message_size": 9,
         "sender": "a@example.test", "recipients": [recipient]}
    )  # fmt: skip


def listed(*messages):
    """A script that lists them; their ages count from the moment when the test runs."""
    return lambda: "cat <<'END'\n" + "\n".join(message(*each) for each in messages) + "\nEND"


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        ("", State.OK, "The queue is empty"),
        (listed(("active",), ("deferred", 600, "busy")), State.OK, "2 messages (active 1, deferred 1); the oldest waits for 10 minutes"),
        (listed(("deferred", 3600, "busy")), State.WARN, "1 message (deferred 1); the oldest waits for 60 minutes"),
        (listed(("deferred", 5 * 3600, "busy")), State.BAD, "300 minutes"),
        (listed(("hold", 10**6)), State.OK, "hold 1"),
        ("echo 'postqueue: fatal: Queue report unavailable - mail system is down'; exit 69", State.BAD, "mail system is down"),
        ("echo 'postqueue: fatal: unauthorized configuration directory name'; exit 1", State.WARN, "may not look into"),
        ("sleep 30", State.BAD, "within 0.8 seconds"),
        ("while :; do printf x; done", State.BAD, "within 0.8 seconds"),
        ("echo '{broken'", State.BAD, "does not tell its queue: “{broken”"),
    ],
)  # fmt: skip
def test_what_is_said_of_it(postqueue, script, state, words):
    postqueue(script() if callable(script) else script)
    seen = look("queue")["queue"]
    assert (seen.state, words in str(seen.detail)) == (state, True), str(seen.detail)
    assert seen.seconds < 1.5


def test_reasons_are_other_servers_words(postqueue):
    postqueue(listed(("deferred", 3600, "busy \x1b[31m\u202e now"))())
    hint = str(look("queue")["queue"].hint)
    assert "busy ?[31m? now" in hint


def test_a_queue_without_end_is_cut(postqueue):
    postqueue(f"yes '{message(age=60)}'")
    seen = look("queue")["queue"]
    assert seen.state == State.WARN
    assert "20,000 messages" in str(seen.detail)
