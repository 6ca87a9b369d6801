"""What the content filter does with mail for whom: Amavis reads these tables for each recipient (deploy/amavis)."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from domains.models import AddressField, Check

SERVER = "@."  # the scope of everybody, as Amavis has it
SUBJECT = 64  # characters


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


class FilterSender(models.Model):
    """A sender that a scope always lets through (`W`) or always takes for spam (`B`): an address, or `@domain`."""

    scope = AddressField()
    sender = AddressField()
    wb = models.CharField(max_length=10, help_text="W, B, or a number that is added to the score")
    created = models.DateTimeField(auto_now_add=True, db_default=Now())

    class Meta:
        db_table = "filter_sender"
        constraints = [models.UniqueConstraint(name="filter_sender_once", fields=["scope", "sender"])]
