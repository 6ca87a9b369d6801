"""Rows that another program has written: their sum is more than a number of 64 bits holds, and no page breaks."""

import pytest
from django.core.exceptions import ValidationError

from accounts import audit, lifecycle
from accounts.models import Mailbox
from accounts.usage import refresh_domains
from domains.models import Domain
from tests.accounts.test_usage import as_dovecot, usage
from tests.accounts.test_usage import world as committed  # noqa: F401

BY = audit.By("root1@c.example")
NAME = "hosted.example"
PATHS = (
    "/",
    "/domains/",
    f"/domains/{NAME}/",
    f"/domains/{NAME}/settings/",
    "/mailboxes/",
    f"/mailboxes/m1@{NAME}/edit/",
)


def fill(number: int) -> None:
    Mailbox.objects.bulk_create(
        Mailbox(email=f"m{n}@{NAME}", domain_id=NAME, quota=2**62) for n in range(number)
    )


@pytest.mark.django_db
@pytest.mark.parametrize("pool", [None, 2**50, 2**63 - 1])
@pytest.mark.parametrize("given", [2**63 - 1, 2**62])
def test_more_is_promised_than_can_be_counted(world, as_, pool, given):
    fill(2000)
    Domain.objects.filter(name=NAME).update(quota_pool=pool, quota_given=given)
    client = as_("root1")
    for path in PATHS:
        assert client.get(path).status_code == 200, path
    for do in ("quota", "disable", "delete"):
        page = client.post("/mailboxes/bulk/", {"do": do, "all": "1", "domain": NAME})
        assert page.context["found"].count == 2000
    with pytest.raises(ValidationError):
        lifecycle.open_mailbox(Mailbox(email=f"one@{NAME}", domain_id=NAME, quota=2**63 - 1), None, by=BY)
    assert Mailbox.objects.filter(domain=NAME).count() == 2000


def test_more_is_in_use_than_can_be_counted(committed, as_):  # noqa: F811
    fill(20)
    as_dovecot(*(usage(f"m{number}@{NAME}", 10**18) for number in range(20)))
    refresh_domains()
    assert Domain.objects.get(name=NAME).quota_used == 2**63 - 1
    client = as_("root1")
    for path in (*PATHS, f"/domains/{NAME}/delete/"):
        assert client.get(path).status_code == 200, path
    assert client.post("/mailboxes/bulk/", {"do": "delete", "all": "1", "domain": NAME}).status_code == 200
