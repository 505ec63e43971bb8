"""Who may do what in billing. Everything else is denied; a practitioner has no part in it."""

from apps.kernel.callers import Permissions

_BILLERS = frozenset({"billing", "clinic_admin"})

PERMISSIONS: Permissions = {
    "invoice.read": _BILLERS | {"front_desk", "auditor"},
    "invoice.lines": _BILLERS | {"auditor"},
    "invoice.draw": _BILLERS,
    "ledger.read": _BILLERS | {"auditor"},
    "ledger.write": _BILLERS,
    "claim.read": _BILLERS,
    "export": _BILLERS | {"auditor"},
    "export.names": _BILLERS,
    "configure": _BILLERS,
}
"""`invoice.read` is numbers, states and ids; the lines say what was done; `invoice.draw` and `claim.read` who the patient is."""
