"""What records does about the facts of other services."""

from apps.kernel.inbox import Handlers
from apps.records.appointments import follow

HANDLERS: Handlers = {
    ("engine", f"appointment.{fact}.v1"): follow
    for fact in ("booked", "rescheduled", "cancelled", "arrived", "roomed", "started", "completed", "no_show", "reverted")
}
