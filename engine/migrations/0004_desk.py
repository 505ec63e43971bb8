"""What the screens of staff need: the steps of a visit, notes on exceptions, video rooms, and where the widget may be shown."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("engine", "0003_patient_link")]

    operations = [
        migrations.AddField(
            model_name="appointment",
            name="stages",
            field=models.JSONField(db_default={}, default=dict),
        ),
        migrations.AddField(
            model_name="calendar",
            name="join_url",
            field=models.CharField(blank=True, db_default="", default="", max_length=500),
        ),
        migrations.AddConstraint(
            model_name="calendar",
            constraint=models.CheckConstraint(
                condition=models.Q(("join_url", ""), ("join_url__startswith", "https://"), _connector="OR"),
                name="calendar_join_url",
            ),
        ),
        migrations.AddField(
            model_name="clinic",
            name="widget_origins",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=200), db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="openingexception",
            name="note",
            field=models.CharField(blank=True, db_default="", default="", max_length=100),
        ),
    ]
