"""The appointments of a clinic in the order of their ids, without reading those of the others."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("engine", "0006_allocation_partitions")]

    operations = [
        AddIndexConcurrently(
            model_name="appointment",
            index=models.Index(fields=["clinic", "id"], name="appointment_clinic"),
        ),
    ]
