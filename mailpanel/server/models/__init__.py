"""The tables of the machine: what the probes saw, what the content filter is told and what it keeps, who sends how much, and
what became of each message."""

from mailpanel.server.models.filter import DigestSent, FilterPolicy, FilterSender
from mailpanel.server.models.probes import Alert, Hour, Incident, Result, Standing
from mailpanel.server.models.quarantine import Maddr, Msg, MsgRcpt, Quarantine
from mailpanel.server.models.sending import Sending, SendLimit, SendShare
from mailpanel.server.models.trace import Key, Line, Message, Position, Recipient, Sight, Traffic

__all__ = [
    "Alert", "DigestSent", "FilterPolicy", "FilterSender", "Hour", "Incident", "Key", "Line", "Maddr", "Message", "Msg",
    "MsgRcpt", "Position", "Quarantine", "Recipient", "Result", "SendLimit", "SendShare", "Sending", "Sight", "Standing", "Traffic",
]  # fmt: skip
