"""The proxy for django-otp's table of recovery codes. By itself, because that table needs the person's first."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_people_and_sessions"), ("otp_static", "0003_add_timestamps")]

    operations = [
        migrations.CreateModel(
            name="RecoveryCodes",
            fields=[],
            options={"proxy": True, "indexes": [], "constraints": []},
            bases=("otp_static.staticdevice",),
        ),
    ]
