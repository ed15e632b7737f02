-- +goose Up

-- What each process counted in spans of time; see riposte.StatisticsRow.
CREATE TABLE statistics (
    webhook text   COLLATE "C" NOT NULL, -- '' for all together
    span    bigint NOT NULL,
    start   bigint NOT NULL,
    process text   COLLATE "C" NOT NULL,
    counts  text   NOT NULL, -- JSON
    PRIMARY KEY (webhook, span, start, process)
) WITH (fillfactor = 70);

CREATE INDEX statistics_by_start ON statistics (span, start);

-- The last attempt of each webhook that any of the rows above told of: it stays when
-- they are forgotten. It goes with its webhook, also where an older version purges that.
CREATE TABLE last_attempts (
    webhook  text   COLLATE "C" PRIMARY KEY REFERENCES webhooks ON DELETE CASCADE,
    ended_at bigint NOT NULL,
    attempt  text   NOT NULL -- JSON
) WITH (fillfactor = 70);
