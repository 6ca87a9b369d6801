"""postsrsd, which gives mail that is forwarded a sender of ours, by the two tables that Postfix asks (tcp_table(5))."""

import re

from django.conf import settings

from mailpanel.daemons import Trouble, targets
from mailpanel.daemons.postfix import STRANGER
from mailpanel.daemons.probing import MAIL, Watch, probe
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Line


@probe("postsrsd", MAIL, _("Forwarding (SRS)"))
def postsrsd(watch: Watch) -> Text:
    """There and back again, and that nobody else's address is taken for one of its own."""
    with Line(targets.find("srs_forward"), watch) as line:
        made = _asked(line, STRANGER, rb"200 (SRS0=[!-~]+@[!-~]+)")
    if not made.lower().endswith(f"@{settings.MAILPANEL_HOSTNAME}"):
        raise Trouble(
            _("It makes addresses of another name: %(address)s.", address=made[:150]),
            _("What is returned to them does not come here. SRS_DOMAIN has to be the server's name, %(host)s; render its configuration again.", host=settings.MAILPANEL_HOSTNAME),
            "grep SRS_DOMAIN /etc/default/postsrsd",
        )  # fmt: skip
    with Line(targets.find("srs_reverse"), watch) as line:
        back = _asked(line, made, rb"200 ([!-~]+)")
        _asked(line, _forged(made), rb"(500) .*")
        if back != STRANGER:
            raise line.unexpected(b"200 " + back.encode())
    return _("Gives forwarded mail a sender of ours, and knows its own addresses from forged ones.")


def _asked(line: Line, address: str, wanted: bytes) -> str:
    line.send(b"get " + address.encode() + b"\n", "get")
    said = line.line()
    if not (answer := re.fullmatch(wanted, said)):
        raise line.unexpected(said)
    return answer[1].decode("ascii", "replace")


def _forged(made: str) -> str:
    """The same for somebody else, by the same signature."""
    return made.replace("=stranger@", "=victim@")
