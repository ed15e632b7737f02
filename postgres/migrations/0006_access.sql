-- +goose Up

CREATE TABLE clients (
    client_id    text   COLLATE "C" PRIMARY KEY,
    id           text   COLLATE "C" NOT NULL UNIQUE,
    name         text   NOT NULL,
    role         text   NOT NULL CHECK (role IN ('admin', 'sender', 'viewer')),
    public_key   bytea  NOT NULL,
    created_at   bigint NOT NULL,
    expires_at   bigint,
    last_used_at bigint,
    rate_limit   bigint NOT NULL CHECK (rate_limit >= 0)
);

ALTER TABLE api_keys ADD COLUMN expires_at bigint;
ALTER TABLE api_keys ADD COLUMN last_used_at bigint;
ALTER TABLE api_keys ADD COLUMN rate_limit bigint NOT NULL DEFAULT 0 CHECK (rate_limit >= 0); -- 0 for no bound

ALTER TABLE secrets ADD COLUMN version bigint NOT NULL DEFAULT 1 CHECK (version >= 1);

-- The assertions that were used and would not be refused anyway by now.
CREATE TABLE assertions (
    id    bytea  PRIMARY KEY, -- whatever a client called it
    until bigint NOT NULL
);

CREATE INDEX assertions_by_until ON assertions (until);

-- Who changed what. Ids are in the order of time.
CREATE TABLE audit (
    id             text COLLATE "C" PRIMARY KEY,
    created_at     bigint NOT NULL,
    actor          text COLLATE "C" NOT NULL,
    actor_name     text NOT NULL,
    role           text NOT NULL, -- '' for the command line
    remote_address text NOT NULL,
    operation      text COLLATE "C" NOT NULL,
    target         text COLLATE "C" NOT NULL,
    detail         text NOT NULL
);

-- For lists, each in the order of the ids.
CREATE INDEX audit_by_actor ON audit (actor, id);
CREATE INDEX audit_by_operation ON audit (operation, id);
CREATE INDEX audit_by_target ON audit (target, id);

-- Nothing that is there is changed, and nothing is removed that is younger than 400
-- days (riposte.KeepAudit) by the time of the newest entry.
-- +goose StatementBegin
CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'an entry of the audit log never changes';
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.created_at > (SELECT created_at FROM audit ORDER BY id DESC LIMIT 1) - 34560000000000 THEN
        RAISE 'an entry of the audit log is kept for 400 days';
    END IF;
    RETURN OLD;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER audit_stays BEFORE UPDATE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_kept();

ALTER TABLE webhooks ADD COLUMN request text NOT NULL DEFAULT ''; -- JSON; '' for a request without more than the contract

ALTER TABLE instances ADD COLUMN created_by text NOT NULL DEFAULT '';
