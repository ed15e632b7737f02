package postgres

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const attemptColumns = `number, started_at, duration, dns, connect, tls, first_byte, status_code, error_phase, error_reason,
	error_message, remote_address, response_headers, body_cut, response_body`

const (
	// insertAttemptsSQL replaces only a record that says that nobody knows what
	// came of the attempt.
	insertAttemptsSQL = attemptsFrom + replaceUnknown
	// recordAttemptsSQL is for one of an instance that may be gone; then it adds
	// nothing.
	recordAttemptsSQL = attemptsFrom + ` WHERE EXISTS (SELECT 1 FROM instances i WHERE i.id = s.id AND i.id = ANY($1))` + replaceUnknown

	attemptsFrom = `INSERT INTO attempts (id, ` + attemptColumns + `)
		SELECT s.* FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
		$9::bigint[], $10::text[], $11::text[], $12::bytea[], $13::text[], $14::text[], $15::boolean[], $16::bytea[])
		AS s (id, ` + attemptColumns + `)`
	replaceUnknown = ` ON CONFLICT (id, number) DO UPDATE SET started_at = excluded.started_at, duration = excluded.duration,
		dns = excluded.dns, connect = excluded.connect, tls = excluded.tls, first_byte = excluded.first_byte,
		status_code = excluded.status_code, error_phase = excluded.error_phase, error_reason = excluded.error_reason,
		error_message = excluded.error_message, remote_address = excluded.remote_address,
		response_headers = excluded.response_headers, body_cut = excluded.body_cut, response_body = excluded.response_body
		WHERE attempts.error_phase = 'unknown'`
	loadAttemptsSQL = `SELECT ` + attemptColumns + ` FROM attempts WHERE id = $1 ORDER BY number`
)

// RecordAttempt implements riposte.InstanceStore.
func (s *Store) RecordAttempt(ctx context.Context, instanceID string, a riposte.Attempt) error {
	v := saving{instance: riposte.Instance{ID: instanceID}, attempt: &a}
	err := s.writer.do(ctx, 1, change{run: func(t *tx) error {
		return queueAttempts(t.write(), recordAttemptsSQL, []*saving{&v})
	}})
	if err != nil {
		return fmt.Errorf("recording an attempt: %w", err)
	}
	return nil
}

func queueAttempts(b *pgx.Batch, query string, savings []*saving) error {
	var ids, remotes []string
	var numbers, started, durations, dns, connects, tlss, firstBytes, statuses []int64
	var phases, reasons, headers []*string
	var messages, bodies [][]byte
	var cut []bool
	for _, v := range savings {
		a := v.attempt
		if a == nil {
			continue
		}
		h, err := object(a.ResponseHeaders)
		if err != nil {
			return err
		}
		var phase, reason *string
		var message []byte
		if a.Error != nil {
			p := string(a.Error.Phase)
			phase, reason, message = &p, &a.Error.Reason, []byte(a.Error.Message)
		}
		ids, remotes, numbers, started = append(ids, v.instance.ID), append(remotes, a.RemoteAddress), append(numbers, int64(a.Number)), append(started, a.StartedAt.UnixMicro())
		durations, dns, connects = append(durations, int64(a.Duration)), append(dns, int64(a.Phases.DNS)), append(connects, int64(a.Phases.Connect))
		tlss, firstBytes, statuses = append(tlss, int64(a.Phases.TLS)), append(firstBytes, int64(a.Phases.FirstByte)), append(statuses, int64(a.StatusCode))
		phases, reasons, messages = append(phases, phase), append(reasons, reason), append(messages, message)
		headers, cut, bodies = append(headers, h), append(cut, a.BodyCut), append(bodies, a.ResponseBody)
	}
	if len(ids) > 0 {
		b.Queue(query, ids, numbers, started, durations, dns, connects, tlss, firstBytes, statuses, phases, reasons, messages, remotes, headers, cut, bodies)
	}
	return nil
}

// LoadAttempts implements riposte.InstanceStore.
func (s *Store) LoadAttempts(ctx context.Context, id string) ([]riposte.Attempt, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, loadAttemptsSQL, id)
	if err != nil {
		return nil, reading(ctx, "loading attempts", err)
	}
	all, err := pgx.CollectRows(rows, scanAttempt)
	if err != nil {
		return nil, reading(ctx, "loading attempts", err)
	}
	return all, nil
}

func scanAttempt(r pgx.CollectableRow) (riposte.Attempt, error) {
	var a riposte.Attempt
	var started, duration, dns, connect, tls, firstByte int64
	var phase, reason, headers *string
	var message []byte
	err := r.Scan(&a.Number, &started, &duration, &dns, &connect, &tls, &firstByte, &a.StatusCode, &phase, &reason, &message,
		&a.RemoteAddress, &headers, &a.BodyCut, &a.ResponseBody)
	if err != nil {
		return a, err
	}
	a.StartedAt, a.Duration = moment(&started), time.Duration(duration)
	a.Phases = riposte.Phases{DNS: time.Duration(dns), Connect: time.Duration(connect), TLS: time.Duration(tls), FirstByte: time.Duration(firstByte)}
	if phase != nil {
		a.Error = &riposte.AttemptError{Phase: riposte.Phase(*phase), Reason: *reason, Message: string(message)}
	}
	return a, members[http.Header](headers, &a.ResponseHeaders)
}
