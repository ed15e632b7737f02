-- +goose Up

ALTER TABLE webhooks ADD COLUMN outcome_url text NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN outcome_url text NOT NULL DEFAULT '';

-- Where outcomes are pushed to, a lane each; see riposte.PushLane.
CREATE TABLE push_lanes (
    id text COLLATE "C" PRIMARY KEY
);

-- An open instance that is pushed has its lane of pushes in place of its webhook,
-- because the webhook has no more to do with it, and no expiry: the greatest number
-- stands for never, as a due time of a push that was given up, too.
ALTER TABLE open ADD COLUMN push text; -- JSON
ALTER TABLE open DROP CONSTRAINT open_check1;
ALTER TABLE open ADD CONSTRAINT open_leased CHECK (CASE state WHEN 'PROCESS_RESPONSE' THEN leased_until IS NULL OR push IS NOT NULL
    ELSE (leased_until IS NOT NULL) = (state = 'RUNNING') END);

ALTER TABLE outcomes ADD COLUMN push text; -- what came of it
