"""The certificates on all ports: their end, the names in them, and who signed them."""

import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from mailpanel.daemons import State, Trouble
from mailpanel.daemons.dialects import DIALECTS, opened
from mailpanel.daemons.probing import GROUND, Watch, probe
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Untrusted

WARN, BAD = 21, 7  # days
_RESERVE = 0.3  # seconds, to put the answers together


@probe("tls", GROUND, _("Certificates"))
def tls(watch: Watch) -> Text:
    """Each port by a thread of its own, since one that hangs must not hide what is wrong at the next. Whether somebody
    answers there is not said here, but by the probe of that port."""
    seen: dict[str, datetime | Trouble] = {}
    patience = Watch(watch.left - _RESERVE)
    at_once(lambda name: _see(name, patience, seen), list(DIALECTS))
    refused = [found for found in seen.values() if isinstance(found, Untrusted)]
    ends = {name: found for name, found in seen.items() if isinstance(found, datetime)}
    if refused:
        raise Trouble(refused[0].detail, refused[0].hint, refused[0].command)
    if not ends:
        raise Trouble(_("No port shows a certificate."), _("The rows of the single ports say why."))
    name, end = min(ends.items(), key=lambda found: found[1])
    days = (end - datetime.now(UTC)).days
    if days < WARN:
        raise Trouble(
            _("The certificate of %(name)s ends on %(end)s, in %(days)s days.", name=name, end=end, days=days),
            _("It should have been renewed by now. Renew it, then restart Postfix and Dovecot, which go on with the old one otherwise."),
            "sudo certbot renew; sudo systemctl restart postfix dovecot",
            state=State.BAD if days < BAD else State.WARN,
        )  # fmt: skip
    return _("All are for this server and trusted; the first one ends on %(end)s.", end=end)


def _see(name: str, watch: Watch, seen: dict) -> None:
    try:
        line = opened(name, watch)
        try:
            if not line.target.tls:
                line.start_tls()
            end = ssl.cert_time_to_seconds(line.socket.getpeercert()["notAfter"])
            seen[name] = datetime.fromtimestamp(end, UTC)
            line.leave()
        finally:
            line.close()
    except Trouble as trouble:
        seen.setdefault(name, trouble)
    except TimeoutError:
        pass


def at_once(work: Callable[[str], None], names: list[str]) -> None:
    threads = [threading.Thread(target=work, args=[name], daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
