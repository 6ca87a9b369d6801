"""What became of each message, as the mail log told it, and what that comes to by the hour."""

from datetime import UTC, datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from domains.models import AddressField

HOST, NAME = 64, 255


class State(models.IntegerChoices):
    """What became of a message for one recipient. Of several the highest tells about the message."""

    NONE = 0, ""  # nothing that anybody is shown: part of a message whose other part is still to come
    DELIVERED = 1, _("Delivered")
    SENT = 2, _("Sent on")
    QUARANTINED = 3, _("Quarantined")
    REFUSED = 4, _("Refused")
    BOUNCED = 5, _("Returned")
    WAITING = 6, _("Waiting")

    @property
    def level(self) -> str:
        return ("", "ok", "ok", "warn", "bad", "bad", "warn")[self]

    @property
    def icon(self) -> str:
        return ("clock", "ok", "send", "quarantine", "bad", "undo", "clock")[self]


class Message(models.Model):
    """One message, by however many queue ids it passed. `accepted` is whether Postfix took it into its queue."""

    host = models.CharField(max_length=HOST)
    at = models.DateTimeField()
    last = models.DateTimeField()
    queue_id = models.CharField(max_length=32, default="")  # the first
    client = models.CharField(max_length=NAME, default="")
    address = models.CharField(max_length=64, default="")  # of the client
    login = AddressField(default="")  # the mailbox that it was submitted by
    sender = AddressField(null=True)  # empty: a notice of a mail server; None: not known yet
    size = models.BigIntegerField(null=True)
    message_id = AddressField(default="")
    verdict = models.CharField(
        max_length=16, default=""
    )  # of the filter, as Amavis calls it, in small letters
    score = models.FloatField(null=True)
    quarantine = models.CharField(max_length=32, default="")  # mail_id of what Amavis kept
    accepted = models.BooleanField(default=False)
    state = models.PositiveSmallIntegerField(choices=State, default=State.NONE)
    lines = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "trace_message"
        indexes = [
            models.Index(name="trace_message_id", fields=["message_id", "at"]),
            models.Index(name="trace_message_at", fields=["at"]),
            models.Index(name="trace_message_state", fields=["state", "last"]),
        ]


class Key(models.Model):
    """By which name a daemon had a message, and from when to when: queue ids come back."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="keys")
    host = models.CharField(max_length=HOST)
    name = AddressField(max_length=64)
    begun = models.DateTimeField()
    ended = models.DateTimeField(null=True)

    class Meta:
        db_table = "trace_key"
        indexes = [models.Index(name="trace_key_name", fields=["name", "host", "begun"])]


class Recipient(models.Model):
    """`address` as it was delivered to; `original` as the sender wrote it, if that is another one. Both are empty where a
    message was refused before any recipient was named."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="recipients")
    address = AddressField()
    original = AddressField(default="")
    state = models.PositiveSmallIntegerField(choices=State)
    waited = models.BooleanField(default=False)
    queue_id = models.CharField(max_length=32, default="")

    class Meta:
        db_table = "trace_recipient"
        constraints = [
            models.UniqueConstraint(name="trace_recipient_once", fields=["message", "address", "original"])
        ]

    @property
    def told_state(self) -> State:
        return State(self.state)


class Line(models.Model):
    """A line of the log about a message: of these its page tells the way, and of nothing else."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="log")
    at = models.DateTimeField()
    text = models.TextField()

    class Meta:
        db_table = "trace_line"


class Sight(models.Model):
    """Who may see a message, and by which address it is found: one row for each pair of them, so that each search of each
    person is one range of one index. `scope` is a domain, a mailbox, or empty for those who see everything; `address` is
    empty for the list of all. `state` is what became of it as far as this scope is concerned."""

    pk = models.CompositePrimaryKey("message", "scope", "address")
    message = models.ForeignKey(Message, models.CASCADE, db_index=False)
    scope = AddressField()
    address = AddressField()
    state = models.PositiveSmallIntegerField(choices=State)
    at = models.PositiveBigIntegerField()  # Unix time in microseconds, that of the message

    class Meta:
        db_table = "trace_sight"
        indexes = [
            models.Index(name="trace_sight_list", fields=["scope", "address", "state", "at", "message"])
        ]


class Position(models.Model):
    """How far one log of one host has been read: written in the transaction that writes what was read."""

    host = models.CharField(max_length=HOST)
    path = AddressField()
    inode = models.PositiveBigIntegerField(default=0)
    offset = models.PositiveBigIntegerField(default=0)
    length = models.PositiveIntegerField(default=0)  # of what the fingerprint is of, up to the offset
    fingerprint = models.CharField(max_length=64, default="")
    read = models.DateTimeField(null=True)
    error = models.CharField(max_length=NAME, default="")  # why it cannot be read

    class Meta:
        db_table = "trace_position"
        constraints = [models.UniqueConstraint(name="trace_position_once", fields=["host", "path"])]


class Traffic(models.Model):
    """Messages of one hour (of Unix time) by what became of them; `domain` is empty for the whole server."""

    pk = models.CompositePrimaryKey("domain", "hour")
    domain = AddressField()
    hour = models.PositiveIntegerField()
    received = models.PositiveIntegerField(default=0)
    delivered = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    spam = models.PositiveIntegerField(default=0)
    virus = models.PositiveIntegerField(default=0)
    deferred = models.PositiveIntegerField(default=0)

    KINDS = ("received", "delivered", "refused", "spam", "virus", "deferred")

    class Meta:
        db_table = "traffic"
        indexes = [models.Index(name="traffic_hour", fields=["hour"])]

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.hour * 3600, UTC)
