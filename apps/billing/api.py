"""The HTTP API of billing, /api/billing/v1: what was asked and by whom, one call inward, the answer."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from ninja import Query

from apps.billing import answers, charges, claims, documents, exports, invoices, journal, payments, queries, shapes, webhooks
from apps.billing.errors import PriceExists
from apps.billing.models import Charge, Claim, Invoice, Payment, Policy, Price, Profile, Refund
from apps.billing.permissions import PERMISSIONS
from apps.billing.providers import environment, provider
from apps.kernel import audit, auditor
from apps.kernel.api import PROBLEMS, Api, as_json
from apps.kernel.callers import allowed
from apps.kernel.ids import as_id
from apps.kernel.once import once
from apps.kernel.problems import NotFound, ValidationFailed
from apps.kernel.shapes import ProblemOut
from apps.kernel.tokens import Claims

Added = TypeVar("Added", Price, Policy)

api = Api(
    title="HealthFlow billing",
    description="Prices, charges, invoices, payments and claims. Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="billing",
)
auditor.routes(api)


# --- what a clinic sets -------------------------------------------------------------------------------------------------


@api.get("/profile", response={200: shapes.ProfileOut, PROBLEMS: ProblemOut}, tags=["settings"])
def profile(request: HttpRequest) -> HttpResponse:
    """Who bills: printed on invoices, required in claims."""
    who = allowed(request, PERMISSIONS, "ledger.read")
    found = Profile.objects.filter(clinic=who.clinic).first()
    if found is None:
        raise NotFound()
    return as_json(answers.profile(found))


@api.put("/profile", response={200: shapes.ProfileOut, PROBLEMS: ProblemOut}, tags=["settings"])
def set_profile(request: HttpRequest, body: shapes.ProfileIn) -> HttpResponse:
    """Replaces it."""
    who = allowed(request, PERMISSIONS, "configure")
    with transaction.atomic(durable=True):
        row, _ = Profile.objects.update_or_create(clinic=who.clinic, defaults=body.model_dump())
        audit.record(request, who, "profile.write", object=f"profile:{who.clinic}")
    return as_json(answers.profile(row))


@api.get("/prices", response={200: shapes.PricesOut, PROBLEMS: ProblemOut}, tags=["settings"])
def prices(request: HttpRequest, query: Query[shapes.PageQuery]) -> HttpResponse:
    """The price list: of a visit type's rows the last one that has begun counts."""
    who = allowed(request, PERMISSIONS, "ledger.read")
    rows, following = queries.page(queries.PRICES.all(), clinic=who.clinic, limit=query.limit, cursor=query.cursor)
    return as_json({"items": [answers.price(row) for row in rows], "next": following})


@api.post("/prices", response={201: shapes.PriceOut, PROBLEMS: ProblemOut}, tags=["settings"])
def add_price(request: HttpRequest, body: shapes.PriceIn) -> HttpResponse:
    """What a visit type costs from an instant on."""
    who = allowed(request, PERMISSIONS, "configure")
    visit_type = as_id(body.visit_type)
    if visit_type is None:
        raise ValidationFailed("This is not an identifier.", param="visit_type")
    given = {**body.model_dump(), "visit_type": visit_type, "valid_from": _instant(body.valid_from)}
    return _write(request, who, "price.add", lambda: answers.price(_added(Price(clinic=who.clinic, **given))), status=201)


@api.get("/policies", response={200: shapes.PoliciesOut, PROBLEMS: ProblemOut}, tags=["settings"])
def policies(request: HttpRequest, query: Query[shapes.PageQuery]) -> HttpResponse:
    """The clinic's fees; the last one that has begun counts."""
    who = allowed(request, PERMISSIONS, "ledger.read")
    rows, following = queries.page(queries.POLICIES.all(), clinic=who.clinic, limit=query.limit, cursor=query.cursor)
    return as_json({"items": [answers.policy(row) for row in rows], "next": following})


@api.post("/policies", response={201: shapes.PolicyOut, PROBLEMS: ProblemOut}, tags=["settings"])
def add_policy(request: HttpRequest, body: shapes.PolicyIn) -> HttpResponse:
    """Fees for late cancellations and missed appointments from an instant on; 0 charges nothing."""
    who = allowed(request, PERMISSIONS, "configure")
    given = {**body.model_dump(), "valid_from": _instant(body.valid_from)}
    return _write(request, who, "policy.add", lambda: answers.policy(_added(Policy(clinic=who.clinic, **given))), status=201)


# --- charges ------------------------------------------------------------------------------------------------------------


@api.get("/charges", response={200: shapes.ChargesOut, PROBLEMS: ProblemOut}, tags=["charges"])
def list_charges(request: HttpRequest, query: Query[shapes.ChargesQuery]) -> HttpResponse:
    """What appointments cost, oldest first."""
    who = allowed(request, PERMISSIONS, "ledger.read")
    found = queries.charges(patient=query.patient, state=query.state)
    rows, following = queries.page(found, clinic=who.clinic, limit=query.limit, cursor=query.cursor)
    return as_json({"items": [answers.charge(row) for row in rows], "next": following})


@api.get("/charges/{charge}", response={200: shapes.ChargeOut, PROBLEMS: ProblemOut}, tags=["charges"])
def one_charge(request: HttpRequest, charge: str) -> HttpResponse:
    who = allowed(request, PERMISSIONS, "ledger.read")
    return as_json(answers.charge(queries.one(Charge.objects.all(), charge, clinic=who.clinic)))


@api.post("/charges/{charge}/price", response={200: shapes.ChargeOut, PROBLEMS: ProblemOut}, tags=["charges"])
def price_charge(request: HttpRequest, charge: str, body: shapes.ChargePriceIn) -> HttpResponse:
    """Prices a charge that has no price, or corrects one that is not billed."""
    who, known = allowed(request, PERMISSIONS, "ledger.write"), _id(charge)
    return _write(request, who, "charge.price", lambda: answers.charge(charges.price(known, body, clinic=who.clinic)))


@api.post("/charges/{charge}/waive", response={200: shapes.ChargeOut, PROBLEMS: ProblemOut}, tags=["charges"])
def waive_charge(request: HttpRequest, charge: str, body: shapes.NothingIn | None = None) -> HttpResponse:
    """The patient owes nothing for it."""
    who, known = allowed(request, PERMISSIONS, "ledger.write"), _id(charge)
    return _write(request, who, "charge.waive", lambda: answers.charge(charges.waive(known, clinic=who.clinic)))


# --- invoices -----------------------------------------------------------------------------------------------------------


@api.get("/invoices", response={200: shapes.InvoicesOut, PROBLEMS: ProblemOut}, tags=["invoices"])
def list_invoices(request: HttpRequest, query: Query[shapes.InvoicesQuery]) -> HttpResponse:
    """Invoices, oldest first."""
    who = allowed(request, PERMISSIONS, "invoice.read")
    found = queries.invoices(patient=query.patient, status=query.status, overdue=query.overdue)
    rows, following = queries.page(found, clinic=who.clinic, limit=query.limit, cursor=query.cursor)
    paid = queries.paid(rows)
    with transaction.atomic():
        audit.record(request, who, "invoice.list", patient=query.patient, details={"invoices": len(rows)})
    return as_json({"items": [answers.invoice(row, paid=paid.get(row.id, 0)) for row in rows], "next": following})


@api.post("/invoices", response={201: shapes.InvoiceOut, PROBLEMS: ProblemOut}, tags=["invoices"])
def draft_invoice(request: HttpRequest, body: shapes.InvoiceIn) -> HttpResponse:
    """Drafts an invoice over charges of one patient."""
    who = allowed(request, PERMISSIONS, "ledger.write")
    ids = [_id(charge) for charge in body.charges] if body.charges is not None else None
    return _write(request, who, "invoice.draft", lambda: _invoice(invoices.draft(body.patient, ids, clinic=who.clinic)), status=201)


@api.get("/invoices/{invoice}.pdf", response={200: None, PROBLEMS: ProblemOut}, tags=["invoices"])
def draw_invoice(request: HttpRequest, invoice: str) -> HttpResponse:
    """The invoice to print, with the patient's name and address as records knows them now."""
    who = allowed(request, PERMISSIONS, "invoice.draw")
    row = queries.one(Invoice.objects.all(), invoice, clinic=who.clinic)
    drawn = documents.invoice(row)
    with transaction.atomic():
        audit.record(request, who, "invoice.draw", object=f"invoice:{row.id}", patient=row.patient)
    name = f'inline; filename="invoice-{answers.number(row)}.pdf"'
    return HttpResponse(drawn, content_type="application/pdf", headers={"Content-Disposition": name})


@api.get("/invoices/{invoice}", response={200: shapes.InvoiceOut, PROBLEMS: ProblemOut}, tags=["invoices"])
def one_invoice(request: HttpRequest, invoice: str) -> HttpResponse:
    """An invoice, with its lines for those who bill; the front desk sees how it stands."""
    who = allowed(request, PERMISSIONS, "invoice.read")
    row = queries.one(Invoice.objects.all(), invoice, clinic=who.clinic)
    with transaction.atomic():
        audit.record(request, who, "invoice.read", object=f"invoice:{row.id}", patient=row.patient)
    shown = _invoice(row)
    if who.role not in PERMISSIONS["invoice.lines"]:
        del shown["lines"]
    return as_json(shown)


@api.post("/invoices/{invoice}/payments", response={201: shapes.PaymentOut, PROBLEMS: ProblemOut}, tags=["payments"])
def ask_payment(request: HttpRequest, invoice: str, body: shapes.NothingIn | None = None) -> HttpResponse:
    """Opens a page where the patient pays what is owed; the one that is open, if there is one.

    While the provider cannot be reached the payment stays `created`, without a `url`, and is told again by itself.
    """
    who, known = allowed(request, PERMISSIONS, "ledger.write"), _id(invoice)
    answer = _write(request, who, "payment.ask", lambda: _payment(payments.ask(known, clinic=who.clinic)), status=201)
    return _told(answer, lambda key: _payment(payments.submit(key, provider())))


@api.post("/invoices/{invoice}/{move}", response={200: shapes.InvoiceOut, PROBLEMS: ProblemOut}, tags=["invoices"])
def move_invoice(
    request: HttpRequest, invoice: str, move: Literal["issue", "void", "write-off"], body: shapes.NothingIn | None = None
) -> HttpResponse:
    """Issue: the next number, and it is owed. Void: taken back, before any money came. Write-off: what is owed is given up."""
    who, known = allowed(request, PERMISSIONS, "ledger.write"), _id(invoice)
    moves: dict[str, Callable[..., Invoice]] = {"issue": invoices.issue, "void": invoices.void, "write-off": invoices.write_off}
    return _write(request, who, f"invoice.{move}", lambda: _invoice(moves[move](known, clinic=who.clinic)))


# --- payments -----------------------------------------------------------------------------------------------------------


@api.get("/payments", response={200: shapes.PaymentsOut, PROBLEMS: ProblemOut}, tags=["payments"])
def list_payments(request: HttpRequest, query: Query[shapes.PaymentsQuery]) -> HttpResponse:
    """Payments, oldest first."""
    who = allowed(request, PERMISSIONS, "ledger.read")
    found = queries.payments(query.invoice, clinic=who.clinic)
    rows, following = queries.page(found, clinic=who.clinic, limit=query.limit, cursor=query.cursor)
    refunded = queries.refunded(rows)
    items = [answers.payment(row, refunded=refunded.get(row.id, 0)) for row in rows]
    return as_json({"items": items, "next": following})


@api.get("/payments/{payment}", response={200: shapes.PaymentOut, PROBLEMS: ProblemOut}, tags=["payments"])
def one_payment(request: HttpRequest, payment: str) -> HttpResponse:
    who = allowed(request, PERMISSIONS, "ledger.read")
    return as_json(_payment(queries.one(Payment.objects.all(), payment, clinic=who.clinic)))


@api.post("/payments/{payment}/cancel", response={200: shapes.PaymentOut, PROBLEMS: ProblemOut}, tags=["payments"])
def cancel_payment(request: HttpRequest, payment: str, body: shapes.NothingIn | None = None) -> HttpResponse:
    """Closes the page; a patient who paid a moment before has paid."""
    who, known = allowed(request, PERMISSIONS, "ledger.write"), _id(payment)
    answer = _write(request, who, "payment.cancel", lambda: _payment(payments.cancel(known, clinic=who.clinic)))
    return _told(answer, lambda key: _payment(payments.submit(key, provider())))


@api.post("/payments/{payment}/refunds", response={201: shapes.RefundOut, PROBLEMS: ProblemOut}, tags=["payments"])
def refund_payment(request: HttpRequest, payment: str, body: shapes.RefundIn) -> HttpResponse:
    """Gives a part of a payment back, or all of it; never more than was paid."""
    who, known = allowed(request, PERMISSIONS, "ledger.write"), _id(payment)
    answer = _write(
        request,
        who,
        "payment.refund",
        lambda: answers.refund(payments.give_back(known, clinic=who.clinic, amount=body.amount)),
        status=201,
    )
    return _told(answer, lambda key: answers.refund(payments.submit_refund(key, provider())))


@api.get("/refunds/{refund}", response={200: shapes.RefundOut, PROBLEMS: ProblemOut}, tags=["payments"])
def one_refund(request: HttpRequest, refund: str) -> HttpResponse:
    who = allowed(request, PERMISSIONS, "ledger.read")
    return as_json(answers.refund(queries.one(Refund.objects.all(), refund, clinic=who.clinic)))


@api.post("/webhooks/stripe", response={200: shapes.WebhookOut, PROBLEMS | {400}: ProblemOut}, tags=["payments"])
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Stripe's events. Who signs them is who may send them; an event is taken once."""
    secret = environment().stripe_webhook_secret.get_secret_value()
    event = webhooks.verified(request.body, request.headers.get("Stripe-Signature", ""), secret=secret)
    return as_json({"outcome": webhooks.take(event)})


@api.get("/balances", response={200: shapes.BalancesOut, PROBLEMS: ProblemOut}, tags=["ledger"])
def balances(request: HttpRequest) -> HttpResponse:
    """The ledger's accounts."""
    who = allowed(request, PERMISSIONS, "ledger.read")
    return as_json({"balances": journal.balances(who.clinic)})


# --- claims and exports -------------------------------------------------------------------------------------------------


@api.get("/claims", response={200: shapes.ClaimsOut, PROBLEMS: ProblemOut}, tags=["claims"])
def list_claims(request: HttpRequest, query: Query[shapes.PageQuery]) -> HttpResponse:
    who = allowed(request, PERMISSIONS, "claim.read")
    rows, following = queries.page(queries.CLAIMS.all(), clinic=who.clinic, limit=query.limit, cursor=query.cursor)
    with transaction.atomic():
        audit.record(request, who, "claim.list", details={"claims": len(rows)})
    return as_json({"items": [answers.claim(row) for row in rows], "next": following})


@api.post("/charges/{charge}/claim", response={201: shapes.ClaimOut, PROBLEMS: ProblemOut}, tags=["claims"])
def make_claim(request: HttpRequest, charge: str, body: shapes.ClaimIn) -> HttpResponse:
    """What a payer must be told of a visit: diagnoses, the payer, the patient's number there."""
    who, known = allowed(request, PERMISSIONS, "ledger.write"), _id(charge)
    return _write(request, who, "claim.make", lambda: answers.claim(claims.make(body, known, clinic=who.clinic)), status=201)


@api.get("/claims/{claim}.x12", response={200: None, PROBLEMS: ProblemOut}, tags=["claims"])
def write_claim(request: HttpRequest, claim: str) -> HttpResponse:
    """The claim as X12 837P (005010X222A1), for a clearing house."""
    who = allowed(request, PERMISSIONS, "claim.read")
    row: Claim = queries.one(queries.CLAIMS.all(), claim, clinic=who.clinic)
    text = claims.as_837p(row)
    with transaction.atomic():
        audit.record(request, who, "claim.export", object=f"claim:{row.id}", patient=row.charge.patient or "")
    name = f'attachment; filename="claim-{row.number:09d}.x12"'
    return HttpResponse(text, content_type="application/edi-x12", headers={"Content-Disposition": name})


@api.get("/exports/{table}.csv", response={200: None, PROBLEMS: ProblemOut}, tags=["exports"])
def export(
    request: HttpRequest, table: Literal["charges", "invoices", "payments", "ledger"], query: Query[shapes.ExportQuery]
) -> HttpResponse:
    """A table for a spreadsheet, from an instant to an instant. `names` adds the patients' names to invoices."""
    who = allowed(request, PERMISSIONS, "export.names" if query.names else "export")
    since, until = _instant(query.from_), _instant(query.to)
    if query.names and table != "invoices":
        raise ValidationFailed("Only invoices come with names.", param="names")
    if table == "invoices":
        text = exports.invoices(who.clinic, since, until, names=query.names)
    else:
        text = exports.TABLES[table](who.clinic, since, until)
    with transaction.atomic():
        audit.record(request, who, "export", object=f"table:{table}", details={"names": query.names})
    name = f'attachment; filename="{table}.csv"'
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


# --- from the wire ------------------------------------------------------------------------------------------------------


def _write(
    request: HttpRequest, who: Claims, action: str, work: Callable[[], dict[str, Any]], *, status: int = 200
) -> HttpResponse:
    """Does `work` once, with its entry in the audit log, and answers what it gives."""

    def run() -> HttpResponse:
        answer = work()
        patient = str(answer.get("patient") or "")
        audit.record(request, who, action, object=f"{action.partition('.')[0]}:{answer['id']}", patient=patient)
        return as_json(answer, status=status)

    return once(request, f"{who.clinic}:{who.subject}", run)


def _told(answer: HttpResponse, submit: Callable[[UUID], dict[str, Any]]) -> HttpResponse:
    """The answer as it stands once the provider was told: the row was committed before."""
    now = submit(UUID(json.loads(answer.content)["id"]))
    fresh = as_json(now, status=answer.status_code)
    if "Idempotent-Replayed" in answer.headers:
        fresh["Idempotent-Replayed"] = answer.headers["Idempotent-Replayed"]
    return fresh


def _added(row: Added) -> Added:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise PriceExists(param="valid_from") from None
    return row


def _invoice(row: Invoice) -> dict[str, Any]:
    shown = answers.invoice(row, paid=queries.paid([row]).get(row.id, 0))
    return {**shown, "lines": [answers.line(line) for line in queries.lines(row)]}


def _payment(row: Payment) -> dict[str, Any]:
    return answers.payment(row, refunded=queries.refunded([row]).get(row.id, 0))


def _id(text: str) -> UUID:
    known = as_id(text)
    if known is None:
        raise NotFound()
    return known


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
