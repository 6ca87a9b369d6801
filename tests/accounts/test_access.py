"""The role matrix: every route, for every role, with GET and POST, on objects in scope, out of scope and outranking."""

import contextlib
import re
from datetime import timedelta

import pytest
from django.urls import get_resolver, reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import access, audit, lifecycle
from accounts.access import To
from accounts.models import Audit, Mailbox, Role, SecondFactor, Trash
from domains.lifecycle import save_alias
from domains.models import Alias, DkimKey, Domain
from mailpanel.daemons import DaemonError
from mailpanel.management.log_lines import delivered
from mailpanel.server.models import Message
from tests.held import hold
from tests.people import CAST, PASSWORD, find
from tests.server.log_lines import took

ROLES = ["anonymous", "user1", "help_a", "dadm_a", "root1"]
IN = "user2@a.example"
OUT = "user1@b.example"
ABOVE = "chief@a.example"

# route, object | GET as anonymous, user, helpdesk, domain admin, server admin | the same for POST with an empty body
MATRIX = """
home                       -                 | 302 200 200 200 200 | 302 405 405 405 405
theme                      -                 | 405 405 405 405 405 | 302 302 302 302 302
language                   -                 | 405 405 405 405 405 | 302 302 302 302 302
server:healthz             -                 | 200 200 200 200 200 | 405 405 405 405 405
server:metrics             -                 | 404 404 404 404 404 | 405 405 405 405 405
accounts:sign_in           -                 | 200 302 302 302 302 | 200 302 302 302 302
accounts:second_step       halfway           | 200 200 200 200 200 | 200 200 200 200 200
accounts:second_step       -                 | 302 302 302 302 302 | 302 302 302 302 302
accounts:second_factor     -                 | 302 200 200 200 200 | 302 405 405 405 405
accounts:second_factor_set_up -              | 302 200 200 200 200 | 302 200 200 200 200
accounts:second_factor_codes has-one         | 302 200 200 200 200 | 302 200 200 200 200
accounts:second_factor_codes -               | 302 302 302 302 302 | 302 302 302 302 302
accounts:second_factor_off has-one           | 302 200 200 200 200 | 302 200 200 200 200
accounts:second_factor_off -                 | 302 302 302 302 302 | 302 302 302 302 302
accounts:sign_out          -                 | 405 405 405 405 405 | 302 302 302 302 302
accounts:password          -                 | 302 200 200 200 200 | 302 200 200 200 200
accounts:password_strength -                 | 302 405 405 405 405 | 302 200 200 200 200
accounts:search            -                 | 302 403 200 200 200 | 302 405 405 405 405
accounts:mailboxes         -                 | 302 403 200 200 200 | 302 405 405 405 405
accounts:mailboxes_bulk    -                 | 302 405 405 405 405 | 302 403 403 302 302
accounts:mailboxes_export  -                 | 302 403 403 200 200 | 302 405 405 405 405
accounts:mailbox           user2@a.example   | 302 404 200 200 200 | 302 405 405 405 405
accounts:mailbox           user1@a.example   | 302 404 200 200 200 | 302 405 405 405 405
accounts:mailbox           user1@b.example   | 302 404 404 404 200 | 302 405 405 405 405
accounts:mailbox           chief@a.example   | 302 404 200 200 200 | 302 405 405 405 405
accounts:mailbox_edit      user2@a.example   | 302 404 403 200 200 | 302 404 403 200 200
accounts:mailbox_edit      user1@b.example   | 302 404 404 404 200 | 302 404 404 404 200
accounts:mailbox_edit      chief@a.example   | 302 404 403 403 200 | 302 404 403 403 200
accounts:mailbox_state     user2@a.example   | 302 404 403 200 200 | 302 404 403 302 302
accounts:mailbox_state     user1@b.example   | 302 404 404 404 200 | 302 404 404 404 302
accounts:mailbox_state     chief@a.example   | 302 404 403 403 200 | 302 404 403 403 302
accounts:mailbox_password  user2@a.example   | 302 404 200 200 200 | 302 404 200 200 200
accounts:mailbox_password  help@a.example    | 302 404 403 200 200 | 302 404 403 200 200
accounts:mailbox_password  boss@a.example    | 302 404 403 403 200 | 302 404 403 403 200
accounts:mailbox_password  both@a.example    | 302 404 403 403 200 | 302 404 403 403 200
accounts:mailbox_password  user1@b.example   | 302 404 404 404 200 | 302 404 404 404 200
accounts:mailbox_password  chief@a.example   | 302 404 403 403 200 | 302 404 403 403 200
accounts:mailbox_second_factor user2@a.example | 302 404 200 200 200 | 302 404 200 200 200
accounts:mailbox_second_factor help@a.example | 302 404 403 200 200 | 302 404 403 200 200
accounts:mailbox_second_factor boss@a.example | 302 404 403 403 200 | 302 404 403 403 200
accounts:mailbox_second_factor user1@b.example | 302 404 404 404 200 | 302 404 404 404 200
accounts:mailbox_second_factor chief@a.example | 302 404 403 403 200 | 302 404 403 403 200
accounts:mailbox_unlock    user2@a.example   | 302 405 405 405 405 | 302 404 302 302 302
accounts:mailbox_unlock    help@a.example    | 302 405 405 405 405 | 302 404 403 302 302
accounts:mailbox_unlock    boss@a.example    | 302 405 405 405 405 | 302 404 403 403 302
accounts:mailbox_unlock    user1@b.example   | 302 405 405 405 405 | 302 404 404 404 302
accounts:mailbox_unlock    chief@a.example   | 302 405 405 405 405 | 302 404 403 403 302
accounts:mailbox_delete    user2@a.example   | 302 404 403 200 200 | 302 404 403 302 302
accounts:mailbox_delete    user1@b.example   | 302 404 404 404 200 | 302 404 404 404 302
accounts:mailbox_delete    chief@a.example   | 302 404 403 403 200 | 302 404 403 403 302
accounts:mailbox_roles     user2@a.example   | 302 404 403 200 200 | 302 405 405 405 405
accounts:mailbox_roles     boss@a.example    | 302 404 403 200 200 | 302 405 405 405 405
accounts:mailbox_roles     user1@b.example   | 302 404 404 404 200 | 302 405 405 405 405
accounts:mailbox_roles     chief@a.example   | 302 404 403 403 200 | 302 405 405 405 405
accounts:role_give         user2@a.example   | 302 404 403 200 200 | 302 404 403 403 403
accounts:role_give         user1@b.example   | 302 404 404 404 200 | 302 404 404 404 403
accounts:role_give         chief@a.example   | 302 404 403 403 200 | 302 404 403 403 403
accounts:role_take         help@a.example,helpdesk,a.example   | 302 404 403 200 200 | 302 404 403 302 302
accounts:role_take         both@a.example,admin,a.example      | 302 404 403 403 200 | 302 404 403 403 302
accounts:role_take         both@a.example,admin,b.example      | 302 404 404 404 200 | 302 404 404 404 302
accounts:role_take         boss@b.example,admin,b.example      | 302 404 404 404 200 | 302 404 404 404 302
accounts:role_take         chief@a.example,server,all          | 302 404 403 403 200 | 302 404 403 403 302
accounts:role_take         help-all@c.example,helpdesk,all     | 302 404 404 404 200 | 302 404 404 404 302
accounts:role_take         user2@a.example,helpdesk,a.example  | 302 404 404 404 404 | 302 404 404 404 404
accounts:roles             -                 | 302 403 403 403 200 | 302 405 405 405 405
accounts:audit             -                 | 302 403 200 200 200 | 302 405 405 405 405
accounts:audit_export      -                 | 302 405 405 405 405 | 302 403 200 200 200
accounts:audit_own         -                 | 302 200 200 200 200 | 302 405 405 405 405
accounts:trash             -                 | 302 403 200 200 200 | 302 405 405 405 405
accounts:trash_restore     mailbox           | 302 405 405 405 405 | 302 404 403 302 302
accounts:trash_restore     with-roles        | 302 405 405 405 405 | 302 404 403 403 302
accounts:trash_restore     foreign           | 302 405 405 405 405 | 302 404 404 404 302
accounts:trash_restore     domain            | 302 405 405 405 405 | 302 404 403 403 302
accounts:trash_restore     alias             | 302 405 405 405 405 | 302 404 403 302 302
accounts:filter_own        -                 | 302 200 200 200 200 | 302 200 200 200 200
accounts:mailbox_filter    user2@a.example   | 302 404 200 200 200 | 302 404 403 200 200
accounts:mailbox_filter    chief@a.example   | 302 404 200 200 200 | 302 404 403 403 200
accounts:mailbox_filter    user1@b.example   | 302 404 404 404 200 | 302 404 404 404 200
domains:domain_filter      a.example         | 302 404 200 200 200 | 302 404 403 200 200
domains:domain_filter      b.example         | 302 404 404 404 200 | 302 404 404 404 200
server:filter              -                 | 302 403 403 403 200 | 302 403 403 403 200
server:quarantine          -                 | 302 200 200 200 200 | 302 405 405 405 405
server:quarantine_act      -                 | 302 405 405 405 405 | 302 302 302 302 302
server:quarantine_message  held-in-a.1       | 302 404 200 200 200 | 302 405 405 405 405
server:quarantine_message  held-above.1      | 302 404 403 403 200 | 302 405 405 405 405
server:quarantine_message  held-in-b.1       | 302 404 404 404 200 | 302 405 405 405 405
server:messages            -                 | 302 200 200 200 200 | 302 405 405 405 405
server:message             user1@a.example   | 302 200 200 200 200 | 302 405 405 405 405
server:message             user2@a.example   | 302 404 200 200 200 | 302 405 405 405 405
server:message             user1@b.example   | 302 404 404 404 200 | 302 405 405 405 405
server:message             z@other.example   | 302 404 404 404 200 | 302 405 405 405 405
server:traffic             -                 | 302 403 403 403 200 | 302 405 405 405 405
domains:domain_messages    a.example         | 302 404 200 200 200 | 302 405 405 405 405
domains:domain_messages    b.example         | 302 404 404 404 200 | 302 405 405 405 405
domains:domain_traffic     a.example         | 302 404 403 200 200 | 302 405 405 405 405
domains:domain_traffic     b.example         | 302 404 404 404 200 | 302 405 405 405 405
server:status              -                 | 302 403 403 403 200 | 302 405 405 405 405
server:check               -                 | 302 405 405 405 405 | 302 403 403 403 302
server:incidents           -                 | 302 403 403 403 200 | 302 405 405 405 405
server:alerts              -                 | 302 403 403 403 200 | 302 405 405 405 405
server:alert_trial         -                 | 302 405 405 405 405 | 302 403 403 403 302
server:probe               imap              | 302 403 403 403 200 | 302 405 405 405 405
server:probe               no-such-probe     | 302 403 403 403 404 | 302 405 405 405 405
server:queue               -                 | 302 403 403 403 200 | 302 405 405 405 405
server:queue_do            -                 | 302 405 405 405 405 | 302 403 403 403 302
server:queue_message       4jcCW71dnYzJDhF   | 302 403 403 403 200 | 302 405 405 405 405
server:queue_message       --help            | 302 403 403 403 404 | 302 405 405 405 405
server:sending             -                 | 302 403 200 200 200 | 302 405 405 405 405
server:mailbox_limit       user2@a.example   | 302 404 403 200 200 | 302 404 403 200 200
server:mailbox_limit       user1@b.example   | 302 404 404 404 200 | 302 404 404 404 200
server:mailbox_limit       chief@a.example   | 302 404 403 403 200 | 302 404 403 403 200
server:domain_limit        a.example         | 302 404 403 403 200 | 302 404 403 403 200
server:domain_limit        b.example         | 302 404 404 404 200 | 302 404 404 404 200
domains:domains            -                 | 302 403 200 200 200 | 302 405 405 405 405
domains:domain_new         -                 | 302 403 403 403 200 | 302 403 403 403 200
domains:domain             a.example         | 302 404 200 200 200 | 302 405 405 405 405
domains:domain             b.example         | 302 404 404 404 200 | 302 405 405 405 405
domains:domain_edit        a.example         | 302 404 403 200 200 | 302 404 403 200 200
domains:domain_edit        b.example         | 302 404 404 404 200 | 302 404 404 404 200
domains:domain_delete      a.example         | 302 404 403 403 200 | 302 404 403 403 200
domains:domain_delete      b.example         | 302 404 404 404 200 | 302 404 404 404 200
domains:mailbox_new        a.example         | 302 404 403 200 200 | 302 404 403 200 200
domains:mailbox_new        b.example         | 302 404 404 404 200 | 302 404 404 404 200
domains:mailboxes_export   a.example         | 302 404 403 200 200 | 302 405 405 405 405
domains:mailboxes_export   b.example         | 302 404 404 404 200 | 302 405 405 405 405
domains:domain_aliases     a.example         | 302 404 200 200 200 | 302 405 405 405 405
domains:domain_aliases     b.example         | 302 404 404 404 200 | 302 405 405 405 405
domains:alias_new          a.example         | 302 404 403 200 200 | 302 404 403 200 200
domains:alias_new          b.example         | 302 404 404 404 200 | 302 404 404 404 200
domains:domain_activity    a.example         | 302 404 200 200 200 | 302 405 405 405 405
domains:domain_activity    b.example         | 302 404 404 404 200 | 302 405 405 405 405
domains:domain_roles       a.example         | 302 404 200 200 200 | 302 405 405 405 405
domains:domain_roles       b.example         | 302 404 404 404 200 | 302 405 405 405 405
domains:dns                a.example         | 302 404 200 200 200 | 302 404 200 200 200
domains:dns                b.example         | 302 404 404 404 200 | 302 404 404 404 200
domains:key_new            a.example         | 302 404 403 200 200 | 302 404 403 200 200
domains:key_new            b.example         | 302 404 404 404 200 | 302 404 404 404 200
domains:key_sign           a.example,waits   | 302 404 403 200 200 | 302 404 403 200 200
domains:key_sign           b.example,waits   | 302 404 404 404 200 | 302 404 404 404 200
domains:key_sign           a.example,none    | 302 404 403 404 404 | 302 404 403 404 404
domains:key_retire         a.example,signs   | 302 404 403 200 200 | 302 404 403 302 302
domains:key_retire         b.example,signs   | 302 404 404 404 200 | 302 404 404 404 302
domains:key_delete         a.example,waits   | 302 404 403 200 200 | 302 404 403 302 302
domains:key_delete         b.example,waits   | 302 404 404 404 200 | 302 404 404 404 302
domains:aliases            -                 | 302 403 200 200 200 | 302 405 405 405 405
domains:alias              info@a.example    | 302 404 200 200 200 | 302 404 403 200 200
domains:alias              secret@b.example  | 302 404 404 404 200 | 302 404 404 404 200
domains:alias_delete       info@a.example    | 302 404 403 200 200 | 302 404 403 302 302
domains:alias_delete       secret@b.example  | 302 404 404 404 200 | 302 404 404 404 302
domains:alias_delete       chief@a.example   | 302 404 403 403 200 | 302 404 403 403 302
domains:alias              chief@a.example   | 302 404 200 200 200 | 302 404 403 403 200
"""


def rows():
    for line in MATRIX.strip().splitlines():
        target, on_get, on_post = line.split("|")
        route, on = target.split()
        for method, statuses in (("GET", on_get), ("POST", on_post)):
            for role, status in zip(ROLES, statuses.split(), strict=True):
                yield pytest.param(route, on, method, role, int(status), id=f"{route} {on} {method} {role}")


def routes(resolver=None, prefix=""):
    for pattern in (resolver or get_resolver()).url_patterns:
        if hasattr(pattern, "url_patterns"):
            namespace = f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix
            yield from routes(pattern, namespace)
        else:
            yield prefix + pattern.name


def test_every_route_is_in_the_matrix():
    assert set(routes()) == {line.split()[0] for line in MATRIX.strip().splitlines()}


@pytest.mark.parametrize(("route", "on", "method", "role", "status"), list(rows()))
def test_role_matrix(world, as_, route, on, method, role, status):
    Alias.objects.create(source=ABOVE, destination="user1@a.example", domain_id="a.example")
    if route.startswith(("domains:dns", "domains:key")):
        keys(on.split(",")[0])
    if route == "server:quarantine_message":
        for name, to in {"held-in-a": IN, "held-above": "both@a.example", "held-in-b": OUT}.items():
            hold(to, mail_id=name)
    if route == "accounts:trash_restore":
        on = str(deleted(on))
    if route == "server:message":
        on = str(received(on))
    client = as_(None if role == "anonymous" else role)
    if on == "has-one" and role != "anonymous":
        SecondFactor.objects.create(user=find(role), key="00" * 20)
    if on == "halfway":
        stop_halfway(as_(None), "user9" if role == "anonymous" else role)
    url = reverse(route, args=[] if on in ("-", "has-one", "halfway") else on.split(","))
    answer = client.get(url) if method == "GET" else client.post(url, {})
    assert answer.status_code == status
    if status == 404:
        assert on.encode() not in answer.content


def keys(domain):
    for selector, state in (("signs", DkimKey.State.SIGNING), ("waits", DkimKey.State.WAITING)):
        DkimKey.objects.create(
            domain_id=domain, selector=selector, state=state, private_key="PEM", public_key="abc"
        )


def stop_halfway(client, who):
    """The password was right, and the code is still to come."""
    SecondFactor.objects.create(user=find(who), key="00" * 20)
    client.post(reverse("accounts:sign_in"), {"username": find(who).email, "password": PASSWORD})


def received(recipient):
    """The key of a message to this recipient; a number that stands nowhere else in a page."""
    Message.objects.bulk_create([Message(pk=987_654_320, host="x", at=timezone.now(), last=timezone.now())])
    for model in (Mailbox, Domain):
        model.objects.update(created=timezone.now() - timedelta(days=9))
    took(delivered("4AAAAAAA01", "s@x.example", recipient))
    return Message.objects.get(pk__gt=987_654_320).pk


def deleted(what):
    """Delete one of these; the key of the deletion."""
    by = audit.By("root1@c.example")
    with contextlib.suppress(DaemonError):
        match what:
            case "mailbox":
                lifecycle.close_mailbox(find("user9"), by=by)
            case "with-roles":
                lifecycle.close_mailbox(find("dadm_ab"), by=by)
            case "foreign":
                lifecycle.close_mailbox(find("user1_b"), by=by)
            case "domain":
                Domain.objects.create(name="gone.a.example")
                Role.objects.create(mailbox=find("dadm_a"), kind="admin", domain_id="gone.a.example")
                Role.objects.create(mailbox=find("help_a"), kind="helpdesk", domain_id="gone.a.example")
                lifecycle.close_domain(Domain.objects.get(name="gone.a.example"), by=by)
            case "alias":
                save_alias("alias1@a.example", [], by=by)
    Trash.objects.filter(table="domain").update(domain="a.example")  # within reach, and still not theirs
    return Trash.objects.order_by("-id").first().deletion


@pytest.mark.parametrize("role", ["user1", "help_a", "dadm_a"])
@pytest.mark.parametrize(
    ("route", "foreign", "unknown"),
    [
        ("accounts:mailbox", OUT, "nobody@b.example"),
        ("accounts:mailbox_edit", OUT, "nobody@b.example"),
        ("accounts:mailbox_password", OUT, "nobody@nowhere.example"),
        ("domains:domain", "b.example", "nowhere.example"),
        ("domains:alias", "secret@b.example", "nothing@b.example"),
        ("domains:mailbox_new", "b.example", "nowhere.example"),
    ],
)
def test_foreign_and_unknown_look_the_same(world, as_, role, route, foreign, unknown):
    client = as_(role)
    one, other = client.get(reverse(route, args=[foreign])), client.get(reverse(route, args=[unknown]))
    assert (one.status_code, other.status_code) == (404, 404)
    assert one.content == other.content


def test_refused_password_reset_changes_nothing_and_is_audited(world, as_):
    before = find("user1_b").password
    as_("dadm_a").post(reverse("accounts:mailbox_password", args=[OUT]), {"new": "Zx9-long-enough-pass"})
    assert find("user1_b").password == before
    as_("help_a").post(reverse("accounts:mailbox_password", args=["boss@a.example"]))
    assert [(row.actor, row.action, row.name) for row in Audit.objects.order_by("id")] == [
        ("boss@a.example", "denied", "/mailboxes/user1@b.example/password/"),
        ("help@a.example", "denied", "/mailboxes/boss@a.example/password/"),
    ]


@pytest.mark.parametrize("email", ["help@a.example", "help-ab@a.example"])
def test_helpdesk_resets_neither_itself_nor_a_colleague(world, as_, email):
    before = Mailbox.objects.get(email=email).password
    answer = as_("help_a").post(reverse("accounts:mailbox_password", args=[email]))
    assert answer.status_code == 403
    assert Mailbox.objects.get(email=email).password == before


def test_helpdesk_reset_changes_the_password_alone(world, as_):
    before = Mailbox.objects.filter(email=IN).values().get()
    hostile = {
        "quota": "0",
        "enabled": "",
        "is_superuser": "1",
        "domain": "b.example",
        "name": "Mallory",
        "can_login": "",
    }
    assert as_("help_a").post(reverse("accounts:mailbox_password", args=[IN]), hostile).status_code == 200
    after = Mailbox.objects.filter(email=IN).values().get()
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"password", "password_changed", "must_change_password", "modified"}


def test_revoked_right_is_gone_with_the_next_request(world, as_):
    client = as_("dadm_a")
    url = reverse("accounts:mailbox_edit", args=[IN])
    assert client.get(url).status_code == 200
    Role.objects.filter(mailbox=find("dadm_a")).delete()
    assert (
        client.post(url, {"name": "Changed", "quota": "", "enabled": "on", "can_login": "on"}).status_code
        == 404
    )
    assert Mailbox.objects.get(email=IN).name == "user2"


def test_mass_assignment_on_edit(world, as_):
    before = Mailbox.objects.filter(email=IN).values().get()
    as_("dadm_a").post(
        reverse("accounts:mailbox_edit", args=[IN]),
        {
            "name": "Renamed", "quota": "", "enabled": "on", "can_login": "on", "is_superuser": "1", "domain": "b.example",
            "email": "root@b.example", "password": "{PLAIN}x", "role": "superadmin",
        },
    )  # fmt: skip
    after = Mailbox.objects.filter(email=IN).values().get()
    assert {key for key in after if after[key] != before[key]} == {"name", "modified"}


def test_domain_admin_cannot_lift_the_own_limits(world, as_):
    Domain.objects.filter(name="a.example").update(max_mailboxes=20, quota_pool=2**40)
    as_("dadm_a").post(
        reverse("domains:domain_edit", args=["a.example"]),
        {
            "description": "Ours", "default_quota": "1 GB", "max_mailboxes": "0", "quota_pool": "", "max_aliases": "",
            "transport": "smtp:[evil]", "alias_of": "b.example", "enabled": "",
        },
    )  # fmt: skip
    domain = Domain.objects.get(name="a.example")
    assert (domain.description, domain.default_quota) == ("Ours", 2**30)
    assert (domain.max_mailboxes, domain.quota_pool, domain.transport) == (20, 2**40, "virtual:")
    assert domain.enabled
    assert domain.alias_of_id is None


def test_domain_in_the_body_does_not_move_a_new_mailbox(world, as_):
    url = reverse("domains:mailbox_new", args=["a.example"]) + "?domain=b.example"
    data = {
        "local": "fresh",
        "how": "none",
        "name": "",
        "quota": "",
        "domain": "b.example",
        "email": "fresh@b.example",
    }
    as_("dadm_a").post(url, data)
    assert (
        Mailbox.objects.filter(email__startswith="fresh").values_list("email", flat=True).get()
        == "fresh@a.example"
    )


def test_rights_do_not_follow_suffixes(world, as_):
    Domain.objects.bulk_create([Domain(name="sub.a.example"), Domain(name="evila.example")])
    Mailbox.objects.create(email="x@sub.a.example", domain_id="sub.a.example")
    for name in ("sub.a.example", "evila.example"):
        assert as_("dadm_a").get(reverse("domains:domain", args=[name])).status_code == 404
    assert as_("dadm_a").get(reverse("accounts:mailbox", args=["x@sub.a.example"])).status_code == 404


def test_lists_hold_what_may_be_seen_and_nothing_else(world, as_):
    for role, expected in {
        "help_a": {"a.example"},
        "dadm_ab": {"a.example", "b.example"},
        "root1": {"a.example", "b.example", "c.example", "off.example", "hosted.example"},
        "help_all": {"a.example", "b.example", "c.example", "off.example", "hosted.example"},
    }.items():
        person = find(role)
        assert set(access.domains(person).values_list("name", flat=True)) == expected
        assert set(access.mailboxes(person).values_list("domain_id", flat=True)) == expected - {
            "hosted.example"
        }
        shown = re.findall(
            r"/mailboxes/([^/\"@]+@[^/\"]+)/\"", as_(role).get(reverse("accounts:mailboxes")).content.decode()
        )
        assert {email.partition("@")[2] for email in shown} == expected - {"hosted.example"}


@pytest.mark.parametrize(
    ("actor", "target", "may"),
    [
        ("dadm_a", "user1", True),
        ("dadm_a", "help_a", True),
        ("dadm_a", "help_ab", False),  # holds helpdesk in b.example, which dadm_a lacks
        ("dadm_ab", "help_ab", True),
        ("dadm_a", "dadm_ab", False),
        ("dadm_ab", "dadm_a", True),
        ("dadm_a", "chief", False),
        ("dadm_all", "dadm_ab", True),
        ("dadm_all", "chief", False),
        ("dadm_all", "help_all", True),
        ("dadm_b", "user1", False),
        ("help_a", "user1", False),
        ("help_all", "user1", False),
        ("root1", "chief", True),
        ("user1", "user1", False),
    ],
)
def test_changing_follows_rank(world, actor, target, may):
    assert access.may(find(actor), To.CHANGE, find(target)) is may


ACTORS = sorted(CAST)
HOLDINGS = [
    (kind, domain)
    for kind in ("admin", "helpdesk")
    for domain in ("a.example", "b.example", "c.example", None)
]


@pytest.mark.parametrize("actor", ACTORS)
def test_changeable_is_may_of_each_row(world, actor):
    """The set-based rule for lists and bulk actions is the rule for one mailbox, for all of the cast."""
    person = find(actor)
    one_by_one = {box.email for box in Mailbox.objects.all() if access.may(person, To.CHANGE, box)}
    assert set(access.changeable(person).values_list("email", flat=True)) == one_by_one


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mine=st.sets(st.sampled_from(HOLDINGS)),
    theirs=st.lists(st.sets(st.sampled_from(HOLDINGS)), min_size=3, max_size=3),
    server=st.booleans(),
)
def test_changeable_is_may_whatever_roles_there_are(world, mine, theirs, server):
    Role.objects.all().delete()
    Mailbox.objects.filter(email="user1@a.example").update(is_superuser=server)
    holders = dict(zip(("user1", "user2", "user1_b"), theirs, strict=True)) | {"dadm_a": mine}
    Role.objects.bulk_create(
        Role(mailbox=find(name), kind=kind, domain_id=domain)
        for name, held in holders.items()
        for kind, domain in held
    )
    person = find("dadm_a")
    one_by_one = {box.email for box in Mailbox.objects.all() if access.may(person, To.CHANGE, box)}
    assert set(access.changeable(person).values_list("email", flat=True)) == one_by_one


@pytest.mark.parametrize(
    ("actor", "target", "may"),
    [
        ("help_a", "user1", True),
        ("help_all", "user1_b", True),
        ("help_a", "user1_b", False),
        ("help_a", "help_ab", False),
        ("help_all", "root1", False),
        ("dadm_a", "help_a", True),
        ("dadm_a", "dadm_a", False),
        ("root1", "root1", False),
        ("root1", "root2", True),
    ],
)
def test_resetting_follows_rank(world, actor, target, may):
    assert access.may(find(actor), To.RESET, find(target)) is may


def test_alias_that_takes_mail_from_a_mailbox_counts_as_changing_it(world, as_):
    url = reverse("domains:alias_new", args=["a.example"])
    data = {
        "local": "chief", "shadow": "instead", "to-TOTAL_FORMS": "1", "to-INITIAL_FORMS": "0",
        "to-0-address": "spy@evil.example", "to-0-enabled": "on",
    }  # fmt: skip
    assert as_("dadm_a").post(url, data).status_code == 403
    assert not Alias.objects.filter(source="chief@a.example").exists()
    assert as_("dadm_a").post(url, data | {"local": "user2"}).status_code == 302
    assert Alias.objects.filter(source="user2@a.example", destination="spy@evil.example").exists()
