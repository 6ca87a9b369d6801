"""Where the probes go is said by the settings alone."""

import inspect

import pytest

from mailpanel.daemons import Trouble, probing, targets


@pytest.mark.parametrize(
    ("name", "value", "address"),
    [
        ("smtp", "192.0.2.25:25", ("192.0.2.25", 25)),
        ("smtp", "[2001:db8::25]:25", ("2001:db8::25", 25)),
        ("clamd", "/run/clamav/clamd.ctl", "/run/clamav/clamd.ctl"),
        ("lmtp", "192.0.2.9:24", ("192.0.2.9", 24)),
        ("resolver", "[::1]:53", ("::1", 53)),
    ],
)
def test_read(settings, name, value, address):
    settings.MAILPANEL_PROBE_TARGETS = targets.read({name: value})
    assert targets.find(name).address == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtp", "mail.example.org:25"), ("smtp", "localhost:25"), ("smtp", "192.0.2.25"), ("smtp", "192.0.2.25:0"), ("smtp", "192.0.2.25:70000"),
        ("smtp", "/run/x"), ("smtp", "192.0.2.25:25\r\nHELO x"), ("smtp", ""), ("smtp", "1:25"), ("imap", "file:///etc/passwd"),
        ("imap", "unix:../../x"), ("redis", "127.0.0.1:6379"), ("resolver", "/etc/resolv.conf"), ("SMTP", "192.0.2.25:25"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(name, value):
    """A name is refused, too: what it resolves to could change between two looks."""
    with pytest.raises(ValueError, match="MAILPANEL_PROBE_TARGETS"):
        targets.read({name: value})


def test_off(settings):
    settings.MAILPANEL_PROBE_TARGETS = {"pop3": "off"}
    with pytest.raises(Trouble, match="Switched off"):
        targets.find("pop3")


def test_usual_places(settings):
    settings.PRIVATE_COPY = False
    assert targets.find("imaps").address == ("127.0.0.1", 993)
    assert targets.find("lmtp").address == "/run/dovecot/lmtp-postfix"
    assert targets.find("smtp").address[1] == 25
    assert targets.start("postfix") == "sudo systemctl restart postfix"
    settings.PRIVATE_COPY = True
    assert targets.find("imaps").address == ("127.0.0.1", settings.MAILPANEL_PORTS["imaps"])
    assert targets.find("clamd").address.startswith(str(settings.MAILPANEL_VAR))


def test_a_probe_gets_nothing_but_its_deadline():
    """So nothing of a request can say where it goes."""
    for asked in probing.probes().values():
        assert list(inspect.signature(asked.look).parameters) == ["watch"]


def test_every_probe_is_asked_in_the_order_of_the_page():
    groups = [asked.group for asked in probing.probes().values()]
    assert groups == sorted(groups, key=probing.GROUPS.index)
    assert len(groups) >= 24
