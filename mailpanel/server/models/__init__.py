"""The tables of the machine: what the probes saw, what the content filter is told and
what it keeps, and what became of each message."""

from mailpanel.server.models.filter import FilterPolicy, FilterSender
from mailpanel.server.models.probes import Alert, Hour, Incident, Result, Standing
from mailpanel.server.models.quarantine import Maddr, Msg, MsgRcpt, Quarantine
from mailpanel.server.models.trace import Key, Line, Message, Position, Recipient, Sight, Traffic

__all__ = [
    "Alert", "FilterPolicy", "FilterSender", "Hour", "Incident", "Key", "Line", "Maddr", "Message", "Msg", "MsgRcpt",
    "Position", "Quarantine", "Recipient", "Result", "Sight", "Standing", "Traffic",
]  # fmt: skip
