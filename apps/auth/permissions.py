"""Which roles may do what in their own clinic. Everything else is denied; one's own session and account need no role."""

from apps.kernel.callers import Permissions

PERMISSIONS: Permissions = {
    "read_members": frozenset({"clinic_admin", "auditor"}),
    "manage_members": frozenset({"clinic_admin"}),
}
