"""A nameserver on loopback that says what it is told to."""

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class Nameserver:
    """By UDP alone. A name without records does not exist; `SERVFAIL`, `SILENCE`, `GARBAGE` and `TRUNCATED` are what they say."""

    def __init__(self, records, address=("127.0.0.1", 0)):
        self.records, self.asked = records, []
        self.door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.door.bind(address)
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                wire, peer = self.door.recvfrom(4096)
                query = dns.message.from_wire(wire)
                if answer := self._answer(query):
                    self.door.sendto(answer, peer)
            except OSError:
                return

    def _answer(self, query) -> bytes | None:
        question = query.question[0]
        name, kind = question.name.to_text().lower(), question.rdtype.name
        self.asked.append((name, kind))
        found = self.records.get((name, kind), self.records.get("*"))
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        match found:
            case "SILENCE":
                return None
            case "GARBAGE":
                return b"\xff" * 40
            case "SERVFAIL":
                reply.set_rcode(dns.rcode.SERVFAIL)
            case "TRUNCATED":
                reply.flags |= dns.flags.TC
            case None:
                if not any(name == key[0] for key in list(self.records)):
                    reply.set_rcode(dns.rcode.NXDOMAIN)
            case _:
                kind = "CNAME" if found[0].startswith("alias.") else kind
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        return reply.to_wire(max_size=65535)
