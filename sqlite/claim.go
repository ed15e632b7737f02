package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

const (
	expiredSQL     = `SELECT number FROM instances WHERE outcome IS NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?`
	dueInLaneSQL   = `SELECT number FROM instances WHERE webhook = ? AND push_lane IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?`
	laneDueSQL     = `SELECT min(due_at) FROM instances WHERE webhook = ? AND push_lane IS NULL AND due_at IS NOT NULL`
	pushesDueSQL   = `SELECT number FROM instances WHERE push_lane = ? AND push_due_at <= ? ORDER BY push_due_at LIMIT ?`
	pushLaneDueSQL = `SELECT min(push_due_at) FROM instances WHERE push_lane = ? AND push_due_at IS NOT NULL`
	inFlightSQL    = `SELECT count(*) FROM instances WHERE webhook = ? AND push_lane IS NULL AND due_at > ? AND due_at <= ? AND state = 'RUNNING'`
	firstExpirySQL = `SELECT min(expires_at) FROM instances WHERE outcome IS NULL`

	loadNumberedSQL = `SELECT ` + instanceColumns + `, ` + outcomeColumns + ` FROM json_each(?) n
		CROSS JOIN instances i ON i.number = n.value` + instanceJoins
	loadEnvelopesSQL = `SELECT e.instance, e.body, e.payload_at FROM json_each(?) n CROSS JOIN envelopes e ON e.instance = n.value`
)

// Claim implements riposte.InstanceStore.
func (s *Store) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	var taken riposte.Claim
	err := s.writer.do(ctx, max(r.Limit, 1), func(t *tx) (err error) {
		taken, err = t.Lanes.Claim(openRows{t}, r, s.Now())
		return err
	})
	if err != nil {
		return riposte.Claim{}, fmt.Errorf("claiming instances: %w", err)
	}
	return taken, nil
}

// openRows is lane.Rows.
type openRows struct{ *tx }

func (r openRows) Expired(now int64, limit int) ([]riposte.Instance, error) {
	numbers, err := r.numbers(r.expired, now, limit)
	if err != nil {
		return nil, err
	}
	return r.load(numbers)
}

func (r openRows) Due(now int64, takes []lane.Take) ([]riposte.Instance, error) {
	var due []int64
	for _, t := range takes {
		if t.Limit == 0 {
			continue
		}
		query, lane := r.dueInLane, t.Lane.Number
		if t.Lane.Pushes() {
			query, lane = r.pushesDue, -lane
		}
		numbers, err := r.numbers(query, lane, now, t.Limit)
		if err != nil {
			return nil, err
		}
		due = append(due, numbers...)
	}
	return r.load(due)
}

func (r openRows) load(numbers []int64) ([]riposte.Instance, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	rows, err := r.loadNumbered.QueryContext(context.Background(), numbersJSON(numbers))
	if err != nil {
		return nil, err
	}
	return collect(rows, scanInstance)
}

// InFlight locks nothing: there is one writer.
func (r openRows) InFlight(l *lane.Lane, now int64) (n int, err error) {
	err = r.inFlight.QueryRowContext(context.Background(), l.Number, now, now+riposte.LeaseDuration.Microseconds()).Scan(&n)
	return n, err
}

func (r openRows) FirstDue(l *lane.Lane) (int64, error) {
	if l.Pushes() {
		return r.first(r.pushLaneDue, -l.Number)
	}
	return r.first(r.laneDue, l.Number)
}

func (r openRows) FirstExpiry() (int64, error) { return r.first(r.firstExpiry) }

// first asks an index for its earliest time.
func (r openRows) first(s *sql.Stmt, args ...any) (int64, error) {
	var at sql.NullInt64
	err := s.QueryRowContext(context.Background(), args...).Scan(&at)
	if !at.Valid {
		at.Int64 = lane.Never
	}
	return at.Int64, err
}

func (r openRows) Save(changes []lane.Change) ([]riposte.Instance, error) {
	saved := make([]riposte.Instance, len(changes))
	for n, c := range changes {
		lost, err := attemptValues(c.Lost)
		if err != nil {
			return nil, err
		}
		if saved[n], err = r.save(c.Instance, lost); err != nil {
			return nil, fmt.Errorf("instance %s: %w", c.Instance.ID, err)
		}
	}
	return saved, nil
}

func (r openRows) Envelopes(claimed []riposte.Instance) ([]riposte.Envelope, error) {
	at := make(map[int64]int, len(claimed))
	numbers := make([]int64, len(claimed))
	for n, i := range claimed {
		numbers[n] = riposte.IDNumber(i.ID)
		at[numbers[n]] = n
	}
	rows, err := r.loadEnvelopes.QueryContext(context.Background(), numbersJSON(numbers))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	envelopes := make([]riposte.Envelope, len(claimed))
	for rows.Next() {
		var number int64
		var body []byte
		var payloadAt int
		if err := rows.Scan(&number, &body, &payloadAt); err != nil {
			return nil, err
		}
		envelopes[at[number]] = riposte.LoadEnvelope(body, payloadAt)
	}
	return envelopes, rows.Err()
}
