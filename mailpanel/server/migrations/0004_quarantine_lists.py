"""Columns and indexes by which the lists of the quarantine find the newest messages of a domain or a person."""

import django.db.models.expressions
import django.db.models.functions.comparison
import django.db.models.functions.text
from django.db import migrations, models

import domains.models
import mailpanel.server.models.quarantine


class Migration(migrations.Migration):
    dependencies = [
        ("server", "0003_quarantine"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="msgrcpt",
            name="msgrcpt_rid",
        ),
        migrations.AddField(
            model_name="maddr",
            name="base",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(
                        models.Q(("email__contains", "+")),
                        then=django.db.models.functions.text.Concat(
                            django.db.models.functions.text.Substr(
                                models.F("email"),
                                1,
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.functions.text.StrIndex(
                                        models.F("email"), models.Value("+")
                                    ),
                                    "-",
                                    models.Value(1),
                                ),
                            ),
                            django.db.models.functions.text.Substr(
                                models.F("email"),
                                django.db.models.functions.text.StrIndex(
                                    models.F("email"), models.Value("@")
                                ),
                            ),
                            output_field=domains.models.AddressField(max_length=255),
                        ),
                    ),
                    default=models.F("email"),
                    output_field=domains.models.AddressField(max_length=255),
                ),
                output_field=domains.models.AddressField(max_length=255),
            ),
        ),
        migrations.AddField(
            model_name="msgrcpt",
            name="domain",
            field=domains.models.AddressField(db_default="", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="msgrcpt",
            name="kind",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(
                        models.Q(
                            ("rs__in", ["R", "D", "X"]),
                            ("ds", "P"),
                            ("content__in", ["C", " ", ""]),
                            _connector="OR",
                        ),
                        then=None,
                    ),
                    models.When(content__in=["V", "B", "S"], then=models.F("content")),
                    default=models.Value("O"),
                ),
                output_field=models.CharField(max_length=1, null=True),
            ),
        ),
        migrations.AddField(
            model_name="msgrcpt",
            name="made",
            field=models.BigIntegerField(db_default=mailpanel.server.models.quarantine.UnixNow()),
        ),
        migrations.AddField(
            model_name="msgrcpt",
            name="slip",
            field=models.GeneratedField(
                db_persist=True,
                expression=django.db.models.functions.text.Concat(
                    models.F("mail_id"),
                    models.Value("."),
                    django.db.models.functions.comparison.Cast(
                        models.F("rseqnum"), models.CharField(max_length=11)
                    ),
                    output_field=domains.models.AddressField(max_length=255),
                ),
                output_field=domains.models.AddressField(max_length=28),
            ),
        ),
        migrations.AddIndex(
            model_name="maddr",
            index=models.Index(fields=["base"], name="maddr_base"),
        ),
        migrations.AddIndex(
            model_name="maddr",
            index=models.Index(fields=["domain"], name="maddr_domain"),
        ),
        migrations.AddIndex(
            model_name="msg",
            index=models.Index(fields=["sid", "time_num", "mail_id"], name="msgs_sid"),
        ),
        migrations.AddIndex(
            model_name="msgrcpt",
            index=models.Index(fields=["rid", "kind", "made", "slip"], name="msgrcpt_rid"),
        ),
        migrations.AddIndex(
            model_name="msgrcpt",
            index=models.Index(fields=["slip"], name="msgrcpt_slip"),
        ),
        migrations.AddIndex(
            model_name="msgrcpt",
            index=models.Index(fields=["kind", "made", "slip"], name="msgrcpt_kind"),
        ),
        migrations.AddIndex(
            model_name="msgrcpt",
            index=models.Index(fields=["domain", "kind", "made", "slip"], name="msgrcpt_domain"),
        ),
    ]
