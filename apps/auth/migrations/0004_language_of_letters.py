"""The language that a letter is written in."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_programs")]

    operations = [
        migrations.AddField(name, "language", models.CharField(db_default="en", max_length=2))
        for name in ("invitation", "passwordreset", "newdevicenotice")
    ]
