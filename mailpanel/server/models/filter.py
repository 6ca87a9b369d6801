"""What the content filter does with mail for whom: Amavis reads these tables for each recipient (deploy/amavis)."""

from datetime import date

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy

from domains.models import AddressField, Check

SERVER = "@."  # the scope of everybody, as Amavis has it
SUBJECT = 64  # characters
ALLOWED, BLOCKED = "W", "B"
NEVER = 99999.0  # no score comes up to this; that of the test spam is 1000

# Rule sets of banned files: their names in deploy/amavis/amavisd.conf, and what they hold.
BANNED = {
    "programs": gettext_lazy("Programs and scripts"),
    "macros": gettext_lazy("Office files with macros"),
    "archives": gettext_lazy("Archives (zip, rar, 7z, …)"),
    "disks": gettext_lazy("Images of disks"),
    "encrypted": gettext_lazy("Encrypted archives and documents"),
}

# What holds where no scope says anything, and what a new server begins with (its migration says the same).
DEFAULTS = {
    "spam_tag_level": -999.0,
    "spam_tag2_level": 5.0,
    "spam_kill_level": 10.0,
    "spam_subject_tag2": "",
    "bypass_spam_checks": "N",
    "bypass_virus_checks": "N",
    "bypass_banned_checks": "N",
    "banned_rulenames": "programs",
    "digest": False,
}


class Flag(models.CharField):
    """`Y` or `N`, as Amavis has it; NULL leaves it to the wider scope."""

    def __init__(self, *args, **kwargs):
        kwargs.update(max_length=1, null=True, blank=True)
        super().__init__(*args, **kwargs)


class FilterPolicy(models.Model):
    """The policy of one scope: `@.` (the server, whose row has no NULL), `@domain` or a mailbox.

    Field by field the most specific scope decides; NULL leaves it to the wider one. The columns have Amavis' names.
    """

    scope = AddressField(primary_key=True)
    spam_tag_level = models.FloatField(null=True, help_text="from this score on, headers tell it")
    spam_tag2_level = models.FloatField(null=True, help_text="from this score on it is marked as spam")
    spam_kill_level = models.FloatField(null=True, help_text="from this score on it goes to the quarantine")
    spam_subject_tag2 = models.CharField(max_length=SUBJECT, null=True)
    bypass_spam_checks = Flag()
    bypass_virus_checks = Flag()
    bypass_banned_checks = Flag()
    banned_rulenames = models.CharField(
        max_length=255, null=True, help_text="names of rules in amavisd.conf, separated by commas"
    )
    digest = models.BooleanField(null=True, help_text="a daily mail tells what is in the quarantine")
    modified = models.DateTimeField(auto_now=True, db_default=Now())

    class Meta:
        db_table = "filter_policy"
        constraints = [
            Check(
                name="filter_policy_levels",
                condition=Q(spam_tag2_level=None) | Q(spam_kill_level=None) | Q(spam_kill_level__gte=models.F("spam_tag2_level")),
            ),
        ]  # fmt: skip


class DigestSent(models.Model):
    """The last mail about the quarantine that a mailbox was sent: on which day, and up to which moment (Unix time) it told
    everything. The day is written before the mail leaves, so that of several collectors one sends it."""

    email = AddressField(primary_key=True)
    day = models.DateField(default=date(1970, 1, 1), db_default=date(1970, 1, 1))
    told = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        db_table = "filter_digest"


class FilterSender(models.Model):
    """A sender that a scope always lets through (`W`) or always takes for spam (`B`): an address, or `@domain`."""

    scope = AddressField()
    sender = AddressField()
    wb = models.CharField(max_length=10, help_text="W, B, or a number that is added to the score")
    created = models.DateTimeField(auto_now_add=True, db_default=Now())

    class Meta:
        db_table = "filter_sender"
        constraints = [models.UniqueConstraint(name="filter_sender_once", fields=["scope", "sender"])]
