"""Every refusal of billing that is its own: one class a code, one code a class."""

from collections.abc import Sequence
from typing import Any

from apps.kernel.problems import Problem


class PriceExists(Problem):
    """There is a price (or a policy) from that instant on already, and it is never changed. Take a later `valid_from`."""

    code, status, title = "price_exists", 409, "There is one from that time on already"


class ChargeNotBillable(Problem):
    """`charge` has no price or no patient, is waived, billed already, or not of this patient and currency."""

    code, status, title = "charge_not_billable", 409, "This charge cannot be billed"

    def __init__(self, detail: str = "", *, charge: object = None) -> None:
        super().__init__(detail)
        self.charge = charge

    def fields(self) -> dict[str, Any]:
        return {"charge": str(self.charge) if self.charge is not None else None}


class InvoiceState(Problem):
    """The invoice or payment is in state `current`, which does not allow this."""

    code, status, title = "invoice_state", 409, "The state of the invoice does not allow this"

    def __init__(self, detail: str = "", *, current: str) -> None:
        super().__init__(detail)
        self.current = current

    def fields(self) -> dict[str, Any]:
        return {"current": self.current}


class RefundTooLarge(Problem):
    """More than is left of the payment; `refundable` is how much that is, in minor units."""

    code, status, title = "refund_too_large", 409, "This is more than can be refunded"

    def __init__(self, *, refundable: int) -> None:
        super().__init__()
        self.refundable = refundable

    def fields(self) -> dict[str, Any]:
        return {"refundable": self.refundable}


class ClaimIncomplete(Problem):
    """A payer would refuse this claim; `missing` names what it lacks. Complete the profile, the patient or the claim."""

    code, status, title = "claim_incomplete", 422, "The claim is not complete"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"Missing: {', '.join(missing)}.")
        self.missing = list(missing)

    def fields(self) -> dict[str, Any]:
        return {"missing": self.missing}


class WebhookForged(Problem):
    """The Stripe-Signature does not fit the body and our secret. Nothing was done."""

    code, status, title = "webhook_forged", 400, "The signature is not valid"


class WebhookTooOld(Problem):
    """The signature was made over five minutes ago. Nothing was done; the provider signs anew when it sends again."""

    code, status, title = "webhook_too_old", 400, "The signature is too old"


class ExportTooLarge(Problem):
    """More rows than one file has. Ask for a shorter time."""

    code, status, title = "export_too_large", 422, "This is too much for one file"
