"""Whatever is done, and whenever its process is killed meanwhile: it is done as a whole or not at all."""

import contextlib
import os
import signal

import pytest
from django.core.management import call_command
from django.db import connection

from accounts import audit, lifecycle, restore, roles
from accounts.models import Audit, Mailbox, Role, Sender, Trash
from domains import dkim
from domains.lifecycle import Destination, change_domain, open_domain, save_alias
from domains.models import Alias, DkimKey, Domain
from mailpanel.daemons import DaemonError
from mailpanel.server.models import FilterPolicy
from tests import people
from tests.people import find

BY = audit.By("root1@c.example")
ACTIONS = {
    "make a domain": lambda: open_domain(Domain(name="new.example", max_mailboxes=5), by=BY),
    "change a domain": lambda: change_domain(
        Domain.objects.get(name="a.example"), {"enabled": False, "description": "x"}, by=BY
    ),
    "delete a domain": lambda: lifecycle.close_domain(Domain.objects.get(name="a.example"), by=BY),
    "make a mailbox": lambda: lifecycle.open_mailbox(
        Mailbox(email="new@a.example", domain_id="a.example", quota=5), "a long password of hers", by=BY
    ),
    "change a mailbox": lambda: lifecycle.change_mailbox(find("user1"), {"quota": 5, "enabled": False}, by=BY),
    "set a password": lambda: lifecycle.set_password(find("user1"), "a long password of hers", by=BY),
    "delete a mailbox": lambda: lifecycle.close_mailbox(find("user1"), by=BY),
    "save an alias": lambda: save_alias(
        "info@a.example", [Destination("user1@a.example", send_as=True), Destination("x@other.example")], by=BY
    ),
    "give a role": lambda: roles.grant(find("user1"), "helpdesk", Domain.objects.get(name="a.example"), by=BY),
    "make a key": lambda: dkim.make(Domain.objects.get(name="a.example"), "first", by=BY),
    "bring back a domain": lambda: restore.bring_back(
        Trash.objects.order_by("-id").first().deletion, by=BY
    ),
}  # fmt: skip


def settle() -> None:
    call_command("flush", interactive=False, verbosity=0)
    people.settle()
    FilterPolicy.objects.create(scope="user1@a.example")
    with contextlib.suppress(DaemonError):
        lifecycle.close_domain(Domain.objects.get(name="b.example"), by=BY)


def look() -> dict:
    """All that an action could leave half done; without what is of the moment, such as a salt."""
    columns = {
        Domain: ("name", "enabled", "description", "mailbox_count", "alias_count", "quota_given"),
        Mailbox: ("email", "enabled", "quota"), Alias: ("source", "destination", "enabled"), Role: ("mailbox__email", "kind", "domain"),
        Sender: ("mailbox__email", "address"), DkimKey: ("domain", "selector"), FilterPolicy: ("scope",),
        Audit: ("action", "kind", "name"), Trash: ("table", "name"),
    }  # fmt: skip
    state = {
        model.__name__: sorted(map(str, model.objects.values_list(*names)))
        for model, names in columns.items()
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM word")
        return state | {"words": cursor.fetchone()[0], "password": find_password()}


def find_password() -> bool:
    user = Mailbox.objects.filter(email="user1@a.example").first()
    return bool(user and user.check_password("a long password of hers"))


def is_killed(act, number: int) -> bool:
    """In a process that ends as by kill -9 before its statement or commit of that number."""
    connection.close()
    child = os.fork()
    if not child:
        left = [number]

        def count(execute, *arguments):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(*arguments)

        commit = connection._commit
        connection._commit = lambda: count(commit)
        try:
            with connection.execute_wrapper(count):
                act()
        except DaemonError:  # the change is there, and no Dovecot is
            pass
        except BaseException:
            os._exit(3)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ACTIONS)
def test_all_or_nothing(name):
    settle()
    before = look()
    assert not is_killed(ACTIONS[name], 1_000_000)
    after = look()
    assert after != before
    settle()
    assert look() == before
    killed, seen = 0, set()
    while is_killed(ACTIONS[name], killed + 1):
        killed += 1
        state = look()
        assert state in (before, after), killed
        seen.add(state == after)
        if state == after:
            settle()
        call_command("recount", verbosity=0)
        assert look() == before
    assert killed > 3
    assert False in seen
