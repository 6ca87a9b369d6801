"""The SQL contract: what each rendered map answers, asked as Postfix asks, on the migrated tables of this database."""

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from accounts.models import Mailbox, Sender
from domains.models import Alias, Domain
from domains.routing import Routes

LONG_AGO, TOMORROW = datetime(2020, 2, 2, 2, 2, 2, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)
REFUSED = "550 5.1.1 User unknown"


def domain(name, **columns):
    return Domain.objects.create(name=name, **columns)


def mailbox(email, **columns):
    return Mailbox.objects.create(email=email, domain_id=email.partition("@")[2], **columns)


def alias(source, *destinations, **columns):
    for destination in destinations:
        Alias.objects.create(
            source=source, destination=destination, domain_id=source.partition("@")[2], **columns
        )


# --- the precedence list of domains/routing.py, every combination ---------------------------------------------

MAILBOX = {"none": None, "on": True, "off": False}
ALIAS = {
    "none": None,
    "on": {},
    "off": {"enabled": False},
    "expired": {"expires": LONG_AGO},
    "later": {"expires": TOMORROW},
}
CASES = list(itertools.product(MAILBOX, ALIAS, ("itself", "mirror"), ("", "catch-all"), ("on", "off")))


def outcome(box, name, _asked, catch_all, state, home):
    """What is to become of user@<domain>, by the list in words: "not ours", "refused" or an address."""
    if state == "off":
        return "not ours"
    if name in ("on", "later"):
        return f"other@{home}"
    if box == "on":
        return f"user@{home}"
    if box == "off" or name in ("off", "expired"):
        return "refused"
    return f"all@{home}" if catch_all else "unknown"


@pytest.fixture(scope="module")
def world(_private, django_db_blocker):
    """Each combination in a domain of its own with a mirror, by case."""
    homes = {}
    with django_db_blocker.unblock(), _private.orm(), transaction.atomic():
        for number, case in enumerate(CASES):
            box, name, asked, catch_all, state = case
            home, mirror = f"c{number}.test", f"m{number}.test"
            # the domain that is asked for is the one that is off
            domain(home, enabled=state == "on" or asked == "mirror")
            domain(mirror, alias_of_id=home, enabled=state == "on" or asked == "itself")
            mailbox(f"other@{home}")
            mailbox(f"all@{home}")
            if MAILBOX[box] is not None:
                mailbox(f"user@{home}", enabled=MAILBOX[box])
            if ALIAS[name] is not None:
                alias(f"user@{home}", f"other@{home}", **ALIAS[name])
            if catch_all:
                alias(f"@{home}", f"all@{home}")
            homes[case] = home, f"user@{mirror if asked == 'mirror' else home}"
    return homes


def test_every_combination(private, world):
    """120 cases: mailbox x alias x asked by a mirror x catch-all x domain off."""
    asked = [address for _home, address in world.values()]
    ours = private.postmap("virtual_domains", *{address.partition("@")[2] for address in asked})
    aliases, refused = private.postmap("aliases", *asked), private.postmap("refused", *asked)
    catch_all = private.postmap("catch_all", *{"@" + address.partition("@")[2] for address in asked})
    mailboxes = private.postmap("mailboxes", *asked, *aliases.values())

    def told(address):
        """As Postfix puts the answers together."""
        name = address.partition("@")[2]
        if name not in ours:
            assert address not in aliases
            assert f"@{name}" not in catch_all
            return "not ours"
        if address in refused:
            # the alias map has to answer, or the catch-all would
            assert (refused[address], aliases[address].partition("@")[0]) == (REFUSED, "user")
            return "refused"
        goes_to = aliases.get(address) or catch_all.get(f"@{name}")
        if goes_to and goes_to.startswith("user@"):
            assert goes_to in mailboxes
        return goes_to or "unknown"

    expected = {address: outcome(*case, home) for case, (home, address) in world.items()}
    assert {address: told(address) for address in asked} == expected


def test_the_panel_tells_the_same(private, world):
    """domains/routing.py, which the forms ask, against the daemons' SQL."""
    steps = Routes().steps({address for _home, address in world.values()})
    for case, (home, address) in world.items():
        wanted = outcome(*case, home)
        step = steps[address]
        ends = {"not ours": "refused", "refused": "refused", "unknown": "refused", f"user@{home}": "mailbox"}
        assert (step.end, step.onward) == (ends.get(wanted, ""), [] if wanted in ends else [wanted]), case


# --- what does not fit into that table ------------------------------------------------------------------------


def goes(private, *keys):
    return private.postmap("aliases", *keys)


def test_alias_with_several_destinations_leaves_out_those_that_lead_nowhere(private):
    domain("several.test")
    mailbox("on@several.test")
    mailbox("off@several.test", enabled=False)
    alias(
        "sales@several.test",
        "on@several.test",
        "off@several.test",
        "gone@several.test",
        "x@elsewhere.example",
    )
    assert goes(private, "sales@several.test") == {
        "sales@several.test": "on@several.test,x@elsewhere.example"
    }


def test_chain_that_ends_at_nothing_is_refused_at_its_first_link(private):
    domain("chain.test")
    mailbox("off@chain.test", enabled=False)
    mailbox("on@chain.test")
    alias("a@chain.test", "b@chain.test")
    alias("b@chain.test", "c+tag@chain.test")
    alias("c@chain.test", "off@chain.test")
    alias("all@chain.test", "a@chain.test", "on@chain.test")
    alias("@chain.test", "on@chain.test")
    keys = ["a@chain.test", "b@chain.test", "c@chain.test", "all@chain.test"]
    assert private.postmap("refused", *keys) == dict.fromkeys(keys[:3], REFUSED)
    assert goes(private, *keys) == {key: key for key in keys[:3]} | {"all@chain.test": "on@chain.test"}
    Mailbox.objects.filter(email="off@chain.test").update(enabled=True)
    assert private.postmap("refused", *keys) == {}
    assert goes(private, "b@chain.test", "c@chain.test") == {
        "b@chain.test": "c+tag@chain.test",
        "c@chain.test": "off@chain.test",
    }


def test_circle_is_refused_and_not_deferred_for_days(private):
    domain("circle.test")
    alias("a@circle.test", "b@circle.test")
    alias("b@circle.test", "a@circle.test")
    alias("self@circle.test", "self@circle.test")
    assert set(private.postmap("refused", "a@circle.test", "b@circle.test", "self@circle.test")) == {
        "a@circle.test",
        "b@circle.test",
        "self@circle.test",
    }


def test_the_list_marks_what_the_door_refuses(private):
    """Aliases at random: chains, circles, tags, catch-alls, mirrors, mailboxes and aliases that are off."""
    chance = random.Random("marks")
    sources = []
    for number in range(12):
        home, mirror = f"r{number}.test", f"r{number}-mirror.test"
        domain(home)
        domain(mirror, alias_of_id=home)
        names = [f"n{i}" for i in range(8)]
        for name in chance.sample(names, 3):
            mailbox(f"{name}@{home}", enabled=chance.random() < 0.4)
        for name in chance.sample(names, 6):
            ends = (
                [f"{to}@{home}" for to in names]
                + [f"{to}+tag@{home}" for to in names]
                + [f"n1@{mirror}", f"x@{home}"]
            )
            alias(
                f"{name}@{home}",
                *chance.sample(ends, chance.choice([1, 1, 2])),
                enabled=chance.random() < 0.85,
            )
            sources.append(f"{name}@{home}")
        if chance.random() < 0.3:
            alias(f"@{home}", f"n0@{home}")
    refused = private.postmap("refused", *sources)
    marks = Routes().marks(sources)
    assert 10 < len(refused) < len(sources) - 10
    assert {source for source in sources if not marks[source].alive} == set(refused)


def test_alias_that_keeps_a_copy(private):
    domain("copy.test")
    mailbox("anna@copy.test")
    alias("anna@copy.test", "anna@copy.test", "phone@elsewhere.example")
    assert goes(private, "anna@copy.test") == {"anna@copy.test": "anna@copy.test,phone@elsewhere.example"}
    Mailbox.objects.filter(email="anna@copy.test").update(enabled=False)
    assert goes(private, "anna@copy.test") == {"anna@copy.test": "phone@elsewhere.example"}


def test_alias_to_a_domain_of_ours_that_is_off_is_refused(private):
    domain("from.test")
    domain("unlit.test", enabled=False)
    mailbox("bob@unlit.test")
    alias("bob@from.test", "bob@unlit.test")
    assert private.postmap("refused", "bob@from.test") == {"bob@from.test": REFUSED}
    Domain.objects.filter(name="unlit.test").update(enabled=True)
    assert private.postmap("refused", "bob@from.test") == {}


def test_alias_by_way_of_a_catch_all_or_a_mirror_is_alive(private):
    domain("way.test")
    domain("way-mirror.test", alias_of_id="way.test")
    mailbox("end@way.test")
    mailbox("off@way.test", enabled=False)
    alias("@way.test", "end@way.test")
    alias("one@way.test", "anything@way.test")
    alias("two@way.test", "end@way-mirror.test")
    alias("three@way.test", "off@way-mirror.test")
    keys = ["one@way.test", "two@way.test", "three@way.test"]
    assert private.postmap("refused", *keys) == {"three@way.test": REFUSED}


def test_catch_all_that_leads_nowhere_takes_nothing(private):
    domain("hollow.test")
    domain("hollow-mirror.test", alias_of_id="hollow.test")
    mailbox("off@hollow.test", enabled=False)
    mailbox("on@hollow.test")
    alias("@hollow.test", "off@hollow.test")
    assert private.postmap("catch_all", "@hollow.test", "@hollow-mirror.test") == {}
    alias("@hollow.test", "on@hollow.test")
    assert private.postmap("catch_all", "@hollow.test", "@hollow-mirror.test") == dict.fromkeys(
        ["@hollow.test", "@hollow-mirror.test"], "on@hollow.test"
    )
    # only that form of key
    assert private.postmap("catch_all", "x@hollow.test", "hollow.test", "x") == {}


def test_mirror_of_a_domain_that_is_off_leads_nowhere(private):
    domain("dim.test", enabled=False)
    domain("dim-mirror.test", alias_of_id="dim.test")
    mailbox("eva@dim.test")
    alias("@dim.test", "eva@dim.test")
    assert goes(private, "eva@dim-mirror.test") == {}
    assert private.postmap("catch_all", "@dim-mirror.test") == {}


def test_tagged_addresses_are_asked_for_without_the_tag(private):
    """Postfix asks for user+tag@, then for user@, and puts the tag back; “+” never matches a row by itself."""
    domain("tag.test")
    mailbox("user@tag.test")
    mailbox("off@tag.test", enabled=False)
    alias("@tag.test", "user@tag.test")
    for table in ("aliases", "refused", "mailboxes", "sender_logins"):
        assert private.postmap(table, "user+tag@tag.test", "off+tag@tag.test") == {}


@pytest.mark.parametrize("role", ["postmaster", "abuse"])
def test_role_addresses_lead_to_the_servers_postmaster(private, role):
    domain(f"{role}.test")
    domain(f"{role}-mirror.test", alias_of_id=f"{role}.test")
    domain(f"{role}-off.test", enabled=False)
    domain(f"{role}-relay.test", transport="smtp:[127.0.0.1]:9")
    Domain.objects.get_or_create(name="example.test")
    postmaster, _made = Mailbox.objects.get_or_create(
        email="postmaster@example.test", domain_id="example.test"
    )
    mailbox(f"everything@{role}.test")
    alias(f"@{role}.test", f"everything@{role}.test")
    names = [f"{role}@{role}.test", f"{role}@{role}-mirror.test"]
    elsewhere = [f"{role}@{role}-off.test", f"{role}@{role}-relay.test", f"{role}@unknown.test"]
    assert goes(private, *names, *elsewhere) == dict.fromkeys(names, postmaster.email)
    # one of the domain's own wins, and a refusal of its own, too
    mailbox(f"{role}@{role}.test")
    assert set(goes(private, *names).values()) == {f"{role}@{role}.test"}
    Mailbox.objects.filter(email=f"{role}@{role}.test").update(enabled=False)
    assert set(private.postmap("refused", *names)) == set(names)
    Mailbox.objects.filter(email=f"{role}@{role}.test").delete()
    # a postmaster who cannot receive answers nobody, rather than bouncing: then the catch-all does
    Mailbox.objects.filter(pk=postmaster.pk).update(enabled=False)
    assert goes(private, *names) == {}
    assert private.postmap("refused", *names) == {}
    Mailbox.objects.filter(pk=postmaster.pk).update(enabled=True)


def test_the_servers_own_name(private):
    Domain.objects.get_or_create(name="example.test")
    Mailbox.objects.get_or_create(email="postmaster@example.test", domain_id="example.test")
    host = "mail.example.test"
    assert private.postmap("own_name", host, "example.test", "elsewhere.example") == {host: host}
    keys = [f"{name}@{host}" for name in ("postmaster", "abuse", "root", "mailer-daemon", "anybody")]
    assert goes(private, *keys) == dict.fromkeys(keys[:4], "postmaster@example.test")
    domain(host)
    assert private.postmap("own_name", host) == {}
    Domain.objects.filter(name=host).delete()


def test_domains_by_transport(private):
    for name, transport in {
        "t1.test": "virtual:", "t2.test": "", "t3.test": "smtp:[192.0.2.1]:25", "t4.test": "relay:hop.example",
        "t5.test": "pipe:sh", "t6.test": "lmtp:inet:x", "t7.test": "smtp:",
    }.items():  # fmt: skip
        domain(name, transport=transport)
    domain("t8.test", transport="smtp:", enabled=False)
    keys = [f"t{number}.test" for number in range(1, 9)] + ["sub.t1.test", "sub.t3.test", "test", ".t3.test"]
    assert set(private.postmap("virtual_domains", *keys)) == {"t1.test", "t2.test"}
    relayed = {"t3.test": "smtp:[192.0.2.1]:25", "t4.test": "relay:hop.example", "t7.test": "smtp:"}
    assert set(private.postmap("relay_domains", *keys)) == set(relayed)
    # never “virtual:”, which would deliver past Dovecot; never a program
    assert private.postmap("transport", *keys, "x@t3.test", "*") == relayed
    assert private.postmap("relay_verify", *keys, "x@t3.test") == dict.fromkeys(
        relayed, "reject_unverified_recipient"
    )


def test_who_may_send_as_whom(private):
    domain("send.test")
    domain("send-mirror.test", alias_of_id="send.test")
    domain("send-off.test", enabled=False)
    domain("send-off-mirror.test", alias_of_id="send.test", enabled=False)
    anna, ben = mailbox("anna@send.test"), mailbox("ben@send.test")
    mailbox("mute@send.test", can_login=False)
    mailbox("gone@send.test", enabled=False)
    mailbox("dora@send-off.test")
    alias("sales@send.test", "anna@send.test")
    for who in (anna, ben):
        Sender.objects.create(mailbox=who, address="team@send.test")
    for who in Mailbox.objects.filter(email__in=["mute@send.test", "gone@send.test", "dora@send-off.test"]):
        Sender.objects.create(mailbox=who, address="team@send.test")
    keys = [
        "anna@send.test", "anna@send-mirror.test", "team@send.test", "sales@send.test", "mute@send.test",
        "gone@send.test", "dora@send-off.test", "anna@send-off-mirror.test", "@send.test", "nobody@send.test",
    ]  # fmt: skip
    answers = private.postmap("sender_logins", *keys)
    assert {key: set(value.split(",")) for key, value in answers.items()} == {
        "anna@send.test": {"anna@send.test"},
        "anna@send-mirror.test": {"anna@send.test"},
        "team@send.test": {"anna@send.test", "ben@send.test"},
    }


def test_senders_of_ours_by_domain(private):
    """Whatever stands before the @; and by nothing that only looks like a domain of ours."""
    Domain.objects.get_or_create(name="odd.test")
    Domain.objects.get_or_create(name="elsewhere.test", transport="smtp:[127.0.0.1]:9")
    ours = [
        "user@odd.test",
        "USER@ODD.TEST",
        "é@odd.test",
        "%@odd.test",
        "x'); DROP TABLE domain; --@odd.test",
        '"a@b"@odd.test',
    ]
    others = [
        "odd.test", "user", "user@", "user@_dd.test", "user@%", "user@x' OR '1'='1", "user@odd.test.", "user@.odd.test", "user@elsewhere.test",
        "odd.test@elsewhere.example.net", "user@xn--odd.test",
    ]  # fmt: skip
    assert set(private.postmap("own_senders", *ours, *others)) == set(ours)
    assert Domain.objects.filter(name="odd.test").exists()


@pytest.mark.parametrize(
    "key",
    [
        "é@odd.test", "o'neil@odd.test", "x' OR '1'='1@odd.test", "\\@odd.test", "%@odd.test", "_@odd.test", '"@odd.test',
        "x'); DROP TABLE alias; --@odd.test", "*@odd.test", "user@odd.test ", "USER@é.test", "@", "@@odd.test", "user",
    ],
)  # fmt: skip
def test_odd_keys_find_nothing_and_harm_nobody(private, key):
    Domain.objects.get_or_create(name="odd.test")
    Mailbox.objects.get_or_create(email="user@odd.test", domain_id="odd.test")
    for table in (
        "aliases", "refused", "catch_all", "mailboxes", "sender_logins", "virtual_domains", "relay_domains",
        "relay_verify", "transport", "own_name",
    ):  # fmt: skip
        assert private.postmap(table, key, "user@odd.test").get(key) is None
    assert goes(private, "user@odd.test", "USER@ODD.test") == {
        "user@odd.test": "user@odd.test",
        "USER@ODD.test": "user@odd.test",
    }
