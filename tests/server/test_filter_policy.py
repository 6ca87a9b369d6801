"""What the spam filter does for whom: field by field, from the server to the mailbox; and who may say so."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from accounts import audit, lifecycle, restore
from accounts.models import Audit, Mailbox, Role, Trash
from domains.models import Domain
from mailpanel.server import filter_policy
from mailpanel.server.models import FilterPolicy, FilterSender
from mailpanel.server.models.filter import BANNED, DEFAULTS, SERVER
from tests.people import find

BY = audit.By("root1@c.example")
USER = "user1@a.example"
FORM = {"do": "save", "subject": "", "mark": "", "files": "", "digest": ""}


def save(client, url, **fields):
    """The form as it is shown, with these changes."""
    form = client.get(url).context["form"]
    shown = {name: form[name].value() for name in form.fields} | {"do": "save", form._seen_name: seen(form)}
    return client.post(
        url, {name: "" if value is None else value for name, value in (shown | fields).items()}
    )


def seen(form) -> str:
    return re.search(r'value="([^"]*)"', form.seen)[1]


@pytest.fixture
def own():
    return reverse("accounts:filter_own")


def test_the_server_has_the_defaults(db):
    """The migration says the same, so that a table that was emptied changes nothing."""
    row = FilterPolicy.objects.get(scope=SERVER)
    assert {column: getattr(row, column) for column in DEFAULTS} == DEFAULTS
    FilterPolicy.objects.all().delete()
    assert {field: found.value for field, found in filter_policy.applied([SERVER]).items()} == DEFAULTS


def test_most_specific_scope_decides_field_by_field(world):
    filter_policy.change("@a.example", {"spam_tag2_level": 4.0, "spam_subject_tag2": "[SPAM] "}, by=BY)
    filter_policy.change(USER, {"spam_tag2_level": 6.0, "spam_kill_level": 6.0}, by=BY)
    found = filter_policy.applied([USER, *filter_policy.wider(USER)])
    assert found["spam_tag2_level"] == (6.0, USER)
    assert found["spam_subject_tag2"] == ("[SPAM] ", "@a.example")
    assert found["banned_rulenames"] == ("programs", SERVER)
    filter_policy.change(USER, {"spam_tag2_level": None, "spam_kill_level": None}, by=BY)
    assert not FilterPolicy.objects.filter(scope=USER).exists()


def test_end_user_sets_the_own(world, as_, own):
    client = as_("user1")
    assert (
        save(client, own, spam_kill_level="8.0", subject="own", mark="[Müll]", digest="1").status_code == 302
    )
    row = FilterPolicy.objects.get(scope=USER)
    assert (row.spam_kill_level, row.spam_subject_tag2, row.digest, row.spam_tag2_level) == (
        8.0,
        "[Müll] ",
        True,
        None,
    )
    entry = Audit.objects.get()
    assert (entry.actor, entry.action, entry.kind, entry.name, entry.domain) == (
        USER,
        "change",
        "filter",
        USER,
        "a.example",
    )
    assert entry.after == {"spam_kill_level": 8.0, "spam_subject_tag2": "[Müll] ", "digest": True}
    log = client.get(reverse("accounts:audit_own")).content.decode()
    assert "changed the spam filter of" in log
    assert "into the quarantine from" in log
    save(client, own, spam_kill_level="", subject="", digest="")
    assert not FilterPolicy.objects.filter(scope=USER).exists()


def test_page_tells_what_holds_and_who_says_so(world, as_, own):
    filter_policy.change("@a.example", {"spam_kill_level": 7.5}, by=BY)
    page = as_("user1").get(own).content.decode()
    assert "As a.example has it: a score of 7.5" in page
    assert "As the server has it: a score of 5" in page
    filter_policy.change(USER, {"spam_kill_level": 6.25}, by=BY)
    page = as_("user1").get(own).content.decode()
    assert '<option value="6.25" selected>a score of 6.25</option>' in page
    facts = as_("help_a").get(reverse("accounts:mailbox_filter", args=[USER])).context["facts"]
    assert [(str(label), value, scope) for label, value, scope in facts][2] == (
        "Into the quarantine from", "a score of 6.25", USER,
    )  # fmt: skip


def test_viruses_are_no_choice_of_an_end_user(world, as_, own):
    assert "bypass_virus_checks" not in as_("user1").get(own).context["form"].fields
    save(as_("user1"), own, bypass_virus_checks="Y", bypass_spam_checks="Y")
    row = FilterPolicy.objects.get(scope=USER)
    assert (row.bypass_virus_checks, row.bypass_spam_checks) == (None, "Y")
    assert "bypass_virus_checks" not in as_("help_a").get(own).context["form"].fields
    save(as_("dadm_a"), reverse("accounts:mailbox_filter", args=[USER]), bypass_virus_checks="Y")
    assert FilterPolicy.objects.get(scope=USER).bypass_virus_checks == "Y"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"spam_kill_level": "4.0"}, "spam_kill_level"),  # the server marks from 5
        ({"spam_tag2_level": NEVER}, "spam_kill_level") if (NEVER := "99999.0") else None,
        ({"spam_kill_level": "7.77"}, "spam_kill_level"),
        ({"spam_kill_level": "nan"}, "spam_kill_level"),
        ({"spam_kill_level": "1e999"}, "spam_kill_level"),
        ({"subject": "own", "mark": ""}, "mark"),
        ({"subject": "own", "mark": "a\nBcc: x"}, "mark"),
        ({"subject": "own", "mark": "a\u202eb"}, "mark"),
        ({"subject": "own", "mark": "x" * 64}, "mark"),
        ({"files": "own", "sets": []}, "sets"),
        ({"files": "own", "sets": ["programs,none"]}, "sets"),
        ({"bypass_spam_checks": "W"}, "bypass_spam_checks"),
        ({"digest": "2"}, "digest"),
    ],
)
def test_bad_input_is_told_at_the_field(world, as_, own, fields, wrong):
    answer = save(as_("user1"), own, **fields)
    assert answer.status_code == 200
    assert wrong in answer.context["form"].errors
    assert not FilterPolicy.objects.exclude(scope=SERVER).exists()


def test_server_and_domain(world, as_):
    save(as_("root1"), reverse("server:filter"), spam_tag2_level="6.0", files="own", sets=["macros", "disks"])
    row = FilterPolicy.objects.get(scope=SERVER)
    assert (row.spam_tag2_level, row.banned_rulenames, row.spam_kill_level) == (6.0, "macros,disks", 10.0)
    url = reverse("domains:domain_filter", args=["a.example"])
    save(as_("dadm_a"), url, files="none", digest="1")
    row = FilterPolicy.objects.get(scope="@a.example")
    assert (row.banned_rulenames, row.digest, row.spam_tag2_level) == ("", True, None)
    assert as_("root1").post(reverse("server:filter"), FORM | {"spam_tag2_level": ""}).status_code == 200
    assert FilterPolicy.objects.get(scope=SERVER).spam_tag2_level == 6.0


def test_empty_row_of_the_server_is_made_anew(world, as_):
    FilterPolicy.objects.all().delete()
    save(as_("root1"), reverse("server:filter"), spam_kill_level="12.0")
    row = FilterPolicy.objects.get(scope=SERVER)
    assert {column: getattr(row, column) for column in DEFAULTS} == DEFAULTS | {"spam_kill_level": 12.0}


def test_who_looks_after_a_mirror_alone_sees_nothing_of_its_target(world, as_):
    Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    for who in ("user1_b", "dadm_a"):
        Role.objects.create(mailbox=find(who), kind="admin", domain_id="mirror.example")
    filter_policy.add_senders("@a.example", ["rival@outside.example"], "B", by=BY)
    url = reverse("domains:domain_filter", args=["mirror.example"])
    for who, knows in (("user1_b", False), ("dadm_a", True), ("root1", True)):
        client = as_(who)
        answers = client.get(url), client.post(url, {"do": "remove", "sender": "rival@outside.example"})
        for answer in answers:
            assert answer.status_code == 200
            assert ("rival" in answer.content.decode()) is knows


def test_mirror_shows_the_policy_of_its_target(world, as_):
    Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    filter_policy.change("@a.example", {"spam_kill_level": 7.5}, by=BY)
    url = reverse("domains:domain_filter", args=["mirror.example"])
    page = as_("root1").get(url)
    assert "a score of 7.5" in page.content.decode()
    assert as_("root1").post(url, FORM | {"spam_kill_level": "12.0"}).status_code == 200
    assert not FilterPolicy.objects.filter(scope="@mirror.example").exists()
    with pytest.raises(filter_policy.ValidationError):
        filter_policy.change("@mirror.example", {"spam_kill_level": 12.0}, by=BY)


@pytest.mark.parametrize(
    ("who", "status"), [("user1", 404), ("help_a", 403), ("dadm_b", 404), ("dadm_a", 302), ("root1", 302)]
)
def test_who_may_set_that_of_a_mailbox(world, as_, who, status):
    url = reverse("accounts:mailbox_filter", args=["user2@a.example"])
    for data in (
        {**FORM, "spam_kill_level": "8.0", "spam_tag2_level": ""},
        {"do": "add", "of-senders": "x@y.example", "of-wb": "W"},
    ):
        client = as_(who)
        if status == 302 and data["do"] == "save":
            assert save(client, url, spam_kill_level="8.0").status_code == status
        else:
            assert client.post(url, data).status_code == status
    changed = status == 302
    assert FilterPolicy.objects.filter(scope="user2@a.example").exists() is changed
    assert FilterSender.objects.filter(scope="user2@a.example").exists() is changed


def test_domain_admin_does_not_change_that_of_somebody_above(world, as_):
    url = reverse("accounts:mailbox_filter", args=["chief@a.example"])
    assert as_("dadm_a").post(url, FORM | {"bypass_virus_checks": "Y"}).status_code == 403


# --- two editors ----------------------------------------------------------------------------------------------


def test_two_who_change_different_fields(world, as_, own):
    client = as_("user1")
    first = client.get(own).context["form"]
    stale = {name: first[name].value() or [] for name in first.fields} | {
        "do": "save",
        first._seen_name: seen(first),
    }
    save(client, own, files="own", sets=["macros"], digest="1")
    answer = client.post(own, stale | {"spam_kill_level": "8.0"})
    form = answer.context["form"]
    assert {str(one.label) for one in form.conflict.differences} == {
        "Banned files",
        "The files",
        "Daily mail about the quarantine",
    }
    assert form.conflict.last.actor == USER
    assert form["sets"].value() == ["macros"]
    assert FilterPolicy.objects.get(scope=USER).spam_kill_level is None
    again = {name: form[name].value() or [] for name in form.fields} | {
        "do": "save",
        form._seen_name: seen(form),
    }
    assert client.post(own, again).status_code == 302
    row = FilterPolicy.objects.get(scope=USER)
    assert (row.spam_kill_level, row.banned_rulenames, row.digest) == (8.0, "macros", True)


def test_stale_form_writes_nothing_that_was_not_touched(world, as_, own):
    client = as_("user1")
    filter_policy.change(USER, {"spam_kill_level": 12.0}, by=BY)
    save(client, own, digest="1")
    assert FilterPolicy.objects.get(scope=USER).spam_kill_level == 12.0
    assert Audit.objects.first().after == {"digest": True}


def test_deleted_meanwhile(world):
    Mailbox.objects.filter(email=USER).delete()
    with pytest.raises(filter_policy.ValidationError, match="deleted meanwhile"):
        filter_policy.change(USER, {"digest": True}, by=BY)
    with pytest.raises(filter_policy.ValidationError, match="deleted meanwhile"):
        filter_policy.add_senders(USER, ["x@y.example"], "W", by=BY)


# --- senders --------------------------------------------------------------------------------------------------


def add(client, url, senders, wb="W"):
    return client.post(url, {"do": "add", "of-senders": senders, "of-wb": wb})


def test_add_and_remove_senders(world, as_, own):
    client = as_("user1")
    assert (
        add(
            client, own, "Shop@Outside.Example\n\n bücher.example \n@x.example\nbounce+a=b@lists.example"
        ).status_code
        == 302
    )
    assert dict(FilterSender.objects.filter(scope=USER).values_list("sender", "wb")) == dict.fromkeys(
        ["shop@outside.example", "@xn--bcher-kva.example", "@x.example", "bounce+a=b@lists.example"], "W"
    )
    add(client, own, "@x.example", "B")
    assert FilterSender.objects.get(sender="@x.example").wb == "B"
    page = client.get(own)
    assert page.context["blocked"] == ["@x.example"]
    client.post(own, {"do": "remove", "sender": "@x.example"})
    assert not FilterSender.objects.filter(sender="@x.example").exists()
    assert list(Audit.objects.order_by("id").values_list("action", "before", "after"))[1:] == [
        ("senders", {"@x.example": "W"}, {"@x.example": "B"}), ("senders", {"@x.example": "B"}, None),
    ]  # fmt: skip
    log = client.get(reverse("accounts:audit_own")).content.decode()
    assert "changed the allowed and blocked senders of" in log


@pytest.mark.parametrize(
    "senders", ["", "@", "no such thing", "x@y.example\nx@@y", "*@x.example", "@localhost", "a@b.example, c@d.example", "@a.example\x00", "x" * 30_000]
)  # fmt: skip
def test_senders_that_are_none(world, as_, own, senders):
    answer = add(as_("user1"), own, senders)
    assert answer.status_code == 200
    assert answer.context["senders_form"].errors
    assert not FilterSender.objects.exists()


def test_at_most_some_hundred(world, as_, own, monkeypatch):
    monkeypatch.setattr(filter_policy, "MOST_SENDERS", 3)
    client = as_("user1")
    add(client, own, "a.example\nb.example\nc.example")
    add(client, own, "a.example\nb.example", "B")
    assert FilterSender.objects.filter(wb="B").count() == 2
    answer = add(client, own, "d.example")
    assert "At most 3 senders stand in one list. There are 3." in answer.content.decode()
    assert FilterSender.objects.count() == 3


def test_removing_reaches_the_own_scope_alone(world, as_, own):
    filter_policy.add_senders("user2@a.example", ["x@y.example"], "W", by=BY)
    as_("user1").post(own, {"do": "remove", "sender": "x@y.example"})
    assert FilterSender.objects.filter(scope="user2@a.example").exists()


# --- with the mailbox and the domain --------------------------------------------------------------------------


def test_goes_and_comes_back_with_the_mailbox(world):
    filter_policy.change(USER, {"spam_kill_level": 8.5, "digest": True, "spam_subject_tag2": ""}, by=BY)
    filter_policy.add_senders(USER, ["x@y.example"], "W", by=BY)
    row = FilterPolicy.objects.filter(scope=USER).values().get()
    with pytest.raises(lifecycle.dovecot.DaemonError):
        lifecycle.close_mailbox(find("user1"), by=BY)
    assert not FilterPolicy.objects.filter(scope=USER).exists()
    assert not FilterSender.objects.filter(scope=USER).exists()
    restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    assert FilterPolicy.objects.filter(scope=USER).values().get() == row
    assert FilterSender.objects.values_list("sender", "wb").get() == ("x@y.example", "W")


def test_goes_and_comes_back_with_the_domain(world):
    filter_policy.change("@b.example", {"spam_kill_level": 8.5}, by=BY)
    filter_policy.change("user1@b.example", {"digest": True}, by=BY)
    filter_policy.change("@a.example", {"spam_kill_level": 9.0}, by=BY)
    with pytest.raises(lifecycle.dovecot.DaemonError):
        lifecycle.close_domain(Domain.objects.get(name="b.example"), by=BY)
    assert set(FilterPolicy.objects.values_list("scope", flat=True)) == {SERVER, "@a.example"}
    restore.bring_back(Trash.objects.order_by("-id").first().deletion, by=BY)
    assert set(FilterPolicy.objects.values_list("scope", flat=True)) == {
        SERVER,
        "@a.example",
        "@b.example",
        "user1@b.example",
    }


def test_new_owner_of_an_address_inherits_nothing(world):
    filter_policy.change(USER, {"spam_kill_level": 8.5}, by=BY)
    filter_policy.add_senders(USER, ["x@y.example"], "W", by=BY)
    for act in (
        lambda: lifecycle.close_mailbox(find("user1"), by=BY),
        lambda: lifecycle.open_mailbox(
            Mailbox(email=USER, domain_id="a.example"), None, by=BY, anew=True, beside_alias="as_well"
        ),
    ):
        with pytest.raises(lifecycle.dovecot.DaemonError):
            act()
    assert Mailbox.objects.filter(email=USER).exists()
    assert not FilterPolicy.objects.filter(scope=USER).exists()
    assert not FilterSender.objects.filter(scope=USER).exists()


# --- with Amavis ----------------------------------------------------------------------------------------------


def test_rule_sets_are_those_of_amavis():
    path = Path(settings.BASE_DIR) / "deploy/amavis/amavisd.conf"
    rules = path.read_text().partition("%banned_rules = (")[2].partition("\n);")[0]
    assert set(re.findall(r"^  '(\w+)' =>", rules, re.MULTILINE)) == {*BANNED, "none"}
