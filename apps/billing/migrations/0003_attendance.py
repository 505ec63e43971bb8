"""Whether a patient came: a missed appointment may turn out to be a late one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_ledger_guards")]

    operations = [
        migrations.CreateModel(
            name="Attendance",
            fields=[
                ("appointment", models.UUIDField(primary_key=True, serialize=False)),
                ("came", models.BooleanField()),
                ("as_of", models.DateTimeField()),
            ],
        ),
    ]
