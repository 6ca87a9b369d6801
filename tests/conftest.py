from tests.environment import ON_MARIADB, VAR  # first: it sets what Django reads

# isort: split
import django

django.setup()

import pytest  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402

from tests import people  # noqa: E402


def pytest_collection_modifyitems(config, items):
    """On MariaDB, run what touches the database; the other rules do not change with it."""
    if not ON_MARIADB:
        return
    touching = {"db", "transactional_db", "world", "live", "client", "private"}
    kept = [
        item
        for item in items
        if (touching & set(item.fixturenames) or item.get_closest_marker("django_db"))
        and not item.get_closest_marker("once")
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture(scope="session")
def django_db_modify_db_settings():
    """A real file, with Dovecot's beside it, as in production; Django's default would be in memory."""
    if not ON_MARIADB:
        settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(VAR / "database" / "test.sqlite3")


@pytest.fixture(scope="session", autouse=True)
def static_files():
    settings.WHITENOISE_AUTOREFRESH = True  # or each client would look through all of them first
    call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture
def world(db):
    """The cast of tests/people.py, in its domains."""
    people.settle()


@pytest.fixture
def as_(client):
    """as_("dadm_a").get(…): the client, signed in as one of the cast."""

    def sign_in(name: str | None):
        client.logout()
        if name:
            client.force_login(people.find(name), backend="accounts.authentication.MailboxBackend")
        return client

    return sign_in
