"""Our own service that Postfix asks how much a mailbox may send."""

from mailpanel.daemons import State, Trouble, targets
from mailpanel.daemons.probing import MAIL, Watch, probe
from mailpanel.daemons.text import Text
from mailpanel.daemons.text import Text as _
from mailpanel.daemons.wire import Line

# A request without a sender who has signed in: nothing is counted.
_ASKED = b"request=smtpd_access_policy\nprotocol_state=DATA\nrecipient_count=1\n\n"


@probe("policy", MAIL, _("Sending limits"))
def policy(watch: Watch) -> Text:
    try:
        with Line(targets.find("policy"), watch) as line:
            line.send(_ASKED, after="request")
            said = line.line()
    except Trouble as trouble:
        if trouble.state is State.OFF:
            raise
        # mail works without it
        raise Trouble(
            trouble.detail,
            _("Nobody counts what is sent: whoever steals a password can send without limit. Start it."),
            targets.start("mailpanel-policy"),
            state=State.WARN,
        ) from trouble
    if not said.startswith(b"action="):
        raise Trouble(
            _("The service that counts what is sent says something else than it should."), state=State.WARN
        )
    return _("Counts what is sent, and stops a mailbox at its limit.")
