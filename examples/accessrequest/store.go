package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"
)

// The first tables are the application's; the last five belong to the systems
// that it asks, which would have stores of their own elsewhere.
const schema = `
CREATE TABLE IF NOT EXISTS request (
	id     INTEGER PRIMARY KEY,
	who    TEXT NOT NULL,
	wants  TEXT NOT NULL,
	steps  TEXT NOT NULL, -- what is left of the policy, JSON
	asked  INTEGER NOT NULL,
	result TEXT NOT NULL DEFAULT '',
	why    TEXT NOT NULL DEFAULT ''
) STRICT;

-- Each question to Riposte. It is in the outbox until instance_id is known.
CREATE TABLE IF NOT EXISTS question (
	request_id  INTEGER NOT NULL REFERENCES request (id),
	number      INTEGER NOT NULL,
	step        TEXT NOT NULL, -- JSON
	payload     BLOB NOT NULL,
	instance_id TEXT,
	outcome     TEXT,
	PRIMARY KEY (request_id, number)
) STRICT;
CREATE INDEX IF NOT EXISTS outbox ON question (request_id, number) WHERE instance_id IS NULL;

-- Up to where outcomes have been taken: one row.
CREATE TABLE IF NOT EXISTS riposte_cursor (cursor TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS audit (
	id         INTEGER PRIMARY KEY,
	request_id INTEGER NOT NULL,
	number     INTEGER NOT NULL, -- the question's; 0 for the request itself
	at         TEXT NOT NULL,
	event      TEXT NOT NULL,
	detail     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS audit_of_request ON audit (request_id, id);

CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- What a system answered, by Webhook-Id: asked again, it says the same again.
CREATE TABLE IF NOT EXISTS answer (instance_id TEXT PRIMARY KEY, status INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS owed (instance_id TEXT PRIMARY KEY, callback_url TEXT NOT NULL, document TEXT NOT NULL, due INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, ticket TEXT NOT NULL, who TEXT NOT NULL, wants TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS notice (id INTEGER PRIMARY KEY, ticket TEXT NOT NULL, who TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS decision (id INTEGER PRIMARY KEY, ticket TEXT NOT NULL, approver TEXT NOT NULL, verdict TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS account_of_ticket ON account (ticket);
CREATE INDEX IF NOT EXISTS notice_of_ticket ON notice (ticket);
CREATE INDEX IF NOT EXISTS decision_of_ticket ON decision (ticket);

INSERT INTO riposte_cursor (cursor) SELECT '0' WHERE NOT EXISTS (SELECT * FROM riposte_cursor);
`

// Store is the application's database.
type Store struct{ db *sql.DB }

// openStore opens the database in a directory, and makes both if need be.
func openStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(dir, "accessrequest.db"))
	if err != nil {
		return nil, fmt.Errorf("finding the data directory: %w", err)
	}
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	db.SetMaxOpenConns(1) // one writer at a time is all that SQLite has
	s := &Store{db}
	err = s.tx(context.Background(), func(tx *sql.Tx) error {
		if _, err := tx.Exec(schema); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO setting VALUES ('store', ?) ON CONFLICT DO NOTHING`, rand.Text())
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store: %w", err), db.Close())
	}
	return s, nil
}

func (s *Store) close() error { return s.db.Close() }

// tx commits all that do does, or nothing.
func (s *Store) tx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// setting is empty where there is none.
func (s *Store) setting(ctx context.Context, name string) (string, error) {
	var value string
	err := s.db.QueryRowContext(ctx, `SELECT value FROM setting WHERE name = ?`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return value, err
}

func (s *Store) set(ctx context.Context, name, value string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO setting VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`, name, value)
	return err
}

func (s *Store) cursor(ctx context.Context) (string, error) {
	var cursor string
	err := s.db.QueryRowContext(ctx, `SELECT cursor FROM riposte_cursor`).Scan(&cursor)
	return cursor, err
}

func moveCursor(tx *sql.Tx, cursor string) error {
	_, err := tx.Exec(`UPDATE riposte_cursor SET cursor = ?`, cursor)
	return err
}

// add keeps a new request and triggers its first step.
func (s *Store) add(ctx context.Context, r Request) (Request, error) {
	err := s.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.Exec(`INSERT INTO request (who, wants, steps, asked) VALUES (?, ?, ?, ?)`, r.Who, r.Wants, toJSON(r.Steps), r.Asked)
		if err != nil {
			return err
		}
		if r.ID, err = res.LastInsertId(); err != nil {
			return err
		}
		if err := note(tx, r.ID, 0, time.Now(), Requested, fmt.Sprintf("%s wants %s", r.Who, r.Wants)); err != nil {
			return err
		}
		if err := trigger(tx, r); err != nil {
			return err
		}
		halt("request: before its commit")
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("keeping the request: %w", err)
	}
	halt("request: committed")
	return r, nil
}

// trigger puts the question of the current step into the outbox. Its payload is kept
// with it, because a question that is asked again must be the same.
func trigger(tx *sql.Tx, r Request) error {
	step := r.Steps[0]
	payload := map[string]any{"ticket": r.ticket(), "who": r.Who, "wants": r.Wants}
	if step.Approval != nil {
		payload["users"] = step.Approval.Users
	}
	if step.PostAction != nil {
		payload["result"], payload["why"] = r.Result, r.Why
	}
	_, err := tx.Exec(`INSERT INTO question (request_id, number, step, payload) VALUES (?, ?, ?, ?)`, r.ID, r.Asked, toJSON(step), []byte(toJSON(payload)))
	if err != nil {
		return err
	}
	return note(tx, r.ID, r.Asked, time.Now(), Triggered, step.String())
}

const requestColumns = `SELECT id, who, wants, steps, asked, result, why FROM request`

func scanRequest(row interface{ Scan(...any) error }) (r Request, err error) {
	var steps []byte
	if err := row.Scan(&r.ID, &r.Who, &r.Wants, &steps, &r.Asked, &r.Result, &r.Why); err != nil {
		return r, err
	}
	return r, json.Unmarshal(steps, &r.Steps)
}

func saveRequest(tx *sql.Tx, r Request) error {
	_, err := tx.Exec(`UPDATE request SET steps = ?, asked = ?, result = ?, why = ? WHERE id = ?`, toJSON(r.Steps), r.Asked, r.Result, r.Why, r.ID)
	return err
}

// requests are all of them, or the one with an id.
func (s *Store) requests(ctx context.Context, id int64) ([]Request, error) {
	rows, err := s.db.QueryContext(ctx, requestColumns+` WHERE ? IN (0, id) ORDER BY id`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Request
	for rows.Next() {
		r, err := scanRequest(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// question is one that is in the outbox.
type question struct {
	RequestID int64
	Number    int
	Step      Step
	Payload   []byte
}

func (s *Store) outbox(ctx context.Context) ([]question, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT request_id, number, step, payload FROM question WHERE instance_id IS NULL ORDER BY request_id, number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []question
	for rows.Next() {
		var q question
		var step []byte
		if err := rows.Scan(&q.RequestID, &q.Number, &step, &q.Payload); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(step, &q.Step); err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	return all, rows.Err()
}

// asked takes a question out of the outbox.
func (s *Store) asked(ctx context.Context, q question, instanceID string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE question SET instance_id = ? WHERE request_id = ? AND number = ?`, instanceID, q.RequestID, q.Number)
	return err
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers, lists and structs of them
	}
	return string(b)
}
