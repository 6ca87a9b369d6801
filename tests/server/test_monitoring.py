"""What a load balancer and Prometheus get."""

import re

import pytest
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone

from mailpanel.server.models import Incident, Standing
from tests.people import find

TOKEN = "a token of the metrics"
SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\\n]*"(,[a-z]+="[^"\\\n]*")*\})? -?\d+(\.\d+)?(e[+-]\d+)?')


@pytest.fixture
def scrape(client, settings):
    settings.MAILPANEL_METRICS_TOKEN = TOKEN
    return lambda token=TOKEN, **more: client.get(
        "/metrics", headers={"Authorization": f"Bearer {token}"}, **more
    )


@pytest.fixture
def database_away(monkeypatch, settings):
    def away(*_arguments, **_others):
        raise OperationalError("the secret name of the host")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", away)


@pytest.mark.parametrize("ask", ["get", "head"])
def test_health(db, client, ask):
    answer = getattr(client, ask)("/healthz")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert answer.content == (b"ok\n" if ask == "get" else b"")
    assert answer.cookies == {}


def test_health_without_the_database(database_away, client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (503, b"unavailable\n")


def test_health_asks_nothing_of_sessions(world, as_, django_assert_num_queries):
    client = as_("root1")
    with django_assert_num_queries(0):  # it has a connection of its own
        assert client.get("/healthz").status_code == 200
    assert find("root1").is_superuser


@pytest.mark.parametrize("method", ["post", "put", "delete", "options"])
def test_nothing_else_may_be_asked(db, client, method):
    assert getattr(client, method)("/healthz").status_code == 405
    assert getattr(client, method)("/metrics").status_code == 405


@override_settings(SECURE_SSL_REDIRECT=True)
def test_by_an_address_and_behind_the_proxy(db, client):
    assert client.get("/healthz", headers={"Host": "192.0.2.17:8000"}).status_code == 200
    assert client.get("/sign-in/", headers={"Host": "192.0.2.17:8000"}).status_code in (301, 400)


def test_metrics_are_not_there_without_a_token(db, client):
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "é"])
def test_metrics_for_the_bearer_of_the_token_alone(db, scrape, token):
    answer = scrape(token)
    assert (answer.status_code, answer["WWW-Authenticate"], answer.content) == (401, "Bearer", b"")
    assert scrape().status_code == 200


def test_metrics(world, scrape):
    now = timezone.now()
    for key, state in (("imap", "ok"), ("smtp", "bad"), ("tls", "warn"), ("mx", "off")):
        Standing.objects.create(key=key, state=state, since=now, checked=now, seconds=0.25)
    Standing.objects.create(key="never", state="off", since=now, seconds=0)
    Incident.objects.create(key="smtp", began=now)
    Incident.objects.create(key="imap", began=now, ended=now)
    answer = scrape()
    text = answer.content.decode()
    lines = text.splitlines()
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    for line in (
        'mailpanel_probe_up{probe="imap"} 1',
        'mailpanel_probe_up{probe="smtp"} 0',
        'mailpanel_probe_up{probe="tls"} 1',
        'mailpanel_probe_state{probe="tls",state="warn"} 1',
        'mailpanel_probe_state{probe="tls",state="ok"} 0',
        'mailpanel_probe_duration_seconds{probe="imap"} 0.25',
        f'mailpanel_probe_last_check_timestamp_seconds{{probe="mx"}} {now.timestamp()}',
        "mailpanel_incidents_open 1",
        'mailpanel_build_info{version="0.1.0"} 1',
    ):
        assert line in lines
    assert 'probe_up{probe="mx"}' not in text
    assert "never" not in text
    assert text.endswith("\n")
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    for line in lines:
        assert line.startswith("# ") or (SAMPLE.fullmatch(line) and re.split("[{ ]", line)[0] in names), line


def test_metrics_count_from_the_counters(world, scrape, django_assert_num_queries):
    with django_assert_num_queries(4):
        text = scrape().content.decode()
    assert re.search(r"^mailpanel_domains \d+$", text, re.MULTILINE)


def test_metrics_without_the_database(database_away, scrape):
    answer = scrape()
    assert (answer.status_code, answer.content) == (503, b"")
