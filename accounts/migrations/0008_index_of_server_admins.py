"""Server admins are few among many: they are listed, and locked before one of them goes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_audit_by_time")]
    operations = [
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(fields=["is_superuser", "email"], name="user_server_admins"),
        ),
    ]
