"""What the engine does about the facts of other services."""

from django.db import connection

from apps.kernel.events import Event
from apps.kernel.inbox import Handlers

# A page of facts is one transaction, and a booking must not wait for it: only `bookings.link`, an appointment at a time, takes
# the calendars' locks (tasks.py). What is not this clinic's, or not here, is nothing to us.
_LINKED = """
INSERT INTO engine_patientlink (appointment_id, patient_id)
SELECT a.id, %s FROM engine_appointment a JOIN engine_clinic k ON k.id = a.clinic_id WHERE a.id = %s AND k.slug = %s
ON CONFLICT (appointment_id) DO UPDATE SET patient_id = excluded.patient_id
"""
# First what waits, then what is written: a link that is written between the two is seen by the second.
_WAITING_MERGED = """
UPDATE engine_patientlink l SET patient_id = %s FROM engine_appointment a JOIN engine_clinic k ON k.id = a.clinic_id
WHERE l.patient_id = %s AND a.id = l.appointment_id AND k.slug = %s
"""
_WRITTEN_MERGED = """
INSERT INTO engine_patientlink (appointment_id, patient_id)
SELECT a.id, %s FROM engine_appointment a JOIN engine_clinic k ON k.id = a.clinic_id WHERE a.patient_id = %s AND k.slug = %s
ON CONFLICT (appointment_id) DO NOTHING
"""


def linked(event: Event) -> None:
    """Records opened the envelope of an appointment, and knows the patient."""
    with connection.cursor() as cursor:
        cursor.execute(_LINKED, [event.data["patient"], event.data["appointment"], event.clinic])


def merged(event: Event) -> None:
    """Two of records' patients turned out to be one."""
    into, gone = event.data["into"], event.data["from"]
    with connection.cursor() as cursor:
        for statement in (_WAITING_MERGED, _WRITTEN_MERGED):
            cursor.execute(statement, [into, gone, event.clinic])


HANDLERS: Handlers = {("records", "patient.linked.v1"): linked, ("records", "patient.merged.v1"): merged}
