"""The mailbox by which the probes sign in: made, guarded and put right by the panel."""

import stat

import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts import audit, lifecycle, probe_account
from accounts.models import Audit, Mailbox
from domains.models import Domain
from tests import people

BY = audit.By("shell:test")


@pytest.fixture
def here(world, settings, tmp_path):
    settings.PROBE_ADDRESS = "mailpanel-probe@a.example"
    settings.PROBE_PASSWORD_KEPT = tmp_path / "secrets" / "probe_password"
    settings.MAILPANEL_DOVEADM_URL = ""
    return settings


def made() -> Mailbox:
    probe_account.ensure(by=BY)
    return people.find("mailpanel-probe@a.example")


def test_is_made_once(here):
    assert probe_account.ensure(by=BY)
    mailbox = people.find("mailpanel-probe@a.example")
    kept = here.PROBE_PASSWORD_KEPT
    assert mailbox.check_password(kept.read_text())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert mailbox.quota == 10 * 1024**2
    before = kept.read_text()
    assert not probe_account.ensure(by=BY)
    assert kept.read_text() == before
    assert (
        Domain.objects.get(name="a.example").mailbox_count
        == Mailbox.objects.filter(domain="a.example").count()
    )


def test_secret_stands_nowhere_else(here, capsys):
    call_command("probe_account")
    call_command("probe_account", "--json")
    secret = here.PROBE_PASSWORD_KEPT.read_text()
    assert secret not in "".join(capsys.readouterr())
    assert not [row for row in Audit.objects.values() if secret in str(row)]
    assert secret not in people.find("mailpanel-probe@a.example").password


@pytest.mark.parametrize("harm", ["password", "file", "off", "no sign-in", "quota", "deleted"])
def test_is_put_right(here, harm):
    mailbox = made()
    harmed = {"off": {"enabled": False}, "no sign-in": {"can_login": False}, "quota": {"quota": None}}.get(
        harm, {}
    )
    Mailbox.objects.filter(pk=mailbox.pk).update(**harmed)
    if harm == "password":
        Mailbox.objects.filter(pk=mailbox.pk).update(password=people.hashed())
    if harm == "file":
        here.PROBE_PASSWORD_KEPT.unlink()
    if harm == "deleted":
        from mailpanel.daemons import DaemonError

        with pytest.raises(DaemonError):
            lifecycle.close_mailbox(mailbox, by=BY)
    _without_dovecot()
    found = people.find("mailpanel-probe@a.example")
    assert found.check_password(here.PROBE_PASSWORD_KEPT.read_text())
    assert (found.enabled, found.quota) == (True, 10 * 1024**2)
    assert found.can_login or harm == "deleted"  # nobody signs in before Dovecot has erased what was there


def _without_dovecot():
    from mailpanel.daemons import DaemonError

    for _turn in range(3):
        try:
            probe_account.ensure(by=BY)
        except DaemonError:
            continue
        return


def test_never_signs_in_to_the_panel(here, rf):
    mailbox = made()
    secret = here.PROBE_PASSWORD_KEPT.read_text()
    assert mailbox.check_password(secret)
    assert authenticate(rf.post("/"), username=mailbox.email, password=secret) is None
    assert authenticate(rf.post("/"), username="user1@a.example", password=people.PASSWORD) is not None


def test_whoever_deletes_it_is_told_what_it_is_for(here, as_):
    made()
    page = (
        as_("dadm_a")
        .get(reverse("accounts:mailbox_delete", args=["mailpanel-probe@a.example"]))
        .content.decode()
    )
    assert "manage.py probe_account" in page
    other = as_("dadm_a").get(reverse("accounts:mailbox_delete", args=["user1@a.example"])).content.decode()
    assert "manage.py probe_account" not in other
    card = as_("dadm_a").get(reverse("accounts:mailbox", args=["mailpanel-probe@a.example"])).content.decode()
    assert "sees by this mailbox whether mail works" in card
    assert "An alias of the same address" not in card


def test_without_its_domain_it_says_so(here):
    here.PROBE_ADDRESS = "mailpanel-probe@nowhere.example"
    with pytest.raises(ValidationError, match="Make that domain first"):
        probe_account.ensure(by=BY)
    assert not here.PROBE_PASSWORD_KEPT.exists()
    with pytest.raises(CommandError):
        call_command("probe_account")


def test_panels_of_a_cluster_share_one_password(here):
    here.MAILPANEL_PROBE_PASSWORD = "the same on all hosts"
    assert made().check_password("the same on all hosts")
    assert not here.PROBE_PASSWORD_KEPT.exists()
