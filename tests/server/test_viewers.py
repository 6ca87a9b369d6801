"""Every daemon hangs, and fifty people look at the status."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.viewers import SECONDS, Viewer, hanging
from tests.stack.mail import eventually

VIEWERS = 50


@pytest.mark.usefixtures("db")  # on both databases
def test_nobody_waits_for_a_daemon_and_nobody_looks_twice():
    with hanging("viewers") as (panel, fakes), ThreadPoolExecutor(VIEWERS) as many:
        viewer = Viewer(panel).sign_in()
        viewer.check_now()
        assert eventually(lambda: _all_wait(fakes), SECONDS / 2)
        connections = _connections(fakes)
        # the probes have half a minute each and are all at it while these are answered
        pages = list(many.map(lambda _number: viewer.get("/status/"), range(VIEWERS)))
        assert all("Checking" in page for page in pages)
        news = list(
            many.map(lambda _number: viewer.get("/status/", **{"HX-Request": "true"}), range(VIEWERS))
        )
        assert all("Checking" in page for page in news)
        assert "postmaster@example.test" in viewer.get("/mailboxes/")
        for _number in range(3):
            assert "Checking" in viewer.check_now()
        assert _connections(fakes) == connections
        assert all(fake.still_open for fake in fakes.values())


def _connections(fakes) -> dict[str, int]:
    return {name: fake.connections for name, fake in fakes.items()}


def _all_wait(fakes) -> bool:
    """Each place was called, and nobody has called for a second."""
    before = _connections(fakes)
    time.sleep(1)
    return all(before.values()) and before == _connections(fakes)
