"""ClamAV's clamd, by its socket (clamd(8)). Nothing is ever sent but PING, VERSION and INSTREAM: the protocol has no
sign-in, and other commands end or reload the daemon."""

import re
from datetime import UTC, datetime, timedelta

from mailpanel.daemons import State, Trouble, targets
from mailpanel.daemons.probing import FILTER, Watch, probe
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Line

CLEAN = b"Nothing is wrong with this text.\n"
OLD = timedelta(hours=24)


def test_file() -> bytes:
    """The file that every scanner knows (EICAR). In two pieces, so that no scanner takes this source for it."""
    return rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE" + b"!$H+H*"


@probe("clamav", FILTER, _("ClamAV"))
def clamav(watch: Watch) -> Text:
    where = targets.find("clamd")
    _said(where, watch, b"zPING\0", rb"PONG")
    version = _said(where, watch, b"zVERSION\0", rb"ClamAV .+").decode("ascii", "replace")
    _said(where, watch, _stream(test_file()), rb"stream: .+ FOUND", _missed)
    _said(where, watch, _stream(CLEAN), rb"stream: OK")
    made = _signatures_of(version)
    if made is None:
        return _("Finds the test virus and lets a clean text pass.")
    if datetime.now(UTC) - made > OLD:
        raise Trouble(
            _("Its signatures are of %(made)s, so it does not know the viruses since then.", made=made),
            _("freshclam fetches new ones several times a day. It does not run, or cannot reach its server."),
            "sudo systemctl start mailpanel-freshclam; sudo journalctl -n 30 -u mailpanel-freshclam",
            state=State.WARN,
        )
    return _("Finds the test virus and lets a clean text pass; signatures of %(made)s.", made=made)


def _said(where, watch: Watch, command: bytes, wanted: bytes, wrong=None) -> bytes:
    with Line(where, watch) as line:
        line.send(command, command[1:].split(b"\0")[0].decode())
        answer = line.until(b"\0")
        if not re.fullmatch(wanted, answer):
            raise wrong() if wrong and answer == b"stream: OK" else line.unexpected(answer)
        return answer


def _stream(data: bytes) -> bytes:
    return b"zINSTREAM\0" + len(data).to_bytes(4, "big") + data + bytes(4)


def _missed() -> Trouble:
    return Trouble(
        _("It lets the test virus pass."),
        _("It has no signatures, or those of its directory were not loaded. Fetch them, then start it anew."),
        "sudo freshclam; sudo systemctl restart clamav-daemon",
    )


def _signatures_of(version: str) -> datetime | None:
    """“ClamAV 1.4.6/27800/Sun Nov 22 09:12:01 2026”, in UTC; without official signatures the first part alone."""
    try:
        return datetime.strptime(version.split("/")[2].strip(), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return None
