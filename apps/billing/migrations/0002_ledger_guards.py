"""The ledger's promises, kept by the database: a transaction adds up to zero, and nothing in it is ever changed or added to."""

from django.db import migrations

GUARDS = """
CREATE FUNCTION billing_ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  of uuid := CASE TG_TABLE_NAME WHEN 'billing_ledgertransaction' THEN NEW.id ELSE NULL END;
  entries integer;
  total numeric;
BEGIN
  IF of IS NULL THEN of := NEW.transaction_id; END IF;
  SELECT count(*), coalesce(sum(amount), 0) INTO entries, total FROM billing_ledgerentry WHERE transaction_id = of;
  IF entries < 2 OR total <> 0 THEN
    RAISE EXCEPTION 'ledger transaction % has % entries that add up to %', of, entries, total USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;

-- Checked at the commit: entries come one after the other.
CREATE CONSTRAINT TRIGGER billing_ledger_entries_balanced AFTER INSERT ON billing_ledgerentry
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_ledger_balanced();
CREATE CONSTRAINT TRIGGER billing_ledger_transaction_balanced AFTER INSERT ON billing_ledgertransaction
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_ledger_balanced();

CREATE FUNCTION billing_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only: book a reversal' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER billing_ledger_entries_kept BEFORE UPDATE OR DELETE ON billing_ledgerentry
  FOR EACH ROW EXECUTE FUNCTION billing_ledger_refuse();
CREATE TRIGGER billing_ledger_transactions_kept BEFORE UPDATE OR DELETE ON billing_ledgertransaction
  FOR EACH ROW EXECUTE FUNCTION billing_ledger_refuse();

-- Two more entries that cancel each other out would leave the sum at zero, and a booked fact falsified.
CREATE FUNCTION billing_ledger_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM billing_ledgertransaction t
                 WHERE t.id = NEW.transaction_id AND t.written_in = pg_current_xact_id()::text) THEN
    RAISE EXCEPTION 'this ledger transaction is closed' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER billing_ledger_entries_closed BEFORE INSERT ON billing_ledgerentry
  FOR EACH ROW EXECUTE FUNCTION billing_ledger_closed();
"""

REMOVED = """
DROP TRIGGER billing_ledger_entries_balanced ON billing_ledgerentry;
DROP TRIGGER billing_ledger_transaction_balanced ON billing_ledgertransaction;
DROP TRIGGER billing_ledger_entries_kept ON billing_ledgerentry;
DROP TRIGGER billing_ledger_transactions_kept ON billing_ledgertransaction;
DROP TRIGGER billing_ledger_entries_closed ON billing_ledgerentry;
DROP FUNCTION billing_ledger_balanced();
DROP FUNCTION billing_ledger_refuse();
DROP FUNCTION billing_ledger_closed();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_billing")]

    operations = [migrations.RunSQL(GUARDS, REMOVED)]
