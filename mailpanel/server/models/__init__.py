"""The tables of the machine: what the probes saw, what the content filter is told and what it keeps, who sends how much."""

from mailpanel.server.models.filter import DigestSent, FilterPolicy, FilterSender
from mailpanel.server.models.probes import Alert, Hour, Incident, Result, Standing
from mailpanel.server.models.quarantine import Maddr, Msg, MsgRcpt, Quarantine
from mailpanel.server.models.sending import Sending, SendLimit, SendShare

__all__ = [
    "Alert", "DigestSent", "FilterPolicy", "FilterSender", "Hour", "Incident", "Maddr", "Msg", "MsgRcpt", "Quarantine", "Result",
    "SendLimit", "SendShare", "Sending", "Standing",
]  # fmt: skip
