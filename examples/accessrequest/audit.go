package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/riposte-dev/riposte/client"
)

// Event is what an entry of the audit trail tells.
type Event string

const (
	Requested   Event = "requested"
	Triggered   Event = "triggered"
	Attempted   Event = "attempt"
	Success     Event = "success"
	BadResponse Event = "bad response" // what the receiver said is none of the answers to this question
	FatalError  Event = "fatal error"  // there will be no answer
	Closed      Event = "closed"
)

// Entry is a line of the audit trail.
type Entry struct {
	Number int // the question's; 0 for the request itself
	At     time.Time
	Event  Event
	Detail string
}

// note writes an entry in the transaction of what it tells of.
func note(tx *sql.Tx, requestID int64, number int, at time.Time, event Event, detail string) error {
	_, err := tx.Exec(`INSERT INTO audit (request_id, number, at, event, detail) VALUES (?, ?, ?, ?, ?)`,
		requestID, number, at.UTC().Format(time.RFC3339Nano), event, detail)
	return err
}

// noteOutcome writes what Riposte did about a question, and what came of it.
func noteOutcome(tx *sql.Tx, requestID int64, number int, o client.Outcome, attempts []client.Attempt) error {
	for _, a := range attempts {
		if err := note(tx, requestID, number, a.StartedAt, Attempted, describeAttempt(a)); err != nil {
			return err
		}
	}
	if o.Kind != client.Failed {
		return note(tx, requestID, number, o.DecidedAt, Success, describeOutcome(o))
	}
	if o.Failure.Reason == client.BadResponse {
		if err := note(tx, requestID, number, o.DecidedAt, BadResponse, o.Failure.Message); err != nil {
			return err
		}
		return note(tx, requestID, number, o.DecidedAt, FatalError, string(o.Failure.Reason))
	}
	return note(tx, requestID, number, o.DecidedAt, FatalError, describeOutcome(o))
}

func describeAttempt(a client.Attempt) string {
	text := fmt.Sprintf("%d: ", a.Number)
	if a.StatusCode != 0 {
		text += fmt.Sprintf("HTTP %d after %s", a.StatusCode, a.Duration.Round(time.Millisecond))
	}
	if a.Error != (client.AttemptError{}) {
		text = strings.TrimSuffix(text, " ") + " " + a.Error.Message
	}
	return text
}

func describeOutcome(o client.Outcome) string {
	if o.Kind == client.Failed {
		return fmt.Sprintf("%s: %s", o.Failure.Reason, o.Failure.Message)
	}
	text := string(o.Kind)
	if o.Via == client.ViaCallback {
		text += ", by callback"
	}
	if to := o.NewStepUserIDs(); to != nil {
		text += " to " + strings.Join(to, ", ")
	}
	if o.Comment != "" {
		text += fmt.Sprintf(": %q", o.Comment)
	}
	return text
}

// trail is a request's audit trail.
func (s *Store) trail(ctx context.Context, requestID int64) ([]Entry, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT number, at, event, detail FROM audit WHERE request_id = ? ORDER BY id`, requestID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var trail []Entry
	for rows.Next() {
		var e Entry
		var at string
		if err := rows.Scan(&e.Number, &at, &e.Event, &e.Detail); err != nil {
			return nil, err
		}
		if e.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, err
		}
		trail = append(trail, e)
	}
	return trail, rows.Err()
}

// printAudit prints the trail of one request, or of all (0).
func (s *Store) printAudit(ctx context.Context, out io.Writer, id int64) error {
	all, err := s.requests(ctx, id)
	if err != nil {
		return fmt.Errorf("reading the requests: %w", err)
	}
	for _, r := range all {
		trail, err := s.trail(ctx, r.ID)
		if err != nil {
			return fmt.Errorf("reading the audit trail of %s: %w", r.ticket(), err)
		}
		result := string(r.Result)
		if result == "" {
			result = "open, at " + r.Steps[0].String()
		}
		fmt.Fprintf(out, "\n%s  %s wants %s: %s\n", r.ticket(), r.Who, r.Wants, result)
		for _, e := range trail {
			step := ""
			if e.Number > 0 {
				step = fmt.Sprintf("step %d", e.Number)
			}
			fmt.Fprintf(out, "  %s  %-7s %-12s  %s\n", e.At.Local().Format("15:04:05.000"), step, e.Event, e.Detail)
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("there is no such request")
	}
	return nil
}
