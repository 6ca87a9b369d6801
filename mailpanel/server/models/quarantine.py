"""What Amavis writes, in the tables and columns of its own (README.sql-mysql of amavisd-new): every message that it put into
the quarantine, its recipients, and the message itself in portions."""

from datetime import UTC, datetime

from django.db import models

from domains.models import AddressField


class Maddr(models.Model):
    """An address that a message came from or was for; `domain` is written in reverse (`org.example`)."""

    id = models.BigAutoField(primary_key=True)
    partition_tag = models.IntegerField(default=0, db_default=0)
    email = AddressField()
    domain = models.CharField(max_length=255)

    class Meta:
        db_table = "maddr"
        constraints = [models.UniqueConstraint(name="maddr_once", fields=["partition_tag", "email"])]


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
        indexes = [models.Index(name="msgs_time", fields=["time_num"])]

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.time_num, UTC)


class MsgRcpt(models.Model):
    """One recipient of one message. `ds` is what became of it (P passed, R rejected, B bounced, D discarded), `rs` what the
    recipient did: R released, D deleted, blank nothing yet. Releasing leaves it to us to write that."""

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

    class Meta:
        db_table = "msgrcpt"
        indexes = [models.Index(name="msgrcpt_rid", fields=["rid", "mail_id"])]


class Quarantine(models.Model):
    """A portion of a message, counted from 1."""

    pk = models.CompositePrimaryKey("partition_tag", "mail_id", "chunk_ind")
    partition_tag = models.IntegerField(default=0, db_default=0)
    mail_id = AddressField(max_length=16)
    chunk_ind = models.IntegerField()
    mail_text = models.BinaryField()

    class Meta:
        db_table = "quarantine"
