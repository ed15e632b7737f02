package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"time"

	"github.com/riposte-dev/riposte"
)

const attemptColumns = `number, started_at, duration, dns, connect, tls, first_byte, status_code, error_phase, error_reason,
	error_message, remote_address, response_headers, body_cut, response_body`

const (
	// insertAttemptSQL adds nothing where the instance is gone, and replaces
	// only a record that says that nobody knows what came of the attempt.
	insertAttemptSQL = `INSERT INTO attempts (instance, ` + attemptColumns + `)
		SELECT i.number, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15 FROM instances i WHERE i.number = ?16
		ON CONFLICT (instance, number) DO UPDATE SET started_at = excluded.started_at, duration = excluded.duration,
		dns = excluded.dns, connect = excluded.connect, tls = excluded.tls, first_byte = excluded.first_byte,
		status_code = excluded.status_code, error_phase = excluded.error_phase, error_reason = excluded.error_reason,
		error_message = excluded.error_message, remote_address = excluded.remote_address,
		response_headers = excluded.response_headers, body_cut = excluded.body_cut, response_body = excluded.response_body
		WHERE attempts.error_phase = 'unknown'`
	loadAttemptsSQL = `SELECT ` + attemptColumns + ` FROM attempts
		WHERE instance = ? ORDER BY number`
)

// RecordAttempt implements riposte.InstanceStore.
func (s *Store) RecordAttempt(ctx context.Context, instanceID string, a riposte.Attempt) error {
	values, err := attemptValues(&a)
	if err != nil {
		return fmt.Errorf("recording an attempt: %w", err)
	}
	err = s.writer.do(ctx, 1, func(t *tx) error {
		_, err := t.exec(t.insertAttempt, append(values, riposte.IDNumber(instanceID))...)
		return err
	})
	if err != nil {
		return fmt.Errorf("recording an attempt: %w", err)
	}
	return nil
}

// attemptValues are attemptColumns; nil for no attempt.
func attemptValues(a *riposte.Attempt) ([]any, error) {
	if a == nil {
		return nil, nil
	}
	headers, err := object(a.ResponseHeaders)
	if err != nil {
		return nil, err
	}
	var phase, reason, message any
	if a.Error != nil {
		phase, reason, message = string(a.Error.Phase), a.Error.Reason, a.Error.Message
	}
	values := make([]any, 0, 16) // and room for the instance
	return append(values, a.Number, micros(a.StartedAt), int64(a.Duration), int64(a.Phases.DNS), int64(a.Phases.Connect),
		int64(a.Phases.TLS), int64(a.Phases.FirstByte), a.StatusCode, phase, reason, message, a.RemoteAddress, headers,
		a.BodyCut, a.ResponseBody), nil
}

// LoadAttempts implements riposte.InstanceStore.
func (s *Store) LoadAttempts(ctx context.Context, id string) ([]riposte.Attempt, error) {
	rows, err := s.queries.loadAttempts.QueryContext(ctx, riposte.IDNumber(id))
	if err != nil {
		return nil, reading("loading attempts", err)
	}
	all, err := collect(rows, scanAttempt)
	if err != nil {
		return nil, reading("loading attempts", err)
	}
	return all, nil
}

func scanAttempt(r row) (riposte.Attempt, error) {
	var a riposte.Attempt
	var phase, reason, message sql.NullString
	var duration, dns, connect, tls, firstByte int64
	err := r.Scan(&a.Number, moment{&a.StartedAt}, &duration, &dns, &connect, &tls, &firstByte, &a.StatusCode, &phase, &reason,
		&message, &a.RemoteAddress, members[http.Header, []string]{&a.ResponseHeaders}, &a.BodyCut, &a.ResponseBody)
	a.Duration = time.Duration(duration)
	a.Phases = riposte.Phases{DNS: time.Duration(dns), Connect: time.Duration(connect), TLS: time.Duration(tls), FirstByte: time.Duration(firstByte)}
	if phase.Valid {
		a.Error = &riposte.AttemptError{Phase: riposte.Phase(phase.String), Reason: reason.String, Message: message.String}
	}
	return a, err
}
