-- +goose Up

-- Where outcomes are pushed to, a lane each; see riposte.PushLane.
CREATE TABLE push_lanes (
    number INTEGER PRIMARY KEY,
    id     TEXT    NOT NULL UNIQUE
) STRICT;

ALTER TABLE webhooks ADD COLUMN outcome_url TEXT NOT NULL DEFAULT '';

ALTER TABLE instances ADD COLUMN outcome_url TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN push TEXT; -- JSON; NULL where nothing is or was pushed
-- From its outcome on, an instance that is pushed is due by these, in the lane of
-- where it is pushed to: its webhook's has no more to do with it, nor its expiry,
-- at which due_at stays. push_due_at is NULL when the push was given up.
ALTER TABLE instances ADD COLUMN push_lane INTEGER CHECK (push_lane IS NULL OR outcome IS NOT NULL);
ALTER TABLE instances ADD COLUMN push_due_at INTEGER CHECK (push_due_at IS NULL OR push_lane IS NOT NULL AND state = 'PROCESS_RESPONSE');
ALTER TABLE instances ADD COLUMN push_leased_until INTEGER CHECK (push_leased_until IS NULL OR push_due_at IS NOT NULL);

CREATE INDEX instances_push_due ON instances (push_lane, push_due_at) WHERE push_due_at IS NOT NULL;

DROP INDEX instances_due;
CREATE INDEX instances_due ON instances (webhook, due_at) WHERE due_at IS NOT NULL AND push_lane IS NULL;

-- What has its outcome does not expire any more, though it may still be open.
DROP INDEX instances_open_by_expiry;
CREATE INDEX instances_open_by_expiry ON instances (expires_at) WHERE outcome IS NULL;
