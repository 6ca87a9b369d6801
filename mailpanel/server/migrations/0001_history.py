"""What the probes saw, what was wrong, and who was told."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Standing",
            fields=[
                ("key", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("state", models.CharField(max_length=4)),
                ("since", models.DateTimeField()),
                ("checked", models.DateTimeField(null=True)),
                ("seconds", models.FloatField()),
                ("detail", models.JSONField(default=dict)),
                ("hint", models.JSONField(default=dict)),
                ("command", models.TextField(default="")),
                ("stages", models.JSONField(default=list)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("fine", models.PositiveIntegerField(default=0)),
                ("asked", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "probe_standing",
            },
        ),
        migrations.CreateModel(
            name="Hour",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key", "hour", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.CharField(max_length=32)),
                ("hour", models.PositiveIntegerField()),
                ("ok", models.PositiveSmallIntegerField(default=0)),
                ("warn", models.PositiveSmallIntegerField(default=0)),
                ("bad", models.PositiveSmallIntegerField(default=0)),
                ("off", models.PositiveSmallIntegerField(default=0)),
                ("seconds", models.FloatField(default=0)),
                ("slowest", models.FloatField(default=0)),
            ],
            options={
                "db_table": "probe_hour",
                "indexes": [models.Index(fields=["hour"], name="probe_hour_hour")],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=32)),
                ("began", models.DateTimeField()),
                ("better", models.DateTimeField(null=True)),
                ("ended", models.DateTimeField(null=True)),
                ("detail", models.JSONField(default=dict)),
                ("hint", models.JSONField(default=dict)),
                ("command", models.TextField(default="")),
                ("rounds", models.PositiveIntegerField(default=1)),
                ("flaps", models.PositiveIntegerField(default=0)),
                (
                    "cause",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="effects",
                        to="server.incident",
                    ),
                ),
            ],
            options={
                "db_table": "incident",
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "about",
                    models.CharField(
                        choices=[("down", "Down"), ("clear", "Clear"), ("trial", "Trial")], max_length=8
                    ),
                ),
                ("way", models.CharField(choices=[("mail", "Mail"), ("webhook", "Webhook")], max_length=8)),
                ("made", models.DateTimeField()),
                ("sent", models.DateTimeField(null=True)),
                ("tries", models.PositiveIntegerField(default=0)),
                ("error", models.CharField(default="", max_length=255)),
                (
                    "incident",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alerts",
                        to="server.incident",
                    ),
                ),
            ],
            options={
                "db_table": "alert",
            },
        ),
        migrations.CreateModel(
            name="Result",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key", "minute", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.CharField(max_length=32)),
                ("minute", models.PositiveIntegerField()),
                ("state", models.CharField(max_length=4)),
                ("seconds", models.FloatField()),
            ],
            options={
                "db_table": "probe_result",
                "indexes": [models.Index(fields=["minute"], name="probe_result_minute")],
            },
        ),
        migrations.AddIndex(
            model_name="incident",
            index=models.Index(fields=["began"], name="incident_began"),
        ),
        migrations.AddIndex(
            model_name="incident",
            index=models.Index(fields=["key", "began"], name="incident_key_began"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["made"], name="alert_made"),
        ),
    ]
