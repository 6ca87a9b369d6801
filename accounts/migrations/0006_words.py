"""The index of words that mailboxes, aliases and domains are found by, filled for what is there."""

from django.db import migrations, models

import domains.models
from accounts import search


def fill(apps, schema_editor):
    for app, model in (("domains", "Domain"), ("accounts", "Mailbox"), ("domains", "Alias")):
        search.index(apps.get_model(app, model).objects.all())


class Migration(migrations.Migration):
    atomic = False  # a million rows are not one transaction; search.index may be repeated
    dependencies = [
        ("accounts", "0005_usage_columns"),
    ]

    operations = [
        migrations.CreateModel(
            name="Word",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "domain",
                        "kind",
                        "word",
                        "object",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("domain", domains.models.AddressField(max_length=255)),
                (
                    "kind",
                    models.PositiveSmallIntegerField(choices=[(1, "Mailbox"), (2, "Alias"), (3, "Domain")]),
                ),
                ("word", domains.models.AddressField(max_length=255)),
                ("object", models.BigIntegerField(db_default=0, default=0)),
            ],
            options={
                "db_table": "word",
                "indexes": [
                    models.Index(fields=["kind", "word", "object"], name="word_everywhere"),
                    models.Index(fields=["kind", "object", "word"], name="word_object"),
                ],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
