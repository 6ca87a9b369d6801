"""Every writer gives the verdict of the address table, and stores its canonical form."""

import json
from pathlib import Path

import pytest

from accounts.models import Mailbox
from domains.models import Alias, Domain
from tests.routes import url

TABLE = json.loads((Path(__file__).parent.parent / "data" / "addresses.json").read_text())


def of(scope):
    return [pytest.param(row, id=ascii(row["input"])[:60]) for row in TABLE if row["scope"] == scope]


@pytest.fixture
def domains(world):
    """Whatever domain a row names is there, so that a refusal is about the address."""
    Domain.objects.bulk_create(
        [
            Domain(name=name)
            for name in ("xn--bcher-kva.example", "xn--exmple-4nf.org", "ex-mple.org", "example.org")
        ]
    )
    Mailbox.objects.filter(email__in=["user1@a.example"]).delete()


@pytest.mark.parametrize("row", of("mailbox"))
def test_new_mailbox_page(domains, as_, row):
    """The page is one domain's; a whole address is taken when it is of that domain."""
    before = set(Mailbox.objects.values_list("email", flat=True))
    canonical = row.get("canonical") or row["input"]
    domain = canonical.rpartition("@")[2] if row["verdict"] == "accept" else "a.example"
    typed = row["input"] if row["verdict"] == "reject" else row["input"].strip().rpartition("@")[0]
    answer = as_("root1").post(
        url("mailbox_add", domain), {"local": typed, "how": "none", "name": "", "quota": ""}
    )
    made = set(Mailbox.objects.values_list("email", flat=True)) - before
    if row["verdict"] == "accept":
        assert made == {canonical}
    else:
        assert answer.status_code == 200
        assert made == set()
        assert answer.context["form"].errors["local"]


@pytest.mark.parametrize("row", of("destination"))
def test_alias_page_destination(domains, as_, row):
    data = {
        "local": "fresh",
        "to-TOTAL_FORMS": "1",
        "to-INITIAL_FORMS": "0",
        "to-0-address": row["input"],
        "to-0-enabled": "on",
    }
    if row["verdict"] == "accept":
        Mailbox.objects.create(email="user@a.example", domain_id="a.example")
    answer = as_("root1").post(url("alias_add", "a.example"), data)
    saved = list(Alias.objects.filter(source="fresh@a.example").values_list("destination", flat=True))
    if row["verdict"] == "accept":
        assert saved == [row["canonical"]]
    else:
        assert answer.status_code == 200
        assert saved == []


@pytest.mark.parametrize("row", of("alias_source"))
def test_alias_page_source(domains, as_, row):
    local = row["input"].rpartition("@")[0]
    data = {
        "local": local, "to-TOTAL_FORMS": "1", "to-INITIAL_FORMS": "0", "to-0-address": "user2@a.example",
        "to-0-enabled": "on",
    }  # fmt: skip
    if not local:
        data["catch_all"] = "on"
    answer = as_("root1").post(url("alias_add", "a.example"), data)
    assert Alias.objects.filter(source=row.get("canonical", "")).exists() == (row["verdict"] == "accept")
    assert answer.status_code == (302 if row["verdict"] == "accept" else 200)
