"""The index of words holds what the rows say, whatever is done to them; and a search stays within its scope."""

import contextlib
import re

import pytest
from django.db import connection
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import access, audit, lifecycle, restore, search
from accounts.models import Mailbox, Role, Trash, Word
from domains import lifecycle as domain_lifecycle
from domains.lifecycle import Destination, save_alias
from domains.models import Alias, Domain
from mailpanel.daemons import DaemonError
from tests.accounts.test_lifecycle import build
from tests.people import find
from tests.shell import refused, shell

BY = audit.By("root1@c.example")


def told(change, *args, **kwargs):
    with contextlib.suppress(DaemonError):
        return change(*args, **kwargs)


def hits(text, model=Mailbox, domains=None):
    rows = model.objects.all() if domains is None else model.objects.filter(domain__in=domains)
    return sorted(str(row) for row in search.find(rows, text, domains).rows)


def emails(text, domains=None):
    return sorted(row.email for row in search.find(Mailbox.objects.all(), text, domains).rows)


@pytest.fixture
def known(world):
    for email, name in {
        "ada.berg-smith@hosted.example": "Ada Berg-Smith",
        "kw@hosted.example": "Katarzyna Wójcik-Brandt",
        "gy@hosted.example": "Gülşen Yıldız",
        "lo@hosted.example": "Łucja Østergård",
        "gr@hosted.example": "Straße ﬁ Σοφία",
        "ar@hosted.example": "محمد الحسن",
        "jp@hosted.example": "佐藤\u3000陽子",
        "hi@hosted.example": "प्रिया शर्मा",
        "zero@hosted.example": "In\u200bvi\u00adsible",
    }.items():
        lifecycle.open_mailbox(build(email, name=name), None, by=BY)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("ada", "ada.berg-smith"), ("BERG", "ada.berg-smith"), ("smi", "ada.berg-smith"), ("berg-sm", "ada.berg-smith"),
        ("ada.berg-smith@hosted.example", "ada.berg-smith"), ("smith@host", "ada.berg-smith"), ("smith ada", "ada.berg-smith"),
        ("ada@", None), ("da", None), ("ada wojcik", None), ("“Smith, Ada”", "ada.berg-smith"), ("<ada.berg-smith@h", "ada.berg-smith"),
        ("wojcik", "kw"), ("WÓJCIK", "kw"), ("wo\u0301jcik", "kw"), ("brandt", "kw"), ("yildiz", "gy"), ("YILDIZ", "gy"), ("gulsen", "gy"),
        ("lucja", "lo"), ("ostergard", "lo"), ("strasse", "gr"), ("fi hosted.example", "gr"), ("ΣΟΦΙΑ", "gr"), ("الحسن", "ar"),
        ("陽子", "jp"), ("शर्मा", "hi"), ("invisible", "zero"), ("in\u200bvisi", "zero"), ("kw hosted.exa", "kw"), ("ｋｗ", "kw"),
    ],
)  # fmt: skip
def test_what_finds_whom(known, text, local):
    assert emails(text, ["hosted.example"]) == ([f"{local}@hosted.example"] if local else [])


@pytest.mark.parametrize(
    "text", ["%", "_", "a%", "user2_", "\\", "' OR 1=1 --", "\x00", "user1\x00x", "*", "\U0010ffff"]
)
def test_nothing_is_a_wildcard(known, text):
    assert emails(text) == []


def test_international_domain_is_found_in_both_forms(world):
    name = "xn--bcher-kva.example"
    domain_lifecycle.open_domain(Domain(name=name, description="Bücher und mehr"), by=BY)
    lifecycle.open_mailbox(build(f"lea@{name}"), None, by=BY)
    for text in ("lea@bücher.example", "bücher.ex", "bucher", "xn--bch", "LEA@BÜCHER.EXAMPLE", f"lea@{name}"):
        assert emails(text) == [f"lea@{name}"]
    assert hits("mehr", Domain) == hits("bucher", Domain) == ["bücher.example"]


def test_alias_is_found_by_source_destination_and_comment(world):
    destinations = [
        Destination("user1@a.example", comment="Until June"),
        Destination("far.away@else.example"),
    ]
    save_alias("sales.team@a.example", destinations, by=BY)
    sources = {text: {row.source for row in search.find(Alias.objects.all(), text).rows} for text in (
        "sales", "team", "user1@a.example", "away@else", "june", "user1 june", "user1 far")}  # fmt: skip
    assert {text for text, found in sources.items() if "sales.team@a.example" not in found} == {"user1 far"}
    save_alias("sales.team@a.example", destinations[:1], by=BY)
    assert not search.find(Alias.objects.all(), "away").rows.exists()


def test_everything_that_is_done_keeps_the_words(world):
    def right():
        assert search.correct(check=True) == 0
        assert (
            Word.objects.filter(kind=Word.Kind.MAILBOX).values("object").distinct().count()
            == Mailbox.objects.count()
        )

    right()
    box = build("new.one@a.example", name="New One")
    for change in (
        lambda: lifecycle.open_mailbox(box, None, by=BY),
        lambda: lifecycle.change_mailbox(box, {"name": "Quite Another"}, by=BY),
        lambda: save_alias(
            "x@a.example", [Destination("new.one@a.example"), Destination("user2@a.example")], by=BY
        ),
        lambda: domain_lifecycle.open_domain(Domain(name="new.example", description="One"), by=BY),
        lambda: domain_lifecycle.change_domain(
            Domain.objects.get(name="new.example"), {"description": "Two"}, by=BY
        ),
        lambda: lifecycle.close_mailbox(box, by=BY),
        lambda: restore.bring_back(Trash.objects.get(name="new.one@a.example", table="user").deletion, by=BY),
        lambda: lifecycle.close_domain(Domain.objects.get(name="a.example"), by=BY),
        lambda: restore.bring_back(Trash.objects.get(table="domain").deletion, by=BY),
        lambda: save_alias("x@a.example", [], by=BY),
    ):
        told(change)
        right()
    assert emails("quite") == ["new.one@a.example"]
    assert (hits("one", Domain), hits("two", Domain)) == ([], ["new.example"])


def test_refused_change_leaves_no_word(world):
    Domain.objects.filter(name="a.example").update(max_mailboxes=9)
    with contextlib.suppress(Exception):
        lifecycle.open_mailbox(build("fresh@a.example"), None, by=BY)
    assert search.correct(check=True) == 0


def test_reindex(world):
    assert shell("reindex").out == "All words are right.\n"
    Mailbox.objects.filter(email="user1@a.example").update(name="Written past us")
    Word.objects.create(kind=Word.Kind.MAILBOX, domain="a.example", word="ghost", object=10**9)
    Word.objects.create(kind=Word.Kind.DOMAIN, domain="zz.example", word="zz")
    Word.objects.filter(kind=Word.Kind.ALIAS, word="secret@b.example").delete()
    assert "4 rows are wrong" in refused("reindex", "--check")
    assert "4 rows" in shell("reindex").out
    assert shell("reindex", "--check").out == "All words are right.\n"
    assert emails("past") == ["user1@a.example"]


@pytest.mark.parametrize(("few", "sorted_"), [(0, 0), (2, 3), (0, 10_000), (2, 2), (10_000, 10_000)])
@pytest.mark.parametrize(
    "text", ["user", "a.example", "user a.example", "user1 a.example help", "b", "user1@b.example u"]
)
@pytest.mark.parametrize("domains", [None, ["a.example"], ["a.example", "b.example"], []])
def test_the_way_a_search_is_answered_changes_nothing(world, monkeypatch, few, sorted_, text, domains):
    """Rare words are answered by their hits, frequent ones by walking the list: both find the same."""
    Mailbox.objects.filter(email__startswith="help").update(name="User Helper")
    search.rebuild()
    monkeypatch.setattr(search, "FEW", few)
    monkeypatch.setattr(search, "MOST_SORTED", sorted_)

    def begins(row, typed):
        words = re.split(r"[-.@ ]", row.email) + row.name.split() + [row.email, row.domain_id]
        return any(word.lower().startswith(typed) for word in words)

    expected = [
        row.email
        for row in Mailbox.objects.order_by("email")
        if all(begins(row, typed) for typed in text.split()) and (domains is None or row.domain_id in domains)
    ]
    rows = Mailbox.objects.all() if domains is None else Mailbox.objects.filter(domain__in=domains)
    assert sorted(row.email for row in search.find(rows, text, domains).rows) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=80))
def test_whatever_a_person_is_called_finds_that_person(world, text):
    row = Mailbox.objects.filter(email="user1@a.example")
    row.update(name=text)
    search.index(row)
    for word in text.split():
        found = emails(word)
        assert "user1@a.example" in found or not search.typed(word)
    assert search.fold(search.fold(text)) == search.fold(text)
    assert search.correct(check=True) == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    q=st.text(max_size=300), sort=st.text(max_size=20), after=st.text(max_size=60), show=st.text(max_size=8)
)
def test_any_text_in_a_url_is_answered(world, as_, q, sort, after, show):
    client = as_("dadm_a")
    for route in ("accounts:search", "accounts:mailboxes", "domains:aliases", "domains:domains"):
        asked = {"q": q, "sort": sort, "after": after, "show": show}
        assert client.get(reverse(route), asked).status_code in (200, 302)


def test_very_long_search(world, as_):
    for q in ("a" * 5000, "a " * 3000, "\u0300" * 2000, "ﷺ" * 300):
        assert as_("root1").get(reverse("accounts:search"), {"q": q}).status_code == 200


# --- the page -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["help_a", "dadm_a", "dadm_ab", "help_all", "root1"])
@pytest.mark.parametrize("q", ["user1", "b.example", "secret", "example", "user1@b.example", "c.example"])
def test_search_holds_what_may_be_seen_and_nothing_else(world, as_, who, q):
    page = as_(who).get(reverse("accounts:search"), {"q": q, "all": "1"})
    seen = access.scope(find(who))
    shown = set(
        re.findall(
            r'href="/(?:mailboxes|aliases|domains)/([^/"?]+)/"', page.content.decode().split("<main")[1]
        )
    )
    assert {name.rpartition("@")[2] for name in shown} <= (
        seen or {"a.example", "b.example", "c.example", "off.example", "hosted.example"}
    )
    if q == "user1":
        assert "user1@a.example" in shown
        assert ("user1@b.example" in shown) == (seen is None or "b.example" in seen)


def test_helpdesk_outside_its_domains_finds_nothing(world, as_):
    page = as_("help_a").get(reverse("accounts:search"), {"q": "b.example"})
    assert "Nothing is found by" in page.content.decode()

    def answer(q):
        return as_("help_a").get(reverse("accounts:search"), {"q": q}).content.decode().split("<main")[1]

    assert answer("user1@b.example").replace("user1", "nobod") == answer("nobod@b.example")


def test_exact_address_leads_straight_to_its_page(world, as_):
    def target(q, **more):
        return as_("help_a").get(reverse("accounts:search"), {"q": q, **more}).headers.get("Location")

    assert target(" User1@A.example ") == "/mailboxes/user1@a.example/"
    assert target("info@a.example") == "/aliases/info@a.example/"
    assert target("user1@a.example", all="1") is None
    assert target("user1@b.example") is None
    Alias.objects.create(source="user1@a.example", destination="user1@a.example", domain_id="a.example")
    assert target("user1@a.example") is None  # a mailbox and an alias


def test_destination_finds_its_alias_on_the_pages(world, as_):
    for route in ("accounts:search", "domains:aliases"):
        page = as_("dadm_a").get(reverse(route), {"q": "user2", "all": "1"}).content.decode()
        assert "/aliases/info@a.example/" in page
        assert "/aliases/alias1@a.example/" not in page.split("<main")[1]


@pytest.mark.parametrize("number", [1, 300])
def test_statements_of_the_search_page(world, as_, django_assert_num_queries, number):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"kim{i}@hosted.example", domain_id="hosted.example") for i in range(number)
    )
    Alias.objects.bulk_create(
        Alias(source=f"kim.x{i}@hosted.example", destination="user1@a.example", domain_id="hosted.example")
        for i in range(number)
    )
    Domain.objects.bulk_create(Domain(name=f"kim{i}.example") for i in range(number))
    search.rebuild()
    client, asked = as_("root1"), {"q": "kim", "all": "1"}
    client.get(reverse("accounts:search"), asked)
    with django_assert_num_queries(15):
        answer = client.get(reverse("accounts:search"), asked)
    assert len(answer.content) < 50_000
    assert answer.content.decode().count("<tr>") == 3 * (min(number, 8) + 1)


@pytest.mark.parametrize("number", [1, 1500])
def test_index_of_many_rows_is_few_statements(world, django_assert_max_num_queries, number):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"x{i}@hosted.example", domain_id="hosted.example") for i in range(number)
    )
    with django_assert_max_num_queries(6):
        search.index(Mailbox.objects.filter(domain="hosted.example"))


def test_revoked_role_searches_nothing(world, as_):
    client = as_("help_a")
    Role.objects.filter(mailbox=find("help_a")).delete()
    assert client.get(reverse("accounts:search"), {"q": "user1@a.example"}).status_code == 403


def test_words_compare_byte_by_byte(world):
    """ß and ss, é and e are folded by us; the database must not fold any further."""
    Word.objects.create(kind=Word.Kind.MAILBOX, domain="a.example", word="ǆungla", object=1)
    assert not Word.objects.filter(word__gte="džungla", word__lt="džunglb").exists()
    assert connection.vendor in ("sqlite", "mysql")
