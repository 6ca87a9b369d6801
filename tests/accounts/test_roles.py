"""Who gives and takes which role: by rank, within the own domains, never to oneself; and the last server admin stays."""

import itertools
import json
import re
import threading

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts import access, audit, roles
from accounts.lifecycle import server_admins_who_can_sign_in
from accounts.models import Audit, Mailbox, Role
from domains.models import Domain
from tests import people
from tests.people import CAST, find
from tests.shell import refused, shell

BY = audit.By("root1@c.example")
SORTS = [(kind, where) for kind in ("helpdesk", "admin") for where in ("a.example", "b.example", None)]
SORTS.append(("server", None))


def held(name: str) -> set:
    mailbox = find(name)
    return set(mailbox.roles.values_list("kind", "domain")) | (
        {("server", None)} if mailbox.is_superuser else set()
    )


def give(client, email, kind, where=None, **more):
    data = {"kind": kind} | ({"domain": where} if where else {"everywhere": "on"}) | more
    return client.post(reverse("accounts:role_give", args=[email]), data)


def take(client, email, kind, where=None):
    return client.post(reverse("accounts:role_take", args=[email, kind, where or "all"]))


# --- the rule, over all pairs of the cast -------------------------------------------------------------------

# Written down anew, from the table of the design: what each holds, as (helps, administers, everything).
SERVER = {"root1", "root2", "chief"}
EVERYWHERE = {"dadm_all": "admin", "help_all": "helpdesk"}
ADMIN = {"dadm_a": {"a"}, "dadm_b": {"b"}, "dadm_ab": {"a", "b"}}
HELPDESK = {"help_a": {"a"}, "help_ab": {"a", "b"}}


def rights(name: str) -> set:
    """Every single right that somebody holds, in the five domains of the cast."""
    found = {"server"} if name in SERVER else set()
    for domain in ("a", "b", "c", "off", "hosted"):
        if name in SERVER or EVERYWHERE.get(name) == "admin" or domain in ADMIN.get(name, ()):
            found |= {("admin", domain), ("helpdesk", domain)}
        if EVERYWHERE.get(name) == "helpdesk" or domain in HELPDESK.get(name, ()):
            found |= {("helpdesk", domain)}
    if name in SERVER or name in EVERYWHERE:  # also for the domains to come
        found |= {("helpdesk", "later")} | (
            {("admin", "later")} if EVERYWHERE.get(name) != "helpdesk" else set()
        )
    return found


def expected(actor: str, target: str, kind: str, where: str | None) -> bool:
    mine, theirs = rights(actor), rights(target)
    home = CAST[target][0].partition("@")[2].partition(".")[0]
    if actor == target or not theirs <= mine or ("admin", home) not in mine:
        return False
    if kind == "server" or where is None:
        return "server" in mine
    return ("admin", where.partition(".")[0]) in mine


@pytest.mark.django_db
def test_giving_over_all_pairs(world):
    cast = {name: find(name) for name in CAST}
    wrong, given = [], 0
    for (actor, target), (kind, where) in itertools.product(itertools.product(cast, cast), SORTS):
        try:
            access.give(cast[actor], cast[target], kind, where)
            may = True
        except (PermissionDenied, access.OutOfReach):
            may = False
        given += may
        if may != expected(actor, target, kind, where):
            wrong.append((actor, target, kind, where, may))
    assert wrong == []
    assert given > 200  # there is something that is allowed


@pytest.mark.django_db
def test_taking_over_all_pairs(world):
    """Nobody takes anything from somebody who holds a right that he lacks, nor a role that he could not give."""
    cast = {name: find(name) for name in CAST}
    for (actor, target), (kind, where) in itertools.product(itertools.product(cast, cast), SORTS):
        mine = rights(actor)
        sort = "server" if kind == "server" or where is None else ("admin", where.partition(".")[0])
        may = rights(target) <= mine and sort in mine
        assert access.may_take(cast[actor], cast[target], kind, where) is may, (actor, target, kind, where)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["superadmin", "", "SERVER", "root"])
def test_there_is_no_other_role(world, as_, kind):
    assert give(as_("root1"), "user2@a.example", kind, "a.example").status_code == 403
    assert take(as_("root1"), "user2@a.example", kind or "x", "a.example").status_code == 404
    assert held("user2") == set()


# --- the pages ----------------------------------------------------------------------------------------------


def test_domain_admin_gives_roles_in_the_own_domain_and_no_further(world, as_):
    client = as_("dadm_a")
    assert give(client, "user2@a.example", "helpdesk", "a.example", reason="Second floor").status_code == 302
    assert held("user2") == {("helpdesk", "a.example")}
    for kind, where in [("admin", "b.example"), ("helpdesk", "nowhere.example"), ("admin", None), ("server", None),
                        ("helpdesk", "sub.a.example"), ("admin", "a.example\n"), ("admin", "%")]:  # fmt: skip
        answer = give(client, "user2@a.example", kind, where)
        assert answer.status_code == (302 if where == "a.example\n" else 403), (kind, where)
    assert held("user2") - {("admin", "a.example")} == {("helpdesk", "a.example")}
    refusals = Audit.objects.filter(action="denied").order_by().values_list("actor", "name").distinct()
    assert list(refusals) == [("boss@a.example", "/mailboxes/user2@a.example/roles/give/")]
    entry = Audit.objects.filter(action="grant").last()
    assert (entry.actor, entry.name, entry.domain, entry.reason) == ("boss@a.example", "user2@a.example", "a.example", "Second floor")  # fmt: skip


@pytest.mark.parametrize("who", ["user1", "help_a", "help_ab", "help_all"])
def test_others_give_nothing(world, as_, who):
    for kind, where in SORTS:
        assert give(as_(who), "user2@a.example", kind, where).status_code in (403, 404)
        assert give(as_(who), CAST[who][0], kind, where).status_code in (403, 404)
    assert held("user2") == set()
    assert held(who) == {tuple(role) for role in CAST[who][1]}


@pytest.mark.parametrize("who", ["root1", "dadm_a", "dadm_ab", "dadm_all"])
def test_nobody_gives_himself_anything(world, as_, who):
    before = held(who)
    for kind, where in SORTS:
        assert give(as_(who), CAST[who][0], kind, where).status_code == 403
    assert held(who) == before


@pytest.mark.parametrize("target", ["chief", "dadm_ab", "help_ab"])
def test_who_outranks_is_left_alone(world, as_, target):
    before = held(target)
    client = as_("dadm_a")
    email = CAST[target][0]
    assert client.get(reverse("accounts:mailbox_roles", args=[email])).status_code == 403
    assert give(client, email, "helpdesk", "a.example").status_code == 403
    for kind, where in before:
        assert take(client, email, kind, where).status_code in (403, 404)
    assert held(target) == before


def test_role_of_somebody_from_elsewhere_is_taken_where_it_is_for(world, as_):
    """user1@b.example looks after a.example alone: its admin sees that and may end it, though not the mailbox."""
    roles.grant(find("user1_b"), "helpdesk", Domain.objects.get(name="a.example"), by=BY)
    client, url = as_("dadm_a"), reverse("domains:domain_roles", args=["a.example"])
    page = client.get(url).content.decode()
    assert "/mailboxes/user1@b.example/roles/helpdesk/a.example/" in page
    assert 'href="/mailboxes/user1@b.example/"' not in page
    assert client.get(reverse("accounts:mailbox_roles", args=["user1@b.example"])).status_code == 404
    answer = take(client, "user1@b.example", "helpdesk", "a.example")
    assert (answer.status_code, answer["Location"]) == (302, url)
    assert held("user1_b") == set()


def test_what_follows_is_shown_before(world, as_):
    client, url = as_("root1"), reverse("accounts:role_give", args=["user2@a.example"])
    admin = client.get(url, {"kind": "admin", "domain": "a.example"})
    # nine mailboxes in a.example, without user2 itself, both (b.example, too), help-ab and chief
    assert admin.context["people"] == 5
    assert "people whose passwords can be reset with this role" in admin.content.decode()
    assert client.get(url, {"kind": "helpdesk", "domain": "a.example"}).context["people"] == 3
    assert client.get(url, {"kind": "server"}).context["people"] == len(CAST) - 1
    everywhere = client.get(url, {"kind": "admin", "everywhere": "on"}).context["people"]
    assert everywhere == len(CAST) - 1 - 3  # the server admins
    assert held("user2") == set()
    assert not Audit.objects.exists()


def test_reach_is_what_the_role_reaches(world):
    """The number that is shown, against the rule that decides."""
    for target, (kind, where) in itertools.product(["user1", "user1_b", "user1_off"], SORTS):
        told = access.reach(find(target), kind, where)
        roles.grant(find(target), kind, where and Domain.objects.get(name=where), by=BY)
        person = find(target)
        assert told == sum(access.may(person, access.To.RESET, find(name)) for name in CAST), (
            target,
            kind,
            where,
        )
        roles.revoke(person, kind, where and Domain.objects.get(name=where), by=BY)


def test_domains_to_choose_from_are_those_that_he_administers(world, as_):
    Role.objects.create(mailbox=find("dadm_a"), kind="helpdesk", domain_id="b.example")
    page = as_("dadm_a").get(reverse("accounts:mailbox_roles", args=["user2@a.example"]))
    assert re.findall(r'<option value="([^"]*)"', page.content.decode()) == ["a.example"]
    assert b"everywhere" not in page.content
    assert b"Server admin" not in page.content
    page = as_("root1").get(reverse("accounts:mailbox_roles", args=["user2@a.example"]))
    assert len(re.findall(r"<option", page.content.decode())) == 5


def test_of_a_thousand_domains_one_is_typed(world, as_, django_assert_max_num_queries):
    Domain.objects.bulk_create(Domain(name=f"d{i}.example") for i in range(1000))
    Role.objects.bulk_create(
        Role(mailbox=find("dadm_a"), kind="admin", domain_id=f"d{i}.example") for i in range(1000)
    )
    client, url = as_("dadm_a"), reverse("accounts:mailbox_roles", args=["user2@a.example"])
    with django_assert_max_num_queries(10):
        page = client.get(url).content.decode()
    assert "<option" not in page
    assert 'name="domain" value="a.example"' in page
    assert len(page) < 20_000
    give_url = reverse("accounts:role_give", args=["user2@a.example"])
    assert (
        "You administer no domain of this name."
        in client.get(give_url, {"kind": "admin", "domain": "b.example"}).content.decode()
    )
    assert give(client, "user2@a.example", "admin", "D999.example").status_code == 302
    assert held("user2") == {("admin", "d999.example")}


def test_domain_page_leads_to_the_person(world, as_):
    client, url = as_("dadm_a"), reverse("domains:domain_roles", args=["a.example"])
    answer = client.get(url, {"person": "User2@a.example", "kind": "admin"})
    assert answer["Location"] == "/mailboxes/user2@a.example/roles/give/?kind=admin&domain=a.example"
    for person in ("user1@b.example", "nobody@a.example"):  # there, and not; told alike
        errors = client.get(url, {"person": person, "kind": "admin"}).context["form"].errors
        assert errors == {"person": ["There is no such mailbox in the domains that you look after."]}
    assert "Give somebody a role here" not in as_("help_a").get(url).content.decode()


def test_list_of_all_roles(world, as_):
    def shown(**asked):
        people = as_("root1").get(reverse("accounts:roles"), asked).context["people"]
        return [person.email for person in people]

    staff = sorted(email for email, roles in CAST.values() if roles)
    assert shown() == staff
    assert shown(kind="server") == sorted(CAST[name][0] for name in SERVER)
    assert shown(kind="admin") == sorted(
        ["boss@a.example", "boss@b.example", "both@a.example", "all@c.example"]
    )
    assert shown(domain="b.example") == sorted(["boss@b.example", "both@a.example", "help-ab@a.example"])
    assert shown(kind="helpdesk", domain="b.example") == ["help-ab@a.example"]
    assert shown(kind="server", domain="b.example") == []
    assert shown(domain="nowhere.example") == staff  # told at the field


def test_list_of_all_roles_goes_on(world, as_):
    Mailbox.objects.bulk_create(
        Mailbox(email=f"n{i:03}@hosted.example", domain_id="hosted.example", is_superuser=i % 3 == 0)
        for i in range(160)
    )
    boxes = Mailbox.objects.filter(domain="hosted.example", is_superuser=False)
    Role.objects.bulk_create(
        Role(mailbox=box, kind="helpdesk", domain_id=name)
        for box in boxes
        for name in ("a.example", "b.example")
    )
    found, url = [], reverse("accounts:roles")
    while url:
        answer = as_("root1").get(url)
        found += [person.email for person in answer.context["people"]]
        url = answer.context["people"].later and reverse("accounts:roles") + answer.context["people"].later
    assert found == sorted(
        Mailbox.objects.exclude(roles=None, is_superuser=False).distinct().values_list("email", flat=True)
    )
    answer = as_("root1").get(reverse("accounts:roles") + "?before=" + found[120])
    assert [person.email for person in answer.context["people"]] == found[70:120]


@pytest.mark.parametrize("number", [1, 40])
@pytest.mark.parametrize(("who", "path", "statements"), [
    ("root1", reverse("accounts:roles"), 8),
    ("dadm_a", reverse("domains:domain_roles", args=["a.example"]), 8),
])  # fmt: skip
def test_statements_of_a_page(world, as_, django_assert_num_queries, number, who, path, statements):
    boxes = Mailbox.objects.bulk_create(
        Mailbox(email=f"n{i:03}@a.example", domain_id="a.example", is_superuser=i % 3 == 0)
        for i in range(number)
    )
    for box in Mailbox.objects.filter(email__startswith="n"):
        Role.objects.create(mailbox=box, kind="helpdesk", domain_id="a.example")
    assert boxes
    client = as_(who)
    client.get(path)
    with django_assert_num_queries(statements):
        client.get(path)


# --- what a role does, and when it ends ---------------------------------------------------------------------


def test_a_role_works_and_ends_with_the_next_request(world, as_):
    person, admin = Client(), Client()
    for client, who in ((person, "user2"), (admin, "root1")):
        client.force_login(find(who), backend="accounts.authentication.MailboxBackend")
    url = reverse("accounts:mailbox_password", args=["user1@a.example"])
    assert person.post(url).status_code == 404
    give(admin, "user2@a.example", "helpdesk", "a.example")
    assert person.post(url).status_code == 200
    take(admin, "user2@a.example", "helpdesk", "a.example")
    before = find("user1").password
    assert person.post(url).status_code == 404
    assert find("user1").password == before
    words = [
        (entry.actor, entry.action) for entry in person.get(reverse("accounts:audit_own")).context["entries"]
    ]
    assert words == [("root1@c.example", "revoke"), ("root1@c.example", "grant")]


def test_sessions_of_staff_are_shorter_from_then_on(world, as_, settings):
    settings.MAILPANEL_SESSION_IDLE_MINUTES, settings.MAILPANEL_STAFF_SESSION_IDLE_MINUTES = 120, 30

    def idle(client):
        session = client.session
        session["seen"] = session["seen"] - 45 * 60
        session.save()
        return client.get("/").status_code

    client = as_("user2")
    client.get("/")
    assert idle(client) == 200
    roles.grant(find("user2"), "helpdesk", Domain.objects.get(name="a.example"), by=BY)
    assert idle(client) == 302


def test_giving_twice_is_told_once(world, as_):
    for _time in range(2):
        assert give(as_("root1"), "user2@a.example", "helpdesk", None).status_code == 302
    assert Role.objects.filter(mailbox=find("user2")).count() == 1
    entry = Audit.objects.get()
    # without a domain nobody there would see it
    assert (entry.domain, entry.after) == ("a.example", {"kind": "helpdesk", "domain": None})
    assert not roles.revoke(find("user1"), "admin", None, by=BY)
    assert Audit.objects.count() == 1


def test_rights_revoked_between_the_page_and_the_button(world, as_):
    client = as_("dadm_a")
    url = reverse("accounts:role_give", args=["user2@a.example"])
    assert client.get(url, {"kind": "admin", "domain": "a.example"}).status_code == 200
    Role.objects.filter(mailbox=find("dadm_a")).update(kind="helpdesk")
    assert give(client, "user2@a.example", "admin", "a.example").status_code == 403
    assert held("user2") == set()


# --- the last server admin ----------------------------------------------------------------------------------


def test_the_last_server_admin_does_not_step_down(world, as_):
    Mailbox.objects.exclude(email="root1@c.example").update(is_superuser=False)
    answer = take(as_("root1"), "root1@c.example", "server")
    assert answer.status_code == 200
    assert "no server admin" in answer.content.decode()
    assert find("root1").is_superuser
    assert not Audit.objects.exists()


def test_one_of_several_steps_down(world, as_):
    answer = take(as_("root1"), "root1@c.example", "server")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert held("root1") == set()
    assert as_("root1").get(reverse("accounts:roles")).status_code == 403


@pytest.fixture
def committed(transactional_db):
    people.settle()


@pytest.mark.parametrize("_round", range(3))
def test_two_server_admins_do_not_end_each_other(committed, _round):
    Mailbox.objects.filter(email="chief@a.example").update(is_superuser=False)
    barrier, errors = threading.Barrier(2), []

    def end(name):
        try:
            barrier.wait(10)
            roles.revoke(find(name), "server", None, by=BY)
        except ValidationError as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=end, args=[name]) for name in ("root1", "root2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    assert server_admins_who_can_sign_in().count() == 1
    assert Audit.objects.filter(action="revoke").count() == 1


def test_a_role_for_a_domain_that_goes_meanwhile(world):
    with pytest.raises(ValidationError, match="deleted meanwhile"):
        roles.grant(find("user2"), "helpdesk", Domain(name="gone.example"), by=BY)
    assert held("user2") == set()


# --- by command ---------------------------------------------------------------------------------------------


def test_command(world):
    assert (
        shell("role", "grant", "user2@a.example", "admin", "--domain", "B.example").out
        == "user2@a.example is domain admin of b.example.\n"
    )
    assert (
        shell("role", "grant", "user2@a.example", "admin", "--domain", "b.example").out
        == "user2@a.example was domain admin of b.example already.\n"
    )
    data = json.loads(shell("role", "grant", "user2@a.example", "server", "--json").out)
    assert data == {
        "address": "user2@a.example",
        "name": "user2",
        "roles": [{"kind": "server", "domain": None}, {"kind": "admin", "domain": "b.example"}],
    }
    shell("role", "grant", "user2@a.example", "helpdesk", "--all-domains")
    listed = shell("role", "list").out
    assert re.search(
        r"^user2@a.example +server admin, helpdesk of all domains, domain admin of b.example$", listed, re.M
    )
    assert "user1@a.example" not in listed
    assert [row["address"] for row in json.loads(shell("role", "list", "--domain", "b.example", "--json").out)] == [
        "boss@b.example", "both@a.example", "help-ab@a.example", "user2@a.example",
    ]  # fmt: skip
    assert (
        shell("role", "revoke", "user2@a.example", "server").out
        == "user2@a.example is not server admin any more.\n"
    )
    assert (
        shell("role", "revoke", "user2@a.example", "server").out == "user2@a.example was not server admin.\n"
    )
    assert held("user2") == {("admin", "b.example"), ("helpdesk", None)}
    assert {entry.actor.partition(":")[0] for entry in Audit.objects.all()} == {"shell"}


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["grant", "user2@a.example", "admin"], 2, "say --domain NAME or --all-domains"),
        (["grant", "user2@a.example", "server", "--domain", "a.example"], 2, "a server admin is one for all domains anyhow"),
        (["grant", "nobody@a.example", "server"], 1, "There is no mailbox nobody@a.example here."),
        (["grant", "user2@a.example", "admin", "--domain", "x.example"], 1, "There is no domain x.example here."),
    ],
)  # fmt: skip
def test_command_refuses(world, argv, code, words):
    assert refused("role", *argv, code=code) == words


def test_command_keeps_a_server_admin(world):
    Mailbox.objects.exclude(email="root1@c.example").update(is_superuser=False)
    told = refused("role", "revoke", "root1@c.example", "server")
    assert told == "This would leave no server admin who can sign in. Make another one first."
