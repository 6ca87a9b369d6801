"""Who was sent the mail about the quarantine, and when."""

import datetime

from django.db import migrations, models

import domains.models


class Migration(migrations.Migration):
    dependencies = [
        ("server", "0004_quarantine_lists"),
    ]

    operations = [
        migrations.CreateModel(
            name="DigestSent",
            fields=[
                ("email", domains.models.AddressField(max_length=255, primary_key=True, serialize=False)),
                (
                    "day",
                    models.DateField(db_default=datetime.date(1970, 1, 1), default=datetime.date(1970, 1, 1)),
                ),
                ("told", models.BigIntegerField(db_default=0, default=0)),
            ],
            options={
                "db_table": "filter_digest",
            },
        ),
    ]
