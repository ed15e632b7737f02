-- +goose Up

-- What each process counted in spans of time; see riposte.StatisticsRow.
CREATE TABLE statistics (
    webhook TEXT    NOT NULL, -- '' for all together
    span    INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    process TEXT    NOT NULL,
    counts  TEXT    NOT NULL, -- JSON
    PRIMARY KEY (webhook, span, start, process)
) STRICT, WITHOUT ROWID;

CREATE INDEX statistics_by_start ON statistics (span, start);

-- The last attempt of each webhook that any of the rows above told of: it stays when
-- they are forgotten.
CREATE TABLE last_attempts (
    webhook  TEXT    PRIMARY KEY REFERENCES webhooks (id) ON DELETE CASCADE,
    ended_at INTEGER NOT NULL,
    attempt  TEXT    NOT NULL -- JSON
) STRICT, WITHOUT ROWID;
