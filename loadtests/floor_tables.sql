-- The two tables a booking cannot do without, with the constraint and the indexes of the engine's own.
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE TABLE allocation (
    appointment_id bigint NOT NULL,
    calendar_id integer NOT NULL,
    unit smallint NOT NULL,
    during tstzrange NOT NULL,
    status varchar(12) NOT NULL,
    PRIMARY KEY (appointment_id, calendar_id),
    CONSTRAINT allocation_overlap EXCLUDE USING gist (calendar_id WITH =, unit WITH =, during WITH &&)
);
CREATE TABLE outbox (
    calendar_id integer NOT NULL,
    version bigint NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    type varchar(40) NOT NULL,
    at timestamptz NOT NULL,
    data jsonb NOT NULL,
    sent_at timestamptz,
    PRIMARY KEY (calendar_id, version)
);
CREATE INDEX outbox_unsent ON outbox (calendar_id, version) WHERE sent_at IS NULL;
CREATE INDEX outbox_at ON outbox USING brin (at);
