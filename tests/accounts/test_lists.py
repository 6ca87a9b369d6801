"""Lists of mailboxes: each order and filter shows each row once, whatever stands in the columns; and the export."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from accounts import search
from accounts.models import Audit, Mailbox, Role
from accounts.views import lists
from domains.models import Domain
from mailpanel.paging import page
from tests import people
from tests.people import find
from tests.routes import url

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def many(world):
    """140 mailboxes in two domains, with ties and gaps in every column that a list is sorted by."""
    Mailbox.objects.bulk_create(
        Mailbox(
            email=f"p{i:03}@{domain}",
            domain_id=domain,
            name=["", "Zoë", "ada", "Ada", "Berg"][i % 5],
            quota=2**30 if i % 3 else None,
            fullness=[None, 0, 50, 80, 80, 95, 107][i % 7],
            last_used=[None, NOW, NOW, NOW - timedelta(days=i)][i % 4],
            enabled=i % 11 != 1,
            can_login=i % 13 != 1,
        )
        for i in range(70)
        for domain in ("hosted.example", "b.example")
    )
    people.recount()
    search.rebuild()


def walk(client, path, key="later"):
    """All rows of a list, page by page."""
    path, _mark, query = path.partition("?")
    seen, query = [], f"?{query}"
    while query:
        listed = client.get(path + query).context["list"].page
        seen.append([row.email for row in listed])
        query = getattr(listed, key)
    return seen


def joined(pages):
    return [email for page in pages for email in page]


@pytest.mark.parametrize("sort", ["address", "-address", "name", "-name", "quota", "-quota", "used", "-used"])
@pytest.mark.parametrize("who", ["root1", "dadm_ab"])
def test_each_row_stands_there_once_in_each_order(many, as_, monkeypatch, sort, who):
    monkeypatch.setattr("mailpanel.paging.SIZE", 20)
    client = as_(who)
    pages = walk(client, reverse("accounts:mailboxes") + f"?sort={sort}")
    scope = (
        ["a.example", "b.example"]
        if who == "dadm_ab"
        else list(Domain.objects.values_list("name", flat=True))
    )
    names = lists.ORDERS[sort.removeprefix("-")]
    order = [f"-{name}" if sort.startswith("-") else name for name in names]
    expected = list(Mailbox.objects.filter(domain__in=scope).order_by(*order).values_list("email", flat=True))
    assert joined(pages) == expected
    assert len(pages) > 3
    # and back again
    last = client.get(reverse("accounts:mailboxes") + f"?sort={sort}").context["list"].page.later
    for _page in range(len(pages) - 2):
        last = client.get(reverse("accounts:mailboxes") + last).context["list"].page.later
    back = walk(client, reverse("accounts:mailboxes") + last, "earlier")
    assert joined(reversed(back)) == expected


@pytest.mark.parametrize("show", ["full", "no-sign-in", "never", "off"])
@pytest.mark.parametrize("sort", ["address", "-quota", "used"])
@pytest.mark.parametrize("who", ["root1", "dadm_ab"])
def test_filters(many, as_, show, sort, who):
    condition = {
        "full": {"fullness__gte": 80},
        "no-sign-in": {"enabled": True, "can_login": False},
        "never": {"last_used": None},
        "off": {"enabled": False},
    }[show]
    rows = Mailbox.objects.filter(**condition)
    if who == "dadm_ab":
        rows = rows.filter(domain__in=["a.example", "b.example"])
    client = as_(who)
    pages = walk(client, reverse("accounts:mailboxes") + f"?show={show}&sort={sort}")
    assert sorted(joined(pages)) == sorted(rows.values_list("email", flat=True))
    assert client.get(reverse("accounts:mailboxes"), {"show": show}).context["list"].total == rows.count()


def test_filter_search_and_order_together(many, as_):
    asked = {"q": "zoe", "show": "full", "sort": "-quota"}
    listing = as_("root1").get(reverse("accounts:mailboxes"), asked).context["list"]
    expected = Mailbox.objects.filter(name="Zoë", fullness__gte=80).order_by("-fullness", "-email")
    assert [row.pk for row in listing.page] == [row.pk for row in expected]
    assert listing.total == len(expected)


@pytest.mark.parametrize("domains", [2, 100, 101, 250])
def test_person_with_many_domains(world, as_, domains):
    """Up to a number, each domain is a range of its own."""
    names = [f"d{i:03}.example" for i in range(domains)]
    Domain.objects.bulk_create(Domain(name=name, mailbox_count=1) for name in [*names, "other.example"])
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x@{name}", domain_id=name, fullness=i % 3 or None)
        for i, name in enumerate([*names, "other.example"])
    )
    Role.objects.filter(mailbox=find("help_a")).delete()
    Role.objects.bulk_create(Role(mailbox=find("help_a"), kind="helpdesk", domain_id=name) for name in names)
    for sort, order in (("address", ["email"]), ("-quota", ["-fullness", "-email"])):
        pages = walk(as_("help_a"), reverse("accounts:mailboxes") + f"?sort={sort}")
        rows = Mailbox.objects.filter(domain__in=names).order_by(*order)
        assert joined(pages) == list(rows.values_list("email", flat=True))


@pytest.mark.parametrize(
    "query",
    [
        "sort=password", "sort=-password", "sort=email;DROP TABLE user", "o=password", "ordering=password,-otp_key", "sort=domain__name",
        "sort=--name", "show=password", "sort=",
    ],
)  # fmt: skip
def test_what_is_no_order_is_the_usual_one(many, as_, query):
    usual = [row.email for row in as_("dadm_ab").get(reverse("accounts:mailboxes")).context["list"].page]
    page = as_("dadm_ab").get(reverse("accounts:mailboxes") + "?" + query)
    assert [row.email for row in page.context["list"].page] == usual
    assert 'aria-sort="ascending"' in page.content.decode()


@pytest.mark.parametrize(
    "place",
    [
        "x", ",", "x,p010@b.example", "99999999999999999999,p010@b.example", "2024-01-01T00:00:00,p", "2024-01-01,p", "0001-01-01T00:00:00+14:00,p",
        "9999-12-31T23:59:59-14:00,p", "' OR 1=1 --,p", "nan,p", "1e9,p", "\x00,\x00",
    ],
)  # fmt: skip
@pytest.mark.parametrize("sort", ["name", "-quota", "used"])
@pytest.mark.parametrize("name", ["after", "before"])
def test_place_that_makes_no_sense(many, as_, place, sort, name):
    assert as_("dadm_ab").get(reverse("accounts:mailboxes"), {"sort": sort, name: place}).status_code == 200


def test_heads_and_chips_keep_what_is_asked_and_begin_anew(many, as_):
    page = as_("root1").get(
        reverse("accounts:mailboxes") + "?q=p0&show=never&sort=-used&after=,p003@b.example"
    )
    html = page.content.decode()
    assert 'aria-sort="descending"' in html
    assert 'href="?q=p0&amp;show=never&amp;sort=used"' in html
    assert 'href="?q=p0&amp;show=never&amp;sort=name"' in html
    assert 'href="?q=p0&amp;show=off"' in html
    assert "after=" not in html.split("<tbody")[0].split("<main")[1]


def test_total_is_for_those_who_may_change(many, as_):
    html = as_("root1").get(reverse("accounts:mailboxes")).content.decode()
    assert f"All {Mailbox.objects.count()} that match" in html
    html = as_("help_a").get(reverse("accounts:mailboxes")).content.decode()
    assert 'name="pick"' not in html
    assert "Export" not in html
    # helps in the one domain, administers the other
    Role.objects.create(mailbox=find("dadm_a"), kind="helpdesk", domain_id="b.example")
    html = as_("dadm_a").get(reverse("domains:domain", args=["b.example"])).content.decode()
    assert 'name="pick"' not in html


@pytest.mark.parametrize("number", [3, 300])
@pytest.mark.parametrize(
    ("query", "statements"),
    [("", 7), ("?sort=-quota", 7), ("?show=off", 8), ("?q=x", 8), ("?sort=used&after=,x0@hosted.example", 8)],
)
def test_statements_of_a_list(world, as_, django_assert_num_queries, number, query, statements):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example", enabled=i == 0)
        for i in range(number)
    )
    search.rebuild()
    client = as_("root1")
    client.get("/")
    with django_assert_num_queries(statements):
        answer = client.get(reverse("accounts:mailboxes") + query)
    assert len(answer.content) < 150_000


def test_one_part_of_a_page_may_be_beyond_the_column(many):
    found = page(Mailbox.objects.all(), ("fullness", "email"), {"after": "999999999999,x"}, descending=True)
    assert len(found) == 50


# --- export -------------------------------------------------------------------------------------------------


def exported(answer):
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text))), text


def test_export_is_scoped_and_without_hashes(many, as_):
    answer = as_("dadm_a").get(url("export_mailboxes"))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="mailboxes-20')
    rows, text = exported(answer)
    expected = Mailbox.objects.filter(domain="a.example").order_by("email")
    assert [row["email"] for row in rows] == [box.email for box in expected]
    for secret in ("{ARGON2ID}", "{BLF", "$2", "$6$", "$argon2", "{CRYPT}"):
        assert secret not in text
    assert rows[-2]["email"] == "user2@a.example"
    assert [row["quota"] for row in rows if row["email"] == "user1@a.example"] == [str(2**30)]
    assert as_("help_a").get(url("export_mailboxes")).status_code == 403
    assert as_("user1").get(url("export_mailboxes")).status_code == 403


def test_export_leaves_out_domains_that_are_only_helped(many, as_):
    Role.objects.create(mailbox=find("dadm_a"), kind="helpdesk", domain_id="b.example")
    rows, _text = exported(as_("dadm_a").get(url("export_mailboxes")))
    assert {row["email"].partition("@")[2] for row in rows} == {"a.example"}


def test_export_is_the_list_as_filtered_and_audited(many, as_):
    asked = {"q": "p0", "show": "off"}
    rows, _text = exported(as_("root1").get(reverse("domains:mailboxes_export", args=["b.example"]), asked))
    expected = Mailbox.objects.filter(domain="b.example", enabled=False, email__startswith="p0").order_by(
        "email"
    )
    assert [row["email"] for row in rows] == [box.email for box in expected]
    row = Audit.objects.get()
    assert (row.actor, row.action, row.name, row.domain) == (
        "root1@c.example",
        "export",
        "b.example",
        "b.example",
    )
    assert row.after == {"filter": "?q=p0&show=off"}


def test_export_goes_on_from_portion_to_portion(many, as_, monkeypatch):
    monkeypatch.setattr("accounts.views.exports.AT_ONCE", 7)
    rows, _text = exported(as_("root1").get(url("export_mailboxes")))
    assert [row["email"] for row in rows] == list(
        Mailbox.objects.order_by("email").values_list("email", flat=True)
    )


@pytest.mark.parametrize(
    "name", ["=1+1", "+49 40", "-x", "@SUM(A1)", "\tx", "=cmd|' /C calc'!A0\"", 'quote " and, comma']
)
def test_no_cell_is_a_formula(world, as_, name):
    Mailbox.objects.filter(email="user1@a.example").update(name=name)
    rows, _text = exported(as_("dadm_a").get(url("export_mailboxes")))
    cell = next(row["name"] for row in rows if row["email"] == "user1@a.example")
    assert cell == (name if name.startswith("quote") else "'" + name)
