"""Who may sign in, by mail program or browser: the table `user` and what hangs on it."""

from datetime import UTC, datetime
from math import ceil

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_otp.models import Device, ThrottlingMixin

from accounts import passwords
from domains import addresses
from domains.models import AddressField, Check, Domain, SizeField, one_line, within

# `{SCHEME}hash`, as Dovecot reads it; `{PLAIN}` with nothing behind it would let everybody in.
HASHED = Q(password__startswith="{", password__contains="}") & ~Q(password__endswith="}")  # noqa: S106


class Mailbox(AbstractBaseUser):
    """A mailbox, which is also a person who signs in to the panel.

    `enabled` off: does not exist for mail and sign-in. `can_login` off: still receives, signs in nowhere.
    """

    email = AddressField(gettext_lazy("address"), unique=True)
    domain = models.ForeignKey(
        Domain, models.DO_NOTHING, db_column="domain", db_index=False, related_name="mailboxes"
    )
    password = models.CharField(max_length=255, default=passwords.UNUSABLE, db_default=passwords.UNUSABLE)
    name = models.CharField(gettext_lazy("name"), max_length=255, blank=True, default="", db_default="")
    quota = SizeField(gettext_lazy("quota"))
    enabled = models.BooleanField(gettext_lazy("switched on"), default=True, db_default=True)
    can_login = models.BooleanField(gettext_lazy("may sign in"), default=True, db_default=True)
    is_superuser = models.BooleanField(gettext_lazy("server admin"), default=False, db_default=False)
    must_change_password = models.BooleanField(
        gettext_lazy("must change the password"), default=False, db_default=False
    )
    password_changed = models.DateTimeField(null=True, blank=True)
    recovery_email = models.CharField(
        gettext_lazy("recovery address"), max_length=255, blank=True, default="", db_default=""
    )
    language = models.CharField(
        gettext_lazy("language"), max_length=10, blank=True, default="", db_default=""
    )
    sessions_ended = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="how often all sessions were ended on purpose"
    )
    # What Dovecot writes, in a form that lists can be sorted and filtered by; `manage.py collect` keeps it. NULL is
    # unlimited or unknown, and never.
    fullness = models.SmallIntegerField(gettext_lazy("per cent of the quota"), null=True, editable=False)
    last_used = models.DateTimeField(gettext_lazy("last sign-in by mail"), null=True, editable=False)
    created = models.DateTimeField(auto_now_add=True, db_default=Now())
    modified = models.DateTimeField(auto_now=True, db_default=Now())

    objects = models.Manager()

    NEARLY_FULL = 80  # per cent, where the bar turns amber

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        db_table = "user"
        ordering = ["email"]
        constraints = [
            Check(
                name="user_email_form",
                condition=Q(email__only="a-z0-9.@_-") & within("email") & ~Q(email__startswith="@"),
            ),
            Check(name="user_password_form", condition=HASHED),
            Check(name="user_quota", condition=Q(quota=None) | Q(quota__gt=0)),
        ]
        indexes = [
            models.Index(name="user_domain_email", fields=["domain", "email"]),
            models.Index(name="user_domain_name", fields=["domain", "name", "email"]),
            # One for each order of the lists of mailboxes, over all domains and within one; the last two for filters.
            models.Index(name="user_name", fields=["name", "email"]),
            models.Index(name="user_fullness", fields=["fullness", "email"]),
            models.Index(name="user_domain_fullness", fields=["domain", "fullness", "email"]),
            models.Index(name="user_last_used", fields=["last_used", "email"]),
            models.Index(name="user_domain_last_used", fields=["domain", "last_used", "email"]),
            models.Index(name="user_state", fields=["enabled", "can_login", "email"]),
            models.Index(name="user_domain_state", fields=["domain", "enabled", "can_login", "email"]),
            models.Index(name="user_server_admins", fields=["is_superuser", "email"]),
        ]

    def __str__(self):
        return addresses.to_unicode(self.email)

    @property
    def is_active(self) -> bool:
        """May sign in now; asked on every request, so that switching off ends the sessions."""
        return self.enabled and self.can_login and self.domain.enabled

    @property
    def is_probe(self) -> bool:
        """The mailbox by which the panel probes the mail server. It signs in to the daemons, and never to the panel."""
        return self.email == settings.PROBE_ADDRESS

    @property
    def last_sign_ins(self):
        """By service and client, the newest first; not those of a former owner of the address."""
        return self.last_logins.filter(time__gte=ceil(self.created.timestamp())).order_by("-time")

    def clean(self):
        self.email = addresses.parse_mailbox(self.email)
        self.domain_id = addresses.split(self.email)[1]
        try:
            one_line(self.name)
        except ValidationError as error:
            raise ValidationError({"name": error}) from error

    def check_password(self, raw_password) -> bool:
        return passwords.verify(raw_password, self.password)

    def set_password(self, raw_password):
        """Set the hash; the caller saves. The policy is asked separately, by passwords.validate."""
        self.password = passwords.make_hash(raw_password)
        self.password_changed = timezone.now()

    def has_usable_password(self) -> bool:
        return self.password != passwords.UNUSABLE

    def get_session_auth_hash(self) -> str:
        """What a session is bound to. It changes with the password and with the counter, which only goes up: a session
        from before a second factor does not come to life again when that is taken off."""
        of_password = super().get_session_auth_hash()
        return f"{of_password}.{self.sessions_ended}" if self.sessions_ended else of_password


class Sender(models.Model):
    """A mailbox may send as this address, beyond its own."""

    mailbox = models.ForeignKey(Mailbox, models.DO_NOTHING, db_index=False, related_name="senders")
    address = AddressField()

    class Meta:
        db_table = "sender"
        constraints = [
            models.UniqueConstraint(name="sender_once", fields=["mailbox", "address"]),
            Check(name="sender_form", condition=Q(address__only="a-z0-9.@_-", address__contains="@")),
        ]
        indexes = [models.Index(name="sender_address", fields=["address"])]


class AppPassword(models.Model):
    """A password for one phone or program. Dovecot's query returns one row, so it is found by its selector."""

    mailbox = models.ForeignKey(Mailbox, models.DO_NOTHING, related_name="app_passwords")
    selector = models.CharField(max_length=32, unique=True)
    password = models.CharField(max_length=255)
    label = models.CharField(max_length=64, blank=True, default="", db_default="")
    imap = models.BooleanField(default=True, db_default=True)
    pop3 = models.BooleanField(default=True, db_default=True)
    smtp = models.BooleanField(default=True, db_default=True)
    sieve = models.BooleanField(default=False, db_default=False)
    expires = models.DateTimeField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True, db_default=Now())
    last_used = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "app_password"
        constraints = [Check(name="app_password_form", condition=HASHED)]


class SecondFactor(ThrottlingMixin, Device):
    """The authenticator app of a mailbox (TOTP, RFC 6238: SHA-1, six digits, 30 seconds).

    django-otp's device and its throttle, without its plugins: their tables have no database defaults, keep recovery
    codes in clear and take one code from two requests at the same moment. There is a row only once a code has confirmed
    it. The key is hexadecimal, as django-otp has it.
    """

    user = models.OneToOneField(
        Mailbox, models.DO_NOTHING, db_column="mailbox_id", related_name="second_factor"
    )
    name = confirmed = None
    key = models.CharField(max_length=80)
    last_t = models.BigIntegerField(
        default=-1, db_default=-1, help_text="the step of the last code taken; no earlier one is taken again"
    )
    throttling_failure_timestamp = models.DateTimeField(null=True, blank=True)
    throttling_failure_count = models.PositiveIntegerField(default=0, db_default=0)
    created = models.DateTimeField(auto_now_add=True, db_default=Now())
    last_used = models.DateTimeField(null=True, blank=True)

    objects = models.Manager()

    class Meta:
        db_table = "second_factor"

    def __str__(self):
        return f"second factor of {self.user_id}"

    def get_throttle_factor(self) -> int:
        """The first wrong code costs a second, and each one more twice as much as the one before."""
        return 1


class RecoveryCode(models.Model):
    """Instead of a code of the app, once. Only a hash is kept: 80 random bits need no slow one."""

    mailbox = models.ForeignKey(Mailbox, models.DO_NOTHING, db_index=False, related_name="recovery_codes")
    hash = models.CharField(max_length=64)

    class Meta:
        db_table = "recovery_code"
        constraints = [models.UniqueConstraint(name="recovery_code_once", fields=["mailbox", "hash"])]


class Role(models.Model):
    """Helpdesk or domain admin, of one domain or of all (NULL)."""

    class Kind(models.TextChoices):
        ADMIN = "admin", gettext_lazy("domain admin")
        HELPDESK = "helpdesk", gettext_lazy("helpdesk")

    mailbox = models.ForeignKey(Mailbox, models.DO_NOTHING, db_index=False, related_name="roles")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    domain = models.ForeignKey(
        Domain, models.DO_NOTHING, db_column="domain", null=True, blank=True, related_name="roles"
    )

    class Meta:
        db_table = "role"
        constraints = [
            models.UniqueConstraint(name="role_once", fields=["mailbox", "kind", "domain"]),
            Check(name="role_kind", condition=Q(kind__in=["admin", "helpdesk"])),
        ]

    def __str__(self):
        return role_words(self.kind, self.domain_id)


SERVER = "server"  # beside Role.Kind: the role that is the column is_superuser


def role_words(kind: str, domain: str | None) -> str:
    """“domain admin of example.org”; for an unknown kind, which a log may hold, the kind itself."""
    everywhere, here = {
        SERVER: (_("server admin"), _("server admin")),
        Role.Kind.ADMIN: (_("domain admin of all domains"), _("domain admin of %s")),
        Role.Kind.HELPDESK: (_("helpdesk of all domains"), _("helpdesk of %s")),
    }.get(kind, (kind, f"{kind} %s"))
    return here % addresses.to_unicode(domain) if domain and "%s" in here else everywhere


class Audit(models.Model):
    """Who did what to which object. Text only and no foreign keys: it survives what it tells of."""

    at = models.DateTimeField(auto_now_add=True, db_default=Now())
    actor = models.CharField(max_length=255)
    action = models.CharField(max_length=32)
    kind = models.CharField(max_length=16)
    name = models.CharField(max_length=255)
    domain = AddressField(blank=True, default="", db_default="")
    client = models.CharField(max_length=45, blank=True, default="", db_default="")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.CharField(max_length=255, blank=True, default="", db_default="")

    class Meta:
        db_table = "audit"
        ordering = ["-at", "-id"]
        # Both databases end each with the id, so that it holds the order, too; a filter by days is a range of it.
        indexes = [
            models.Index(name="audit_at", fields=["at"]),
            models.Index(name="audit_name", fields=["name", "at"]),
            models.Index(name="audit_actor", fields=["actor", "at"]),
            models.Index(name="audit_action", fields=["action", "kind", "at"]),
            models.Index(name="audit_domain", fields=["domain", "at"]),
            models.Index(name="audit_domain_actor", fields=["domain", "actor", "at"]),
            models.Index(name="audit_domain_action", fields=["domain", "action", "kind", "at"]),
        ]


class Trash(models.Model):
    """A deleted row, as it was, until the purge. One table for all kinds, with the row as JSON: a second copy of
    each table's columns would have to be migrated with it, and a row that outlives a migration still reads."""

    deletion = models.UUIDField(help_text="the same for all rows that went together")
    at = models.DateTimeField(auto_now_add=True, db_default=Now())
    actor = models.CharField(max_length=255)
    table = models.CharField(max_length=32)
    name = models.CharField(max_length=255)
    domain = AddressField(blank=True, default="", db_default="")
    row = models.JSONField()

    class Meta:
        db_table = "trash"
        ordering = ["-id"]
        indexes = [
            models.Index(name="trash_deletion", fields=["deletion"]),
            models.Index(name="trash_domain", fields=["domain", "id"]),
            models.Index(name="trash_at", fields=["at"]),
            models.Index(name="trash_name", fields=["table", "name"]),
        ]


class Word(models.Model):
    """A word by whose beginning a row is found: accounts.search makes and reads them. `object` is the key of the
    mailbox or alias row, and 0 for a domain, which its name tells apart."""

    class Kind(models.IntegerChoices):
        MAILBOX = 1
        ALIAS = 2
        DOMAIN = 3

    pk = models.CompositePrimaryKey("domain", "kind", "word", "object")
    domain = AddressField()
    kind = models.PositiveSmallIntegerField(choices=Kind.choices)
    word = AddressField()
    object = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        db_table = "word"
        indexes = [
            models.Index(name="word_everywhere", fields=["kind", "word", "object"]),
            models.Index(name="word_object", fields=["kind", "object", "word"]),
        ]


class MailboxUsage(models.Model):
    """Written by Dovecot (quota_clone): what a mailbox holds now."""

    mailbox = models.OneToOneField(
        Mailbox,
        models.DO_NOTHING,
        to_field="email",
        db_column="email",
        primary_key=True,
        db_constraint=False,
        related_name="usage",
    )
    bytes = models.BigIntegerField(default=0)
    messages = models.BigIntegerField(default=0)

    class Meta:
        db_table = "mailbox_usage"
        managed = False


class LastLogin(models.Model):
    """Written by Dovecot (last_login): the last sign-in by service and client address. `time` is Unix time."""

    pk = models.CompositePrimaryKey("mailbox", "service", "address")
    mailbox = models.ForeignKey(
        Mailbox,
        models.DO_NOTHING,
        to_field="email",
        db_column="email",
        db_constraint=False,
        related_name="last_logins",
    )
    service = models.CharField(max_length=16)
    address = models.CharField(max_length=45)
    time = models.BigIntegerField(default=0)

    SERVICES = {"imap": "IMAP", "pop3": "POP3", "smtp": "SMTP", "sieve": "Sieve"}

    class Meta:
        db_table = "last_login"
        managed = False

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    @property
    def service_name(self) -> str:
        return self.SERVICES.get(self.service, self.service)
