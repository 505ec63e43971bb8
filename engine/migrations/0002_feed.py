"""Other services take over the engine's facts in the order of their transactions, so each row keeps its transaction."""

from django.db import migrations, models
from django.db.models import Func

import apps.kernel.models


class Migration(migrations.Migration):
    dependencies = [("engine", "0001_booking_core")]

    operations = [
        migrations.AddField(
            model_name="outboxevent",
            name="txid",
            field=apps.kernel.models.TransactionId(
                db_default=Func(function="pg_current_xact_id", output_field=apps.kernel.models.TransactionId())
            ),
        ),
        migrations.AddIndex(
            model_name="outboxevent",
            index=models.Index(fields=["txid", "calendar_id", "version"], name="engine_outbox_order"),
        ),
    ]
