"""Clients of the programs beside us. A leaf: no model, no request, no role in here."""


class DaemonError(Exception):
    """A daemon did not do what was asked. The message is a sentence for people; the full reply goes to the log."""
