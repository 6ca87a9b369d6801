"""Real daemons: one private copy for all these tests, with the database of this run (DATABASE=sqlite or mariadb)."""

import os
import shutil

import pytest

from domains.models import Domain
from tests.stack.mail import MailServer
from tests.stack.next_hop import NextHop
from tests.stack.private import Private


def pytest_collection_modifyitems(config, items):
    """Postfix and Dovecot are started by root alone, and have to be there."""
    reason = None
    if os.geteuid() != 0:
        reason = "the mail daemons are started by root alone"
    elif not all(map(shutil.which, ("postfix", "dovecot", "clamd", "amavisd"))):
        reason = "the mail daemons are not installed (make test does it)"
    for item in items:
        if reason and "private" in item.fixturenames:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With a failure comes what the daemons had to say."""
    report = yield
    if report.failed and "private" in getattr(item, "funcargs", {}):
        for daemon in ("postfix", "dovecot", "amavis"):
            last = item.funcargs["private"].log(daemon).splitlines()[-40:]
            report.sections.append((f"the end of {daemon}.log", "\n".join(last)))
    return report


@pytest.fixture(scope="session")
def _private(django_db_blocker):
    private = Private()
    try:
        with django_db_blocker.unblock():
            private.migrate()
        private.up()
        yield private
    finally:
        private.remove()


@pytest.fixture
def private(_private, django_db_blocker, settings):
    """The copy, with the ORM on its database. Tests share the tables, so each makes domains of its own."""
    settings.MAILPANEL_PORTS = _private.port
    settings.MAILPANEL_DOVEADM_URL = f"http://127.0.0.1:{_private.port['doveadm']}"
    settings.MAILPANEL_DOVEADM_API_KEY = (_private.directory / "secrets" / "doveadm_key").read_text()
    with django_db_blocker.unblock(), _private.orm():
        yield _private


@pytest.fixture(scope="module")
def _probed(_private, django_db_blocker):
    """The copy has the mailbox of the probes."""
    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.get_or_create(name="example.test")
        # here nobody erases anything: the first run tells Dovecot, the second finds all in order
        _private.manage("probe_account", check=False)
    _private.manage("probe_account")


@pytest.fixture
def mail(private):
    """The mail server as a mail program and other servers meet it."""
    return MailServer(private)


@pytest.fixture
def next_hop():
    """The mail server behind a relay domain."""
    server = NextHop()
    yield server
    server.stop()
