"""How the panel's own log is written, on standard error. Much of it is a stranger's text: names, answers of other servers,
paths that somebody asked for."""

import logging

from mailpanel.daemons.text import plain

LONGEST = 4000  # characters


class OneLine(logging.Formatter):
    """An event is one line, whatever is in it. The lines of a traceback stand behind a mark, so that none looks like an
    event."""

    def formatMessage(self, record) -> str:
        return plain(super().formatMessage(record)[:LONGEST])

    def formatException(self, error) -> str:
        return "\n".join(f"| {plain(line)[:LONGEST]}" for line in super().formatException(error).split("\n"))
