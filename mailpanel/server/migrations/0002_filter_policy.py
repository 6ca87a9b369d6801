"""What the content filter is told: the policy of the server, of domains and of mailboxes, and their senders."""

import django.db.models.functions.datetime
from django.db import migrations, models

import domains.models
import mailpanel.server.models.filter

# The whole server's policy: what a new installation begins with. The levels are SpamAssassin's scores.
SERVER = {
    "scope": "@.",
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


def make_policy_of_server(apps, schema_editor):
    apps.get_model("server", "FilterPolicy").objects.create(**SERVER)


class Migration(migrations.Migration):
    dependencies = [
        ("server", "0001_history"),
    ]

    operations = [
        migrations.CreateModel(
            name="FilterPolicy",
            fields=[
                ("scope", domains.models.AddressField(max_length=255, primary_key=True, serialize=False)),
                (
                    "spam_tag_level",
                    models.FloatField(help_text="from this score on, headers tell it", null=True),
                ),
                (
                    "spam_tag2_level",
                    models.FloatField(help_text="from this score on it is marked as spam", null=True),
                ),
                (
                    "spam_kill_level",
                    models.FloatField(help_text="from this score on it goes to the quarantine", null=True),
                ),
                ("spam_subject_tag2", models.CharField(max_length=64, null=True)),
                (
                    "bypass_spam_checks",
                    mailpanel.server.models.filter.Flag(blank=True, max_length=1, null=True),
                ),
                (
                    "bypass_virus_checks",
                    mailpanel.server.models.filter.Flag(blank=True, max_length=1, null=True),
                ),
                (
                    "bypass_banned_checks",
                    mailpanel.server.models.filter.Flag(blank=True, max_length=1, null=True),
                ),
                (
                    "banned_rulenames",
                    models.CharField(
                        help_text="names of rules in amavisd.conf, separated by commas",
                        max_length=255,
                        null=True,
                    ),
                ),
                (
                    "digest",
                    models.BooleanField(help_text="a daily mail tells what is in the quarantine", null=True),
                ),
                (
                    "modified",
                    models.DateTimeField(auto_now=True, db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "filter_policy",
                "constraints": [
                    domains.models.Check(
                        condition=models.Q(
                            ("spam_tag2_level", None),
                            ("spam_kill_level", None),
                            ("spam_kill_level__gte", models.F("spam_tag2_level")),
                            _connector="OR",
                        ),
                        name="filter_policy_levels",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="FilterSender",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("scope", domains.models.AddressField(max_length=255)),
                ("sender", domains.models.AddressField(max_length=255)),
                (
                    "wb",
                    models.CharField(help_text="W, B, or a number that is added to the score", max_length=10),
                ),
                (
                    "created",
                    models.DateTimeField(
                        auto_now_add=True, db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
            ],
            options={
                "db_table": "filter_sender",
                "constraints": [
                    models.UniqueConstraint(fields=("scope", "sender"), name="filter_sender_once")
                ],
            },
        ),
        migrations.RunPython(make_policy_of_server, migrations.RunPython.noop),
    ]
