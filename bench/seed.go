package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // for copyInstances

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
)

const (
	seedBatch   = 500
	seedWriters = 2 // one prepares a batch while the other's is being committed
)

// kind is what is to be made of a new instance.
type kind struct {
	name string
	// stored is what CreateInstances gets.
	stored func(riposte.Instance, time.Time) (riposte.Instance, error)
	// saved is what SaveInstance gets afterwards; nil when that is all.
	saved func(riposte.Instance, time.Time) (riposte.Instance, *riposte.Attempt, error)
}

var (
	pending = kind{name: "pending", stored: func(i riposte.Instance, _ time.Time) (riposte.Instance, error) { return i, nil }}

	waiting = kind{name: "waiting", stored: func(i riposte.Instance, now time.Time) (riposte.Instance, error) {
		i, err := i.Apply(riposte.Claimed{}, now)
		if err != nil {
			return i, err
		}
		return i.Apply(riposte.Attempted{Result: riposte.Result{Attempt: attempt(i, 202, "")}}, now)
	}}

	// Stored as claimed, so that closing it writes what it writes in life: the
	// change, the attempt and the outcome.
	closed = kind{name: "closed",
		stored: func(i riposte.Instance, now time.Time) (riposte.Instance, error) {
			return i.Apply(riposte.Claimed{}, now)
		},
		saved: func(i riposte.Instance, now time.Time) (riposte.Instance, *riposte.Attempt, error) {
			a := attempt(i, 200, approval)
			i, err := i.Advance(riposte.Attempted{Result: riposte.Result{Attempt: a, Document: a.ResponseBody}}, now)
			return i, &a, err
		}}
)

func attempt(i riposte.Instance, status int, body string) riposte.Attempt {
	return riposte.Attempt{Number: i.Attempts, StartedAt: i.LastAttemptedAt, Duration: time.Millisecond, StatusCode: status,
		ResponseBody: []byte(body), RemoteAddress: "127.0.0.1:80"}
}

// seed puts n instances of one webhook, whose receiver has the URL to, into a
// store that no server has open. It takes the store's own way in, so that its
// files are those of a life.
func seed(ctx context.Context, dir, to string, n int, k kind) error {
	return seedAt(ctx, dir, to, n, k, nil)
}

// seedAt is seed by another clock than the store's own.
func seedAt(ctx context.Context, dir, to string, n int, k kind, now func() time.Time) (err error) {
	s, err := sqlite.Open(ctx, dir, sqlite.Options{Now: now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	w, err := riposte.NewWebhook("seeded", "", to, riposte.MaxCallbackTimeout, hostOf, s.Now())
	if err != nil {
		return err
	}
	if w, err = s.SaveWebhook(ctx, w); err != nil {
		return err
	}
	p := progress{what: "seeding " + k.name + " instances", of: n}
	batches := make(chan int)
	var failed firstError
	var writers sync.WaitGroup
	for range seedWriters {
		writers.Go(func() {
			for size := range batches {
				if !failed.is() {
					failed.set(seedOnce(ctx, s, w, size, k))
				}
				p.add(size)
			}
		})
	}
	for left := n; left > 0; left -= seedBatch {
		batches <- min(left, seedBatch)
	}
	close(batches)
	writers.Wait()
	return failed.get()
}

func seedOnce(ctx context.Context, s *sqlite.Store, w riposte.Webhook, size int, k kind) error {
	records := make([]riposte.NewInstanceRecord, size)
	payload := payload()
	for n := range records {
		now := s.Now()
		i, e, err := riposte.NewInstance(w, riposte.InstanceRequest{
			Source:  riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: ticket},
			Payload: payload,
		}, func(id string) string { return "http://127.0.0.1/api/v1/webhooks/callback/" + strings.Repeat(id, 3) }, now)
		if err != nil {
			return err
		}
		if i, err = k.stored(i, now); err != nil {
			return err
		}
		records[n] = riposte.NewInstanceRecord{Instance: i, Envelope: e}
	}
	created, err := s.CreateInstances(ctx, records)
	if err != nil || k.saved == nil {
		return err
	}
	// All at once, so that they share commits.
	var failed firstError
	var saving sync.WaitGroup
	for _, i := range created {
		saving.Go(func() {
			i, a, err := k.saved(i, s.Now())
			if err == nil {
				_, err = s.SaveInstance(ctx, i, a)
			}
			failed.set(err)
		})
	}
	saving.Wait()
	return failed.get()
}

// seedMany is seed for millions, which would take the store a quarter of an hour
// on a slow machine: it seeds first of them and copies their rows. n is a
// multiple of first.
func seedMany(ctx context.Context, dir, to string, n, first int, k kind) error {
	// The first ones are made when the oldest copies should have been, by a clock
	// that does not leave copyStep, so that the last ones are of the past.
	oldest := time.Now().Add(-time.Duration(n/first) * copyStep).UnixMilli()
	clock := time.UnixMilli(oldest - oldest%copyStep.Milliseconds())
	var asked atomic.Int64
	now := func() time.Time { return clock.Add(time.Duration(asked.Add(1)) * time.Microsecond) }
	if err := seedAt(ctx, dir, to, first, k, now); err != nil {
		return err
	}
	path := filepath.Join(dir, sqlite.FileName)
	if err := copyInstances(ctx, path, clock, n, first, k); err != nil {
		return fmt.Errorf("copying instances: %w", err)
	}
	return syncFile(path)
}

// syncFile writes a file back now, because later that would be measured with
// what comes then.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// copyInstances copies the rows of the first instances until there are n. A
// crash may break the file, which nobody will need then.
func copyInstances(ctx context.Context, path string, clock time.Time, n, first int, k kind) (err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-65536)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	p := progress{what: "copying " + k.name + " instances", of: n - first}
	for copied := 1; copied < n/first; copied++ {
		for _, table := range []string{"instances", "envelopes", "attempts", "outcomes"} {
			if err := copyRows(ctx, db, table, clock, first, copied); err != nil {
				return err
			}
		}
		p.add(first)
	}
	// The server finds the file as a server leaves it.
	_, err = db.ExecContext(ctx, "PRAGMA journal_mode = WAL")
	return err
}

// copyStep is how much later each copy is made than the one before: ids that far
// apart differ in their first four digits alone. An id's time is in milliseconds
// and has 44 bits, of which four digits have 20.
const copyStep = (1 << 24) * time.Millisecond

// copyRows copies a table's rows of the first instances, which were made from
// clock on, with all that rises from copy to copy in life.
func copyRows(ctx context.Context, db *sql.DB, table string, clock time.Time, first, copied int) error {
	rows, err := db.QueryContext(ctx, "SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		return err
	}
	defer rows.Close()
	at := clock.Add(time.Duration(copied) * copyStep)
	numbers := riposte.LeastIDNumber(at) - riposte.LeastIDNumber(clock)
	key := "instance"
	var columns, values []string
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			return err
		}
		value := column
		switch column {
		case "id":
			value = fmt.Sprintf("'%s' || substr(id, 5)", riposte.NewID(at)[:4])
		case "created_at", "updated_at", "last_attempted_at", "completed_at", "due_at", "expires_at", "started_at", "decided_at":
			value = fmt.Sprintf("%s + %d", column, at.Sub(clock).Microseconds())
		case "sequence", "outcome":
			value = fmt.Sprintf("%s + %d", column, copied*first)
		case "number":
			if table != "instances" {
				break // an attempt's
			}
			key = column
			fallthrough
		case "instance":
			value = fmt.Sprintf("%s + %d", column, numbers)
		}
		columns, values = append(columns, column), append(values, value)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s < %d",
		table, strings.Join(columns, ", "), strings.Join(values, ", "), table, key, riposte.LeastIDNumber(clock.Add(copyStep))))
	return err
}

func hostOf(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	return u.Hostname(), nil
}

// progress tells whoever waits how far something long has come.
type progress struct {
	what string
	of   int

	mu   sync.Mutex
	done int
	said time.Time
}

func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if time.Since(p.said) > 10*time.Second || p.done == p.of {
		p.said = time.Now()
		fmt.Fprintf(os.Stderr, "  %s: %d of %d\n", p.what, p.done, p.of)
	}
}
