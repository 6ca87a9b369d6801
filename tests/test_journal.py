"""The panel's own log holds what strangers say, and is steered by nothing of it."""

import io
import logging
import logging.config

import pytest
from django.conf import settings
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from mailpanel.journal import LONGEST, OneLine

FORGED = "2026-01-01 00:00:00,000 WARNING accounts: root1 signed in"


def written(say) -> str:
    """What the log holds after say(logger), by the formatter of the settings."""
    stream, logger = io.StringIO(), logging.Logger("of a test")
    handler = logging.StreamHandler(stream)
    named = settings.LOGGING["formatters"]["line"]
    assert named["()"] == f"{OneLine.__module__}.{OneLine.__name__}"
    handler.setFormatter(OneLine(named["format"]))
    logger.addHandler(handler)
    say(logger)
    return stream.getvalue()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_one_line_for_one_event(end):
    text = written(lambda log: log.warning("Refused by %s", f"x{end}{FORGED}"))
    (line,) = text.splitlines()
    assert line.endswith(FORGED)


@given(st.text(), st.text())
def test_no_text_steers(message, name):
    def say(log):
        try:
            raise ValueError(message)
        except ValueError:
            log.exception("%s", name)

    first, *more = written(say).splitlines()
    assert first.isprintable()
    assert all(line.startswith("| ") and line.isprintable() for line in more)


def test_long_text_is_cut():
    assert len(written(lambda log: log.warning("%s", "x" * 1_000_000))) <= LONGEST + 1


@pytest.mark.parametrize("path", ["/nope/%0a2026-01-01%20forged/", "/nope/%1b[2J/", "/nope/%E2%80%A8x/", "/nope/" + "x" * 9000])  # fmt: skip
def test_what_somebody_asks_for(db, path, capsys):
    """By the handler that the server has, from the path to standard error."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine(settings.LOGGING["formatters"]["line"]["format"]))
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    try:
        Client().get(path, headers={"user-agent": "x\u2028y" * 100_000})
    finally:
        logger.removeHandler(handler)
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert len(line) <= LONGEST
