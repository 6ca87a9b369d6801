"""How much each mailbox has sent, and how much it may: counted by `manage.py policy`, which Postfix asks."""

from django.db import models
from django.utils.translation import gettext_lazy

from domains.models import AddressField, LimitField


class Sending(models.Model):
    """Recipients to whom a mailbox has sent in one hour (of Unix time), and those that were refused over the limit: kept for
    a week."""

    pk = models.CompositePrimaryKey("mailbox", "hour")
    mailbox = AddressField()
    hour = models.PositiveIntegerField()
    recipients = models.PositiveIntegerField(default=0, db_default=0)
    refused = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        db_table = "sending"
        indexes = [models.Index(name="sending_hour", fields=["hour"])]


class SendLimit(models.Model):
    """A limit of its own: of `@domain`, for each of its mailboxes, or of one mailbox. The most specific one decides, with both
    its numbers; without any, the settings do. NULL is unlimited."""

    scope = AddressField(primary_key=True)
    per_hour = LimitField(gettext_lazy("recipients an hour"))
    per_day = LimitField(gettext_lazy("recipients a day"))

    class Meta:
        db_table = "send_limit"


class SendShare(models.Model):
    """How near each mailbox that has sent within a day is to its limit, as `manage.py collect` reckoned it last."""

    mailbox = AddressField(primary_key=True)
    domain = AddressField()
    share = models.PositiveSmallIntegerField(help_text="per cent of the limit that is nearer")
    hour = models.PositiveIntegerField(help_text="recipients in this hour")
    day = models.PositiveIntegerField(help_text="recipients within a day")
    refused = models.PositiveIntegerField(help_text="recipients within a day that were too many")
    per_hour = LimitField()
    per_day = LimitField()

    class Meta:
        db_table = "send_share"
        indexes = [
            models.Index(name="send_share_share", fields=["share", "mailbox"]),
            models.Index(name="send_share_domain", fields=["domain", "share", "mailbox"]),
            models.Index(name="send_share_refused", fields=["refused", "mailbox"]),
        ]
