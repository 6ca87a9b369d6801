"""A small mail server of somebody else's, on a real socket: it knows some recipients and keeps what it gets."""

import socketserver
import threading


class Listening:
    """A server in this process, a thread for each connection."""

    def __init__(self, handler, address=("127.0.0.1", 0)):
        self._server = socketserver.ThreadingTCPServer(address, handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class Conversation(socketserver.StreamRequestHandler):
    def say(self, line: str):
        self.wfile.write(f"{line}\r\n".encode())


class NextHop(Listening):
    def __init__(self, address=("127.0.0.1", 0)):
        self.knows: set[str] = set()
        self.messages: list[str] = []
        self.senders: list[str] = []  # of them, on the envelope
        super().__init__(self._handler(), address)

    def _handler(self):
        hop = self

        class Handler(Conversation):
            def handle(self):
                self.say("220 hop.example ESMTP")
                for raw in self.rfile:
                    line = raw.decode().strip()
                    verb = line.upper()[:4]
                    if verb == "MAIL":
                        sender = line.partition("<")[2].partition(">")[0]
                        self.say("250 ok")
                    elif verb == "RCPT":
                        address = line.partition("<")[2].partition(">")[0].lower()
                        self.say("250 ok" if address in hop.knows else "550 5.1.1 unknown")
                    elif verb == "DATA":
                        self.say("354 go on")
                        message = b""
                        while (part := self.rfile.readline()) not in (b".\r\n", b""):
                            message += part
                        hop.senders.append(sender)
                        hop.messages.append(message.decode())
                        self.say("250 kept")
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 ok")

        return Handler
