"""What must be true of the tables after any writes in any order, asked of the database itself in the plainest way."""

from django.db import connection

_QUESTIONS = {
    "two live allocations overlap": """
        SELECT a.appointment_id, b.appointment_id FROM engine_allocation a JOIN engine_allocation b
        ON a.calendar_id = b.calendar_id AND a.unit = b.unit AND a.during && b.during AND a.appointment_id < b.appointment_id
        JOIN engine_calendar c ON c.id = a.calendar_id JOIN engine_clinic k ON k.id = c.clinic_id WHERE k.slug = %s
    """,
    "an appointment's allocations are not those of its state": """
        SELECT a.id, a.status, a.calendars, l.found
        FROM engine_appointment a JOIN engine_clinic k ON k.id = a.clinic_id CROSS JOIN LATERAL (
          SELECT coalesce(array_agg(calendar_id ORDER BY calendar_id), '{}') FROM engine_allocation WHERE appointment_id = a.id
        ) AS l (found)
        WHERE k.slug = %s AND l.found <> CASE WHEN a.status IN ('cancelled', 'expired') THEN '{}' ELSE a.calendars END
    """,
    "an allocation is not the appointment's time with its buffers": """
        SELECT a.id, l.during FROM engine_allocation l JOIN engine_appointment a ON a.id = l.appointment_id
        JOIN engine_visittype v ON v.id = a.visit_type_id JOIN engine_clinic k ON k.id = a.clinic_id
        WHERE k.slug = %s AND l.during <> tstzrange(a.starts - make_interval(mins => v.before),
                                                    a.ends + make_interval(mins => v.after))
        AND NOT jsonb_path_exists(a.history, '$[*].waived')
    """,
    "a calendar's versions are not 1, 2, 3, … up to its own": """
        SELECT c.id, c.version, array_agg(o.version ORDER BY o.version) FROM engine_calendar c
        LEFT JOIN engine_outboxevent o ON o.calendar_id = c.id JOIN engine_clinic k ON k.id = c.clinic_id
        WHERE k.slug = %s GROUP BY c.id HAVING c.version <> count(o.version) OR c.version <> coalesce(max(o.version), 0)
              OR coalesce(min(o.version), 1) <> 1 OR count(DISTINCT o.version) <> count(o.version)
    """,
    "an appointment's version is not that of its last event on its calendar": """
        SELECT a.id, a.version FROM engine_appointment a JOIN engine_clinic k ON k.id = a.clinic_id WHERE k.slug = %s
        AND a.version IS DISTINCT FROM (SELECT max(o.version) FROM engine_outboxevent o
                                        WHERE o.appointment_id = a.id AND o.calendar_id = a.calendar_id)
    """,
}


def violations(clinic: str) -> list[str]:
    """Every broken promise in the rows of a clinic, in words; empty when all is well."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for question, sql in _QUESTIONS.items():
            cursor.execute(sql, [clinic])
            found += [f"{question}: {row}" for row in cursor.fetchall()]
    return found
