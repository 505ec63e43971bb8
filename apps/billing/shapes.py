"""The shapes of the wire (contract of /api/billing/v1): closed, strict, and free of any web framework.

Amounts are whole minor units (cents) beside their currency; times are RFC 3339 with an offset.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from apps.billing.money import MOST, is_currency
from apps.kernel.shapes import Answer, Closed, Identifier, Instant, Limit, Line, Name, Query, Token, Zone

_LUHN_PREFIX = "80840"


def _currency(value: str) -> str:
    if not is_currency(value):
        raise ValueError("not a currency that prices can be in")
    return value


def is_npi(value: str) -> bool:
    """Whether the last of ten digits is the check digit (Luhn over 80840 and the number, 45 CFR 162.406)."""
    if not re.fullmatch(r"[12]\d{9}", value):
        return False
    digits = [int(digit) for digit in _LUHN_PREFIX + value]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _npi(value: str) -> str:
    if value and not is_npi(value):
        raise ValueError("not a National Provider Identifier")
    return value


Amount = Annotated[int, Field(ge=0, le=MOST, description="whole minor units (cents)")]
Currency = Annotated[str, Field(min_length=3, max_length=3), AfterValidator(_currency)]
Code = Annotated[str, Field(pattern=r"^([A-Z0-9]\d{3}[A-Z0-9])?$", description="CPT or HCPCS, or empty")]
Modifiers = Annotated[list[Annotated[str, Field(pattern=r"^[A-Z0-9]{2}$")]], Field(max_length=3)]
Npi = Annotated[str, Field(max_length=10), AfterValidator(_npi)]
Diagnosis = Annotated[str, Field(pattern=r"^[A-TV-Z]\d[0-9AB](\.?[0-9A-TV-Z]{1,4})?$", description="ICD-10-CM")]
Short = Annotated[Name, Field(max_length=60)]
_FILINGS = "11|12|13|14|15|16|17|AM|BL|CH|CI|DS|FI|HM|LM|MA|MB|MC|OF|TV|VA|WC|ZZ"
Filing = Annotated[str, Field(pattern=f"^({_FILINGS})$", description="kind of insurance, X12 code list 1032")]


# --- requests -----------------------------------------------------------------------------------------------------------


class ProfileIn(Closed):
    """Who bills. Only the name and the zone are needed for invoices; claims need all of it."""

    name: Short
    zone: Zone
    line: Annotated[Line, Field(max_length=55)] = ""
    city: Annotated[Line, Field(max_length=30)] = ""
    state: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    postal_code: Annotated[str, Field(pattern=r"^(\d{5}(-?\d{4})?)?$")] = ""
    phone: Annotated[str, Field(pattern=r"^[0-9+(). -]{0,40}$")] = ""
    email: Annotated[str, Field(max_length=254, pattern=r"^([^@\s]+@[^@\s]+)?$")] = ""
    contact: Annotated[Line, Field(max_length=60)] = ""
    npi: Npi = ""
    tax_id: Annotated[str, Field(pattern=r"^(\d{2}-?\d{7})?$")] = ""
    taxonomy: Annotated[str, Field(pattern=r"^([0-9A-Z]{9}X)?$")] = ""
    submitter_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{0,15}$")] = ""
    receiver_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{0,15}$")] = ""
    receiver_name: Annotated[Line, Field(max_length=60)] = ""
    production: bool = False


class PriceIn(Closed):
    visit_type: Identifier
    amount: Amount
    currency: Currency
    valid_from: Instant
    description: Annotated[Name, Field(max_length=100)]
    code: Code = ""
    modifiers: Modifiers = []
    telehealth_place: Literal["02", "10"] = "10"


class PolicyIn(Closed):
    valid_from: Instant
    currency: Currency
    late_cancel_fee: Amount = 0
    late_cancel_hours: Annotated[int, Field(ge=0, le=720)] = 24
    no_show_fee: Amount = 0
    payment_days: Annotated[int, Field(ge=0, le=365)] = 30


class ChargePriceIn(Closed):
    amount: Amount
    currency: Currency
    description: Annotated[Name, Field(max_length=100)]
    code: Code = ""
    modifiers: Modifiers = []


class NothingIn(Closed):
    """Nothing needs to be said."""


class InvoiceIn(Closed):
    """Without `charges`: all of the patient's that can be billed."""

    patient: Annotated[Identifier, Field(min_length=1)]
    charges: Annotated[list[Identifier], Field(min_length=1, max_length=200)] | None = None


class RefundIn(Closed):
    amount: Annotated[int, Field(ge=1, le=MOST)]


class PayerIn(Closed):
    id: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,20}$")]
    name: Short
    filing: Filing = "CI"


class RenderingIn(Closed):
    npi: Annotated[Npi, Field(min_length=10)]
    family: Short
    given: Annotated[Name, Field(max_length=35)]


class ClaimIn(Closed):
    """The patient is the subscriber."""

    payer: PayerIn
    subscriber_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{2,40}$")]
    diagnoses: Annotated[list[Diagnosis], Field(min_length=1, max_length=12)]
    rendering: RenderingIn | None = None


# --- queries ------------------------------------------------------------------------------------------------------------


class PageQuery(Query):
    limit: Limit = 100
    cursor: Token | None = None


class ChargesQuery(PageQuery):
    patient: Identifier = ""
    state: Literal["", "unpriced", "open", "billed", "waived"] = ""


class InvoicesQuery(PageQuery):
    patient: Identifier = ""
    status: Literal["", "draft", "issued", "paid", "void", "written_off"] = ""
    overdue: bool | None = None


class PaymentsQuery(PageQuery):
    invoice: Identifier = ""


class ExportQuery(Query):
    from_: Annotated[Instant, Field(alias="from")]
    to: Instant
    names: bool = False

    @model_validator(mode="after")
    def in_order(self) -> "ExportQuery":
        if self.to <= self.from_:
            raise ValueError("to must be after from")
        return self


# --- answers ------------------------------------------------------------------------------------------------------------


class ProfileOut(Answer):
    clinic: str
    name: str
    zone: str
    line: str
    city: str
    state: str
    postal_code: str
    phone: str
    email: str
    contact: str
    npi: str
    tax_id: str
    taxonomy: str
    submitter_id: str
    receiver_id: str
    receiver_name: str
    production: bool


class PriceOut(Answer):
    id: str
    visit_type: str
    amount: int
    currency: str
    valid_from: datetime
    description: str
    code: str
    modifiers: list[str]
    telehealth_place: str


class PolicyOut(Answer):
    id: str
    valid_from: datetime
    currency: str
    late_cancel_fee: int
    late_cancel_hours: int
    no_show_fee: int
    payment_days: int


class ChargeOut(Answer):
    id: str
    appointment: str
    reason: str
    state: str
    visit_type: str
    start: datetime
    modality: str
    patient: str | None
    amount: int | None
    currency: str
    description: str
    code: str
    modifiers: list[str]
    place: str
    invoice: str | None


class LineOut(Answer):
    charge: str
    reason: str
    start: datetime
    description: str
    code: str
    amount: int


class InvoiceOut(Answer):
    id: str
    number: str | None
    patient: str
    status: str
    currency: str
    total: int
    balance: int
    overdue: bool
    created_at: datetime
    issued_at: datetime | None
    due_at: datetime | None
    closed_at: datetime | None
    lines: list[LineOut] | None = None


class PaymentOut(Answer):
    """`url` is where the patient pays; it is there as long as the payment is open."""

    id: str
    invoice: str
    amount: int
    currency: str
    status: str
    url: str | None
    failure: str | None
    refunded: int
    created_at: datetime
    settled_at: datetime | None


class RefundOut(Answer):
    id: str
    payment: str
    amount: int
    status: str
    failure: str | None
    created_at: datetime
    settled_at: datetime | None


class ClaimOut(Answer):
    id: str
    number: int
    charge: str
    payer: dict[str, str]
    diagnoses: list[str]
    rendering: dict[str, str] | None
    created_at: datetime


class PricesOut(Answer):
    items: list[PriceOut]
    next: str | None


class PoliciesOut(Answer):
    items: list[PolicyOut]
    next: str | None


class ChargesOut(Answer):
    items: list[ChargeOut]
    next: str | None


class InvoicesOut(Answer):
    items: list[InvoiceOut]
    next: str | None


class PaymentsOut(Answer):
    items: list[PaymentOut]
    next: str | None


class ClaimsOut(Answer):
    items: list[ClaimOut]
    next: str | None


class BalancesOut(Answer):
    """Currency → account → balance: debits positive, the sum of a currency zero."""

    balances: dict[str, dict[str, int]]


class WebhookOut(Answer):
    outcome: str


Json = dict[str, Any]
