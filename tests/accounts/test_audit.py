"""The audit log: who sees which entries, what the filters find, that it holds no secret, and its pages at any length."""

import ast
import contextlib
import csv
import io
import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import OperationalError, connection
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts import audit, authentication, lifecycle, roles, second_factor, trash
from accounts.access import Rights
from accounts.forms.audit import AuditForm
from accounts.models import Audit, Mailbox, RecoveryCode, Role, SecondFactor, Trash
from domains.lifecycle import Destination, change_domain, open_domain, save_alias
from domains.models import Alias, DkimKey, Domain
from mailpanel import errors
from mailpanel.daemons import DaemonError
from mailpanel.daemons.queue import ACTIONS
from mailpanel.paging import newest
from mailpanel.server import decisions, filter_policy, quarantine
from tests import pdp, people
from tests.authenticator import KEY, code, wrong
from tests.environment import ON_MARIADB
from tests.held import hold
from tests.people import find
from tests.waiting import Helper, message

BY = audit.By("root1@c.example", "192.0.2.1")
URL = reverse("accounts:audit")


def write(name="user1@a.example", domain="a.example", **more):
    """One entry, written past audit.record; what is not said is a change of a mailbox."""
    values = {"actor": "boss@a.example", "action": "change", "kind": "mailbox"} | more
    at = values.pop("at", None)
    entry = Audit.objects.create(name=name, domain=domain, **values)
    if at:
        Audit.objects.filter(pk=entry.pk).update(at=at)
    return entry


def names(answer) -> list[str]:
    return [entry.name for entry in answer.context["entries"]]


# --- who sees what ------------------------------------------------------------------------------------------


@pytest.fixture
def entries(world):
    """One in each domain, one without, and a role in a domain for somebody of another."""
    write("user1@a.example")
    write("user1@b.example", "b.example")
    write("user1@off.example", "off.example")
    write("/mailboxes/chief@a.example/password/", "", action="denied", kind="page", reason="POST")
    write("user2@a.example", "b.example", action="grant", kind="role", actor="boss@b.example")


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("help_a", {"user1@a.example"}),
        ("dadm_a", {"user1@a.example"}),
        ("dadm_ab", {"user1@a.example", "user1@b.example", "user2@a.example"}),
        ("help_all", {"user1@a.example", "user1@b.example", "user2@a.example", "user1@off.example"}),
        (
            "root1",
            {
                "user1@a.example", "user1@b.example", "user2@a.example", "user1@off.example",
                "/mailboxes/chief@a.example/password/",
            },
        ),
    ],
)  # fmt: skip
def test_scope(entries, as_, who, expected):
    assert set(names(as_(who).get(URL))) == expected
    home = as_(who).get("/").context["changes"]
    assert {entry.name for entry in home} == expected
    body = b"".join(as_(who).post(reverse("accounts:audit_export")))
    assert {row["name"] for row in read(body) if row["action"] != "export"} == expected


@pytest.mark.parametrize("filters", [{"object": "user1@b.example"}, {"who": "boss@b.example"}, {"did": "denied page"},
                                     {"object": "b.example"}, {"object": "/mailboxes/chief@a.example/password/"},
                                     {"object": "x/@a.example"}, {"domain": "b.example"}])  # fmt: skip
def test_filters_do_not_reach_beyond_the_scope(entries, as_, filters):
    assert set(names(as_("dadm_a").get(URL, filters))) <= {"user1@a.example"}


def test_foreign_and_unknown_domain_are_told_alike(entries, as_):
    foreign = as_("dadm_a").get(URL, {"domain": "b.example"}).context["form"].errors
    assert foreign == as_("dadm_a").get(URL, {"domain": "nowhere.example"}).context["form"].errors
    assert foreign == {"domain": ["You look after no domain of this name."]}


def test_everything_about_a_mailbox_is_seen_with_it(entries, as_):
    """Also the role that another domain's admin gave; its row in the list of roles shows that anyhow."""
    answer = as_("dadm_a").get(URL, {"object": "user2@a.example"})
    assert names(answer) == ["user2@a.example"]
    card = as_("dadm_a").get(reverse("accounts:mailbox", args=["user2@a.example"]))
    assert [entry.actor for entry in card.context["changes"]] == ["boss@b.example"]
    assert f"{URL}?object=user2%40a.example" in card.content.decode()


def test_activity_is_of_one_domain(entries, as_):
    activity = as_("dadm_ab").get(reverse("domains:domain_activity", args=["b.example"]))
    assert set(names(activity)) == {"user1@b.example", "user2@a.example"}


def test_owner_sees_all_that_was_done_to_the_mailbox(entries, as_):
    find("user1")
    for number in range(9):
        write("user1@a.example", actor="help@a.example", client="192.0.2.99", reason=f"number {number}")
    write("user1@a.example", "a.example", kind="alias", action="create", actor="boss@a.example")
    write("user1@a.example", actor="user1@a.example", client="192.0.2.5", action="password")
    client = as_("user1")
    assert len(client.get("/").context["own"]["changes"]) == 8
    answer = client.get(reverse("accounts:audit_own"))
    assert set(names(answer)) == {"user1@a.example"}
    assert len(names(answer)) == 12
    page = answer.content.decode()
    assert "192.0.2.5" in page
    assert "192.0.2.99" not in page  # the helpdesk's own address is nobody's business
    assert client.get(URL).status_code == 403


def test_owner_does_not_see_what_was_done_to_a_former_owner(world, as_):
    write("user1@a.example", at=find("user1").created - timedelta(seconds=1), reason="of the former owner")
    assert names(as_("user1").get(reverse("accounts:audit_own"))) == []
    assert "of the former owner" not in as_("user1").get("/").content.decode()
    assert "of the former owner" in as_("dadm_a").get(URL).content.decode()


# --- filters ------------------------------------------------------------------------------------------------


@pytest.fixture
def history(world):
    write("user1@a.example", at=datetime(2026, 3, 1, 12, tzinfo=UTC))
    write(
        "user1@a.example", at=datetime(2026, 3, 2, 12, tzinfo=UTC), action="password", actor="help@a.example"
    )
    write("a.example", at=datetime(2026, 3, 3, 12, tzinfo=UTC), kind="domain", actor="shell:root")
    write(
        "info@b.example", "b.example", at=datetime(2026, 3, 4, 12, tzinfo=UTC), kind="alias", action="delete"
    )
    write(
        "xn--bcher-kva.example", "xn--bcher-kva.example", at=datetime(2026, 3, 5, tzinfo=UTC), kind="domain"
    )


ALL = ["xn--bcher-kva.example", "info@b.example", "a.example", "user1@a.example", "user1@a.example"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ALL),
        ({"object": "user1@a.example"}, ALL[3:]),
        ({"object": " User1@A.example "}, ALL[3:]),
        ({"object": "user1@a.exampl"}, []),
        ({"object": "a.example"}, ["a.example"]),
        ({"object": "bücher.example"}, ["xn--bcher-kva.example"]),
        ({"who": "help@a.example"}, ["user1@a.example"]),
        ({"who": "shell:root"}, ["a.example"]),
        ({"domain": "B.example"}, ["info@b.example"]),
        ({"did": "password mailbox"}, ["user1@a.example"]),
        ({"did": "change domain", "who": "shell:root"}, ["a.example"]),
        ({"did": "change domain", "who": "help@a.example"}, []),
        ({"since": "2026-03-03"}, ALL[:3]),
        ({"until": "2026-03-03"}, ALL[2:]),
        ({"since": "2026-03-02", "until": "2026-03-02"}, ALL[3:4]),
        ({"object": "user1@a.example", "since": "2026-03-02"}, ALL[3:4]),
        ({"domain": "a.example", "who": "help@a.example", "did": "password mailbox", "until": "2026-03-02"}, ALL[3:4]),
    ],
    ids=str,
)  # fmt: skip
def test_filters(history, as_, filters, found):
    answer = as_("root1").get(URL, filters)
    assert answer.context["form"].errors == {}
    assert names(answer) == found


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"since": "2026-02-30"}, "since"),
        ({"until": "yesterday"}, "until"),
        ({"until": "0001-01-01"}, "until"),
        ({"until": "9999-12-31"}, "until"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "until"),
        ({"object": "not an address"}, "object"),
        ({"object": "two words@a.example"}, "object"),
        ({"who": "root"}, "who"),
        ({"domain": "nodot"}, "domain"),
        ({"did": "explode mailbox"}, "did"),
        ({"object": "\x00"}, "object"),
    ],
    ids=str,
)
def test_what_a_filter_cannot_mean_is_told_and_hides_nothing(history, as_, filters, field):
    answer = as_("root1").get(URL, filters)
    assert set(answer.context["form"].errors) == {field}
    assert f'id="id_{field}_error"' in answer.content.decode()
    if len(filters) == 1:
        assert names(answer) == ALL
    # an export of what was not asked for would be taken for what was
    export = as_("root1").post(
        reverse("accounts:audit_export") + "?" + "&".join(f"{k}={v}" for k, v in filters.items())
    )
    assert (export.status_code, export["Location"].startswith(f"{URL}?")) == (302, True)
    assert not Audit.objects.filter(action="export").exists()


@given(st.dictionaries(st.sampled_from(["object", "who", "domain", "did", "since", "until", "before", "after"]), st.text(max_size=40)))  # fmt: skip
def test_no_text_breaks_the_form(typed):
    form = AuditForm(typed, actor=Mailbox())
    form.actor._rights = Rights(server=True)
    str(form.find().query)


def test_days_are_those_of_the_panel(history, as_, settings):
    settings.TIME_ZONE = "Pacific/Auckland"  # thirteen hours ahead in March
    with timezone.override("Pacific/Auckland"):
        form = AuditForm({"since": "2026-03-02", "until": "2026-03-02"}, actor=find("root1"))
        assert [entry.at.day for entry in form.find()] == [1]


# --- pages --------------------------------------------------------------------------------------------------


@pytest.fixture
def long(world):
    """120 entries in each of a.example and b.example, and some at the very same moment."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    Audit.objects.bulk_create(
        Audit(actor="boss@a.example", action="change", kind="mailbox", name=f"u{i}@{d}", domain=d)
        for i in range(120)
        for d in ("a.example", "b.example")
    )
    for number, entry in enumerate(Audit.objects.order_by("pk")):
        Audit.objects.filter(pk=entry.pk).update(at=start + timedelta(minutes=number // 7))


def walk(client, url, link):
    """The names on this page, and on all that follow by this link."""
    while url:
        answer = client.get(url)
        yield names(answer)
        query = getattr(answer.context["entries"], link)
        url = query and url.partition("?")[0] + query


@pytest.mark.parametrize("who", ["dadm_a", "dadm_ab", "root1"])
def test_pages_hold_each_entry_once_the_newest_first(long, as_, who):
    expected = [
        entry.name
        for entry in Audit.objects.order_by("-at", "-pk")
        if who != "dadm_a" or entry.domain == "a.example"
    ]
    pages = list(walk(as_(who), URL, "later"))
    assert list(itertools.chain(*pages)) == expected
    assert [len(page) for page in pages[:-1]] == [50] * (len(pages) - 1)
    answer = as_(who).get(URL)
    for _page in pages[1:]:
        answer = as_(who).get(URL + answer.context["entries"].later)
    assert not answer.context["entries"].later
    back = list(walk(as_(who), URL + answer.context["entries"].earlier, "earlier"))
    assert back == pages[-2::-1]


def test_filters_go_along_to_the_next_page(long, as_):
    later = as_("root1").get(URL, {"domain": "a.example"}).context["entries"].later
    assert all(name.endswith("@a.example") for name in names(as_("root1").get(URL + later)))


@pytest.mark.parametrize(
    "key", ["x", "1", "1-", "-1", "99999999999999999999-1", "1-99999999999999999999", "١-١", "1-1-1"]
)
def test_keys_of_pages_that_are_none(long, as_, key):
    assert len(names(as_("root1").get(URL, {"before": key}))) == 50
    assert len(names(as_("root1").get(URL, {"after": key}))) == 50


@pytest.mark.parametrize("number", [1, 40])
@pytest.mark.parametrize(
    ("who", "path", "statements"),
    [
        ("root1", URL, 9),
        ("dadm_a", URL, 8),
        ("dadm_ab", URL, 8),
        ("dadm_a", f"{URL}?object=u0@a.example", 8),
        ("dadm_a", reverse("domains:domain_activity", args=["a.example"]), 11),
        ("user1", reverse("accounts:audit_own"), 5),
    ],
)
def test_statements_of_a_page(world, as_, django_assert_num_queries, number, who, path, statements):
    for i in range(number):
        name = "user1@a.example" if who == "user1" else f"u{i}@a.example"
        write(name, before={"quota": 1, "name": "x"}, after={"quota": None, "name": "y"})
        write(name, kind="alias", after={"x@a.example": {"enabled": True}})
        write("a.example", kind="domain")
    client = as_(who)
    client.get(path)
    with django_assert_num_queries(statements):
        client.get(path)


@pytest.mark.skipif(
    ON_MARIADB, reason="what EXPLAIN says there depends on the number of rows; measured at a million"
)
@pytest.mark.parametrize(
    "filters",
    [
        {}, {"object": "u1@a.example"}, {"who": "boss@a.example"}, {"domain": "a.example"}, {"did": "change mailbox"},
        {"since": "2026-01-01", "until": "2026-01-02"}, {"domain": "a.example", "who": "boss@a.example"},
        {"domain": "a.example", "did": "change mailbox"}, {"who": "boss@a.example", "did": "change mailbox"},
        {"domain": "a.example", "who": "boss@a.example", "did": "change mailbox", "since": "2026-01-01"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("who", ["root1", "dadm_a", "dadm_ab"])
@pytest.mark.parametrize("key", [{}, {"before": "1767226200000000-100"}, {"after": "1767226200000000-100"}])
def test_an_index_answers_and_nothing_is_sorted(long, django_assert_max_num_queries, who, filters, key):
    rows = AuditForm(filters, actor=find(who)).find()
    several = who == "dadm_ab" and not filters.keys() & {"domain", "object"}
    with django_assert_max_num_queries(2) as captured:
        newest(rows, key)
    for query in captured.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
            plan = [row[3] for row in cursor.fetchall()]
        assert not any(step.startswith("SCAN") and "INDEX" not in step for step in plan), plan
        # of several domains the keys have to be put in order, and these come from an index alone
        assert several or not any("TEMP B-TREE" in step for step in plan), plan


# --- what an entry tells ------------------------------------------------------------------------------------


def test_changes_in_words(world):
    lifecycle.change_mailbox(find("user1"), {"name": "Mehmet"}, by=BY)
    with contextlib.suppress(DaemonError):
        lifecycle.change_mailbox(find("user1"), {"quota": None, "enabled": False}, by=BY)
    entry, named = Audit.objects.all()
    assert {tuple(change) for change in audit.changes(entry)} == {
        ("quota", "1 GB", "unlimited"),
        ("switched on", "yes", "no"),
    }
    assert audit.changes(named) == [("name", "user1", "Mehmet")]


def test_changes_of_an_alias_in_words(world):
    until = datetime(2027, 3, 2, tzinfo=UTC)
    save_alias("info@a.example", [Destination("user1@a.example", False, until, "Until Easter"),
                                  Destination("x@xn--bcher-kva.example")], by=BY)  # fmt: skip
    assert sorted(audit.changes(Audit.objects.get())) == [
        ("user1@a.example", "on", "off, until 2 March 2027, 00:00, “Until Easter”"),
        ("user2@a.example", "on", "–"),
        ("x@bücher.example", "–", "on"),
    ]


@pytest.mark.parametrize("told", [None, {}, [], "text", 5, {"role": "helpdesk of a.example"}, {"": None}, {"quota": {"a": [1]}},
                                  {"last_login": "not a time"}, {"password_changed": "2026-13-45"}, {"kind": "x"}])  # fmt: skip
@pytest.mark.parametrize("kind", ["mailbox", "domain", "alias", "role", "page", "anything"])
def test_whatever_stands_there_is_readable(world, as_, told, kind):
    write(before=told, after=told, kind=kind)
    assert as_("root1").get(URL).status_code == 200


def test_role_is_told_in_the_readers_language(world):
    roles.grant(find("user2"), "helpdesk", Domain.objects.get(name="a.example"), by=BY)
    entry = Audit.objects.get()
    assert (entry.after, entry.domain) == ({"kind": "helpdesk", "domain": "a.example"}, "a.example")
    assert audit.changes(entry) == [("role", "–", "helpdesk of a.example")]


def test_links_to_what_is_there_and_may_be_seen(world, as_):
    for name, domain, kind in [
        ("user1@a.example", "a.example", "mailbox"), ("info@a.example", "a.example", "alias"),
        ("a.example", "a.example", "domain"), ("gone@a.example", "a.example", "mailbox"),
        ("user1@b.example", "a.example", "mailbox"), ("user1@a.example", "a.example", "role"),
    ]:  # fmt: skip
        write(name, domain, kind=kind)
    found = {(entry.kind, entry.name): entry.url for entry in as_("dadm_a").get(URL).context["entries"]}
    assert found == {
        ("mailbox", "user1@a.example"): "/mailboxes/user1@a.example/",
        ("role", "user1@a.example"): "/mailboxes/user1@a.example/",
        ("alias", "info@a.example"): "/aliases/info@a.example/",
        ("domain", "a.example"): "/domains/a.example/",
        ("mailbox", "gone@a.example"): None,
        ("mailbox", "user1@b.example"): None,  # there, but not his to see
    }


def test_names_survive_deletion(world, as_):
    """Of who did it, and of what it was done to."""
    lifecycle.change_mailbox(find("user2"), {"name": "Renamed"}, by=audit.By("boss@a.example"))
    for gone in (find("dadm_a"), find("user2"), Domain.objects.get(name="a.example")):
        with contextlib.suppress(DaemonError):
            (lifecycle.close_domain if isinstance(gone, Domain) else lifecycle.close_mailbox)(gone, by=BY)
    entry = as_("root1").get(URL).context["entries"].rows[-1]
    assert (entry.actor, entry.name, entry.url) == ("boss@a.example", "user2@a.example", None)
    assert entry.changes == [("name", "user2", "Renamed")]
    assert len(names(as_("root1").get(URL, {"domain": "a.example"}))) == 4


def test_denied_is_marked(world, as_):
    as_("help_a").post(reverse("accounts:mailbox_password", args=["boss@a.example"]))
    page = as_("root1").get(URL).content.decode()
    assert re.search(
        r'<li class="bad">.*?help@a.example.*?was refused at.*?/mailboxes/boss@a.example/password/',
        page,
        re.S,
    )
    assert '<li class="bad">' in as_("root1").get("/").content.decode()


@pytest.mark.parametrize("way", ["GET", "POST"])
def test_each_refusal_is_written_down(world, as_, way):
    """Reading, too, and whether or not there is something; who asks for the same page all the time is in it once an hour."""
    client = as_("dadm_a")
    paths = [
        reverse(name, args=[email])
        for name in ("accounts:mailbox_edit", "accounts:mailbox_password")
        for email in ("user1@b.example", "nobody@b.example", "root1@c.example")
    ]
    for path in paths:
        for _time in range(3):
            assert client.generic(way, path).status_code in (403, 404)
    found = Audit.objects.filter(action="denied").order_by("id").values_list("actor", "name", "reason")
    times = 1 if way == "GET" else 3
    assert list(found) == [("boss@a.example", path, way) for path in paths for _time in range(times)]
    # an address that nobody ever had a page at, and a page that one may see
    client.get("/nope/")
    client.get(reverse("accounts:mailbox_edit", args=["user1@a.example"]))
    assert Audit.objects.count() == times * len(paths)


def test_refusals_do_not_fill_the_log(world, as_):
    client = as_("dadm_a")
    for number in range(errors.REFUSALS + 20):
        path = reverse("accounts:mailbox_edit", args=[f"{number}@b.example"])
        assert client.generic("POST" if number % 2 else "GET", path).status_code == 404
    assert Audit.objects.filter(actor="boss@a.example").count() == errors.REFUSALS
    as_("help_a").post(reverse("accounts:mailbox_password", args=["boss@a.example"]))
    assert Audit.objects.filter(actor="help@a.example").count() == 1
    Audit.objects.update(at=timezone.now() - timedelta(minutes=61))
    as_("dadm_a").get(reverse("accounts:mailbox_edit", args=["1@b.example"]))
    assert Audit.objects.filter(actor="boss@a.example").count() == errors.REFUSALS + 1


def test_a_refusal_stands_though_the_log_cannot_be_written(world, as_, monkeypatch):
    def away(*args, **kwargs):
        raise OperationalError(2013, "Lost connection during query")

    monkeypatch.setattr(Audit.objects, "bulk_create", away)
    before = find("user1_b").password
    for way in ("GET", "POST"):
        answer = as_("dadm_a").generic(way, reverse("accounts:mailbox_password", args=["user1@b.example"]))
        assert answer.status_code == 404
    assert find("user1_b").password == before


# --- every action, and no secret in any ---------------------------------------------------------------------


def recorded() -> set[tuple[str, str]]:
    """Each action and kind that a call of audit.record in the code could write."""
    found = set()
    for tree in trees():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(
                    ("audit.record", "audit.record_all", "log.record")
                ):
                    actions, kinds = (texts(argument, function, tree) for argument in call.args[1:3])
                    found |= set(itertools.product(actions, kinds))
    return found


def texts(node, function, tree) -> set[str]:
    """The texts that an expression could be: constants, choices, variables, arguments, kinds of what is in the trash."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp():
            return texts(node.body, function, tree) | texts(node.orelse, function, tree)
        case ast.Subscript(value=ast.Attribute(attr="KINDS") | ast.Name(id="KINDS")):
            return set(trash.KINDS.values())
        case ast.Name(id=name) if values := assigned(name, function):
            return set().union(*(texts(value, function, tree) for value in values))
        case ast.Name(id=name):  # an argument: its default, and what the function is called with anywhere
            own, places = function.args, [argument.arg for argument in function.args.args]
            names = [argument.arg for argument in own.kwonlyargs]
            given = [own.kw_defaults[names.index(name)]] if name in names else []
            for call in calls(function.name, [tree] if function.name.startswith("_") else trees()):
                given += [keyword.value for keyword in call.keywords if keyword.arg == name]
                given += call.args[places.index(name) :][:1] if name in places else []
            return set().union(
                *(texts(value, function, tree) for value in given if not isinstance(value, ast.Name))
            )
    return set()


@cache
def trees() -> list[ast.Module]:
    paths = itertools.chain(
        *(Path(settings.BASE_DIR, app).rglob("*.py") for app in ("accounts", "domains", "mailpanel"))
    )
    return [ast.parse(path.read_text()) for path in paths]


def calls(name: str, where) -> list[ast.Call]:
    every = (node for tree in where for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in every if ast.unparse(call.func).rpartition(".")[2] == name]


def assigned(name, tree) -> list:
    """What the variable gets, also as one of several: `a, name = (x, y) if z else (v, w)`."""
    found = []
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else []:
            if ast.unparse(target) == name:
                found.append(node.value)
            elif isinstance(target, ast.Tuple) and name in (names := list(map(ast.unparse, target.elts))):
                values = (
                    [node.value.body, node.value.orelse]
                    if isinstance(node.value, ast.IfExp)
                    else [node.value]
                )
                found += [each.elts[names.index(name)] for each in values if isinstance(each, ast.Tuple)]
    return found


def words() -> set[tuple[str, str]]:
    return {tuple(key.split()) for key, _words in audit.actions()}


def test_every_action_has_words():
    assert recorded() == words()


NEW = "eleven-brown-paper-boats"


def do_everything(as_):
    """Each action that there is, by page where there is one."""
    root = as_("root1")

    def post(route, *args, **data):
        return root.post(reverse(route, args=args), data)

    post("domains:domain_new", name="new.example", transport="virtual:")
    post("domains:domain_edit", "new.example", description="Changed", enabled="on", transport="virtual:")
    post("domains:mailbox_new", "new.example", local="new", how="typed", password=NEW, name="New")
    post(
        "accounts:mailbox_edit", "new@new.example", name="Renamed", enabled="on", can_login="on", quota="1 GB"
    )
    shown = post("accounts:mailbox_password", "new@new.example", reason="asked").context["password"]
    row = {
        "to-TOTAL_FORMS": "1",
        "to-INITIAL_FORMS": "0",
        "to-0-address": "new@new.example",
        "to-0-enabled": "on",
    }
    post("domains:alias_new", "new.example", local="team", **row)
    post("domains:alias", "team@new.example", **row | {"to-0-comment": "changed"})
    post("domains:key_new", "new.example", selector="k1")
    private = [line for line in DkimKey.objects.get().private_key.splitlines() if len(line) == 64]
    post("domains:key_sign", "new.example", "k1", anyway="on")
    post("domains:key_retire", "new.example", "k1")
    post("domains:key_delete", "new.example", "k1")
    post("accounts:role_give", "new@new.example", kind="helpdesk", domain="new.example")
    post("accounts:role_give", "new@new.example", kind="server")
    post("accounts:role_take", "new@new.example", "helpdesk", "new.example")

    def delete():
        for route, name in [
            ("domains:alias_delete", "team@new.example"),
            ("accounts:mailbox_delete", "new@new.example"),
            ("domains:domain_delete", "new.example"),
        ]:
            post(route, name, name=name)

    delete()
    for deletion in dict.fromkeys(Trash.objects.order_by("-id").values_list("deletion", flat=True)):
        post("accounts:trash_restore", deletion)
    for route, args in (("accounts:mailboxes_export", []), ("domains:mailboxes_export", ["new.example"])):
        assert root.get(reverse(route, args=args)).status_code == 200
    delete()
    trash.purge(timezone.now(), by=BY)
    post("accounts:audit_export")
    post("server:alert_trial")
    post("server:mailbox_limit", "user1@a.example", which="own", per_hour="5", per_day="")
    post("server:domain_limit", "a.example", which="own", per_hour="5", per_day="")
    use_queue(post)
    as_("help_a").post(reverse("accounts:mailbox_password", args=["boss@a.example"]), {"new": NEW})
    codes = use_second_factor(find("user9"))
    authentication.unlock(find("user9"), by=BY)
    see_to_the_filter(find("root1"))
    Domain.objects.filter(name="c.example").update(mailbox_count=99, quota_given=5)
    call_command("recount", stdout=io.StringIO())
    client = as_("user2")
    client.post(
        reverse("accounts:password"), {"current": people.PASSWORD, "new": "twelve green glass bottles"}
    )
    return [shown, NEW, people.PASSWORD, "twelve green glass bottles", *codes, *private]


def see_to_the_filter(actor):
    filter_policy.change("@a.example", {"digest": True}, by=BY)
    filter_policy.add_senders("@a.example", ["x@y.example"], "W", by=BY)
    one, other = quarantine.find(actor, hold("user1@a.example", "user2@a.example"))
    decisions.record_reading(one, by=BY)
    with pdp.listening():
        decisions.release([one], by=BY)
    decisions.delete([other], by=BY)


def use_queue(post) -> None:
    """Each action, on one message and on two."""
    rows = [message(1), message(2)]
    ids = [row["queue_id"] for row in rows]
    helper = Helper(settings.MAILPANEL_VAR / "queue" / "socket", rows)
    try:
        for do, pick in itertools.product(ACTIONS, (ids, ids[:1])):
            post("server:queue_do", do=do, pick=pick, sure="1")
    finally:
        helper.stop()


def use_second_factor(mailbox) -> list[str]:
    """All that is recorded of it; the key, and the codes that were typed and shown."""
    shown = code()
    first = second_factor.set_up(mailbox, KEY, shown, by=BY)
    recovery = [*first, *second_factor.renew_codes(mailbox, by=BY)]
    second_factor.verify(mailbox, recovery[-1], by=BY)
    SecondFactor.objects.update(throttling_failure_count=second_factor.ALARM - 1)
    typed = wrong()
    with pytest.raises(ValidationError):
        second_factor.verify(mailbox, typed, by=BY)
    hashes = list(RecoveryCode.objects.values_list("hash", flat=True))
    second_factor.take_off(mailbox, by=BY)
    second_factor.set_up(mailbox, KEY, code(), by=BY)
    second_factor.take_off(mailbox, by=BY, action="factor_clear")
    return [KEY, f'"{shown}"', f'"{typed}"', *recovery, *hashes]


def test_no_secret_in_any_entry(world, as_, dovecot):
    secrets = do_everything(as_)
    hashes = list(Mailbox.objects.values_list("password", flat=True))
    done = set(Audit.objects.values_list("action", "kind"))
    assert done == words(), "do_everything() does not do all of it"
    held = json.dumps(list(Audit.objects.values()), default=str)
    cookies = [cookie.value for cookie in as_("root1").cookies.values()]
    for secret in [*secrets, *hashes, *cookies, settings.SECRET_KEY]:
        assert len(secret) > 6
        assert secret not in held
    for scheme in ("{ARGON2ID}", "$argon2", "{CRYPT}", "{SSHA", "{BLF", "$2y$", "$6$"):
        assert scheme not in held
    export = b"".join(as_("root1").post(reverse("accounts:audit_export"))).decode()
    page = as_("root1").get(URL).content.decode()
    for secret in [*secrets, *hashes]:
        assert secret not in export + page


def test_a_change_and_its_entry_are_one(world, monkeypatch):
    """Where the log cannot be written, nothing is changed."""
    before = Mailbox.objects.filter(email="user1@a.example").values().get()

    def full(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(Audit.objects, "bulk_create", full)
    for change in (
        lambda: lifecycle.change_mailbox(find("user1"), {"quota": 5}, by=BY),
        lambda: lifecycle.set_password(find("user1"), NEW, by=BY),
        lambda: lifecycle.close_mailbox(find("user1"), by=BY),
        lambda: roles.grant(find("user1"), "server", None, by=BY),
        lambda: roles.grant(find("user1"), "helpdesk", None, by=BY),
        lambda: roles.revoke(find("help_a"), "helpdesk", Domain(name="a.example"), by=BY),
        lambda: change_domain(Domain.objects.get(name="a.example"), {"description": "x"}, by=BY),
        lambda: open_domain(Domain(name="new.example"), by=BY),
        lambda: save_alias("info@a.example", [], by=BY),
    ):
        with pytest.raises(OSError, match="no space"):
            change()
    assert Mailbox.objects.filter(email="user1@a.example").values().get() == before
    assert find("help_a").roles.exists()
    assert not Role.objects.filter(mailbox=find("user1")).exists()
    assert not Domain.objects.filter(name="new.example").exists()
    assert Alias.objects.filter(source="info@a.example").count() == 2
    assert not Trash.objects.exists()


# --- export -------------------------------------------------------------------------------------------------


def read(body: bytes) -> list[dict]:
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))


def test_export_is_what_the_filters_find(history, as_):
    answer = as_("root1").post(reverse("accounts:audit_export") + "?domain=a.example&until=2026-03-02")
    assert answer.streaming
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="audit.csv"'
    rows = read(b"".join(answer))
    assert [(row["at"], row["actor"], row["action"], row["name"]) for row in rows] == [
        ("2026-03-02T12:00:00+00:00", "help@a.example", "password", "user1@a.example"),
        ("2026-03-01T12:00:00+00:00", "boss@a.example", "change", "user1@a.example"),
    ]
    entry = Audit.objects.get(action="export")
    assert (entry.actor, entry.domain, entry.after) == (
        "root1@c.example",
        "a.example",
        {"domain": "a.example", "until": "2026-03-02"},
    )
    assert "exported the audit log" in as_("root1").get(URL).content.decode()


def test_export_holds_everything_in_order(long, as_):
    rows = read(b"".join(as_("dadm_ab").post(reverse("accounts:audit_export"))))
    assert len(rows) == 240
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    assert len({row["name"] for row in rows}) == 240


def test_export_reads_in_portions(world, django_assert_num_queries):
    Audit.objects.bulk_create(
        Audit(actor="x", action="change", kind="mailbox", name=str(i)) for i in range(1200)
    )
    with django_assert_num_queries(2):
        entries = audit.everything(Audit.objects.all())
        assert len(list(itertools.islice(entries, 500))) == 500
    assert len(list(entries)) == 700


def test_export_runs_nothing(world, as_):
    evil = '=HYPERLINK("http://evil","x")'
    write("user1@a.example", reason=evil, after={"name": evil}, actor="@evil", client="-1")
    (row,) = read(b"".join(as_("dadm_a").post(reverse("accounts:audit_export"))))
    assert (row["reason"], row["actor"], row["client"]) == (f"'{evil}", "'@evil", "'-1")
    assert json.loads(row["after"]) == {"name": evil}


def test_log_is_not_steered_by_its_texts(world, as_):
    """One entry for each event, whatever the path, reason or address that a client sends holds."""
    line = "x\n2026-01-01 root1 signed in\x1b[2J\u2028"
    client = as_("help_a")
    client.post(reverse("accounts:mailbox_password", args=["user2@a.example"]), {"reason": line * 30})
    client.post(
        f"/mailboxes/{line}@a.example/password/",
        HTTP_X_FORWARDED_FOR="6.6.6.6\n",
        HTTP_USER_AGENT="x" * 10**6,
    )
    assert Audit.objects.count() <= 2
    assert all(len(entry.reason) <= 255 and len(entry.client) <= 45 for entry in Audit.objects.all())
    assert as_("root1").get(URL).status_code == 200
