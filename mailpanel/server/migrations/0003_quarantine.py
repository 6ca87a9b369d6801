"""What Amavis writes: messages, their recipients, and the quarantine."""

from django.db import migrations, models

import domains.models


class Migration(migrations.Migration):
    dependencies = [
        ("server", "0002_filter_policy"),
    ]

    operations = [
        migrations.CreateModel(
            name="Quarantine",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "partition_tag",
                        "mail_id",
                        "chunk_ind",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("partition_tag", models.IntegerField(db_default=0, default=0)),
                ("mail_id", domains.models.AddressField(max_length=16)),
                ("chunk_ind", models.IntegerField()),
                ("mail_text", models.BinaryField()),
            ],
            options={
                "db_table": "quarantine",
            },
        ),
        migrations.CreateModel(
            name="Maddr",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("partition_tag", models.IntegerField(db_default=0, default=0)),
                ("email", domains.models.AddressField(max_length=255)),
                ("domain", models.CharField(max_length=255)),
            ],
            options={
                "db_table": "maddr",
                "constraints": [
                    models.UniqueConstraint(fields=("partition_tag", "email"), name="maddr_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Msg",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "partition_tag",
                        "mail_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("partition_tag", models.IntegerField(db_default=0, default=0)),
                ("mail_id", domains.models.AddressField(max_length=16)),
                ("secret_id", domains.models.AddressField(db_default="", default="", max_length=16)),
                ("am_id", models.CharField(max_length=20)),
                ("time_num", models.BigIntegerField()),
                ("time_iso", models.CharField(max_length=16)),
                ("sid", models.BigIntegerField()),
                ("policy", models.CharField(db_default="", default="", max_length=255)),
                ("client_addr", models.CharField(db_default="", default="", max_length=255)),
                ("size", models.BigIntegerField()),
                ("originating", models.CharField(db_default=" ", default=" ", max_length=1)),
                ("content", models.CharField(max_length=1, null=True)),
                ("quar_type", models.CharField(max_length=1, null=True)),
                ("quar_loc", models.CharField(db_default="", default="", max_length=255, null=True)),
                ("dsn_sent", models.CharField(max_length=1, null=True)),
                ("spam_level", models.FloatField(null=True)),
                ("message_id", models.CharField(db_default="", default="", max_length=255, null=True)),
                ("from_addr", models.CharField(db_default="", default="", max_length=255, null=True)),
                ("subject", models.CharField(db_default="", default="", max_length=255, null=True)),
                ("host", models.CharField(max_length=255)),
            ],
            options={
                "db_table": "msgs",
                "indexes": [models.Index(fields=["time_num"], name="msgs_time")],
            },
        ),
        migrations.CreateModel(
            name="MsgRcpt",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "partition_tag",
                        "mail_id",
                        "rseqnum",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("partition_tag", models.IntegerField(db_default=0, default=0)),
                ("mail_id", domains.models.AddressField(max_length=16)),
                ("rseqnum", models.IntegerField(db_default=0, default=0)),
                ("rid", models.BigIntegerField()),
                ("is_local", models.CharField(db_default=" ", default=" ", max_length=1)),
                ("content", models.CharField(db_default=" ", default=" ", max_length=1)),
                ("ds", models.CharField(max_length=1)),
                ("rs", models.CharField(max_length=1)),
                ("bl", models.CharField(db_default=" ", default=" ", max_length=1, null=True)),
                ("wl", models.CharField(db_default=" ", default=" ", max_length=1, null=True)),
                ("bspam_level", models.FloatField(null=True)),
                ("smtp_resp", models.CharField(db_default="", default="", max_length=255, null=True)),
            ],
            options={
                "db_table": "msgrcpt",
                "indexes": [models.Index(fields=["rid", "mail_id"], name="msgrcpt_rid")],
            },
        ),
    ]
