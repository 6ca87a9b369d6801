"""Who signs in at Dovecot, by which password, for which service; what it knows of a mailbox; what it forgets when told."""

import base64
import imaplib
import poplib
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from accounts import audit, passwords
from accounts.lifecycle import change_mailbox, set_password
from accounts.models import AppPassword, Mailbox
from domains.models import Domain
from mailpanel.daemons import dovecot
from tests.stack.mail import addresses, eventually
from tests.stack.private import quick_hash

PASSWORD = "seven quiet herons"
BY = audit.By("shell:tests")


@pytest.fixture(scope="module")
def domains(_private, django_db_blocker):
    with django_db_blocker.unblock(), _private.orm():
        Domain.objects.create(name="sign.test")
        Domain.objects.create(name="sign-off.test", enabled=False)


_number = iter(range(1000))


@pytest.fixture
def person(private, domains):
    """person(password=…, can_login=False, …): a new mailbox."""
    hashed = quick_hash(PASSWORD)

    def make(name="p", domain="sign.test", **columns):
        return Mailbox.objects.create(
            email=f"{name}{next(_number)}@{domain}", domain_id=domain, **{"password": hashed, **columns}
        )

    return make


def sign_ins(private, *tries) -> list[bool]:
    """Each (mailbox, password, service) by `doveadm auth test`, which goes the way of a real sign-in.

    All at once, since Dovecot takes its time over each failure.
    """

    def one(mailbox, password, service="imap") -> bool:
        facts = ("-x", f"service={service}", "-x", f"rip={next(addresses)}")
        done = private.doveadm("auth", "test", *facts, "--", mailbox.email, password, check=False)
        said = done.stdout + done.stderr
        assert "temporary" not in said.lower(), said
        assert done.returncode in (0, 77), said
        return done.returncode == 0

    with ThreadPoolExecutor(32) as together:
        return list(together.map(lambda arguments: one(*arguments), tries))


def signs_in(private, *arguments) -> bool:
    return sign_ins(private, arguments)[0]


# --- the password of the mailbox ------------------------------------------------------------------------------

SCHEMES = (
    "ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "SSHA", "SSHA256", "SSHA512", "SHA512",
    "CRYPT", "PLAIN-MD5",
)  # fmt: skip


def test_every_scheme_that_the_panel_reads_is_in_this_list():
    assert set(SCHEMES) == set(passwords.SCHEMES)


def test_hashes_that_dovecot_makes_are_read_by_both(private, person):
    stored = {
        scheme: private.doveadm("pw", "-s", scheme, "-p", PASSWORD).stdout.strip() for scheme in SCHEMES
    }
    assert {scheme: passwords.verify(PASSWORD, hashed) for scheme, hashed in stored.items()} == dict.fromkeys(
        SCHEMES, True
    )
    people = {scheme: person(password=hashed) for scheme, hashed in stored.items()}
    right = sign_ins(private, *((mailbox, PASSWORD) for mailbox in people.values()))
    assert dict(zip(SCHEMES, right, strict=True)) == dict.fromkeys(SCHEMES, True)
    wrong = sign_ins(private, *((mailbox, PASSWORD + "x") for mailbox in people.values()))
    assert dict(zip(SCHEMES, wrong, strict=True)) == dict.fromkeys(SCHEMES, False)


@pytest.mark.parametrize("scheme", ["ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT"])
def test_hashes_that_the_panel_makes_are_read_by_dovecot(private, person, settings, scheme):
    settings.MAILPANEL_PASSWORD_SCHEME = scheme
    typed = [PASSWORD, "pässwörd-€-\U0001f426", "{PLAIN}hunter2hunter2", " a b ", "%{user}%u%w'\"\\$`#;&<>|"]
    people = [person(password=passwords.make_hash(password)) for password in typed]
    assert all(mailbox.password.startswith(f"{{{scheme}}}") for mailbox in people)
    assert sign_ins(private, *zip(people, typed, strict=True)) == [True] * 5
    assert (
        sign_ins(private, *((who, f"{password}x") for who, password in zip(people, typed, strict=True)))
        == [False] * 5
    )
    assert not signs_in(private, people[2], "hunter2hunter2")


def test_rows_that_neither_reads(private, person):
    yescrypt = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"
    rows = [
        "{PLAIN}seven quiet herons", "{CLEAR}seven quiet herons", "{CLEARTEXT}seven quiet herons", "{CRYPT}!",
        "{CRYPT}*", "{NOSUCH}seven quiet herons", "{PLAIN-TRUNC}5:seven", "{ }x", "{SSHA.HEX}00ff", "{LDAP-MD5}x",
        f"{{CRYPT}}{yescrypt}", f"{{SHA512-CRYPT}}{yescrypt}",
    ]  # fmt: skip
    tries = []
    for stored in rows:
        mailbox = person(password=stored)
        tries += [
            (mailbox, password) for password in (PASSWORD, stored, stored.partition("}")[2], "", "seven")
        ]
    assert not any(passwords.verify(password, mailbox.password) for mailbox, password in tries)
    assert sign_ins(private, *tries) == [False] * len(tries)


def test_rows_without_a_scheme_are_nobodys_password(private, person):
    """The constraint keeps them out; one that came in by other hands must not turn the hash into the password."""
    hashes = {"": "", "{PLAIN}": "", "seven quiet herons": PASSWORD, "$6$x$y": "$6$x$y"}
    tries = []
    for stored, password in hashes.items():
        tries.append((mailbox := person(), password))
        with _without_checks() as cursor:
            cursor.execute("UPDATE user SET password = %s WHERE email = %s", [stored, mailbox.email])
    assert sign_ins(private, *tries) == [False] * len(tries)
    Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox, _password in tries]).delete()


def _without_checks():
    from contextlib import contextmanager

    from django.db import connection

    @contextmanager
    def cursor():
        off, on = (
            ("SET check_constraint_checks = 0", "SET check_constraint_checks = 1")
            if connection.vendor == "mysql"
            else ("PRAGMA ignore_check_constraints = 1", "PRAGMA ignore_check_constraints = 0")
        )
        with connection.cursor() as cursor:
            cursor.execute(off)
            try:
                yield cursor
            finally:
                cursor.execute(on)

    return cursor()


def test_who_may_not_sign_in(private, person):
    people = [person(enabled=False), person(can_login=False), person(domain="sign-off.test")]
    assert all(passwords.verify(PASSWORD, mailbox.password) for mailbox in people)
    tries = [
        (mailbox, PASSWORD, service) for mailbox in people for service in ("imap", "pop3", "smtp", "sieve")
    ]
    assert sign_ins(private, *tries) == [False] * len(tries)


@pytest.mark.parametrize(
    "password", ["$%{}\\'\"`#;&<>|", "a b\u20ac\U0001f600 é", "%u %w %{pass}", "{SHA}x", '"quoted"']
)
def test_special_characters_pass_every_door(mail, person, password):
    mailbox = person(password=passwords.make_hash(password))
    token = base64.b64encode(f"\0{mailbox.email}\0{password}".encode())
    imap = mail.imap()
    assert (
        imap.authenticate("PLAIN", lambda _said: token and f"\0{mailbox.email}\0{password}".encode())[0]
        == "OK"
    )
    imap.logout()
    if password.isascii():
        quoted = password.replace("\\", "\\\\").replace('"', '\\"')
        imap = mail.imap()
        assert imap._simple_command("LOGIN", mailbox.email, f'"{quoted}"')[0] == "OK"
        imap.shutdown()
    pop = mail.pops()
    pop.encoding = "utf-8"
    pop.user(mailbox.email)
    assert pop.pass_(password).startswith(b"+OK")
    pop.quit()
    for method in ("PLAIN", "LOGIN"):
        with mail.submission() as client:
            client.ehlo()
            if method == "PLAIN":
                assert client.docmd("AUTH PLAIN", token.decode())[0] == 235
            else:
                client.docmd("AUTH LOGIN", base64.b64encode(mailbox.email.encode()).decode())
                assert client.docmd(base64.b64encode(password.encode()).decode())[0] == 235
    with mail.sieve() as line:
        assert b"OK" in line.say(f'AUTHENTICATE "PLAIN" "{token.decode()}"', rb"^(OK|NO|BYE)")


# --- app passwords --------------------------------------------------------------------------------------------


def app_password(mailbox, **columns) -> str:
    selector, typed, stored = passwords.new_app_password()
    services = dict.fromkeys(("imap", "pop3", "smtp", "sieve"), False)
    AppPassword.objects.create(mailbox=mailbox, selector=selector, password=stored, **(services | columns))
    return typed


def test_app_password_opens_its_services_alone(private, person):
    services = ("imap", "pop3", "smtp", "sieve")
    right, wrong = [], []
    for service in services:
        mailbox, other = person(), person()
        typed = app_password(mailbox, **{service: True})
        selector = typed.partition("-")[0]
        right += [(mailbox, typed, service), (mailbox, PASSWORD, service)]  # the main one goes on
        wrong += [(mailbox, typed, door) for door in (*services, "lmtp", "doveadm") if door != service]
        wrong += [
            (other, typed, service),
            (mailbox, f"{typed[:-1]}!", service),
            (mailbox, f"-{typed}", service),
        ]
        wrong += [(mailbox, selector, service), (mailbox, f"{selector}-", service)]
        wrong += [(mailbox, f"{selector}-' OR '1'='1", service), (mailbox, f"' OR 1=1 -- -{typed}", service)]
    assert sign_ins(private, *right) == [True] * len(right)
    assert sign_ins(private, *wrong) == [False] * len(wrong)


def test_app_password_at_real_doors(mail, person):
    mailbox = person()
    typed = app_password(mailbox, imap=True)
    mail.imaps(mailbox.email, typed).logout()
    assert mail.sign_in_code(mailbox.email, typed) == 535
    typed = app_password(mailbox, smtp=True)
    assert mail.rcpt(mailbox.email, sender=mailbox.email, client=mail.submission(mailbox.email, typed)) == 250
    with pytest.raises(imaplib.IMAP4.error):
        mail.imaps(mailbox.email, typed)


def test_app_password_that_expired_or_whose_owner_may_not(private, person):
    mailbox = person()
    now = datetime.now(UTC)
    assert not signs_in(
        private, mailbox, app_password(mailbox, imap=True, expires=now - timedelta(seconds=2))
    )
    assert signs_in(private, mailbox, app_password(mailbox, imap=True, expires=now + timedelta(minutes=5)))
    for state in ({"enabled": False}, {"can_login": False}, {"domain": "sign-off.test"}):
        owner = person(**state)
        assert not signs_in(private, owner, app_password(owner, imap=True))


def test_app_password_when_there_is_no_other(private, person):
    mailbox = person(password=passwords.UNUSABLE)
    assert signs_in(private, mailbox, app_password(mailbox, imap=True))
    assert not signs_in(private, mailbox, "!")


def test_app_password_with_nothing_behind_it(private, person):
    mailbox = person()
    AppPassword.objects.create(mailbox=mailbox, selector="empty1", password="{PLAIN}empty1-")
    assert not signs_in(private, mailbox, "empty1-")


# --- told to forget -------------------------------------------------------------------------------------------


def is_ended(session) -> bool:
    try:
        session.noop()
    except (imaplib.IMAP4.abort, OSError):
        return True
    return False


def test_old_password_dies_at_once_everywhere(mail, private, person):
    mailbox, here = person(), next(addresses)
    session = mail.imap(source=here)
    session.login(mailbox.email, PASSWORD)  # and the cache knows it, for this address
    session.select("INBOX")
    set_password(mailbox, "nine quiet herons", by=BY)
    assert eventually(lambda: is_ended(session))
    assert signs_in(private, mailbox, "nine quiet herons")
    with pytest.raises(imaplib.IMAP4.error):
        mail.imap(source=here).login(mailbox.email, PASSWORD)
    pop = mail.pops()
    pop.user(mailbox.email)
    with pytest.raises(poplib.error_proto):
        pop.pass_(PASSWORD)
    assert mail.sign_in_code(mailbox.email, PASSWORD) == 535
    mail.imaps(mailbox.email, "nine quiet herons").logout()


def test_the_cache_is_why(mail, private, person):
    """The control: without being told, Dovecot goes on with the old one."""
    mailbox = person()
    here = next(addresses)  # it remembers by client address, too

    def sign_in():
        client = mail.imap(source=here)
        client.login(mailbox.email, PASSWORD)
        client.logout()

    sign_in()
    mailbox.set_password("nine quiet herons")
    mailbox.save()
    sign_in()
    dovecot.forget([mailbox.email])
    with pytest.raises(imaplib.IMAP4.error):
        sign_in()


def test_switching_off_ends_sessions(mail, person):
    mailbox = person()
    session = mail.imaps(mailbox.email, PASSWORD)
    change_mailbox(mailbox, {"enabled": False}, by=BY)
    assert eventually(lambda: is_ended(session))
    with pytest.raises(imaplib.IMAP4.error):
        mail.imaps(mailbox.email, PASSWORD)
    change_mailbox(mailbox, {"enabled": True}, by=BY)
    mail.imaps(mailbox.email, PASSWORD).logout()  # nobody is remembered as unknown


def test_a_wrong_key_opens_nothing(private, person, settings):
    settings.MAILPANEL_DOVEADM_API_KEY = "x" * 64
    with pytest.raises(dovecot.DaemonError):
        dovecot.forget([person().email])


# --- what Dovecot knows of a mailbox --------------------------------------------------------------------------


def test_where_mail_lies_and_how_much_of_it(private, person):
    limited, unlimited = person(quota=1_000_000), person()
    told = private.doveadm("user", limited.email).stdout
    name = limited.email.partition("@")[0]
    assert f"{private.directory}/mail/sign.test/{name}\n" in told
    assert "*:bytes=1000000\n" in told
    assert "*:bytes=0\n" in private.doveadm("user", unlimited.email).stdout
    for mailbox in (person(can_login=False), limited):
        assert private.doveadm("user", mailbox.email).returncode == 0
    for mailbox in (person(enabled=False), person(domain="sign-off.test")):
        assert private.doveadm("user", mailbox.email, check=False).returncode == 67  # no such user
    everybody = private.doveadm("user", "*@sign.test").stdout.split()
    assert limited.email in everybody
    assert not any("sign-off" in email for email in everybody)


@pytest.mark.parametrize("email", ["..@sign.test", ".@sign.test", ".ssh@sign.test", "x@..", "..@.."])
def test_no_name_leads_out_of_the_mail_directory(private, domains, email):
    """Rows that the panel refuses, as other hands could write them."""
    name = email.partition("@")[2]
    with _without_checks() as cursor:
        if name == "..":
            cursor.execute(
                "INSERT INTO domain (domain, created, modified) VALUES (%s, '2026-01-01', '2026-01-01')",
                [name],
            )
        cursor.execute(
            "INSERT INTO user (email, domain, created, modified) VALUES (%s, %s, '2026-01-01', '2026-01-01')",
            [email, name],
        )
    assert private.doveadm("user", email, check=False).returncode == 67
    with _without_checks() as cursor:
        cursor.execute("DELETE FROM user WHERE email = %s", [email])
        cursor.execute("DELETE FROM domain WHERE domain = '..'")


def test_mail_is_its_owners_alone(mail, private, person):
    mailbox = person()
    mail.deliver(mailbox.email)
    home = private.directory / "mail" / "sign.test" / mailbox.email.partition("@")[0]
    assert eventually(home.exists)
    assert (private.directory / "mail").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_uid for path in home.rglob("*")} == {8}
    assert not any(path.stat().st_mode & 0o077 for path in home.rglob("*") if path.is_dir())


def test_sign_in_is_verified_without_roots_rights(private, person):
    assert signs_in(private, person(), PASSWORD)
    told = subprocess.run(["ps", "-eo", "user,args"], capture_output=True, text=True).stdout
    workers = [line for line in told.splitlines() if re.search(r"dovecot.*/auth", line)]
    assert workers
    assert not any(line.startswith("root") for line in workers)
