"""The audit log is read by time, newest first: by object, person, action, domain, and by what a domain admin combines."""

from django.db import migrations, models


def index(name, *fields):
    return migrations.AddIndex(model_name="audit", index=models.Index(fields=fields, name=name))


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_words")]
    operations = [
        migrations.AlterModelOptions(name="audit", options={"ordering": ["-at", "-id"]}),
        migrations.RemoveIndex(model_name="audit", name="audit_domain"),
        migrations.RemoveIndex(model_name="audit", name="audit_object"),
        migrations.RemoveIndex(model_name="audit", name="audit_actor"),
        index("audit_at", "at"),
        index("audit_name", "name", "at"),
        index("audit_actor", "actor", "at"),
        index("audit_action", "action", "kind", "at"),
        index("audit_domain", "domain", "at"),
        index("audit_domain_actor", "domain", "actor", "at"),
        index("audit_domain_action", "domain", "action", "kind", "at"),
    ]
