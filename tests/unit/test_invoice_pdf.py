"""Invoices as pages: the same bytes each time, and no name that breaks them."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from apps.billing.invoice_pdf import Invoice, Line, render

LINE = Line(date(2026, 11, 20), "Follow-up", "99213-95", "$95.00")
INVOICE = Invoice(
    number="000042",
    issued=datetime(2026, 11, 24, 12, tzinfo=UTC),
    due=date(2026, 12, 24),
    stamp="PAID",
    clinic="Harbor Family Medicine",
    clinic_lines=("12 Harbor Street", "New York, NY 10004"),
    patient="Rosa Marín",
    patient_lines=("1 Main St",),
    reference="0193-42",
    lines=(LINE,),
    total="$95.00",
    paid="$95.00",
    balance="$0.00",
    note="Questions? (212) 555-0142",
)


def pages(drawn: bytes) -> int:
    return drawn.count(b"/Type /Page\n")


@pytest.mark.parametrize(
    "name",
    [
        "Ştefan Łukasz Ødegård",
        "Ελένη Παπαδοπούλου",
        "Дмитрий Шостакович",
        "王小明",
        "محمد علي",
        "שלום",
        "👩‍⚕️ \U0001f9d1",
        "e\u0301 \u200b \ufeff",
        "",
        "x" * 5_000,
        "two\nlines\tand \x00 more",
        "**bold** {nb} <b> \\",
    ],
)
def test_any_name_can_be_drawn(name: str) -> None:
    drawn = render(replace(INVOICE, patient=name, clinic=name, note=name, lines=(replace(LINE, text=name),)))

    assert drawn.startswith(b"%PDF-")
    assert b"%%EOF" in drawn[-10:]


def test_another_process_draws_the_same_bytes() -> None:
    program = "import sys; from tests.unit.test_invoice_pdf import *; sys.stdout.buffer.write(render(INVOICE))"

    drawn = [
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."}
        ).stdout
        for seed in ("1", "2")
    ]

    assert drawn[0] == drawn[1] == render(INVOICE)


def test_many_lines_go_on_on_further_pages() -> None:
    assert pages(render(INVOICE)) == 1
    assert pages(render(replace(INVOICE, lines=(LINE,) * 200))) > 4


def test_the_title_names_no_patient() -> None:
    drawn = render(INVOICE)

    assert b"Rosa" not in drawn
    assert "Rosa".encode("utf-16-be") not in drawn
