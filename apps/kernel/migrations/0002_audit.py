"""The audit log: two tables that only grow. What is revoked here is revoked from the owner too, and a trigger says why."""

from django.db import migrations

FORWARD = """
CREATE TABLE kernel_auditentry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    clinic varchar(60) NOT NULL,
    actor varchar(80) NOT NULL,
    role varchar(20) NOT NULL,
    session varchar(64) NOT NULL,
    action varchar(60) NOT NULL,
    object varchar(120) NOT NULL,
    patient varchar(64) NOT NULL,
    outcome varchar(20) NOT NULL,
    request_id varchar(64) NOT NULL,
    address varchar(45) NOT NULL,
    details jsonb NOT NULL
);
CREATE INDEX audit_order ON kernel_auditentry (txid, id);
CREATE INDEX audit_clinic ON kernel_auditentry (clinic, id DESC);
CREATE INDEX audit_patient ON kernel_auditentry (clinic, patient, id DESC) WHERE patient <> '';
CREATE INDEX audit_actor ON kernel_auditentry (clinic, actor, id DESC);
CREATE TABLE kernel_auditseal (
    position bigint PRIMARY KEY,
    entry bigint NOT NULL UNIQUE,
    txid xid8 NOT NULL,
    hash bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX audit_sealed ON kernel_auditseal (at, position);
CREATE FUNCTION kernel_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log only grows' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kernel_auditentry EXECUTE FUNCTION kernel_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kernel_auditseal EXECUTE FUNCTION kernel_append_only();
REVOKE UPDATE, DELETE, TRUNCATE ON kernel_auditentry, kernel_auditseal FROM PUBLIC, CURRENT_USER;
"""

BACK = "DROP TABLE kernel_auditentry, kernel_auditseal; DROP FUNCTION kernel_append_only();"


class Migration(migrations.Migration):
    dependencies = [("kernel", "0001_facts")]

    operations = [migrations.RunSQL(FORWARD, BACK)]
