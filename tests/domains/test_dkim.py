"""Keys for signing: made, published, switched, retired, deleted; their records, and what DNS has of them."""

import base64
import json
import re
import subprocess
import time

import dkim as verifier
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts import access, attention, audit, restore, trash
from accounts.lifecycle import close_domain
from accounts.models import Audit, Trash
from domains import dkim, lifecycle, records
from domains.models import DkimKey, Domain
from mailpanel.daemons import DaemonError, resolver
from tests.daemons.test_resolver import Nameserver
from tests.people import find
from tests.shell import audited, refused, shell

BY = audit.By("root1@c.example")
State, Seen = DkimKey.State, DkimKey.Seen
PEM = "-----BEGIN PRIVATE KEY-----\nthe secret of secrets\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def domain(world):
    return Domain.objects.get(name="a.example")


def key(selector="k1", state=State.WAITING, domain="a.example", public="abc"):
    """A row without the work of a real key."""
    return DkimKey.objects.create(
        domain_id=domain, selector=selector, state=state, private_key=PEM, public_key=public
    )


@pytest.fixture
def dns(settings):
    """dns({(name, kind): [...]}): a nameserver that says this and knows nothing else."""
    settings.MAILPANEL_PROBE_SECONDS = 1
    servers = []

    def put_up(said):
        resolver._cache.flush()
        servers.append(Nameserver(said))
        settings.MAILPANEL_PROBE_TARGETS = {"resolver": f"127.0.0.1:{servers[-1].port}"}
        return servers[-1]

    yield put_up
    for server in servers:
        server.door.close()


def published(*texts, selector="k1", domain="a.example"):
    return {(f"{selector}._domainkey.{domain}.", "TXT"): list(texts)}


# --- the key ------------------------------------------------------------------------------------------------


def test_a_key_signs_what_its_record_verifies(domain):
    made = dkim.make(domain, "k1", by=BY)
    assert made.state == State.WAITING
    assert b"2048 bit" in subprocess.run(
        ["openssl", "pkey", "-noout", "-text"], input=made.private_key.encode(), capture_output=True, check=True
    ).stdout  # fmt: skip
    message = b"From: user1@a.example\r\nTo: x@remote.example\r\nSubject: hello\r\n\r\nbody\r\n"
    header = verifier.sign(message, b"k1", b"a.example", made.private_key.encode())
    record = records.of_key(made)
    texts = {f"{record.name}.".encode(): record.value.encode()}
    assert verifier.verify(header + message, dnsfunc=lambda name, timeout=5: texts[name])
    assert not verifier.verify(
        header + message.replace(b"hello", b"other"), dnsfunc=lambda name, timeout=5: texts[name]
    )
    assert audited() == [("root1@c.example", "dkim_make", "domain", "a.example")]


def test_two_keys_are_two(domain):
    other = dkim.make(Domain.objects.get(name="b.example"), "k1", by=BY)
    assert dkim.make(domain, "k1", by=BY).public_key != other.public_key


def test_without_openssl_nothing_is_made(domain, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValidationError, match="openssl"):
        dkim.make(domain, "k1", by=BY)
    assert not DkimKey.objects.exists()
    assert not Audit.objects.exists()


@pytest.mark.parametrize(
    "selector",
    ["", "x\ny.example:/k", "..", "a/b", "a" * 64, "-a", "a-", "a.b", "a b", "a_b", "x;id", "$(id)", "\u212a", "ü", "a\u202e", "a\x00"],
)  # fmt: skip
def test_selectors_that_are_none(domain, as_, selector):
    with pytest.raises(ValidationError):
        dkim.parse_selector(selector)
    answer = as_("dadm_a").post(reverse("domains:key_new", args=["a.example"]), {"selector": selector})
    assert answer.context["form"].errors["selector"]
    assert not DkimKey.objects.exists()


@given(st.text(max_size=70))
def test_what_is_a_selector_is_a_label(text):
    try:
        selector = dkim.parse_selector(text)
    except ValidationError:
        return
    assert re.fullmatch(r"[a-z0-9-]{1,63}", selector)
    assert selector == text.strip(" ").lower()


def test_the_database_takes_no_other_selector_or_state(world):
    for wrong in ({"selector": "a.b"}, {"selector": ""}, {"state": "perhaps"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            key(**wrong)
    key("twice")
    with pytest.raises(IntegrityError), transaction.atomic():
        key("twice")


def test_the_name_of_the_record_fits_into_dns(world):
    long = Domain.objects.create(name=".".join(["x" * 60] * 3 + ["example"]))
    with pytest.raises(ValidationError, match="too long"):
        dkim.make(long, "s" * 63, by=BY)
    assert not DkimKey.objects.exists()


def test_the_proposed_selector_is_free(domain):
    first = dkim.proposed_selector(domain)
    assert re.fullmatch(r"\d{6}", first)
    key(first, State.RETIRED)
    second = dkim.proposed_selector(domain)
    assert second == f"{first}b"
    key(second)
    assert dkim.proposed_selector(domain) == f"{first}c"


def test_one_key_waits_and_one_signs(domain):
    old, new = key("old", State.SIGNING), key("new")
    with pytest.raises(ValidationError, match="new waits"):
        dkim.make(domain, "third", by=BY)
    dkim.let_sign(new, by=BY)
    assert dict(domain.dkim_keys.values_list("selector", "state")) == {"old": "retired", "new": "signing"}
    row = Audit.objects.get()
    assert (row.action, row.before, row.after) == ("dkim_sign", {"selector": "old"}, {"selector": "new"})
    dkim.let_sign(old, by=BY)  # back
    assert dict(domain.dkim_keys.values_list("selector", "state")) == {"old": "signing", "new": "retired"}


def test_other_domains_go_on_signing(domain):
    other = key(state=State.SIGNING, domain="b.example")
    dkim.let_sign(key(), by=BY)
    other.refresh_from_db()
    assert other.state == State.SIGNING


def test_retire_and_delete(domain):
    one = key(state=State.SIGNING)
    with pytest.raises(ValidationError, match="signs"):
        dkim.delete(one, by=BY)
    dkim.retire(one, by=BY)
    with pytest.raises(ValidationError, match="does not sign"):
        dkim.retire(one, by=BY)
    dkim.delete(one, by=BY)
    assert not DkimKey.objects.exists()
    assert not Trash.objects.exists()
    assert [row[1] for row in audited()] == ["dkim_retire", "dkim_delete"]


# --- nobody is shown the private key -------------------------------------------------------------------------


def test_the_private_key_is_nowhere(domain, as_):
    made = dkim.make(domain, "k1", by=BY)
    secret = made.private_key.splitlines()[3]
    client = as_("root1")
    for route in ("dns", "domain_activity", "domain"):
        assert secret not in client.get(reverse(f"domains:{route}", args=["a.example"])).content.decode()
    for route in ("key_sign", "key_delete"):
        assert (
            secret not in client.get(reverse(f"domains:{route}", args=["a.example", "k1"])).content.decode()
        )
    for verb in ("list", "record"):
        said = shell("dkim", verb, *([] if verb == "list" else ["a.example"]), "--json")
        assert secret not in said.out + said.err
    assert "private_key" not in audit.snapshot(made)
    with pytest.raises(DaemonError):
        close_domain(domain, by=BY)
    assert secret in json.dumps(Trash.objects.get(table="dkim_key").row)
    assert secret not in client.get(reverse("accounts:trash")).content.decode()
    assert secret not in shell("trash", "list", "--json").out
    assert secret not in json.dumps(list(Audit.objects.values("before", "after", "name", "reason")))


def test_keys_go_and_come_back_with_their_domain(domain):
    made, other = dkim.make(domain, "k1", by=BY), key(domain="b.example")
    dkim.let_sign(made, by=BY)
    made.refresh_from_db()
    before = DkimKey.objects.filter(pk=made.pk).values().get()
    with pytest.raises(DaemonError):
        close_domain(domain, by=BY)
    assert list(DkimKey.objects.all()) == [other]
    restore.bring_back(Trash.objects.get(table="domain").deletion, by=BY)
    assert DkimKey.objects.filter(pk=made.pk).values().get() == before


def test_a_new_owner_of_the_name_inherits_no_key(domain):
    key(state=State.SIGNING)
    with pytest.raises(DaemonError):
        close_domain(domain, by=BY)
    anew = Domain(name="a.example")
    lifecycle.open_domain(anew, by=BY)
    assert not anew.dkim_keys.exists()
    with pytest.raises(ValidationError):
        restore.bring_back(Trash.objects.get(table="domain").deletion, by=BY)
    assert not DkimKey.objects.exists()
    Trash.objects.exclude(table="domain").exclude(
        table="dkim_key"
    ).delete()  # mail, which takes Dovecot to erase
    trash.purge(Trash.objects.latest("at").at.replace(year=2999), by=BY)
    assert not Trash.objects.exists()


# --- records ------------------------------------------------------------------------------------------------


def test_the_record_in_strings_is_the_record(domain):
    record = records.of_key(dkim.make(domain, "k1", by=BY))
    parts = re.findall(r'"([^"]*)"', record.zone_line)
    assert "".join(parts) == record.value
    assert len(parts) == 2
    assert all(len(part) <= 255 for part in parts)
    assert record.zone_line.startswith("k1._domainkey.a.example. IN TXT ( ")
    assert base64.b64decode(records.tags(record.value)["p"])


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=1200))
def test_strings_are_short_and_lose_nothing(text):
    parts = records.strings(text)
    assert "".join(parts) == text
    assert all(len(part) <= 255 for part in parts)


@given(st.text(max_size=300))
def test_no_text_is_taken_for_the_record(text):
    assert not records.is_record_of(text, "abc/+=")
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", records.plain(text))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("v=DKIM1; k=rsa; p=abc", True), ("p=abc", True), ("v=DKIM1;p= a b\tc ;", True), ("k=rsa; t=s; p=abc; n=x", True),
        ("v=DKIM1; h=sha1:sha256; s=email; p=abc", True), ("v=DKIM1; h=sha1; p=abc", False), ("v=DKIM1; s=other; p=abc", False),
        ("v=DKIM2; p=abc", False), ("v=DKIM1; k=ed25519; p=abc", False), ("v=DKIM1; p=", False), ("v=DKIM1; p=abd", False),
        ("abc", False), ("", False), ("v=DKIM1; p=xyz; p=abc", False),
    ],
)  # fmt: skip
def test_what_is_the_record(text, right):
    assert records.is_record_of(text, "abc") is right


def test_idn_is_ascii_in_dns(world, as_):
    Domain.objects.create(name="xn--bcher-kva.example")
    key(domain="xn--bcher-kva.example", state=State.SIGNING)
    said = as_("root1").get(reverse("domains:dns", args=["xn--bcher-kva.example"])).content.decode()
    assert "k1._domainkey.xn--bcher-kva.example" in said
    assert "<h1>bücher.example" in said
    assert "_domainkey.bücher" not in said
    assert "v=DMARC1; p=quarantine; rua=mailto:postmaster@xn--bcher-kva.example" in said


def test_a_mirror_has_keys_of_its_own(world):
    mirror = Domain.objects.create(name="mirror.example", alias_of_id="a.example")
    assert records.of_key(dkim.make(mirror, "k1", by=BY)).name == "k1._domainkey.mirror.example"


# --- what DNS has -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (published('"v=DKIM1; k=rsa; p=abc"'), Seen.RIGHT),
        (published('"v=DKIM1; k=rsa; p=a" "bc"'), Seen.RIGHT),
        (published('"v=DKIM1; k=rsa; p=else"'), Seen.OTHER),
        (published('"v=DKIM1; p=abc"', '"v=DKIM1; p=abc"'.replace("abc", "abcd")), Seen.OTHER),
        ({}, Seen.MISSING),
        ({("k1._domainkey.a.example.", "TXT"): "SERVFAIL"}, Seen.UNKNOWN),
        ({"*": "SILENCE"}, Seen.UNKNOWN),
        ({"*": "GARBAGE"}, Seen.UNKNOWN),
    ],
)
def test_check_now(world, as_, dns, said, seen):
    key()
    dns(said)
    answer = as_("help_a").post(reverse("domains:dns", args=["a.example"]))
    kept = DkimKey.objects.get()
    assert (kept.seen, kept.asked is not None) == (seen, True)
    words = {"right": "Published", "other": "Another record", "missing": "Not found", "unknown": "No answer"}
    assert words[seen] in answer.content.decode()
    shown = as_("help_a").get(reverse("domains:dns", args=["a.example"])).content.decode()
    assert words[seen] in shown  # kept, and told without asking again


def test_a_page_asks_nobody(world, as_, dns):
    key()
    server = dns({})
    for who in ("help_a", "dadm_a", "root1"):
        assert as_(who).get(reverse("domains:dns", args=["a.example"])).status_code == 200
    as_("dadm_a").get(reverse("domains:key_sign", args=["a.example", "k1"]))
    assert server.asked == []


def test_what_else_a_domain_should_have(world, as_, dns, settings):
    host = settings.MAILPANEL_HOSTNAME
    dns({
        ("a.example.", "MX"): [f"5 {host}."], ("a.example.", "TXT"): ['"google-site=1"', '"v=spf1 MX -all"'],
        ("_dmarc.a.example.", "TXT"): ['"v=DMARC1; p=reject"'],
        ("b.example.", "MX"): ["0 ."], ("b.example.", "TXT"): ['"v=spf1 include:else.example -all"'],
        ("_dmarc.b.example.", "TXT"): ['"v=DMARC1; p=none"', '"v=DMARC1; p=reject"'],
    })  # fmt: skip

    def seen(name):
        client = as_("root1")
        return [r.seen for r in client.post(reverse("domains:dns", args=[name])).context["records"]]

    assert seen("a.example") == [Seen.RIGHT] * 3
    assert seen("b.example") == [Seen.OTHER] * 3
    assert seen("c.example") == [Seen.MISSING] * 3


def test_hostile_words_in_dns(world, as_, dns):
    key()
    dns(published('"<script>alert(1)</script>\\226\\128\\174evil\\027[31m"'))
    said = as_("help_a").post(reverse("domains:dns", args=["a.example"])).content.decode()
    assert "<script>alert" not in said
    assert "&lt;script&gt;alert" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_a_silent_resolver_costs_one_deadline(world, as_, dns):
    for number in range(8):
        key(f"k{number}", State.RETIRED)
    dns({"*": "SILENCE"})
    begin = time.monotonic()
    as_("help_a").post(reverse("domains:dns", args=["a.example"]))
    assert time.monotonic() - begin < 4  # the deadline is one second, and nine are asked for


# --- pages --------------------------------------------------------------------------------------------------


def test_make_publish_and_sign(world, as_, dns):
    client = as_("dadm_a")
    page = client.get(reverse("domains:key_new", args=["a.example"]))
    selector = page.context["form"]["selector"].value()
    answer = client.post(reverse("domains:key_new", args=["a.example"]), {"selector": selector}, follow=True)
    made = DkimKey.objects.get()
    assert made.public_key in answer.content.decode()
    dns({})
    refused = client.post(reverse("domains:key_sign", args=["a.example", selector]), {"reason": ""})
    assert "DNS does not have the record" in refused.content.decode()
    made.refresh_from_db()
    assert (made.state, made.seen) == (State.WAITING, Seen.MISSING)
    value = " ".join(f'"{part}"' for part in records.strings(records.of_key(made).value))
    dns(published(value, selector=selector))
    answer = client.post(
        reverse("domains:key_sign", args=["a.example", selector]), {"reason": "new"}, follow=True
    )
    made.refresh_from_db()
    assert (made.state, made.seen) == (State.SIGNING, Seen.RIGHT)
    assert f"Mail is signed with the key {selector}" in answer.content.decode()
    assert Audit.objects.first().reason == "new"


def test_who_knows_better_signs_anyway(world, as_, dns):
    key()
    dns({"*": "SILENCE"})
    as_("dadm_a").post(reverse("domains:key_sign", args=["a.example", "k1"]), {"anyway": "on"})
    assert DkimKey.objects.get().state == State.SIGNING


@pytest.mark.parametrize("who", ["help_a", "user1", "dadm_b"])
def test_others_change_no_key(world, as_, who):
    key(state=State.SIGNING)
    key("k2")
    client = as_(who)
    for route in ("key_sign", "key_retire", "key_delete"):
        for selector in ("k1", "k2"):
            answer = client.post(reverse(f"domains:{route}", args=["a.example", selector]), {"anyway": "on"})
            assert answer.status_code in (403, 404)
    assert set(DkimKey.objects.values_list("state", flat=True)) == {"signing", "waiting"}


def test_no_key_by_way_of_another_domain(world, as_):
    """A domain admin names the own domain, and the key of another one."""
    key("theirs", State.SIGNING, "b.example")
    client = as_("dadm_a")
    for route in ("key_sign", "key_retire", "key_delete"):
        assert client.post(reverse(f"domains:{route}", args=["a.example", "theirs"])).status_code == 404
    assert DkimKey.objects.get().state == State.SIGNING


def test_hidden_fields_of_a_key_are_nobodys(world, as_):
    client = as_("dadm_a")
    client.post(
        reverse("domains:key_new", args=["a.example"]),
        {
            "selector": "mine",
            "private_key": PEM,
            "public_key": "x",
            "state": "signing",
            "domain": "b.example",
        },
    )
    made = DkimKey.objects.get()
    assert (made.domain_id, made.state) == ("a.example", "waiting")
    assert made.private_key != PEM


def test_unsigned_domains_are_told_where_dns_is(world, settings):
    settings.PRIVATE_COPY = False

    def told(who):
        return [c.words for c in attention.concerns(find(who)) if "not signed" in c.words]

    assert told("root1") == ["Mail of 4 domains is not signed"]  # the fifth is off
    assert told("dadm_a") == ["Mail of 1 domain is not signed"]
    assert told("help_a") == told("user1") == []
    key(state=State.SIGNING)
    key(state=State.WAITING, domain="b.example")
    assert told("root1") == ["Mail of 3 domains is not signed"]
    assert told("dadm_a") == []
    settings.PRIVATE_COPY = True
    assert told("root1") == []
    assert access.domains(find("dadm_a")).count() == 1


# --- the command --------------------------------------------------------------------------------------------


def test_by_command(world, dns):
    made = json.loads(shell("dkim", "make", "a.example", "--selector", "k1", "--json").out)
    assert (made["state"], made["record_name"]) == ("waiting", "k1._domainkey.a.example")
    dns({})
    assert "it is not found" in refused("dkim", "switch", "a.example")
    assert "it is not found" in shell("dkim", "record", "a.example").out
    value = " ".join(f'"{part}"' for part in records.strings(made["record_value"]))
    dns(published(value))
    assert "the record is there" in shell("dkim", "record", "a.example").out
    assert "from now on" in shell("dkim", "switch", "a.example").out
    listed = shell("dkim", "list", "--search", "a.example").out
    assert re.search(r"^a\.example +k1 +signs +right", listed, re.MULTILINE)
    assert "signs" in refused("dkim", "delete", "a.example", "--yes")
    assert "retired" in shell("dkim", "retire", "a.example").out
    assert "--yes" in refused("dkim", "delete", "a.example")
    assert "is gone" in shell("dkim", "delete", "a.example", "--yes").out
    assert [row[1] for row in audited()] == ["dkim_make", "dkim_sign", "dkim_retire", "dkim_delete"]


def test_the_command_refuses(world):
    assert "no such key" in refused("dkim", "record", "a.example")
    assert "There is no domain" in refused("dkim", "make", "nowhere.example")
    assert "selector" in refused("dkim", "make", "a.example", "--selector", "a/b")
    key("one", State.RETIRED)
    key("two", State.RETIRED)
    assert "one" in refused("dkim", "record", "a.example")
    assert refused("dkim", "switch", "a.example")
