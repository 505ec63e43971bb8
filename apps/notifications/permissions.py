"""Which role may do what here."""

from apps.kernel.callers import Permissions

_DESK = frozenset({"front_desk", "clinic_admin"})

PERMISSIONS: Permissions = {
    "policy.read": _DESK,
    "policy.write": frozenset({"clinic_admin"}),
    "messages.read": _DESK,
    "messages.retry": _DESK,
    "offers.send": _DESK | {"program"},
}
