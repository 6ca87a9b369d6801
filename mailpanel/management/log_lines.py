"""Lines of the mail log, as the daemons write them: for the demo data and for tests.

Without time and host, which are put before them by whoever lets them be read.
"""

FILTER = "127.0.0.1[127.0.0.1]:10024"
LMTP = "mail.example.test[/run/dovecot/lmtp]"


def came(key, sender, size=500, count=1, client="mx.example.net[192.0.2.1]", message_id="", login=""):
    signed_in = f", sasl_method=PLAIN, sasl_username={login}" if login else ""
    service = "postfix/submission/smtpd" if login else "postfix/smtpd"
    return [
        f"{service}[1]: {key}: client={client}{signed_in}",
        f"postfix/cleanup[2]: {key}: message-id=<{message_id or key.lower() + '@x.example'}>",
        f"postfix/qmgr[3]: {key}: from=<{sender}>, size={size}, nrcpt={count} (queue active)",
    ]


def went(
    key,
    to,
    said="250 2.0.0 <x@a.example> sess{key} Saved",
    status="sent",
    relay=LMTP,
    original="",
    dsn="2.0.0",
):
    by_way = f"orig_to=<{original}>, " if original else ""
    return (
        f"postfix/lmtp[4]: {key}: to=<{to}>, {by_way}relay={relay}, delay=0.1, delays=0/0/0/0.1, dsn={dsn},"
        f" status={status} ({said.format(key=key)})"
    )


def gone(key):
    return f"postfix/qmgr[3]: {key}: removed"


def delivered(key, sender, *to, session="", **more):
    said = f"250 2.0.0 <x@a.example> {session or 'sess' + key} Saved"
    return [*came(key, sender, count=len(to), **more), *(went(key, one, said) for one in to), gone(key)]


def waits(key, sender, to, why="connect to mx.other.example[192.0.2.7]:25: Connection timed out", **more):
    return [*came(key, sender, **more), went(key, to, why, "deferred", "none", dsn="4.4.1")]


def refused(
    sender,
    to,
    why="550 5.1.1 <{to}>: Recipient address rejected: User unknown",
    service="postfix/smtpd",
    client="mx.example.net[192.0.2.1]",
):
    return [
        f"{service}[1]: NOQUEUE: reject: RCPT from {client}: {why.format(to=to)}; from=<{sender}> to=<{to}> proto=ESMTP helo=<h.example>"
    ]


def not_owned(sender, login):
    return [
        f"postfix/submission/smtpd[1]: NOQUEUE: reject: MAIL from unknown[192.0.2.8]: 553 5.7.1 <{sender}>: Sender address rejected:"
        f" not owned by user {login}; from=<{sender}> proto=ESMTP helo=<h.example>"
    ]


def verdict(number, sender, to, what="Passed CLEAN {RelayedInbound}", queued="", key="", hits="1.5"):
    recipients = ",".join(f"<{one}>" for one in to.split())
    first = f", Queue-ID: {key}" if key else ""
    second = f", queued_as: {queued}" if queued else ""
    kept = f"mail_id: mail{number}, " if "Quarantined" in what else ""
    return (
        f"/usr/sbin/amavisd[5]: ({number}) {what}, [192.0.2.1]:4000 <{sender}> -> {recipients}{first},"
        f" Message-ID: <{number}@x.example>, {kept}Hits: {hits}, size: 450{second}, 140 ms"
    )


def passed_before_queue(key, number, sender, to):
    """From outside: the other server waits while the filter looks."""
    return [
        f"postfix/reinject/smtpd[1]: {key}: client=localhost[127.0.0.1], orig_client=mx.example.net[192.0.2.1]",
        *came(key, sender)[1:],
        verdict(number, sender, to, queued=key),
        "postfix/smtpd[1]: proxy-accept: END-OF-MESSAGE: 250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as"
        f" {key}; from=<{sender}> to=<{to.split()[-1]}> proto=ESMTP helo=<h.example>",
        *(went(key, one) for one in to.split()),
        gone(key),
    ]


def virus(number, sender, to):
    return [
        verdict(
            number,
            sender,
            to,
            "Blocked INFECTED (Eicar-Test-Signature) {RejectedInbound,Quarantined}",
            hits="-",
        ),
        f"postfix/smtpd[1]: proxy-reject: END-OF-MESSAGE: 554 5.7.0 Reject, id={number} - INFECTED: Eicar-Test-Signature;"
        f" from=<{sender}> to=<{to.split()[-1]}> proto=ESMTP helo=<h.example>",
    ]


def spam(number, sender, to):
    return [
        verdict(number, sender, to, "Blocked SPAM {DiscardedInbound,Quarantined}", hits="15.2"),
        f"postfix/smtpd[1]: proxy-accept: END-OF-MESSAGE: 250 2.7.0 Ok, discarded, id={number} - spam;"
        f" from=<{sender}> to=<{to.split()[-1]}> proto=ESMTP helo=<h.example>",
    ]


def released(key, number, sender, to, original=""):
    """From the quarantine, what the filter had called by this number."""
    return [
        f"postfix/reinject/smtpd[1]: {key}: client=localhost[127.0.0.1], orig_queue_id=quarantine:mail{number},"
        " orig_client=unknown[127.0.0.1]",
        *came(key, sender, message_id=f"{number}@x.example")[1:],
        went(key, to, original=original),
        gone(key),
    ]


def passed_after_queue(first, second, number, login, to, original=""):
    """Submitted: taken at once, then filtered, then delivered under another queue id."""
    passed = f"250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {second}"
    return [
        *came(first, login, login=login),
        f"postfix/reinject/smtpd[1]: {second}: client=localhost[127.0.0.1]",
        *came(second, login, size=900, message_id=f"{first.lower()}@x.example")[1:],
        verdict(number, login, original or to, "Passed CLEAN {RelayedInternal}", queued=second, key=first),
        went(first, original or to, passed, relay=FILTER),
        gone(first),
        went(second, to, original=original),
        gone(second),
    ]
