-- +goose Up

-- 0 for no bound over all nodes.
ALTER TABLE webhooks ADD COLUMN max_in_flight_total bigint NOT NULL DEFAULT 0 CHECK (max_in_flight_total >= 0);
