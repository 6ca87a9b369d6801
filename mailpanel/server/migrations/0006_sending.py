"""How much each mailbox sends, and may send."""

from django.db import migrations, models

import domains.models


class Migration(migrations.Migration):
    dependencies = [
        ("server", "0005_digest"),
    ]

    operations = [
        migrations.CreateModel(
            name="SendLimit",
            fields=[
                ("scope", domains.models.AddressField(max_length=255, primary_key=True, serialize=False)),
                (
                    "per_hour",
                    domains.models.LimitField(blank=True, null=True, verbose_name="recipients an hour"),
                ),
                (
                    "per_day",
                    domains.models.LimitField(blank=True, null=True, verbose_name="recipients a day"),
                ),
            ],
            options={
                "db_table": "send_limit",
            },
        ),
        migrations.CreateModel(
            name="Sending",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "mailbox", "hour", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("mailbox", domains.models.AddressField(max_length=255)),
                ("hour", models.PositiveIntegerField()),
                ("recipients", models.PositiveIntegerField(db_default=0, default=0)),
                ("refused", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "db_table": "sending",
                "indexes": [models.Index(fields=["hour"], name="sending_hour")],
            },
        ),
        migrations.CreateModel(
            name="SendShare",
            fields=[
                ("mailbox", domains.models.AddressField(max_length=255, primary_key=True, serialize=False)),
                ("domain", domains.models.AddressField(max_length=255)),
                ("share", models.PositiveSmallIntegerField(help_text="per cent of the limit that is nearer")),
                ("hour", models.PositiveIntegerField(help_text="recipients in this hour")),
                ("day", models.PositiveIntegerField(help_text="recipients within a day")),
                (
                    "refused",
                    models.PositiveIntegerField(help_text="recipients within a day that were too many"),
                ),
                ("per_hour", domains.models.LimitField(blank=True, null=True)),
                ("per_day", domains.models.LimitField(blank=True, null=True)),
            ],
            options={
                "db_table": "send_share",
                "indexes": [
                    models.Index(fields=["share", "mailbox"], name="send_share_share"),
                    models.Index(fields=["domain", "share", "mailbox"], name="send_share_domain"),
                    models.Index(fields=["refused", "mailbox"], name="send_share_refused"),
                ],
            },
        ),
    ]
