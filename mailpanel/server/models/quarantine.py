"""What Amavis writes, in the tables and columns of its own (README.sql-mysql of amavisd-new): every message that it has seen,
its recipients, and those messages that it put into the quarantine, in portions.

Amavis' tables have no column to find the newest messages of a domain by. Those that we add fill themselves: by a default,
or generated from others, so that Amavis need not know of them.
"""

from datetime import UTC, datetime

from django.db import models
from django.db.models import Case, F, Func, GeneratedField, Q, Value, When
from django.db.models.functions import Cast, Concat, StrIndex, Substr

from domains.models import AddressField

# Kinds of what waits in the quarantine, as Amavis calls them; all else that it can hold back is OTHER.
VIRUS, BANNED, SPAM, OTHER = KINDS = "V", "B", "S", "O"
UNSCANNED = "U"  # one of the others: it could not be unpacked, so no virus was looked for
WAITS, RELEASED, DELETED, IN_TRASH = " ", "R", "D", "X"


class UnixNow(Func):
    """Seconds of Unix time, which no time zone of a connection changes."""

    output_field = models.BigIntegerField()
    allowed_default = True

    def as_sqlite(self, compiler, connection, **context):
        return "CAST(STRFTIME('%%s', 'now') AS INTEGER)", []

    def as_mysql(self, compiler, connection, **context):
        return "UNIX_TIMESTAMP()", []


_AT, _PLUS = StrIndex(F("email"), Value("@")), StrIndex(F("email"), Value("+"))


class Maddr(models.Model):
    """An address that a message came from or was for; `domain` is written in reverse (`org.example`), `base` is the address
    without its `+tag`."""

    id = models.BigAutoField(primary_key=True)
    partition_tag = models.IntegerField(default=0, db_default=0)
    email = AddressField()
    domain = models.CharField(max_length=255)
    base = GeneratedField(
        expression=Case(
            When(
                Q(email__contains="+"),
                then=Concat(
                    Substr(F("email"), 1, _PLUS - 1), Substr(F("email"), _AT), output_field=AddressField()
                ),
            ),
            default=F("email"),
            output_field=AddressField(),
        ),
        output_field=AddressField(),
        db_persist=True,
    )

    class Meta:
        db_table = "maddr"
        constraints = [models.UniqueConstraint(name="maddr_once", fields=["partition_tag", "email"])]
        indexes = [
            models.Index(name="maddr_base", fields=["base"]),
            models.Index(name="maddr_domain", fields=["domain"]),
        ]


class Msg(models.Model):
    """One message. `time_num` is Unix time; `content` is V virus, B banned, S spam, U what could not be unpacked;
    `quar_type` is Q for what lies in the table `quarantine`."""

    pk = models.CompositePrimaryKey("partition_tag", "mail_id")
    partition_tag = models.IntegerField(default=0, db_default=0)
    mail_id = AddressField(max_length=16)
    secret_id = AddressField(max_length=16, default="", db_default="")
    am_id = models.CharField(max_length=20)
    time_num = models.BigIntegerField()
    time_iso = models.CharField(max_length=16)
    sid = models.BigIntegerField()
    policy = models.CharField(max_length=255, default="", db_default="")
    client_addr = models.CharField(max_length=255, default="", db_default="")
    size = models.BigIntegerField()
    originating = models.CharField(max_length=1, default=" ", db_default=" ")
    content = models.CharField(max_length=1, null=True)
    quar_type = models.CharField(max_length=1, null=True)
    quar_loc = models.CharField(max_length=255, null=True, default="", db_default="")
    dsn_sent = models.CharField(max_length=1, null=True)
    spam_level = models.FloatField(null=True)
    message_id = models.CharField(max_length=255, null=True, default="", db_default="")
    from_addr = models.CharField(max_length=255, null=True, default="", db_default="")
    subject = models.CharField(max_length=255, null=True, default="", db_default="")
    host = models.CharField(max_length=255)

    class Meta:
        db_table = "msgs"
        indexes = [
            models.Index(name="msgs_time", fields=["time_num"]),
            models.Index(name="msgs_sid", fields=["sid", "time_num", "mail_id"]),
        ]

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.time_num, UTC)


class MsgRcpt(models.Model):
    """One recipient of one message. `ds` is what became of it (P passed, R rejected, B bounced, D discarded), `rs` what the
    recipient did: R released, D deleted, blank nothing yet. Releasing leaves it to us to write that; and X says that the
    mailbox is in the trash.

    `kind` is empty (NULL) unless it waits in the quarantine for this recipient. `slip` is its name in addresses of pages,
    `made` when the row came. `domain` is that of the recipient, written forwards, and filled in by the statement that
    Amavis is given for these rows.
    """

    pk = models.CompositePrimaryKey("partition_tag", "mail_id", "rseqnum")
    partition_tag = models.IntegerField(default=0, db_default=0)
    mail_id = AddressField(max_length=16)
    rseqnum = models.IntegerField(default=0, db_default=0)
    rid = models.BigIntegerField()
    is_local = models.CharField(max_length=1, default=" ", db_default=" ")
    content = models.CharField(max_length=1, default=" ", db_default=" ")
    ds = models.CharField(max_length=1)
    rs = models.CharField(max_length=1)
    bl = models.CharField(max_length=1, null=True, default=" ", db_default=" ")
    wl = models.CharField(max_length=1, null=True, default=" ", db_default=" ")
    bspam_level = models.FloatField(null=True)
    smtp_resp = models.CharField(max_length=255, null=True, default="", db_default="")
    made = models.BigIntegerField(db_default=UnixNow())
    domain = AddressField(default="", db_default="")
    claimed = models.BigIntegerField(null=True)  # Unix time until which it is somebody's to release
    kind = GeneratedField(
        expression=Case(
            When(
                Q(rs__in=[RELEASED, DELETED, IN_TRASH]) | Q(ds="P") | Q(content__in=["C", " ", ""]), then=None
            ),
            When(content__in=[VIRUS, BANNED, SPAM], then=F("content")),
            default=Value(OTHER),
        ),
        output_field=models.CharField(max_length=1, null=True),
        db_persist=True,
    )
    slip = GeneratedField(
        expression=Concat(
            F("mail_id"),
            Value("."),
            Cast(F("rseqnum"), models.CharField(max_length=11)),
            output_field=AddressField(),
        ),
        output_field=AddressField(max_length=28),
        db_persist=True,
    )

    class Meta:
        db_table = "msgrcpt"
        indexes = [
            models.Index(name="msgrcpt_rid", fields=["rid", "kind", "made", "slip"]),
            models.Index(name="msgrcpt_slip", fields=["slip"]),
            models.Index(name="msgrcpt_kind", fields=["kind", "made", "slip"]),
            models.Index(name="msgrcpt_domain", fields=["domain", "kind", "made", "slip"]),
        ]


class Quarantine(models.Model):
    """A portion of a message, counted from 1."""

    pk = models.CompositePrimaryKey("partition_tag", "mail_id", "chunk_ind")
    partition_tag = models.IntegerField(default=0, db_default=0)
    mail_id = AddressField(max_length=16)
    chunk_ind = models.IntegerField()
    mail_text = models.BinaryField()

    class Meta:
        db_table = "quarantine"
