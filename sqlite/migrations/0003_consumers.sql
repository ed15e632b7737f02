-- +goose Up

-- acked is what the leases and the position come to; purging goes by it.
CREATE TABLE consumers (
    name       TEXT    PRIMARY KEY,
    filter     TEXT    NOT NULL, -- JSON
    created_at INTEGER NOT NULL,
    position   INTEGER NOT NULL CHECK (position >= acked),
    acked      INTEGER NOT NULL CHECK (acked >= 0),
    leases     TEXT    NOT NULL, -- JSON
    version    INTEGER NOT NULL CHECK (version >= 1)
) STRICT, WITHOUT ROWID;
