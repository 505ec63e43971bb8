"""Proves the promises about money on the rows that are there. It trusts nothing that keeps them: not the code, not the triggers."""

from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection, transaction

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `examples` name the first few violators."""

    name: str
    promise: str
    violations: int
    examples: list[str]


class Check(NamedTuple):
    """`violators` is SQL for one text column; `promise` is what holds when it has no rows."""

    name: str
    promise: str
    violators: str


CHECKS = (
    Check(
        "ledger_balanced",
        "every ledger transaction has two entries or more, and they add up to zero",
        """
        SELECT t.id::text FROM billing_ledgertransaction t LEFT JOIN billing_ledgerentry e ON e.transaction_id = t.id
        GROUP BY t.id HAVING count(e.id) < 2 OR sum(e.amount) <> 0
        """,
    ),
    Check(
        "reversals_mirror",
        "a reversal takes back exactly what was booked",
        """
        SELECT r.id::text FROM billing_ledgertransaction r WHERE r.reverses_id IS NOT NULL AND EXISTS (
          SELECT FROM billing_ledgerentry e WHERE e.transaction_id IN (r.id, r.reverses_id)
          GROUP BY e.account HAVING sum(e.amount) <> 0)
        """,
    ),
    Check(
        "invoices_equal_lines",
        "an invoice's total is the sum of its lines",
        """
        SELECT i.id::text FROM billing_invoice i LEFT JOIN billing_invoiceline l ON l.invoice_id = i.id
        GROUP BY i.id HAVING i.total <> coalesce(sum(l.amount), 0)
        """,
    ),
    Check(
        "invoices_booked",
        "an invoice is owed as it was issued, and no more once it is void",
        """
        SELECT i.id::text FROM billing_invoice i
        LEFT JOIN billing_ledgertransaction t ON t.source = i.id AND t.posting IN ('invoice_issued', 'invoice_voided')
        LEFT JOIN billing_ledgerentry e ON e.transaction_id = t.id AND e.account = 'receivable'
        GROUP BY i.id HAVING coalesce(sum(e.amount), 0) <> CASE WHEN i.status IN ('draft', 'void') THEN 0 ELSE i.total END
        """,
    ),
    Check(
        "payments_booked",
        "every payment that came is booked with its amount, and no other",
        """
        SELECT p.id::text FROM billing_payment p
        LEFT JOIN billing_ledgertransaction t ON t.source = p.id AND t.posting = 'payment_received'
        LEFT JOIN billing_ledgerentry e ON e.transaction_id = t.id AND e.account = 'cash'
        GROUP BY p.id HAVING coalesce(sum(e.amount), 0) <> CASE p.status WHEN 'succeeded' THEN p.amount ELSE 0 END
        """,
    ),
    Check(
        "refunds_booked",
        "every refund that went is booked with its amount, and no other",
        """
        SELECT r.id::text FROM billing_refund r
        LEFT JOIN billing_ledgertransaction t ON t.source = r.id AND t.posting IN ('payment_refunded', 'refund_failed')
        LEFT JOIN billing_ledgerentry e ON e.transaction_id = t.id AND e.account = 'cash'
        GROUP BY r.id HAVING coalesce(sum(e.amount), 0) <> CASE r.status WHEN 'succeeded' THEN -r.amount ELSE 0 END
        """,
    ),
    Check(
        "refunds_within_payments",
        "no more is given back than was paid",
        """
        SELECT p.id::text FROM billing_payment p JOIN billing_refund r ON r.payment_id = p.id AND r.status <> 'failed'
        GROUP BY p.id HAVING sum(r.amount) > CASE p.status WHEN 'succeeded' THEN p.amount ELSE 0 END
        """,
    ),
    Check(
        "paid_means_paid",
        "nothing is owed of an invoice that is paid",
        """
        SELECT i.id::text FROM billing_invoice i LEFT JOIN billing_payment p ON p.invoice_id = i.id AND p.status = 'succeeded'
        WHERE i.status = 'paid' GROUP BY i.id HAVING coalesce(sum(p.amount), 0) < i.total
        """,
    ),
    Check(
        "numbers_without_gaps",
        "a clinic's invoices are numbered from 1 without a gap",
        """
        SELECT clinic FROM billing_invoice WHERE number IS NOT NULL
        GROUP BY clinic HAVING min(number) <> 1 OR max(number) <> count(*) OR count(DISTINCT number) <> count(*)
        """,
    ),
    Check(
        "charged_once",
        "an appointment is charged once for a reason, and a charge is on one live invoice",
        """
        SELECT appointment::text FROM billing_charge GROUP BY appointment, reason HAVING count(*) > 1
        UNION ALL
        SELECT l.charge_id::text FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id AND i.status <> 'void'
        GROUP BY l.charge_id HAVING count(*) > 1
        """,
    ),
    Check(
        "outcomes_known",
        "how a payment or a refund ended is known within a day",
        """
        SELECT id::text FROM billing_payment WHERE status IN ('created', 'cancelling') AND created_at < now() - interval '1 day'
        UNION ALL
        SELECT id::text FROM billing_refund WHERE status = 'created' AND created_at < now() - interval '1 day'
        """,
    ),
    Check(
        "guards_in_place",
        "the database itself keeps the ledger balanced and unchanged",
        """
        SELECT promised.name FROM (VALUES
          ('billing_ledger_entries_balanced'), ('billing_ledger_transaction_balanced'), ('billing_ledger_entries_kept'),
          ('billing_ledger_transactions_kept'), ('billing_ledger_entries_closed')) AS promised (name)
        LEFT JOIN pg_trigger t ON t.tgname = promised.name AND t.tgenabled = 'O'
        WHERE t.oid IS NULL
        """,
    ),
)


def verify() -> list[Finding]:
    """Runs every check on the whole database. Reads only."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        findings = []
        for check in CHECKS:
            cursor.execute(
                f"SELECT count(*), (array_agg(name ORDER BY name))[:%s] FROM ({check.violators}) AS found (name)",  # noqa: S608 - ours
                [_EXAMPLES],
            )
            violations, examples = cursor.fetchone()
            findings.append(Finding(check.name, check.promise, violations, examples or []))
    return findings
