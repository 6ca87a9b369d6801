"""Two people at once: whoever saves second is told and shown both, and nothing is lost without a word."""

import re
import threading

import pytest
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import audit, lifecycle
from accounts.forms.mailboxes import MailboxForm
from accounts.models import Audit, Mailbox, Role, Sender
from domains import lifecycle as domain_lifecycle
from domains.lifecycle import Destination, destinations_of, save_alias
from domains.models import Alias, Domain
from tests import people
from tests.people import find

BY = audit.By("boss@a.example")
EDIT = reverse("accounts:mailbox_edit", args=["user2@a.example"])
INFO = reverse("domains:alias", args=["info@a.example"])
GB = 2**30


class Editor:
    """Somebody with a page of the panel open, in a browser of his own."""

    def __init__(self, who: str, url: str):
        self.client, self.url = Client(), url
        self.client.force_login(people.find(who), backend="accounts.authentication.MailboxBackend")
        self.read(self.client.get(url))

    def read(self, answer):
        """The fields of the page's form, as a browser would send them."""
        self.text = answer.content.decode()
        form = next(part for part in re.findall(r"<form.*?</form>", self.text, re.S) if 'name="seen"' in part)
        self.fields = {}
        for tag in re.findall(r"<input[^>]*>", form):
            found = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag)) | {"checked": " checked" in tag}
            if found.get("type") in ("checkbox", "radio") and not found["checked"]:
                continue
            default = "on" if found.get("type") == "checkbox" else ""
            if "name" in found and found["name"] != "csrfmiddlewaretoken":
                self.fields[found["name"]] = (
                    found.get("value", default).replace("&quot;", '"').replace("&#x27;", "'")
                )
        return self

    def type(self, **fields):
        for name, value in fields.items():
            if value is None:
                self.fields.pop(name, None)
            else:
                self.fields[name] = value
        return self

    def save(self) -> bool:
        """Whether it was saved; if not, the page is read anew."""
        self.answer = self.client.post(self.url, self.fields)
        if self.answer.status_code == 200:
            self.read(self.answer)
        return self.answer.status_code == 302

    @property
    def conflict(self):
        return self.answer.context["form"].conflict


# --- a mailbox ----------------------------------------------------------------------------------------------


def test_untouched_stale_field_reverts_nothing(world):
    one, other = Editor("dadm_a", EDIT), Editor("root1", EDIT)
    assert one.type(quota="2 GB").save()
    assert not other.type(name="X").save()
    assert (find("user2").quota, find("user2").name) == (2 * GB, "user2")
    assert "boss@a.example" in other.text
    [difference] = other.conflict.differences
    assert (difference.label, difference.now, difference.yours) == ("Quota", "2 GB", "")
    assert (other.fields["quota"], other.fields["name"]) == ("2 GB", "X")  # the new one, and what was typed
    assert other.save()
    assert (find("user2").quota, find("user2").name) == (2 * GB, "X")
    last = Audit.objects.order_by("-id").first()
    assert (last.before, last.after) == ({"name": "user2"}, {"name": "X"})


def test_both_changed_the_same_field(world):
    one, other = Editor("dadm_a", EDIT), Editor("root1", EDIT)
    assert one.type(name="Anna").save()
    assert not other.type(name="Änne").save()
    [difference] = other.conflict.differences
    assert (difference.now, difference.yours) == ("Anna", "Änne")
    assert other.fields["name"] == "Änne"
    assert find("user2").name == "Anna"
    assert other.save()
    assert find("user2").name == "Änne"


def test_changed_once_more_is_told_once_more(world):
    one, other = Editor("dadm_a", EDIT), Editor("root1", EDIT)
    assert one.type(name="A").save()
    assert not other.type(quota="1 GB").save()
    assert Editor("dadm_a", EDIT).type(enabled=None).save()
    assert not other.save()
    assert "enabled" not in other.fields
    assert other.save()
    mailbox = find("user2")
    assert (mailbox.name, mailbox.quota, mailbox.enabled) == ("A", GB, False)


def test_two_windows_of_one_person(world):
    one, other = Editor("dadm_a", EDIT), Editor("dadm_a", EDIT)
    assert one.type(name="A").save()
    assert not other.type(name="B").save()
    assert "another window" in other.text


def test_another_row_changed_or_a_password_is_no_conflict(world):
    editor = Editor("dadm_a", EDIT)
    lifecycle.change_mailbox(find("user1"), {"name": "Z"}, by=BY)
    Mailbox.objects.filter(email="user2@a.example").update(password=people.hashed())
    assert editor.type(name="B").save()


def test_what_the_page_carries_is_signed_for_this_row_and_holds_no_secret(world):
    editor, stranger = Editor("dadm_a", EDIT), Editor("dadm_a", EDIT.replace("user2", "user1"))
    values = signing.loads(editor.fields["seen"], salt="seen:mailbox:user2@a.example")
    assert set(values) == {"name", "quota", "enabled", "can_login", "must_change_password"}
    assert values["name"] == "user2"
    for token in (stranger.fields["seen"], "x", editor.fields["seen"][:-2], ""):
        assert not Editor("dadm_a", EDIT).type(seen=token, name="Forged").save()
        assert find("user2").name == "user2"
    form = MailboxForm(mailbox=find("user2"))
    assert people.hashed()[10:] not in str(form.opened)


def test_deleted_meanwhile_is_told(world):
    editor = Editor("dadm_a", EDIT)
    Editor("root1", EDIT).client.post(reverse("accounts:mailbox_delete", args=["user2@a.example"]))
    answer = editor.client.post(EDIT, editor.fields)
    assert answer.status_code == 404
    assert "root1@c.example</bdi> deleted" in answer.content.decode()
    # who may not see the deletion reads what everybody reads
    Role.objects.filter(mailbox=find("dadm_a")).delete()
    assert "deleted" not in editor.client.post(EDIT, editor.fields).content.decode()


@pytest.mark.parametrize(
    ("state", "column", "value"),
    [
        ("on", "enabled", True),
        ("off", "enabled", False),
        ("sign-in", "can_login", True),
        ("no-sign-in", "can_login", False),
    ],
)
def test_button_whose_work_is_done_already_says_so(world, as_, state, column, value):
    Mailbox.objects.filter(email="user2@a.example").update(**{column: value})
    url = reverse("accounts:mailbox_state", args=["user2@a.example"])
    text = as_("dadm_a").post(url, {"state": state}, follow=True).content.decode()
    assert "already" in text
    assert not Audit.objects.exists()


# --- every sequence of two editors ----------------------------------------------------------------------------

MOVES = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.sampled_from(["open", "save", "name", "quota", "enabled"]),
        st.integers(0, 2),
    ),
    min_size=4,
    max_size=14,
)
VALUES = {"name": ["a", "b", "c"], "quota": ["", "1 GB", "2 GB"], "enabled": [None, "on", "on"]}


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(moves=MOVES)
def test_no_sequence_of_two_editors_loses_a_field_silently(world, moves):
    """Whatever a save overwrites, its editor has been shown: in the page as it was opened, or in the conflict."""

    def state():
        row = find("user2")
        return {"name": row.name, "quota": row.quota, "enabled": row.enabled}

    Mailbox.objects.filter(email="user2@a.example").update(name="user2", quota=None, enabled=True)
    Audit.objects.all().delete()
    editors = [Editor("dadm_a", EDIT), Editor("root1", EDIT)]
    shown, touched = [state(), state()], [set(), set()]
    for who, move, value in moves:
        if move == "open":
            editors[who] = Editor(["dadm_a", "root1"][who], EDIT)
            shown[who], touched[who] = state(), set()
        elif move != "save":
            editors[who].type(**{move: VALUES[move][value]})
            touched[who].add(move)
        else:
            before = state()
            saved = editors[who].save()
            after = state()
            if saved:
                assert before == shown[who]
                assert {key for key in after if after[key] != before[key]} <= touched[who]
                editors[who] = Editor(["dadm_a", "root1"][who], EDIT)
                shown[who], touched[who] = after, set()
            else:
                assert after == before
                assert editors[who].conflict
                shown[who] = before


# --- a domain, and an alias with its destinations -------------------------------------------------------------


def test_domain(world):
    url = reverse("domains:domain_edit", args=["a.example"])
    one, other = Editor("dadm_a", url), Editor("root1", url)
    assert one.type(description="Ours").save()
    assert not other.type(max_mailboxes="20").save()
    assert other.fields["description"] == "Ours"
    assert other.save()
    domain = Domain.objects.get(name="a.example")
    assert (domain.description, domain.max_mailboxes) == ("Ours", 20)
    # whoever may not write a column is not told of it
    boss = Editor("dadm_a", url)
    domain_lifecycle.change_domain(domain, {"max_mailboxes": 30}, by=BY)
    assert boss.type(description="Yours").save()


def there():
    return {to.address: (to.enabled, to.comment) for to in destinations_of("info@a.example")}


def test_alias_that_both_added_to(world):
    one, other = Editor("dadm_a", INFO), Editor("root1", INFO)
    assert one.type(**{"to-2-address": "one@elsewhere.example", "to-2-enabled": "on"}).save()
    assert not other.type(**{"to-2-address": "other@elsewhere.example", "to-2-enabled": "on"}).save()
    assert "other@elsewhere.example" not in there()
    [difference] = other.conflict.differences
    assert (difference.label, difference.now, difference.yours) == (
        "one@elsewhere.example",
        "switched on",
        "",
    )
    assert other.save()
    assert there().keys() == {
        "user1@a.example",
        "user2@a.example",
        "one@elsewhere.example",
        "other@elsewhere.example",
    }


def test_alias_of_which_both_changed_one_destination(world):
    one, other = Editor("dadm_a", INFO), Editor("root1", INFO)
    assert one.type(**{"to-0-DELETE": "on"}).save()
    assert not other.type(**{"to-0-comment": "Front desk", "to-1-comment": "Back"}).save()
    [difference] = other.conflict.differences
    assert (difference.label, difference.now) == ("user1@a.example", "not a destination")
    assert difference.yours == "switched on, Front desk"
    assert there() == {"user2@a.example": (True, "")}
    assert other.save()
    assert there() == {"user1@a.example": (True, "Front desk"), "user2@a.example": (True, "Back")}


def test_same_destination_added_by_both_is_not_left_out(world):
    one, other = Editor("dadm_a", INFO), Editor("root1", INFO)
    more = {"to-2-address": "same@elsewhere.example", "to-2-enabled": "on"}
    assert one.type(**more).save()
    assert not other.type(**more).save()
    assert other.save()
    assert "same@elsewhere.example" in there()


def test_right_to_send_and_the_copy_of_the_mailbox_are_seen_too(world):
    Alias.objects.create(source="user2@a.example", destination="user1@a.example", domain_id="a.example")
    people.recount()
    url = reverse("domains:alias", args=["user2@a.example"])
    one, other = Editor("dadm_a", url), Editor("root1", url)
    assert one.type(shadow="as_well", **{"to-0-send_as": "on"}).save()
    assert not other.type(**{"to-0-comment": "Reads along"}).save()
    assert len(other.conflict.differences) == 2
    assert (other.fields["shadow"], Sender.objects.count()) == ("as_well", 1)


def test_alias_that_was_made_or_deleted_meanwhile(world, as_):
    editor = Editor("dadm_a", INFO)
    save_alias("info@a.example", [], by=audit.By("root1@c.example"))
    answer = editor.client.post(INFO, editor.fields)
    assert answer.status_code == 404
    assert "root1@c.example</bdi> deleted" in answer.content.decode()
    # and in between the look of the view and its save
    with pytest.raises(ValidationError, match="deleted meanwhile"):
        save_alias("info@a.example", [Destination("user1@a.example")], by=BY, compare=editor_form().compare)


def editor_form():
    from domains.forms import AliasForm

    return AliasForm({}, mailbox=None, source="info@a.example", row=[Destination("user1@a.example")])


# --- at the same moment -----------------------------------------------------------------------------------------


@pytest.fixture
def committed(transactional_db):
    people.settle()


def at_once(*works):
    barrier, results = threading.Barrier(len(works)), [None] * len(works)

    def run(index, work):
        try:
            barrier.wait(10)
            results[index] = work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("url", [EDIT, INFO, reverse("domains:domain_edit", args=["a.example"])])
def test_one_of_two_saves_at_the_same_moment_is_told(committed, url):
    field = {EDIT: "name", INFO: "to-0-comment"}.get(url, "description")
    for number in range(4):
        editors = [Editor("dadm_a", url), Editor("root1", url)]
        editors[0].type(**{field: f"one {number}"})
        editors[1].type(**{field: f"other {number}"})
        assert sorted(at_once(*[editor.save for editor in editors])) == [False, True]
        assert sum("changed this while you were editing" in editor.text for editor in editors) == 1


def test_alias_made_by_two_at_the_same_moment(committed):
    url = reverse("domains:alias_new", args=["a.example"])

    def maker(who, to):
        client = Client()
        client.force_login(find(who), backend="accounts.authentication.MailboxBackend")
        data = {
            "local": "fresh",
            "to-TOTAL_FORMS": "1",
            "to-INITIAL_FORMS": "0",
            "to-0-address": to,
            "to-0-enabled": "on",
        }
        return lambda: client.post(url, data).status_code

    statuses = at_once(maker("dadm_a", "user1@a.example"), maker("root1", "user2@a.example"))
    assert sorted(statuses) == [200, 302]
    assert Alias.objects.filter(source="fresh@a.example").count() == 1
