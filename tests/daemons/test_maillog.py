"""Lines of the mail log: what is read from them, and what no stranger can make of them."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpanel.daemons import maillog
from mailpanel.daemons import queue as postfix_queue
from mailpanel.daemons.text import plain

_TIME = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"  # Postfix' digits for it
NOW = datetime(2026, 11, 28, 15, tzinfo=UTC)
SMTPD, QMGR, LMTP = "postfix/smtpd[7]", "postfix/qmgr[7]", "postfix/lmtp[7]"
AMAVIS = "/usr/sbin/amavisd[1]"


def read(text: str, program: str = SMTPD, now=NOW):
    found = maillog.parse(
        f"Nov 28 14:16:51 mail {program}: {text}".encode(errors="surrogateescape"), now, UTC
    )
    return found and found[1]


# --- the beginning of a line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "now", "wanted"),
    [
        ("Nov 28 14:16:51", NOW, datetime(2026, 11, 28, 14, 16, 51, tzinfo=UTC)),
        ("Nov  8 04:06:01", NOW, datetime(2026, 11, 8, 4, 6, 1, tzinfo=UTC)),
        ("Dec 31 23:59:59", datetime(2027, 1, 1, 0, 0, 5, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("Jan  1 00:00:01", datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC), datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("Jan  2 00:00:01", datetime(2027, 1, 2, tzinfo=UTC), datetime(2027, 1, 2, 0, 0, 1, tzinfo=UTC)),
        ("Feb 29 12:00:00", datetime(2029, 2, 1, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC)),
        ("Feb 29 12:00:00", datetime(2027, 3, 1, tzinfo=UTC), None),
        ("Feb 29 12:00:00", datetime(2028, 3, 1, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC)),
        ("2026-11-28T14:16:51.123456+00:00", NOW, datetime(2026, 11, 28, 14, 16, 51, 123456, tzinfo=UTC)),
        ("2026-11-28T16:16:51+02:00", NOW, datetime(2026, 11, 28, 14, 16, 51, tzinfo=UTC)),
        ("Foo 28 14:16:51", NOW, None),
        ("Nov 31 14:16:51", NOW, None),
        ("Nov 28 34:16:51", NOW, None),
        ("2026-13-28T16:16:51Z", NOW, None),
        ("1970-01-01T00:00:07+02:00", NOW, NOW),  # a clock that was not set
        ("0001-01-01T00:00:00Z", NOW, NOW),
        ("9999-12-31T23:59:59Z", NOW, NOW),
    ],
)  # fmt: skip
def test_times(stamp, now, wanted):
    line = maillog.split(f"{stamp} mail postfix/qmgr[1]: 4ABCDEF: removed".encode(), now, UTC)
    assert (line and line.at) == wanted


def test_times_are_the_machines():
    line = maillog.split(
        b"Nov 28 14:16:51 mail postfix/qmgr[1]: 4ABCDEF: removed", NOW, ZoneInfo("Europe/Berlin")
    )
    assert line.at == datetime(2026, 11, 28, 13, 16, 51, tzinfo=UTC)


# --- the daemons' own lines -----------------------------------------------------------------------------------


def test_way_of_a_message():
    began = read(
        "CC1C920EE66: client=mx.example.net[192.0.2.1]:40022, sasl_method=PLAIN, sasl_username=anna@a.example"
    )
    assert (began.kind, began.key, began.client, began.address) == (
        "began",
        "CC1C920EE66",
        "mx.example.net",
        "192.0.2.1",
    )
    assert began.login == "anna@a.example"
    assert read("CC1C920EE66: message-id=<1@x>", "postfix/cleanup[7]").message_id == "1@x"
    queued = read("CC1C920EE66: from=<a@x.example>, size=382, nrcpt=2 (queue active)", QMGR)
    assert (queued.sender, queued.size) == ("a@x.example", 382)
    sent = read(
        "CC1C920EE66: to=<user1@a.example>, orig_to=<info@a.example>, relay=mail.example.test[/run/lmtp], conn_use=2, delay=0.06,"
        " delays=0.02/0.01/0.01/0.02, dsn=2.0.0, status=sent (250 2.0.0 <user1@a.example> yAfGN5XlCmvkRQAAg+zDdQ:R2 Saved)",
        LMTP,
    )
    assert (sent.to, sent.original, sent.status) == ("user1@a.example", "info@a.example", "sent")
    assert sent.others == ("dovecot:yAfGN5XlCmvkRQAAg+zDdQ",)
    assert read("CC1C920EE66: removed", QMGR).kind == "removed"
    assert read("CC1C920EE66: from=<a@x.example>, status=expired, returned to sender", QMGR).kind == "expired"
    assert (
        read("CC1C920EE66: sender non-delivery notification: ED79520E404", "postfix/bounce[7]").said
        == "ED79520E404"
    )


def test_long_queue_ids_and_other_names_of_postfix():
    assert read("4QJ1Xc6vQSz1xJH: removed", "postfix-out/qmgr[7]").key == "4QJ1Xc6vQSz1xJH"
    assert read("4QJ1Xc6vQSz1xJH: client=a[192.0.2.1]", "postfix/submission/smtpd[7]").kind == "began"


@given(st.text(_TIME, min_size=10, max_size=10), st.text(_TIME.replace("z", ""), min_size=1, max_size=12))
def test_each_long_queue_id_is_one(time, file):
    """Also with a z in its time, as about each tenth one has, and for a while all of them."""
    key = f"{time}z{file}"
    assert maillog.is_queue_id(key)
    assert postfix_queue.ID.fullmatch(key)
    assert read(f"{key}: removed", "postfix/qmgr[7]").key == key
    said = f"250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {key}"
    event = read(
        f"4ABCDEF: to=<a@b.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent ({said})",
        "postfix/amavis/smtp[7]",
    )
    assert event.others == (key,)


def test_behind_the_filter_the_client_is_that_before_it():
    event = read(
        "ABCDEF1234: client=localhost[127.0.0.1], orig_queue_id=FEDCBA4321, orig_client=mx.example.net[192.0.2.1]",
        "postfix/reinject/smtpd[7]",
    )
    assert (event.client, event.address, event.others) == ("mx.example.net", "192.0.2.1", ("FEDCBA4321",))


@pytest.mark.parametrize(
    ("said", "stage"),
    [
        ("550 5.1.1 <nobody@a.example>: Recipient address rejected: User unknown", "RCPT"),
        ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "RCPT"),
        ("450 4.7.1 <a>: Helo command rejected: Host not found", "RCPT"),
    ],
)
def test_refused_at_the_door(said, stage):
    event = read(
        f"NOQUEUE: reject: {stage} from unknown[192.0.2.1]: {said}; from=<s@x.example> to=<nobody@a.example> proto=ESMTP helo=<h.example>"
    )
    assert (event.kind, event.sender, event.to, event.said) == (
        "refused",
        "s@x.example",
        "nobody@a.example",
        said,
    )
    screened = read(
        f"NOQUEUE: reject: {stage} from [192.0.2.1]:4022: {said}; from=<s@x.example>, to=<nobody@a.example>, proto=ESMTP, helo=<h>",
        "postfix/postscreen[7]",
    )
    assert (screened.address, screened.to, screened.said) == ("192.0.2.1", "nobody@a.example", said)


def test_a_sender_that_is_not_theirs_names_who_signed_in():
    event = read(
        "NOQUEUE: reject: MAIL from unknown[192.0.2.1]: 553 5.7.1 <user2@a.example>: Sender address rejected: not owned by user"
        " user1@a.example; from=<user2@a.example> proto=ESMTP helo=<h>",
        "postfix/submission/smtpd[7]",
    )
    assert (event.login, event.sender, event.to) == ("user1@a.example", "user2@a.example", "")


PASSED = (
    "(01234-05) Passed CLEAN {RelayedInbound}, [127.0.0.1]:40001 [192.0.2.9] <a@x.example> -> <user1@a.example>,<user2@b.example>,"
    " Queue-ID: FEDCBA4321, Message-ID: <1@x>, mail_id: tgSCkUHsS7_6, Hits: 1.25, size: 500, queued_as: ABCDEF1234, 140 ms"
)


def test_amavis():
    event = read(PASSED, AMAVIS)
    assert (event.kind, event.key, event.others) == (
        "verdict",
        "amavis:01234-05",
        ("FEDCBA4321", "ABCDEF1234"),
    )
    assert (event.sender, event.recipients) == ("a@x.example", ("user1@a.example", "user2@b.example"))
    assert (event.status, event.score, event.size, event.dsn, event.said) == (
        "clean",
        1.25,
        500,
        "Passed",
        "RelayedInbound",
    )
    infected = read(
        "(01234-06) Blocked INFECTED (Eicar-Test-Signature) {RejectedInbound,Quarantined}, [127.0.0.1]:40001 <a@x.example> ->"
        " <user1@a.example>, quarantine: tgSCkUHsS7_6, mail_id: tgSCkUHsS7_6, Hits: -, size: 500, 90 ms",
        AMAVIS,
    )
    assert (infected.status, infected.score, infected.quarantine) == ("infected", None, "tgSCkUHsS7_6")
    assert (infected.recipients, infected.said) == (("user1@a.example",), "RejectedInbound,Quarantined")


def test_answers_of_the_filter_link_only_where_it_listens():
    line = (
        "FEDCBA4321: to=<b@y.example>, relay={}, delay=0.5, delays=0/0/0/0.5, dsn=2.0.0, status=sent"
        " (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as ABCDEF1234)"
    )
    assert read(line.format("127.0.0.1[127.0.0.1]:10024"), "postfix/amavis/smtp[7]").others == ("ABCDEF1234",)
    assert read(line.format("mx.example.net[192.0.2.1]:25"), "postfix/smtp[7]").others == ()
    took = "250 2.7.0 Ok, discarded, id=01234-07 - spam"
    assert (
        read(f"proxy-accept: END-OF-MESSAGE: {took}; from=<a@x> to=<b@y> proto=ESMTP helo=<h>").key
        == "amavis:01234-07"
    )
    refused = read(
        "proxy-reject: END-OF-MESSAGE: 554 5.7.0 Reject, id=01234-08 - INFECTED: Eicar; from=<a@x> to=<b@y> proto=ESMTP helo=<h>"
    )
    assert (refused.kind, refused.key) == ("refused", "amavis:01234-08")


def test_dovecot_with_and_without_syslog():
    raw = b"Nov 28 14:16:51 lmtp(user1@a.example)<17890><a2jgM5XlCmviRQAAg+zDdQ>: Info: sieve: msgid=<1@x>: stored mail into mailbox 'Junk'"
    stored = maillog.parse(raw, NOW, UTC)[1]
    assert (stored.key, stored.to, stored.said) == (
        "dovecot:a2jgM5XlCmviRQAAg+zDdQ",
        "user1@a.example",
        "Junk",
    )
    saved = read("lmtp(user1@a.example)<17890><a2jg:R2>: msgid=<x>: saved mail to INBOX", "dovecot")
    assert (saved.key, saved.said) == ("dovecot:a2jg", "INBOX")
    sent_on = read("lmtp(user1@a.example)<1><a2jg>: sieve: msgid=<x>: forwarded to <z@q.example>", "dovecot")
    assert (sent_on.status, sent_on.said) == ("forwarded", "z@q.example")


@pytest.mark.parametrize(
    "line",
    [
        "connect from unknown[192.0.2.1]", "warning: hostname x does not resolve", "", "NOQUEUE: client=a[192.0.2.1]",
        "statistics: max connection rate 1/60s",
    ],
)  # fmt: skip
def test_what_is_about_no_message(line):
    assert read(line) is None


# --- strangers ------------------------------------------------------------------------------------------------

VICTIM = "victim@b.example"
FAKES = (
    f"> to=<{VICTIM}", f'"> to=<{VICTIM}', f"; from=<x@y> to=<{VICTIM}> proto=ESMTP helo=<h>", f", relay=x, status=sent (to=<{VICTIM}>)",
    f">, orig_to=<{VICTIM}>", f" <x@y> -> <{VICTIM}>", f" {{RelayedInbound}}, [127.0.0.1]:1 <x@y> -> <{VICTIM}>, mail_id: evil",
    ", mail_id: evil, Hits: 1, size: 1, queued_as: ABCDEFABCD, 1 ms", ": Sender address rejected: not owned by user " + VICTIM,
    f"(250 2.0.0 <{VICTIM}> sess Saved)", "\u202e", "\x1b[31m", "\x00", "é", "\\", '"', "<", ">", ",", " ", "@",
)  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(FAKES), st.text(max_size=8)), max_size=6).map("".join)


def logged(text: str) -> str:
    """As Postfix and Amavis write it: one line, control characters replaced."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", text)


def address(text: str) -> str:
    """As Postfix writes an address with any local part (RFC 5321, quoted)."""
    quoted = re.sub(r'(["\\])', r"\\\1", logged(text))
    return f'"{quoted}"@x.example'


@given(sender=texts, to=texts, reason=texts)
def test_a_stranger_is_not_taken_for_another_field(sender, to, reason):
    sender, to = address(sender), address(to)
    event = read(
        f"NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <{logged(reason)}>: Relay access denied;"
        f" from=<{sender}> to=<{to}> proto=ESMTP helo=<h>"
    )
    assert event is None or (event.sender, event.to) == (plain(sender), plain(to))
    assert event is None or event.login == ""
    event = read(
        f"CC1C920EE66: to=<{to}>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred ({logged(reason)})",
        "postfix/smtp[7]",
    )
    assert (event.to, event.original, event.status, event.others) == (plain(to), "", "deferred", ())
    event = read(f"CC1C920EE66: from=<{sender}>, size=382, nrcpt=1 (queue active)", QMGR)
    assert event.sender == plain(sender)


@given(message_id=texts, file=texts, sender=texts)
def test_message_ids_and_names_of_attachments_are_not_taken_for_addresses(message_id, file, sender):
    sender = address(sender)
    rest = (
        f"{{DiscardedInbound,Quarantined}}, [127.0.0.1]:40001 <{sender}> -> <user1@a.example>, Message-ID: <{logged(message_id)}>,"
        " mail_id: tgSCkUHsS7_6, Hits: 5, size: 500, 140 ms"
    )
    event = read(f"(01234-05) Blocked SPAM {rest}", AMAVIS)
    kept = ("quarantine:tgSCkUHsS7_6",)
    assert (event.recipients, event.others, event.quarantine) == (("user1@a.example",), kept, "tgSCkUHsS7_6")
    assert (event.said, event.address) == ("DiscardedInbound,Quarantined", "127.0.0.1")
    event = read(f"(01234-05) Blocked BANNED ({logged(file)}) {rest}", AMAVIS)
    assert event.recipients in ((), ("user1@a.example",))
    assert event.said in ("", "DiscardedInbound,Quarantined")
    assert (event.status, event.quarantine) == ("banned", "tgSCkUHsS7_6")
    assert event.others == (kept if event.said else ())
    event = read(f"CC1C920EE66: message-id=<{logged(message_id)}>", "postfix/cleanup[7]")
    assert (event.kind, event.to, event.sender) == ("named", "", None)


@given(message_id=texts)
def test_a_message_id_names_no_folder(message_id):
    event = read(
        f"lmtp(user1@a.example)<1><a2jg>: sieve: msgid=<{logged(message_id)}>: stored mail into mailbox 'Junk'",
        "dovecot",
    )
    assert (event.key, event.to, event.said) == ("dovecot:a2jg", "user1@a.example", "Junk")


@given(st.binary(max_size=300))
def test_any_bytes(raw):
    maillog.parse(raw, NOW, UTC)
    maillog.parse(b"Nov 28 14:16:51 mail postfix/smtpd[7]: " + raw, NOW, UTC)
    found = maillog.parse(b"Nov 28 14:16:51 mail postfix/cleanup[7]: 4ABCDEF: message-id=" + raw, NOW, UTC)
    if found:
        assert found[0].raw.isprintable()
        assert found[1].message_id.isprintable()


@given(st.integers(0, len(PASSED)), st.sampled_from([PASSED]))
def test_a_truncated_line_tells_nothing_wrong(length, whole):
    event = read(whole[:length], AMAVIS)
    assert event is None or event == read(whole, AMAVIS)


def test_an_overlong_line_is_passed_over_quickly():
    before = datetime.now(UTC)
    for text in (
        "A" * 10**6,
        '"' * 10**6,
        "<" * 10**6,
        "\\" * 10**6,
        '""' * 3000,
        "CC1C920EE66: to=<" + '"a' * 1900,
    ):
        assert (
            read("CC1C920EE66: message-id=" + text, "postfix/cleanup[7]") is None
            or len(text) < maillog.LONGEST
        )
        read(f"NOQUEUE: reject: RCPT from a[b]: {text}", SMTPD)
        read(f"(1-2) Blocked BANNED {text[:3900]}", AMAVIS)
    assert datetime.now(UTC) - before < timedelta(seconds=20)
