-- +goose Up

CREATE TABLE clients (
    client_id    TEXT    PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    name         TEXT    NOT NULL,
    role         TEXT    NOT NULL CHECK (role = 'admin' OR role = 'sender' OR role = 'viewer'),
    public_key   BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    rate_limit   INTEGER NOT NULL CHECK (rate_limit >= 0)
) STRICT, WITHOUT ROWID;

ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_keys ADD COLUMN rate_limit INTEGER NOT NULL DEFAULT 0 CHECK (rate_limit >= 0); -- 0 for no bound

ALTER TABLE secrets ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1);

-- The assertions that were used and would not be refused anyway by now.
CREATE TABLE assertions (
    id    TEXT    PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX assertions_by_until ON assertions (until);

-- Who changed what. Ids are in the order of time.
CREATE TABLE audit (
    id             TEXT    PRIMARY KEY,
    created_at     INTEGER NOT NULL,
    actor          TEXT    NOT NULL,
    actor_name     TEXT    NOT NULL,
    role           TEXT    NOT NULL, -- '' for the command line
    remote_address TEXT    NOT NULL,
    operation      TEXT    NOT NULL,
    target         TEXT    NOT NULL,
    detail         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- For lists, each in the order of the ids, with which every index ends.
CREATE INDEX audit_by_actor ON audit (actor);
CREATE INDEX audit_by_operation ON audit (operation);
CREATE INDEX audit_by_target ON audit (target);

-- Nothing that is there is changed, and nothing is removed that is younger than 400
-- days (riposte.KeepAudit) by the time of the newest entry.
-- +goose StatementBegin
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'an entry of the audit log never changes');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'an entry of the audit log never changes');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    WHEN OLD.created_at > (SELECT created_at FROM audit ORDER BY id DESC LIMIT 1) - 34560000000000 BEGIN
    SELECT RAISE(ABORT, 'an entry of the audit log is kept for 400 days');
END;
-- +goose StatementEnd

ALTER TABLE webhooks ADD COLUMN request TEXT NOT NULL DEFAULT ''; -- JSON; '' for a request without more than the contract

ALTER TABLE instances ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
