"""The index of the first available, and what it is asked by: languages of practitioners, and weights for fairness."""

import django.contrib.postgres.fields
import django.db.models.expressions
import django.db.models.functions.text
from django.db import migrations, models

import apps.kernel.models


class Migration(migrations.Migration):
    dependencies = [
        ("engine", "0004_desk"),
    ]

    operations = [
        migrations.CreateModel(
            name="Lane",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("specialty", models.CharField(max_length=100)),
                ("states", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=2), size=None)),
                ("languages", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=2), size=None)),
                ("modalities", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), size=None)),
                ("digest", models.BigIntegerField(unique=True)),
                ("head", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="NextFree",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "visit_type_id", "calendar_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("visit_type_id", models.IntegerField()),
                ("calendar_id", models.IntegerField()),
                ("lane_id", models.IntegerField()),
                ("first", models.IntegerField()),
                ("last", models.IntegerField()),
                ("notice", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="NextFreeKept",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("epoch", models.UUIDField()),
                ("txid", apps.kernel.models.TransactionId()),
                ("calendar_id", models.IntegerField()),
                ("version", models.BigIntegerField()),
                ("built_to", models.IntegerField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name="calendar",
            name="languages",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=2), db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="calendar",
            name="weight",
            field=models.SmallIntegerField(db_default=1, default=1),
        ),
        migrations.AddIndex(
            model_name="calendar",
            index=models.Index(
                django.db.models.functions.text.Lower("specialty"),
                condition=models.Q(("specialty", ""), _negated=True),
                name="calendar_specialty",
            ),
        ),
        migrations.AddConstraint(
            model_name="calendar",
            constraint=models.CheckConstraint(condition=models.Q(("weight__range", (0, 1000))), name="calendar_weight"),
        ),
        migrations.AddIndex(
            model_name="lane",
            index=models.Index(fields=["specialty"], name="lane_specialty"),
        ),
        migrations.AddIndex(
            model_name="nextfree",
            index=models.Index(fields=["lane_id", "first"], name="next_free_lane"),
        ),
        migrations.AddIndex(
            model_name="nextfree",
            index=models.Index(
                django.db.models.expressions.CombinedExpression(models.F("first"), "-", models.F("notice")), name="next_free_due"
            ),
        ),
        migrations.AddIndex(
            model_name="nextfree",
            index=models.Index(condition=models.Q(("last__lt", models.F("first"))), fields=["last"], name="next_free_nothing"),
        ),
    ]
