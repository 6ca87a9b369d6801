import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


@pytest.fixture
def dovecot(settings):
    """A doveadm that answers every command with success; what it was asked is in the list."""
    asked = []

    class Doveadm(BaseHTTPRequestHandler):
        def do_POST(self):
            commands = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.extend((command, parameters) for command, parameters, _tag in commands)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps([["doveadmResponse", [], tag] for *_, tag in commands]).encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Doveadm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.MAILPANEL_DOVEADM_URL = f"http://127.0.0.1:{server.server_port}"
    yield asked
    server.shutdown()
    server.server_close()
