"""How full a mailbox is and when it was used last, to sort and filter lists by; with the indexes of these lists."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_second_factor"),
        ("domains", "0001_tables"),
    ]

    operations = [
        migrations.AddField(
            model_name="mailbox",
            name="fullness",
            field=models.SmallIntegerField(editable=False, null=True, verbose_name="per cent of the quota"),
        ),
        migrations.AddField(
            model_name="mailbox",
            name="last_used",
            field=models.DateTimeField(editable=False, null=True, verbose_name="last sign-in by mail"),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(fields=["name", "email"], name="user_name"),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(fields=["fullness", "email"], name="user_fullness"),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(fields=["domain", "fullness", "email"], name="user_domain_fullness"),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(fields=["last_used", "email"], name="user_last_used"),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(fields=["domain", "last_used", "email"], name="user_domain_last_used"),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(fields=["enabled", "can_login", "email"], name="user_state"),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(fields=["domain", "enabled", "can_login", "email"], name="user_domain_state"),
        ),
    ]
