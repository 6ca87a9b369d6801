"""The probes of DNS against a resolver on loopback that says what it is told to."""

import time

import pytest

from domains.models import Domain
from mailpanel.daemons import State, resolver
from tests.daemons.conftest import look
from tests.nameserver import Nameserver

HOST = "mail.example.test"
WELL = {
    (".", "NS"): ["a.root."],
    (f"{HOST}.", "A"): ["8.8.4.25"],
    ("25.4.8.8.in-addr.arpa.", "PTR"): [f"{HOST}."],
    ("first.example.", "MX"): [f"10 {HOST}."],
    ("second.example.", "MX"): ["10 other.example.", f"20 {HOST.upper()}."],
}
LISTED = "25.4.8.8.zen.spamhaus.org."


@pytest.fixture
def world(settings):
    """world(changes): a nameserver that says that all is well but for these."""
    settings.MAILPANEL_PROBE_SECONDS = 1.2
    servers = []

    def put_up(changes=None):
        resolver._cache.flush()
        servers.append(Nameserver(WELL | (changes or {})))
        settings.MAILPANEL_PROBE_TARGETS = {"resolver": f"127.0.0.1:{servers[-1].port}"}
        return servers[-1]

    yield put_up
    for server in servers:
        server.door.close()


def test_all_is_well(world):
    world()
    seen = look("resolver", "hostname", "blocklists")
    assert {probe.state for probe in seen.values()} == {State.OK}
    assert "8.8.4.25" in str(seen["hostname"].detail)
    assert "2 lists" in str(seen["blocklists"].detail)


@pytest.mark.parametrize("answer", ["SILENCE", "SERVFAIL", "GARBAGE", "TRUNCATED", ["alias.example."]])
def test_a_resolver_that_fails_costs_its_deadline_and_no_more(world, answer):
    world({**dict.fromkeys(WELL, answer), "*": answer})
    begin = time.monotonic()
    seen = look("resolver", "hostname", "blocklists")
    assert time.monotonic() - begin < 2
    for probe in seen.values():
        assert probe.state != State.OK or answer == ["alias.example."], str(probe.detail)
        assert "itself failed" not in str(probe.detail)


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({(f"{HOST}.", "A"): None}, State.BAD, "has no address"),
        ({("25.4.8.8.in-addr.arpa.", "PTR"): None}, State.WARN, "8.8.4.25 leads back to - instead"),
        ({("25.4.8.8.in-addr.arpa.", "PTR"): ["rented.example.net."]}, State.WARN, "rented.example.net"),
        ({(f"{HOST}.", "AAAA"): ["2001:4860::25"]}, State.WARN, "2001:4860::25 leads back to -"),
    ],
)
def test_own_name(world, changes, state, words):
    world(changes)
    seen = look("hostname")["hostname"]
    assert (seen.state, words in str(seen.detail)) == (state, True), str(seen.detail)
    assert str(seen.hint)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (["127.0.0.2"], State.BAD, "is on the list zen.spamhaus.org: “sends junk ?[31m”"),
        (["127.255.255.254"], State.WARN, "does not answer this resolver"),
        (["127.255.255.252"], State.WARN, "does not answer this resolver"),
        (["203.0.113.9"], State.WARN, "does not answer this resolver"),
        (None, State.OK, "On none of 2 lists"),
    ],
)
def test_blocklists(world, answer, state, words):
    world({(LISTED, "A"): answer, (LISTED, "TXT"): ['"sends junk \\027[31m"']})
    seen = look("blocklists")["blocklists"]
    assert (seen.state, words in str(seen.detail)) == (state, True), str(seen.detail)


def test_what_was_answered_is_asked_again_only_when_it_is_old(world):
    server = world()
    look("blocklists")
    first = len(server.asked)
    look("blocklists")
    # NXDOMAIN without an SOA record cannot be kept; the address can
    assert server.asked.count((f"{HOST}.", "A")) == 1
    assert len(server.asked) < 2 * first


@pytest.fixture
def two_domains(transactional_db):
    Domain.objects.create(name="first.example")
    Domain.objects.create(name="second.example")


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, State.OK, "2 domains lead here"),
        ({("first.example.", "MX"): ["10 other.example."]}, State.WARN, "MX of 1 domain does not name this server: first.example"),
        ({("first.example.", "MX"): None}, State.WARN, "first.example"),
        ({("second.example.", "MX"): ["0 ."]}, State.WARN, "takes no mail: second.example"),
        ({("second.example.", "MX"): "SERVFAIL"}, State.WARN, "no answer for second.example"),
    ],
)  # fmt: skip
def test_mx(two_domains, world, changes, state, words):
    world(changes)
    seen = look("mx")["mx"]
    assert (seen.state, words in str(seen.detail)) == (state, True), str(seen.detail)


def test_mx_of_many_domains_is_bounded(transactional_db, world):
    Domain.objects.bulk_create([Domain(name=f"d{number:03}.example") for number in range(300)])
    server = world({"*": [f"10 {HOST}."]})
    assert "50 domains lead here" in str(look("mx")["mx"].detail)
    assert len(server.asked) == 50


def test_a_private_copy_asks_nobody(settings):
    settings.MAILPANEL_PROBE_TARGETS = {}
    assert {probe.state for probe in look("resolver", "hostname", "mx", "blocklists").values()} == {State.OFF}
