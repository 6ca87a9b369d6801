"""The tables `domain` and `alias`, which Postfix and Dovecot query. Column names are a public interface."""

import re
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Concat, Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from domains import addresses, quota

VIRTUAL = "virtual:"
_TRANSPORT = re.compile(r"(?:smtp|relay):(?:\[?[a-z0-9.:-]+\]?(?::\d{1,5})?)?")
# Control characters, line ends, lone surrogates, and what turns the direction of writing.
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class AddressField(models.CharField):
    """An address or domain in its one canonical form: lower-case ASCII, compared byte by byte.

    On MariaDB the collation is utf8mb4_nopad_bin: case-insensitive ones take one person for another, utf8mb4_bin
    ignores a trailing blank, and an `ascii` column answers a non-ASCII key with an error, upon which Postfix would
    defer everybody's mail. SQLite compares bytes anyway, and does not know the name.
    """

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("max_length", 255)
        super().__init__(*args, **kwargs)

    def db_parameters(self, connection):
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_nopad_bin"
        return parameters


@AddressField.register_lookup
class OnlyCharacters(models.Lookup):
    """`Q(field__only="a-z0-9.-")`: no character outside the class. For CHECK constraints on both databases."""

    lookup_name = "only"
    prepare_rhs = False

    def as_sqlite(self, compiler, connection):
        left, params = self.process_lhs(compiler, connection)
        return f"{left} NOT GLOB '*[^{self.rhs}]*'", params

    def as_mysql(self, compiler, connection):
        left, params = self.process_lhs(compiler, connection)
        return f"{left} NOT REGEXP '[^{self.rhs}]'", params


def one_line(text: str) -> str:
    """Refuse what could end a header line, turn the writing around or steer a terminal. Raises ValidationError."""
    if found := STEERING.search(text):
        raise ValidationError(
            _("There is a line end or an invisible character in it (%(number)s). Type it anew, in one line."),
            code="invisible",
            params={"number": f"U+{ord(found[0]):04X}"},
        )
    return text


class Check(models.CheckConstraint):
    """A constraint that the database alone enforces: forms have met the same rule in clean(), with better words."""

    def validate(self, *args, **kwargs):
        pass


def within(field: str) -> Q:
    """The address in `field` is one of the row's own domain."""
    return Q(**{f"{field}__endswith": Concat(Value("@"), F("domain"))})


class LimitField(models.PositiveIntegerField):
    """How many at most; NULL is unlimited."""

    default_validators = [MaxValueValidator(999_999_999)]

    def __init__(self, *args, **kwargs):
        kwargs.update(null=True, blank=True)
        super().__init__(*args, **kwargs)


class SizeField(models.BigIntegerField):
    """Bytes; NULL is unlimited, never 0."""

    def __init__(self, *args, **kwargs):
        kwargs.update(null=True, blank=True)
        super().__init__(*args, **kwargs)

    def formfield(self, **kwargs):
        return models.Field.formfield(self, **{"form_class": quota.SizeInput, **kwargs})


class SumOfSizes(models.Sum):
    """For people to read. SQLite counts it in floating point, since a sum beyond 64 bits is an error there."""

    def as_sqlite(self, compiler, connection, **extra):
        return self.as_sql(compiler, connection, function="TOTAL", **extra)


class DomainQuerySet(models.QuerySet):
    def reserve(
        self,
        name: str,
        *,
        mailboxes: int = 0,
        aliases: int = 0,
        quota_given: int = 0,
        limitless: bool = False,
    ):
        """Change the counters of one domain by one guarded UPDATE, in the caller's transaction.

        This shows counts without counting and holds the limits under concurrency. `limitless` says that the mailbox
        at hand has no quota, which a domain with a pool does not allow. Raises ValidationError where a limit is met.
        """
        guard = Q()
        if mailboxes > 0:
            guard &= Q(alias_of=None, transport__in=["", VIRTUAL])
            guard &= Q(max_mailboxes=None) | Q(max_mailboxes__gte=F("mailbox_count") + mailboxes)
        if aliases > 0:
            guard &= Q(alias_of=None)
            guard &= Q(max_aliases=None) | Q(max_aliases__gte=F("alias_count") + aliases)
        if limitless:
            guard &= Q(quota_pool=None)
        if quota_given > 0:
            guard &= Q(quota_pool=None) | Q(quota_pool__gte=F("quota_given") + quota_given)
            guard &= Q(quota_given__lte=2**63 - 1 - quota_given)
        changed = self.filter(guard, name=name).update(
            mailbox_count=F("mailbox_count") + mailboxes,
            alias_count=F("alias_count") + aliases,
            quota_given=F("quota_given") + quota_given,
        )
        if not changed:
            domain = self.filter(name=name).first()
            raise ValidationError(
                domain.why_full(mailboxes, aliases, quota_given, limitless)
                if domain
                else _("The domain %s does not exist any more.") % name
            )


class Domain(models.Model):
    name = AddressField(gettext_lazy("domain"), primary_key=True, db_column="domain")
    description = models.CharField(
        gettext_lazy("description"), max_length=255, blank=True, default="", db_default=""
    )
    enabled = models.BooleanField(gettext_lazy("switched on"), default=True, db_default=True)
    transport = models.CharField(
        gettext_lazy("transport"), max_length=255, blank=True, default=VIRTUAL, db_default=VIRTUAL
    )
    alias_of = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        verbose_name=gettext_lazy("mirror of"),
        db_column="alias_of",
        null=True,
        blank=True,
        related_name="mirrors",
    )
    max_mailboxes = LimitField(gettext_lazy("most mailboxes"))
    max_aliases = LimitField(gettext_lazy("most alias destinations"))
    quota_pool = SizeField(gettext_lazy("quota pool"))
    default_quota = SizeField(gettext_lazy("quota of a new mailbox"))
    mailbox_count = models.PositiveIntegerField(
        db_column="mailboxes", default=0, db_default=0, editable=False
    )
    alias_count = models.PositiveIntegerField(db_column="aliases", default=0, db_default=0, editable=False)
    quota_given = models.BigIntegerField(default=0, db_default=0, editable=False)
    # What its mailboxes hold, as `manage.py collect` summed it up last.
    quota_used = models.BigIntegerField(default=0, db_default=0, editable=False)
    created = models.DateTimeField(auto_now_add=True, db_default=Now())
    modified = models.DateTimeField(auto_now=True, db_default=Now())

    objects = DomainQuerySet.as_manager()

    class Meta:
        db_table = "domain"
        ordering = ["name"]
        constraints = [
            Check(name="domain_form", condition=Q(name__only="a-z0-9.-", name__contains=".")),
            Check(name="domain_not_own_mirror", condition=~Q(alias_of=F("name")) | Q(alias_of=None)),
            Check(
                name="domain_sizes",
                condition=Q(
                    Q(quota_pool=None) | Q(quota_pool__gt=0), Q(default_quota=None) | Q(default_quota__gt=0)
                ),
            ),
        ]

    def __str__(self):
        return addresses.to_unicode(self.name)

    @property
    def is_relay(self) -> bool:
        return self.transport not in ("", VIRTUAL)

    @property
    def takes_mailboxes(self) -> bool:
        return self.alias_of_id is None and not self.is_relay

    def clean(self):
        errors = {}
        try:
            one_line(self.description)
        except ValidationError as error:
            errors["description"] = error
        if self.is_relay and not _TRANSPORT.fullmatch(self.transport):
            errors["transport"] = _(
                "Write virtual: for mailboxes on this server, or smtp:[host] or relay:[host]:port for mail that is sent on."
            )
        if self.alias_of_id:
            if self.alias_of_id == self.name:
                errors["alias_of"] = _("A domain cannot mirror itself.")
            elif self.alias_of.alias_of_id:
                errors["alias_of"] = _("%(target)s is a mirror of %(other)s. Choose %(other)s itself.") % {
                    "target": self.alias_of,
                    "other": self.alias_of.alias_of,
                }
            elif self.is_relay or self.alias_of.is_relay:
                errors["alias_of"] = _("A domain whose mail is sent on cannot be a mirror or have one.")
            elif not self._state.adding and (
                self.mailboxes.exists() or self.aliases.exists() or self.mirrors.exists()
            ):
                errors["alias_of"] = _(
                    "A mirror has no mailboxes, aliases or mirrors of its own; delete or move these first."
                )
        elif self.is_relay and not self._state.adding and self.mailboxes.exists():
            errors.setdefault(
                "transport", _("This domain has mailboxes, so its mail stays here; delete them first.")
            )
        if self.default_quota and self.quota_pool and self.default_quota > self.quota_pool:
            errors["default_quota"] = _("More than the whole pool of %s.") % quota.show(self.quota_pool)
        if errors:
            raise ValidationError(errors)

    def why_full(self, mailboxes: int, aliases: int, quota_given: int, limitless: bool) -> dict | str:
        """The sentence for a reservation that did not fit, at the field where it belongs."""
        if self.alias_of_id:
            return _(
                "%(domain)s mirrors %(target)s and has no mailboxes or aliases of its own. Make it in %(target)s."
            ) % {
                "domain": self,
                "target": addresses.to_unicode(self.alias_of_id),
            }
        if mailboxes > 0 and self.is_relay:
            return _("Mail for %s is sent on to another server, so it has no mailboxes here.") % self
        if (
            mailboxes > 0
            and self.max_mailboxes is not None
            and self.mailbox_count + mailboxes > self.max_mailboxes
        ):
            return _("%(domain)s has all the %(most)s mailboxes that it may have.") % {
                "domain": self,
                "most": self.max_mailboxes,
            }
        if aliases > 0 and self.max_aliases is not None and self.alias_count + aliases > self.max_aliases:
            return _("%(domain)s may have %(most)s alias destinations and has %(now)s.") % {
                "domain": self,
                "most": self.max_aliases,
                "now": self.alias_count,
            }
        if limitless and self.quota_pool is not None:
            return {"quota": _("%s has a quota pool, so each of its mailboxes needs a quota.") % self}
        if self.quota_pool is not None:
            return {
                "quota": _("%(domain)s has %(left)s left of its pool of %(pool)s.")
                % {
                    "domain": self,
                    "left": quota.show(max(self.quota_pool - self.quota_given, 0)),
                    "pool": quota.show(self.quota_pool),
                }
            }
        return {"quota": _("All quotas of %s together are more than can be counted.") % self}


class AliasQuerySet(models.QuerySet):
    def alive(self):
        """Rows that lead somewhere now: switched on and not expired."""
        return self.filter(Q(expires=None) | Q(expires__gt=timezone.now()), enabled=True)


class Alias(models.Model):
    """One destination of an alias; an alias with three destinations is three rows."""

    source = AddressField(gettext_lazy("alias"))
    destination = AddressField(gettext_lazy("destination"))
    domain = models.ForeignKey(
        Domain, models.DO_NOTHING, db_column="domain", db_index=False, related_name="aliases"
    )
    enabled = models.BooleanField(gettext_lazy("switched on"), default=True, db_default=True)
    expires = models.DateTimeField(gettext_lazy("expires"), null=True, blank=True)
    comment = models.CharField(gettext_lazy("comment"), max_length=255, blank=True, default="", db_default="")
    created = models.DateTimeField(auto_now_add=True, db_default=Now())
    modified = models.DateTimeField(auto_now=True, db_default=Now())

    objects = AliasQuerySet.as_manager()

    class Meta:
        db_table = "alias"
        ordering = ["source", "destination"]
        constraints = [
            models.UniqueConstraint(name="alias_once", fields=["source", "destination"]),
            Check(name="alias_source_form", condition=Q(source__only="a-z0-9.@_-") & within("source")),
            Check(
                name="alias_destination_form",
                condition=Q(destination__only="a-z0-9.@_+=&''-", destination__contains="@")
                & ~Q(destination__startswith="@"),
            ),
        ]
        indexes = [
            models.Index(name="alias_destination", fields=["destination"]),
            models.Index(name="alias_domain_source", fields=["domain", "source"]),
            models.Index(name="alias_off", fields=["enabled", "source"]),
            models.Index(name="alias_domain_off", fields=["domain", "enabled", "source"]),
            models.Index(name="alias_expires", fields=["expires", "source"]),
            models.Index(name="alias_domain_expires", fields=["domain", "expires", "source"]),
        ]

    def __str__(self):
        return f"{addresses.to_unicode(self.source)} → {addresses.to_unicode(self.destination)}"

    @property
    def is_alive(self) -> bool:
        return self.enabled and (self.expires is None or self.expires > timezone.now())

    def clean(self):
        errors = {}
        for field, parse in (
            ("source", addresses.parse_alias_source),
            ("destination", addresses.parse_destination),
            ("comment", one_line),
        ):
            try:
                setattr(self, field, parse(getattr(self, field)))
            except ValidationError as error:
                errors[field] = error
        if errors:
            raise ValidationError(errors)
        self.domain_id = addresses.split(self.source)[1]


class DkimKey(models.Model):
    """A key that mail of a domain is signed with (RFC 6376). Amavis reads the one that signs for each message, so that
    a change of `state` is all there is to do (deploy/amavis/dkim.conf). Nobody is ever shown the private key."""

    class State(models.TextChoices):
        WAITING = "waiting", gettext_lazy("waits for its record in DNS")
        SIGNING = "signing", gettext_lazy("signs")
        RETIRED = "retired", gettext_lazy("retired")

    class Seen(models.TextChoices):
        """What DNS had in the place of the record when it was asked last."""

        RIGHT = "right", gettext_lazy("right")
        OTHER = "other", gettext_lazy("another record")
        MISSING = "missing", gettext_lazy("not found")
        UNKNOWN = "unknown", gettext_lazy("no answer")

    domain = models.ForeignKey(
        Domain, models.DO_NOTHING, db_column="domain", db_index=False, related_name="dkim_keys"
    )
    selector = AddressField(gettext_lazy("selector"), max_length=63)
    private_key = models.TextField(editable=False, help_text="PEM")
    public_key = models.TextField(editable=False, help_text="base64, as it stands in the record")
    state = models.CharField(
        max_length=16, choices=State.choices, default=State.WAITING, db_default=State.WAITING
    )
    since = models.DateTimeField(
        default=timezone.now, db_default=Now(), help_text="when it came into its state"
    )
    seen = models.CharField(max_length=16, choices=Seen.choices, blank=True, default="", db_default="")
    asked = models.DateTimeField(null=True, blank=True, help_text="when DNS was asked last")
    created = models.DateTimeField(auto_now_add=True, db_default=Now())

    class Meta:
        db_table = "dkim_key"
        ordering = ["domain", "-id"]
        constraints = [
            models.UniqueConstraint(name="dkim_key_once", fields=["domain", "selector"]),
            Check(name="dkim_key_selector", condition=Q(selector__only="a-z0-9-") & ~Q(selector="")),
            Check(name="dkim_key_state", condition=Q(state__in=["waiting", "signing", "retired"])),
        ]

    def __str__(self):
        return f"{self.selector}._domainkey.{addresses.to_unicode(self.domain_id)}"

    @property
    def published_until(self) -> datetime:
        """How long the record of a retired key should stay in DNS: mail that it signed may still be on its way."""
        return self.since + timedelta(days=7)
