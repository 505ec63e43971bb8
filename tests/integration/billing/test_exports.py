"""Files out: tables that are safe to open, and claims that an independent parser accepts."""

import csv
import io
from typing import Any

import pytest
from pyx12.params import params
from pyx12.x12n_document import x12n_document

from apps.billing.exports import as_csv
from apps.billing.models import Charge, Claim, Invoice
from tests.integration.billing.practice import PERSON, Desk, Practice, a_charge, issued, paid

pytestmark = pytest.mark.django_db

WITHIN = {"from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
PROFILE = {
    "name": "Harbor Family Medicine",
    "zone": "America/New_York",
    "line": "12 Harbor Street",
    "city": "New York",
    "state": "NY",
    "postal_code": "10004-1412",
    "phone": "(212) 555-0142",
    "contact": "Billing office",
    "npi": "1234567893",
    "tax_id": "12-3456789",
    "taxonomy": "207Q00000X",
    "submitter_id": "HARBOR",
    "receiver_id": "CLEAR",
    "receiver_name": "Clearing house",
}
CLAIM: dict[str, Any] = {
    "payer": {"id": "60054", "name": "Aetna"},
    "subscriber_id": "W123456789",
    "diagnoses": ["J06.9", "I10"],
    "rendering": {"npi": "1234567893", "family": "Chen", "given": "Maya"},
}


def rows(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


def test_tables_hold_what_happened(practice: Practice) -> None:
    payment = paid(practice)
    Desk().post(f"/payments/{payment.id}/refunds", {"amount": 5_000})

    charges, invoices, payments, ledger = (
        rows(Desk().get(f"/exports/{table}.csv", **WITHIN)) for table in ("charges", "invoices", "payments", "ledger")
    )

    assert [(row["amount"], row["state"], row["code"]) for row in charges] == [("150.00", "billed", "99213")]
    assert [(row["number"], row["patient"], row["total"], row["paid"], row["balance"]) for row in invoices] == [
        ("000001", "p-1", "150.00", "150.00", "0.00")
    ]
    assert [(row["kind"], row["amount"]) for row in payments] == [("payment", "150.00"), ("refund", "-50.00")]
    assert sum(round(float(row["amount"]) * 100) for row in ledger) == 0


def test_names_are_for_those_who_may_see_them(practice: Practice) -> None:
    issued()

    named = Desk().get("/exports/invoices.csv", **WITHIN, names="true")

    assert rows(named)[0]["name"] == "Rosa Marín"
    assert "Rosa" not in Desk().get("/exports/invoices.csv", **WITHIN).content.decode()
    assert Desk("auditor").get("/exports/invoices.csv", **WITHIN).status_code == 200
    assert Desk("auditor").get("/exports/invoices.csv", **WITHIN, names="true").json()["code"] == "forbidden"
    assert Desk().get("/exports/ledger.csv", **WITHIN, names="true").json()["param"] == "names"


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)"])
def test_a_name_is_never_a_formula(practice: Practice, name: str) -> None:
    issued()
    practice.records.patients["p-1"] = {**PERSON, "name": {"given": name, "family": "x"}}

    written = Desk().get("/exports/invoices.csv", **WITHIN, names="true").content.decode()

    assert next(iter(csv.DictReader(io.StringIO(written, newline=""))))["name"] == f"'{name} x"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\n=1"])
def test_text_is_made_harmless_and_numbers_stay_numbers(text: str) -> None:
    written = list(csv.reader(io.StringIO(as_csv(("a", "b"), [(text, -5)]), newline="")))

    assert written[1] == [f"'{text}", "-5"]


def test_a_table_is_read_back_as_it_was_written() -> None:
    cells = ['quote " and, comma', "two\r\nlines", "", None, 7]

    text = as_csv(("a", "b", "c", "d", "e"), [cells])

    assert text.startswith("a,b,c,d,e\r\n")
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == ['quote " and, comma', "two\r\nlines", "", "", "7"]


def test_a_file_too_large_is_refused(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.billing.exports.MOST_ROWS", 1)
    a_charge()
    assert Desk().get("/exports/charges.csv", **WITHIN).status_code == 200
    a_charge()

    assert Desk().get("/exports/charges.csv", **WITHIN).json()["code"] == "export_too_large"


def test_times_in_the_wrong_order_are_refused(practice: Practice) -> None:
    answer = Desk().get("/exports/charges.csv", **{"from": WITHIN["to"], "to": WITHIN["from"]})

    assert answer.json()["code"] == "validation_failed"


# --- claims -------------------------------------------------------------------------------------------------------------


def claimed(modality: str = "in_person", **change: Any) -> Any:
    return Desk().post(f"/charges/{a_charge(modality=modality).id}/claim", {**CLAIM, **change})


@pytest.mark.parametrize("modality", ["in_person", "video"])
def test_a_claim_is_a_file_that_an_independent_parser_accepts(practice: Practice, modality: str) -> None:
    Desk().put("/profile", PROFILE)
    made = claimed(modality)
    assert made.status_code == 201

    written = Desk().get(f"/claims/{made.json()['id']}.x12")

    text = written.content.decode()
    assert x12n_document(param=params(), src_file=io.StringIO(text), fd_997=None, fd_html=None)
    assert "NM1*IL*1*MARIN*ROSA****MI*W123456789~" in text
    assert ("HC:99213:95*150" in text) is (modality == "video")
    assert text == Desk().get(f"/claims/{made.json()['id']}.x12").content.decode()


def test_what_a_claim_lacks_is_named(practice: Practice) -> None:
    made = claimed().json()
    assert Desk().get(f"/claims/{made['id']}.x12").json()["missing"] == ["profile"]
    Desk().put("/profile", {**PROFILE, "npi": "", "postal_code": "10004"})
    practice.records.patients["p-1"] = {"name": {"given": "小明", "family": "Wang"}, "date_of_birth": None, "sex": "X"}

    answer = Desk().get(f"/claims/{made['id']}.x12")

    assert (answer.status_code, answer.json()["code"]) == (422, "claim_incomplete")
    assert set(answer.json()["missing"]) == {
        "profile.npi", "profile.postal_code", "patient.given", "patient.line", "patient.city", "patient.state",
        "patient.postal_code", "patient.date_of_birth",
    }  # fmt: skip


def test_the_members_number_is_not_readable_in_the_database(practice: Practice) -> None:
    claimed()

    assert b"W123456789" not in bytes(Claim.objects.get().subscriber)
    assert "W123456789" not in str(Claim.objects.values())


@pytest.mark.parametrize(
    "change",
    [
        {"diagnoses": []},
        {"diagnoses": ["flu"]},
        {"diagnoses": ["J06.9~"]},
        {"diagnoses": ["I10"] * 13},
        {"subscriber_id": "a*b"},
        {"payer": {"id": "60054", "name": "Aetna", "filing": "??"}},
        {"payer": {"id": "6*", "name": "Aetna"}},
        {"rendering": {"npi": "1234567890", "family": "Chen", "given": "Maya"}},
        {"relationship": "child"},
    ],
)
def test_a_claim_that_is_not_right_is_refused(practice: Practice, change: dict[str, Any]) -> None:
    assert claimed(**change).json()["code"] == "validation_failed"
    assert not Claim.objects.exists()


@pytest.mark.parametrize("spoil", [{"amount": None}, {"patient": None}, {"code": ""}, {"reason": "no_show"}, {"currency": "EUR"}])
def test_only_a_coded_visit_in_dollars_is_claimed(practice: Practice, spoil: dict[str, Any]) -> None:
    charge = a_charge()
    Charge.objects.update(**spoil)

    assert Desk().post(f"/charges/{charge.id}/claim", CLAIM).json()["code"] == "charge_not_billable"


def test_a_charge_is_claimed_once_and_claims_are_numbered(practice: Practice) -> None:
    charge = a_charge()
    first = Desk().post(f"/charges/{charge.id}/claim", CLAIM).json()

    assert Desk().post(f"/charges/{charge.id}/claim", CLAIM).json()["code"] == "charge_not_billable"
    assert (first["number"], claimed().json()["number"]) == (1, 2)
    assert "subscriber" not in str(first)


def test_another_clinics_claim_is_not_found(practice: Practice) -> None:
    made = claimed().json()

    assert Desk(clinic="summit").get(f"/claims/{made['id']}.x12").json()["code"] == "not_found"
    assert Invoice.objects.count() == 0
