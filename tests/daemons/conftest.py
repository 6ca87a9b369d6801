"""Fakes in the places of the daemons, and the probes sent to them."""

from contextlib import ExitStack

import pytest

from mailpanel.daemons import probing, targets
from tests.daemons.certificates import Authority
from tests.daemons.fakes import GOOD, Fake

PASSWORD = "the secret of the probes"
SECONDS = 0.8
# Which probe asks which place; the others (queue, database, machine, DNS, round trip) have tests of their own.
ASKS = {
    "smtp": "smtp", "submission": "submission", "smtps": "smtps", "sasl": "submission", "imap": "imap",
    "imaps": "imaps", "pop3": "pop3", "pop3s": "pop3s", "managesieve": "managesieve", "lmtp": "lmtp",
    "quota-status": "quota-status", "clamav": "clamd", "amavis": "amavis", "spamassassin": "amavis", "doveadm": "doveadm",
}  # fmt: skip


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority):
    return authority.server()


@pytest.fixture
def stage(settings, authority, certificate):
    """stage(imap=behave, …): fakes for all places, that behave where nothing else is said; the fakes by name."""
    settings.MAILPANEL_PROBE_SECONDS = SECONDS
    settings.MAILPANEL_PROBE_CA = str(authority.certificate)
    settings.MAILPANEL_PROBE_PASSWORD = PASSWORD
    settings.MAILPANEL_DOVEADM_API_KEY = "key"
    targets._refused.clear()
    with ExitStack() as ending:

        def put_up(_context=certificate, **others):
            behaving = GOOD | {name.replace("_", "-"): behave for name, behave in others.items()}
            fakes = {
                name: ending.enter_context(Fake(behave, _context))
                for name, behave in behaving.items()
                if behave
            }
            settings.MAILPANEL_PROBE_TARGETS = {
                name: fakes[name].place if name in fakes else "off" for name in behaving if name != "doveadm"
            }
            if "doveadm" in fakes:
                settings.MAILPANEL_DOVEADM_URL = f"http://{fakes['doveadm'].place}"
            return fakes

        yield put_up


def look(*keys: str) -> dict:
    return {seen.key: seen for seen in probing.look(keys or ASKS)}
