"""Allocations in partitions by calendar, so that each range index stays small enough to build anew and to clean beside the traffic.

An overlap is always one of the same calendar, so it is always in one partition, and the constraint there sees it. By time that
would not be so: PostgreSQL refuses an exclusion constraint whose partitions could hide a rival from each other.

One exchange in one transaction: nobody can write meanwhile, 13 s for a million allocations.
"""

from django.db import migrations

# Splitting one later (MODULUS 8 for one of four) leaves the others alone.
PARTITIONS = 4


def exchange(partitions: int) -> str:
    """SQL that puts all allocations into a new table with so many partitions, or none."""
    by = "PARTITION BY HASH (calendar_id)" if partitions else ""
    parts = "".join(
        f"CREATE TABLE engine_allocation_{n} PARTITION OF engine_allocation_new FOR VALUES WITH (MODULUS {partitions}, REMAINDER {n});"
        for n in range(partitions)
    )
    return f"""
SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on;
LOCK TABLE engine_allocation IN ACCESS EXCLUSIVE MODE;
CREATE TABLE engine_allocation_new (
    appointment_id uuid NOT NULL,
    calendar_id integer NOT NULL,
    unit smallint NOT NULL,
    during tstzrange NOT NULL,
    CONSTRAINT allocation_during CHECK (NOT isempty(during) AND NOT lower_inf(during) AND NOT upper_inf(during)
                                        AND lower_inc(during) AND NOT upper_inc(during)),
    CONSTRAINT allocation_unit CHECK (unit BETWEEN 1 AND 1000)
) {by};
{parts}
INSERT INTO engine_allocation_new SELECT appointment_id, calendar_id, unit, during FROM engine_allocation;
DROP TABLE engine_allocation;
ALTER TABLE engine_allocation_new RENAME TO engine_allocation;
ALTER TABLE engine_allocation
    ADD PRIMARY KEY (appointment_id, calendar_id),
    ADD CONSTRAINT allocation_overlap EXCLUDE USING gist (calendar_id WITH =, unit WITH =, during WITH &&),
    ADD CONSTRAINT allocation_appointment FOREIGN KEY (appointment_id) REFERENCES engine_appointment DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT allocation_calendar FOREIGN KEY (calendar_id) REFERENCES engine_calendar DEFERRABLE INITIALLY DEFERRED;
"""


class Migration(migrations.Migration):
    dependencies = [("engine", "0005_next_free")]

    operations = [migrations.RunSQL(exchange(PARTITIONS), exchange(0))]
