"""Why a message was refused, returned or waits: the words of mail servers, for people."""

import re

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

# The first that fits. What a pattern's group found is filled in as `found`, the domain of the recipient as `domain`.
_KNOWN = [
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"outbound mail is switched off", gettext_noop("Mail for the world outside is switched off in this private copy.")),
        (r"not owned by user", gettext_noop("The sender's address does not belong to the mailbox that signed in.")),
        (r"not logged in", gettext_noop("Whoever sends from this address has to sign in.")),
        (r"error in processing, id=|the key to sign with cannot be read", gettext_noop("A part of this mail server does not answer.")),
        (r"(?:blocked using|is on the blocklist) ([\w-]+(?:\.[\w-]+)+)", gettext_noop("The sending server is on the blocklist %(found)s.")),
        (r"relay access denied", gettext_noop("It is not for an address of this server, and the sender did not sign in.")),
        (r"larger than the mailbox", gettext_noop("It is larger than the room that the mailbox has.")),
        (r"mailbox is full|over ?quota|quota exceeded|mailbox full|\b[45]\.2\.2\b", gettext_noop("The mailbox is full.")),
        (r"unverified address", gettext_noop("The server behind this one could not be asked whether there is such an address.")),
        (r"user unknown|unknown user|no such (user|mailbox|recipient|address)|does not exist|unlisted|unknown in .* table|\b[45]\.1\.1\b",
         gettext_noop("There is no such address.")),
        (r"INFECTED: ([\w./-]+)", gettext_noop("A virus is in it: %(found)s.")),
        (r"\bINFECTED\b", gettext_noop("A virus is in it.")),
        (r"\bUNCHECKED\b", gettext_noop("It would take too much to unpack for a virus to be looked for.")),
        (r"\bBANNED\b", gettext_noop("An attachment of a kind that is not let in is in it.")),
        (r"id=[\w-]+ - spam|\bspam (message|content|detected)|looks like spam|\bUBE\b", gettext_noop("It was taken for spam.")),
        (r"message (size )?(exceeds|too (big|large))|\b5\.3\.4\b", gettext_noop("It is larger than what is taken.")),
        (r"sender address rejected: domain not found", gettext_noop("The sender's domain does not exist.")),
        (r"domain .* does not accept mail|nullmx", gettext_noop("%(domain)s has said that it takes no mail.")),
        (r"host or domain name not found|name service error|domain not found", gettext_noop("No mail server of %(domain)s is found.")),
        (r"connect to \S*(127\.0\.0\.1|\[::1\])\S*: |\.sock\S*: connection refused|lmtp\S*\]: (connection refused|no such file)",
         gettext_noop("A part of this mail server does not answer.")),
        (r"connection refused|timed out|no route to host|network is unreachable|lost connection|server dropped connection",
         gettext_noop("The server of %(domain)s does not answer.")),
        (r"gr[ae]y-?list", gettext_noop("The server of %(domain)s puts off whom it does not know yet.")),
        (r"may send to \d+ recipients an? \w+|too many|rate limit|limit exceeded|over the limit|too much mail", gettext_noop("More was sent than is allowed in this time.")),
        (r"\btls\b|certificate", gettext_noop("No encrypted connection to the server of %(domain)s came about.")),
        (r"helo command rejected|need fully-qualified", gettext_noop("The sending program does not say properly who it is.")),
        (r"delivery temporarily suspended", gettext_noop("The server of %(domain)s did not answer a moment ago, and is given a rest.")),
        (r"\b5\.7\.\d+\b|rejected due to|policy", gettext_noop("The receiving server refuses it by a rule of its own.")),
    )
]  # fmt: skip


def words(said: str, domain: str = "") -> str:
    """Empty if nothing is known of it."""
    said = said.rpartition(">: ")[2] or said  # what stands before is somebody's address
    for pattern, sentence in _KNOWN:
        if found := pattern.search(said):
            group = found[1] if pattern.groups and found[1] else ""
            return _(sentence) % {"found": group, "domain": domain or _("the recipient")}
    return ""
