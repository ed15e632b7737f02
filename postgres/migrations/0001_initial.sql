-- Times are microseconds since 1970 in UTC, durations nanoseconds, as in package
-- sqlite. Nothing in here decides a state: the CHECKs only refuse rows that the
-- state machine of package riposte cannot have made.

-- +goose Up

CREATE TABLE webhooks (
    id                  text COLLATE "C" PRIMARY KEY,
    display_name        text   NOT NULL,
    description         text   NOT NULL,
    -- Both as a search compares them; see fold in webhook.go.
    display_name_folded text   NOT NULL,
    description_folded  text   NOT NULL,
    url                 text   NOT NULL,
    host                text   NOT NULL,
    callback_timeout    bigint NOT NULL,
    retry_policy        text   NOT NULL CHECK (retry_policy IN ('FAST', 'FAST_THEN_SLOW')),
    max_in_flight       bigint NOT NULL CHECK (max_in_flight >= 1),
    created_at          bigint NOT NULL,
    updated_at          bigint NOT NULL,
    deleted_at          bigint,
    version             bigint NOT NULL CHECK (version >= 1)
);

CREATE INDEX webhooks_deleted ON webhooks (deleted_at) WHERE deleted_at IS NOT NULL;

-- What of an instance never changes. Ids begin with the time, so a day's
-- instances are a range of ids, and a range is a partition that can be dropped.
CREATE TABLE instances (
    id                    text COLLATE "C" PRIMARY KEY,
    webhook               text COLLATE "C" NOT NULL,
    source_kind           text   NOT NULL CHECK (source_kind IN ('approvalStep', 'provisionStep', 'workflowStep', 'policyPostAction', 'test')),
    ticket_id             text   NOT NULL,
    workflow_execution_id bigint NOT NULL,
    workflow_step_id      text   NOT NULL,
    destination           text   NOT NULL,
    created_at            bigint NOT NULL,
    expires_at            bigint NOT NULL,
    labels                text, -- a JSON object
    request_id            text   NOT NULL,
    fingerprint           bytea,
    recreated_from        text   NOT NULL,
    payload_at            integer NOT NULL,
    body                  bytea  NOT NULL
) PARTITION BY RANGE (id);

CREATE TABLE instances_default PARTITION OF instances DEFAULT;

-- For lists, each in the order of the ids, which is the order of creation.
CREATE INDEX instances_by_webhook ON instances (webhook, id);
CREATE INDEX instances_by_ticket ON instances (ticket_id, id) WHERE ticket_id <> '';
CREATE INDEX instances_by_source ON instances (source_kind, id);

-- What changes, of open instances alone: a row that is narrow, and gone when the
-- instance is closed.
CREATE TABLE open (
    id                text COLLATE "C" PRIMARY KEY,
    webhook           text COLLATE "C" NOT NULL,
    state             text   NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'ERROR', 'WAITING_CALLBACK', 'PROCESS_RESPONSE')),
    attempts          bigint NOT NULL CHECK (attempts >= 0),
    version           bigint NOT NULL CHECK (version >= 1),
    due_at            bigint NOT NULL CHECK (due_at <= expires_at),
    leased_until      bigint CHECK ((leased_until IS NOT NULL) = (state = 'RUNNING')),
    updated_at        bigint NOT NULL,
    last_attempted_at bigint CHECK ((last_attempted_at IS NOT NULL) = (attempts > 0)),
    expires_at        bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What must be looked at, a lane per webhook; see package lane.
CREATE INDEX open_due ON open (webhook, due_at);
CREATE INDEX open_by_expiry ON open (expires_at);
CREATE INDEX open_by_state ON open (state, id);

-- What became of an instance: its outcome, from the moment that this stands, and
-- its last state, once it is closed. That id is the key is what makes "exactly
-- one outcome" hold.
CREATE SEQUENCE outcome_sequence;

CREATE TABLE outcomes (
    id                text COLLATE "C" PRIMARY KEY,
    sequence          bigint NOT NULL,
    kind              text   NOT NULL CHECK (kind IN ('DELIVERED', 'APPROVED', 'DENIED', 'REASSIGNED', 'POLICY_REPLACED', 'COMPLETED',
                          'ERRORED', 'CONTEXT', 'FAILED')),
    via               text   NOT NULL CHECK (via IN ('SYNC', 'CALLBACK', 'OPERATOR', 'NONE')),
    comment           bytea  NOT NULL, -- text in UTF-8; a text can't hold a NUL
    failure_reason    text CHECK (failure_reason IN ('GONE', 'ATTEMPTS_EXHAUSTED', 'EXPIRED', 'BAD_RESPONSE', 'CANCELED', 'WEBHOOK_DELETED')),
    failure_message   bytea,
    decided_at        bigint NOT NULL,
    document          bytea,
    -- NULL as long as the instance is open.
    state             text CHECK (state IN ('SUCCESS', 'FATAL_ERROR')),
    attempts          bigint,
    version           bigint,
    updated_at        bigint,
    last_attempted_at bigint,
    completed_at      bigint,
    expires_at        bigint,
    CHECK ((kind = 'FAILED') = (failure_reason IS NOT NULL)),
    CHECK ((state IS NULL) = (completed_at IS NULL))
) PARTITION BY RANGE (id);

CREATE TABLE outcomes_default PARTITION OF outcomes DEFAULT;
CREATE INDEX outcomes_by_sequence ON outcomes (sequence);
CREATE INDEX outcomes_by_state ON outcomes (state, id) WHERE state IS NOT NULL;
CREATE INDEX outcomes_by_expiry ON outcomes (expires_at) WHERE state IS NOT NULL;

CREATE TABLE attempts (
    id               text COLLATE "C" NOT NULL,
    number           bigint  NOT NULL CHECK (number >= 1),
    started_at       bigint  NOT NULL,
    duration         bigint  NOT NULL,
    dns              bigint  NOT NULL,
    connect          bigint  NOT NULL,
    tls              bigint  NOT NULL,
    first_byte       bigint  NOT NULL,
    status_code      bigint  NOT NULL,
    error_phase      text, -- NULL when the response was read whole
    error_reason     text,
    error_message    bytea,
    remote_address   text    NOT NULL,
    response_headers text, -- a JSON object of arrays
    body_cut         boolean NOT NULL,
    response_body    bytea,
    PRIMARY KEY (id, number)
) PARTITION BY RANGE (id);

CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

CREATE TABLE requests (
    webhook     text COLLATE "C" NOT NULL,
    request_id  text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    PRIMARY KEY (webhook, request_id)
);

CREATE INDEX requests_by_id ON requests (id);

CREATE TABLE labels (
    key   text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (key, value, id)
) PARTITION BY RANGE (id);

CREATE TABLE labels_default PARTITION OF labels DEFAULT;
CREATE INDEX labels_by_id ON labels (id);

CREATE TABLE api_keys (
    hash       bytea  PRIMARY KEY,
    id         text   NOT NULL UNIQUE,
    name       text   NOT NULL,
    role       text   NOT NULL CHECK (role IN ('admin', 'sender', 'viewer')),
    created_at bigint NOT NULL
);

CREATE TABLE secrets (
    name  text  PRIMARY KEY,
    value bytea NOT NULL
);

-- A row per process that is or was a node, with how many instances it has
-- brought into each state, less those that it brought out of it.
CREATE TABLE nodes (
    id               text COLLATE "C" PRIMARY KEY,
    seen_at          bigint NOT NULL,
    pending          bigint NOT NULL DEFAULT 0,
    running          bigint NOT NULL DEFAULT 0,
    error            bigint NOT NULL DEFAULT 0,
    waiting_callback bigint NOT NULL DEFAULT 0,
    process_response bigint NOT NULL DEFAULT 0,
    success          bigint NOT NULL DEFAULT 0,
    fatal_error      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- A row per transaction of a node, with what it changed of these counts; now and
-- then they are added to the node's own. Updating that with every transaction
-- would leave a chain of dead rows to walk as long as somebody holds a snapshot.
CREATE TABLE batches (
    node             text   COLLATE "C" NOT NULL,
    batch            bigint NOT NULL,
    fenced           boolean NOT NULL DEFAULT false, -- it never came, and can't any more
    pending          bigint NOT NULL DEFAULT 0,
    running          bigint NOT NULL DEFAULT 0,
    error            bigint NOT NULL DEFAULT 0,
    waiting_callback bigint NOT NULL DEFAULT 0,
    process_response bigint NOT NULL DEFAULT 0,
    success          bigint NOT NULL DEFAULT 0,
    fatal_error      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (node, batch)
);
