"""A gunicorn of its own on committed data, in an environment of its own: what a browser talks to."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from tests.environment import ON_MARIADB, VAR
from tests.waiting import Helper, many

ROOT = Path(__file__).resolve().parents[2]


class Panel:
    """Filled by one function of tests/browser/fill.py, then served on a free port of loopback; ended by stop()."""

    def __init__(self, name: str, filled: str = "", **environment: str):
        self.socket = socket.create_server(("127.0.0.1", 0))  # takes requests before gunicorn is up
        self.url = f"http://localhost:{self.socket.getsockname()[1]}"
        self.directory = VAR / f"browser-{name}"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MAILPANEL_")},
            "MAILPANEL_VAR": str(self.directory),
            "MAILPANEL_URL": self.url,
            "MAILPANEL_SECRET_KEY": secrets.token_urlsafe(48),
            # a whole suite of wrong passwords comes from one address
            "MAILPANEL_SIGNIN_TRIES_PER_ADDRESS": "10000",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        if ON_MARIADB:
            from tests.environment import SERVER

            self.environment["MAILPANEL_DATABASE_URL"] = SERVER.url(f"browser_{name}")
        self._fill("lay", filled or name)
        self.queue = Helper(
            self.directory / "queue" / "socket", [] if (filled or name) == "empty" else many()
        )
        self.log = self.directory / "gunicorn.log"
        with self.log.open("ab") as log:
            gunicorn = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{self.socket.fileno()}"]
            options = ["--worker-class", "gthread", "--threads", "4", "--no-control-socket"]
            self.process = subprocess.Popen(
                # setpriv, so that it ends with pytest, however that ends
                ["setpriv", "--pdeathsig", "TERM", *gunicorn, *options, "mailpanel.wsgi:application"],
                cwd=ROOT,
                env=self.environment,
                pass_fds=[self.socket.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.socket.close()  # gunicorn has it now; were it to end, who calls is refused at once
        try:
            urlopen(f"{self.url}/sign-in/", timeout=30).close()  # noqa: S310  it is http
        except OSError as error:
            self.stop()
            raise AssertionError(self.log.read_text()) from error

    def _fill(self, *functions: str):
        done = subprocess.run(
            [sys.executable, "-m", "tests.browser.fill", *functions],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def stop(self):
        self.queue.stop()
        self.process.send_signal(signal.SIGINT)  # at once, without waiting for connections that are kept open
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
