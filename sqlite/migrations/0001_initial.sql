-- Times are microseconds since 1970 in UTC, durations nanoseconds. Nothing in
-- here decides a state: the CHECKs only refuse rows that the state machine of
-- package riposte cannot have made. They are chains of OR because SQLite builds
-- a table for each longer IN list at every execution.

-- +goose Up

CREATE TABLE webhooks (
    number             INTEGER PRIMARY KEY,
    id                 TEXT    NOT NULL UNIQUE,
    display_name       TEXT    NOT NULL,
    description        TEXT    NOT NULL,
    -- Both as a search compares them; see fold in webhook.go.
    display_name_folded TEXT   NOT NULL,
    description_folded TEXT    NOT NULL,
    url                TEXT    NOT NULL,
    host               TEXT    NOT NULL,
    callback_timeout   INTEGER NOT NULL,
    retry_policy       TEXT    NOT NULL CHECK (retry_policy = 'FAST' OR retry_policy = 'FAST_THEN_SLOW'),
    max_in_flight      INTEGER NOT NULL CHECK (max_in_flight >= 1),
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    deleted_at         INTEGER,
    version            INTEGER NOT NULL CHECK (version >= 1)
) STRICT;

CREATE INDEX webhooks_deleted ON webhooks (deleted_at) WHERE deleted_at IS NOT NULL;

-- An instance's number is its id's (riposte.IDNumber): it is found by its id
-- without an index for that, rows and indexes are in the order of the ids, and
-- an index entry has 8 bytes where an id would take 24.
CREATE TABLE instances (
    number                INTEGER PRIMARY KEY,
    id                    TEXT    NOT NULL,
    webhook               INTEGER NOT NULL REFERENCES webhooks,
    state                 TEXT    NOT NULL CHECK (state = 'PENDING' OR state = 'RUNNING' OR state = 'SUCCESS' OR state = 'ERROR'
                                      OR state = 'WAITING_CALLBACK' OR state = 'PROCESS_RESPONSE' OR state = 'FATAL_ERROR'),
    attempts              INTEGER NOT NULL CHECK (attempts >= 0),
    version               INTEGER NOT NULL CHECK (version >= 1),
    due_at                INTEGER CHECK (due_at <= expires_at),
    leased_until          INTEGER CHECK ((leased_until IS NOT NULL) = (state = 'RUNNING')),
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    last_attempted_at     INTEGER CHECK ((last_attempted_at IS NOT NULL) = (attempts > 0)),
    completed_at          INTEGER CHECK ((completed_at IS NOT NULL) = (state = 'SUCCESS' OR state = 'FATAL_ERROR')),
    expires_at            INTEGER NOT NULL,
    source_kind           TEXT    NOT NULL CHECK (source_kind = 'approvalStep' OR source_kind = 'provisionStep' OR source_kind = 'workflowStep'
                                      OR source_kind = 'policyPostAction' OR source_kind = 'test'),
    ticket_id             TEXT    NOT NULL,
    workflow_execution_id INTEGER NOT NULL,
    workflow_step_id      TEXT    NOT NULL,
    destination           TEXT    NOT NULL,
    labels                TEXT, -- a JSON object
    request_id            TEXT    NOT NULL,
    fingerprint           BLOB,
    recreated_from        TEXT    NOT NULL,
    outcome               INTEGER, -- its sequence; being one column makes it one outcome
    CHECK ((due_at IS NULL) = (completed_at IS NOT NULL)),
    CHECK (completed_at IS NULL OR outcome IS NOT NULL)
) STRICT;

-- What must be looked at, a lane per webhook; see lane.go.
CREATE INDEX instances_due ON instances (webhook, due_at) WHERE due_at IS NOT NULL;

-- Both depend on completed_at, not on due_at, because a change that leaves the
-- instance open then has nothing to do in them.
CREATE INDEX instances_open_by_expiry ON instances (expires_at) WHERE completed_at IS NULL;
CREATE INDEX instances_closed_by_expiry ON instances (expires_at) WHERE completed_at IS NOT NULL;

CREATE UNIQUE INDEX instances_request ON instances (webhook, request_id) WHERE request_id <> '';

-- For lists, each in the order of the numbers, with which every index ends.
CREATE INDEX instances_by_webhook ON instances (webhook);
CREATE INDEX instances_by_ticket ON instances (ticket_id) WHERE ticket_id <> '';
CREATE INDEX instances_by_source ON instances (source_kind);
CREATE INDEX instances_by_state ON instances (state);

CREATE TABLE labels (
    key      TEXT    NOT NULL,
    value    TEXT    NOT NULL,
    instance INTEGER NOT NULL,
    PRIMARY KEY (key, value, instance)
) STRICT, WITHOUT ROWID;

CREATE TABLE envelopes (
    instance   INTEGER PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
    payload_at INTEGER NOT NULL,
    body       BLOB    NOT NULL
) STRICT;

CREATE TABLE attempts (
    instance         INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    number           INTEGER NOT NULL CHECK (number >= 1),
    started_at       INTEGER NOT NULL,
    duration         INTEGER NOT NULL,
    dns              INTEGER NOT NULL,
    connect          INTEGER NOT NULL,
    tls              INTEGER NOT NULL,
    first_byte       INTEGER NOT NULL,
    status_code      INTEGER NOT NULL,
    error_phase      TEXT, -- NULL when the response was read whole
    error_reason     TEXT,
    error_message    TEXT,
    remote_address   TEXT    NOT NULL,
    response_headers TEXT, -- a JSON object of arrays
    body_cut         INTEGER NOT NULL,
    response_body    BLOB,
    PRIMARY KEY (instance, number)
) STRICT, WITHOUT ROWID;

-- The writer gives out the sequences, one after the other. An instance names its
-- outcome, so that no index by instance is needed.
CREATE TABLE outcomes (
    sequence        INTEGER PRIMARY KEY CHECK (sequence >= 1),
    instance        INTEGER NOT NULL,
    kind            TEXT    NOT NULL CHECK (kind = 'DELIVERED' OR kind = 'APPROVED' OR kind = 'DENIED' OR kind = 'REASSIGNED'
                                OR kind = 'POLICY_REPLACED' OR kind = 'COMPLETED' OR kind = 'ERRORED' OR kind = 'CONTEXT' OR kind = 'FAILED'),
    via             TEXT    NOT NULL CHECK (via = 'SYNC' OR via = 'CALLBACK' OR via = 'OPERATOR' OR via = 'NONE'),
    comment         TEXT    NOT NULL,
    failure_reason  TEXT CHECK (failure_reason IS NULL OR failure_reason = 'GONE' OR failure_reason = 'ATTEMPTS_EXHAUSTED'
                                OR failure_reason = 'EXPIRED' OR failure_reason = 'BAD_RESPONSE' OR failure_reason = 'CANCELED'
                                OR failure_reason = 'WEBHOOK_DELETED'),
    failure_message TEXT,
    decided_at      INTEGER NOT NULL,
    document        BLOB,
    CHECK ((kind = 'FAILED') = (failure_reason IS NOT NULL))
) STRICT;

-- One row: the greatest sequence of an outcome that was purged, because none is
-- ever used again.
CREATE TABLE purged (
    number   INTEGER PRIMARY KEY CHECK (number = 1),
    sequence INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    hash       BLOB    PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL CHECK (role = 'admin' OR role = 'sender' OR role = 'viewer'),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row that Check writes, so that it learns what a commit would.
CREATE TABLE checks (
    number     INTEGER PRIMARY KEY CHECK (number = 1),
    checked_at INTEGER NOT NULL
) STRICT;
