-- The outcomes can be read in the order of their sequences, and a reader never
-- passes one that is still to be committed.

-- +goose Up

-- Whoever inserts outcomes shows until its end, by a lock that nobody waits for,
-- after which sequence its own come: the last one that was given before.
-- +goose StatementBegin
CREATE FUNCTION outcomes_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('riposte outcomes ' || TG_TABLE_SCHEMA),
        (last_value - (NOT is_called)::integer)::bit(32)::integer) FROM outcome_sequence;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER outcomes_begin BEFORE INSERT ON outcomes FOR EACH STATEMENT EXECUTE FUNCTION outcomes_begin();

-- Up to which sequence all outcomes are there, for queries that begin later: the
-- last one that was given, less those that are still to be committed. The order
-- matters: whoever isn't seen holding a lock has ended, or gets its sequences later.
-- +goose StatementBegin
CREATE FUNCTION outcomes_readable(OUT readable bigint, OUT given bigint) LANGUAGE plpgsql AS $$
DECLARE
    behind bigint;
BEGIN
    SELECT last_value - (NOT is_called)::integer INTO given FROM outcome_sequence;
    SELECT max((given - l.objid::bigint)::bit(32)::integer) INTO behind FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = hashtext('riposte outcomes ' || current_schema())::oid
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database());
    readable := given - greatest(coalesce(behind, 0), 0);
END
$$;
-- +goose StatementEnd

-- One row: the greatest sequence of an outcome that was purged.
CREATE TABLE purged (
    number   integer PRIMARY KEY CHECK (number = 1),
    sequence bigint NOT NULL
);

-- acked is what the leases and the position come to; purging goes by it.
CREATE TABLE consumers (
    name       text   COLLATE "C" PRIMARY KEY,
    filter     text   NOT NULL, -- JSON
    created_at bigint NOT NULL,
    position   bigint NOT NULL CHECK (position >= acked),
    acked      bigint NOT NULL CHECK (acked >= 0),
    leases     text   NOT NULL, -- JSON
    version    bigint NOT NULL CHECK (version >= 1)
) WITH (fillfactor = 50);
