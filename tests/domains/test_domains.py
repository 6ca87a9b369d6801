"""Domains: lists, pages, limits, mirrors, relays; the pages cost the same for one row and for three hundred."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts import audit
from accounts.models import Audit, Mailbox
from domains import lifecycle
from domains.models import Alias, Domain

BY = audit.By("root1@c.example")


def new(client, name, **fields):
    return client.post(reverse("domains:domain_new"), {"name": name, "transport": "virtual:"} | fields)


def test_new_domain(world, as_):
    answer = new(
        as_("root1"),
        " New.Example ",
        description="Fresh",
        quota_pool="1 TB",
        default_quota="5 GB",
        max_mailboxes="10",
    )
    assert answer.status_code == 302, answer.context["form"].errors
    domain = Domain.objects.get(name="new.example")
    assert (domain.quota_pool, domain.default_quota, domain.max_mailboxes) == (2**40, 5 * 2**30, 10)
    assert (domain.enabled, domain.transport) == (True, "virtual:")
    row = Audit.objects.get()
    assert (row.actor, row.action, row.name) == ("root1@c.example", "create", "new.example")


@pytest.mark.parametrize(
    "name", ["bücher.example", "xn--bcher-kva.example", "BÜCHER.example", "bu\u0308cher.example"]
)
def test_all_spellings_are_one_domain(world, as_, name):
    client = as_("root1")
    assert new(client, "bücher.example").status_code == 302
    answer = new(client, name)
    assert "exists already" in str(answer.context["form"].errors["name"])
    page = client.get(reverse("domains:domain", args=[name]))
    assert page.status_code == 200
    assert "bücher.example" in page.content.decode()


@pytest.mark.parametrize(
    "name",
    ["", "localhost", "example", "127.0.0.1", "[127.0.0.1]", "a.123", "ex_mple.org", "*.example", "@", "%", "a.example/b",
     "-a.example", "a-.example", "x" * 64 + ".example", ".a.example", "a..example", "a .example", "xn--a.example",
     "ab--cd.example", "x" * 300, "a.example\x00", "ex\u0430mple.org"],
)  # fmt: skip
def test_names_that_are_none(world, as_, name):
    answer = new(as_("root1"), name)
    assert answer.status_code == 200
    assert "name" in answer.context["form"].errors
    assert Domain.objects.count() == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("transport", "smtp:[evil]\nvirtual_transport = x"), ("transport", "|id"), ("transport", "local:"),
        ("transport", "error:5.1.1 gone"), ("alias_of", "nowhere.example"), ("alias_of", "new.example"),
        ("quota_pool", "5 GG"), ("quota_pool", "-1"), ("quota_pool", "500"), ("max_mailboxes", "-1"),
        ("max_mailboxes", "many"), ("max_mailboxes", "4294967296"), ("default_quota", "2 PB"), ("default_quota", "1e3"),
    ],
)  # fmt: skip
def test_settings_that_are_none(world, as_, field, value):
    answer = new(as_("root1"), "new.example", **{field: value})
    assert answer.status_code == 200
    assert field in answer.context["form"].errors
    assert not Domain.objects.filter(name="new.example").exists()


def test_default_quota_above_the_pool(world, as_):
    answer = new(as_("root1"), "new.example", quota_pool="1 GB", default_quota="2 GB")
    assert "default_quota" in answer.context["form"].errors


def settings_of(name, **changed):
    return {"description": "", "enabled": "on", "default_quota": "", "quota_pool": "", "max_mailboxes": "",
            "max_aliases": "", "alias_of": "", "transport": "virtual:"} | changed  # fmt: skip


def test_change(world, as_):
    url = reverse("domains:domain_edit", args=["a.example"])
    answer = as_("root1").post(url, settings_of("a.example", max_mailboxes="50", enabled=""))
    assert answer.status_code == 302, answer.context["form"].errors
    domain = Domain.objects.get(name="a.example")
    assert (domain.max_mailboxes, domain.enabled) == (50, False)
    row = Audit.objects.get()
    assert (row.before, row.after) == (
        {"enabled": True, "max_mailboxes": None},
        {"enabled": False, "max_mailboxes": 50},
    )


def test_switching_off_tells_dovecot_and_says_when_it_could_not(world, as_):
    url = reverse("domains:domain_edit", args=["a.example"])
    page = as_("root1").post(url, settings_of("a.example", enabled=""), follow=True).content.decode()
    assert "No Dovecot is connected" in page
    assert Domain.objects.get(name="a.example").enabled is False


def test_mirror(world, as_):
    client = as_("root1")
    assert new(client, "m.example", alias_of="A.Example").status_code == 302
    assert Domain.objects.get(name="m.example").alias_of_id == "a.example"
    for name, target in (("chain.example", "m.example"), ("self.example", "self.example")):
        assert "alias_of" in new(client, name, alias_of=target).context["form"].errors
    # a.example has mailboxes and a mirror, so it cannot become one
    url = reverse("domains:domain_edit", args=["a.example"])
    assert (
        "alias_of" in client.post(url, settings_of("a.example", alias_of="b.example")).context["form"].errors
    )
    page = client.get(reverse("domains:domain", args=["m.example"])).content.decode()
    assert "A mirror" in page
    assert "New mailbox" not in page.split("<main")[1]


def test_domain_with_mailboxes_stays_here(world, as_):
    url = reverse("domains:domain_edit", args=["a.example"])
    answer = as_("root1").post(url, settings_of("a.example", transport="smtp:[192.0.2.1]"))
    assert "transport" in answer.context["form"].errors


def test_rules_are_asked_again_when_the_row_is_held(world):
    """A mailbox that came after the form was checked."""
    domain = Domain.objects.get(name="hosted.example")
    Mailbox.objects.create(email="late@hosted.example", domain_id="hosted.example")
    with pytest.raises(ValidationError):
        lifecycle.change_domain(domain, {"alias_of": Domain.objects.get(name="b.example")}, by=BY)
    assert Domain.objects.get(name="hosted.example").alias_of_id is None


def fill(number):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"n{i:04d}@hosted.example", domain_id="hosted.example", quota=2**30)
        for i in range(number)
    )


@pytest.mark.parametrize("number", [1, 300])
@pytest.mark.parametrize(
    ("route", "args", "statements"),
    [
        ("home", [], 16),
        ("domains:domains", [], 5),
        ("domains:domain", ["hosted.example"], 9),
        ("accounts:mailboxes", [], 7),
        ("domains:aliases", [], 10),
        ("accounts:mailbox", ["user1@a.example"], 20),
    ],
)
def test_statements_of_a_page(world, as_, django_assert_num_queries, number, route, args, statements):
    fill(number)
    Domain.objects.bulk_create(Domain(name=f"d{i:03d}.example") for i in range(number))
    Alias.objects.bulk_create(
        Alias(
            source=f"n{i:04d}@hosted.example",
            destination=f"x{j}@elsewhere.example",
            domain_id="hosted.example",
        )
        for i in range(number)
        for j in range(2)
    )
    client, url = as_("root1"), reverse(route, args=args)
    client.get(url)
    with django_assert_num_queries(statements):
        answer = client.get(url)
    assert len(answer.content) < 50_000


def test_paging_by_key_shows_every_row_once(world, as_):
    fill(120)
    client, url, seen = as_("root1"), reverse("domains:domain", args=["hosted.example"]), []
    page = client.get(url)
    while True:
        seen += [row.email for row in page.context["mailboxes"]]
        if not page.context["mailboxes"].later:
            break
        page = client.get(url + page.context["mailboxes"].later)
    assert seen == [f"n{i:04d}@hosted.example" for i in range(120)]
    back = client.get(url + page.context["mailboxes"].earlier).context["mailboxes"]
    assert [row.email for row in back] == seen[50:100]
    first = client.get(url + back.earlier).context["mailboxes"]
    assert [row.email for row in first] == seen[:50]
    assert not first.earlier


@pytest.mark.parametrize(
    "asked", ["?after=zzz", "?before=a", "?after=%00", "?q=%00", "?q=%25", "?o=password", "?after=x&before=y"]
)
def test_odd_keys_show_a_page(world, as_, asked):
    fill(3)
    assert as_("root1").get(reverse("domains:domain", args=["hosted.example"]) + asked).status_code == 200


def test_search_by_the_beginning_of_an_address(world, as_):
    page = as_("dadm_a").get(reverse("accounts:mailboxes") + "?q=USER1")
    assert [row.email for row in page.context["mailboxes"]] == ["user1@a.example"]
    none = as_("dadm_a").get(reverse("accounts:mailboxes") + "?q=root")
    assert "No mailbox is found by" in none.content.decode()
