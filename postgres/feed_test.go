package postgres_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// cancelOne closes a new instance at s.
func cancelOne(t *testing.T, s riposte.Store, w riposte.Webhook) riposte.Instance {
	t.Helper()
	i, err := create(t, s, w).Advance(riposte.Canceled{}, s.Now())
	if err == nil {
		i, err = s.SaveInstance(t.Context(), i, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// outcomeOfAnother inserts an instance's outcome as another node would, in a
// transaction that stays open.
func outcomeOfAnother(t *testing.T, tx pgx.Tx, i riposte.Instance) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), `DELETE FROM open WHERE id = $1`, i.ID); err != nil {
		t.Fatal(err)
	}
	_, err := tx.Exec(t.Context(), `INSERT INTO outcomes (id, sequence, kind, via, comment, decided_at, state, attempts, version, updated_at,
		completed_at, expires_at) VALUES ($1, nextval('outcome_sequence'), 'DELIVERED', 'SYNC', '', 1, 'SUCCESS', 1, 2, 1, 1, $2)`,
		i.ID, i.ExpiresAt.UnixMicro())
	if err != nil {
		t.Fatal(err)
	}
}

// TestFeedDoesNotPassAnOpenCommit has an outcome that got its sequence before
// others and is committed after them. A reader who went by the sequences alone
// would pass it.
func TestFeedDoesNotPassAnOpenCommit(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		name string
		end  func(pgx.Tx) error
		late bool
	}{
		{"that comes", func(tx pgx.Tx) error { return tx.Commit(t.Context()) }, true},
		{"that comes to nothing", func(tx pgx.Tx) error { return tx.Rollback(t.Context()) }, false},
	} {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			where := postgrestest.URL(t)
			a, b := openNode(t, where), openNode(t, where)
			w := newWebhook(t, a)
			first, slow := cancelOne(t, a, w), create(t, a, w)
			tx, err := postgrestest.Connect(t, where).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			outcomeOfAnother(t, tx, slow)
			later := []riposte.Instance{cancelOne(t, a, w), cancelOne(t, b, w), cancelOne(t, a, w)}

			for _, s := range []*postgres.Store{a, b} {
				page, err := s.LoadOutcomes(t.Context(), first.Outcome.Sequence, 10)
				if err != nil || len(page.Instances) != 0 || !page.Held {
					t.Errorf("beside an open commit: read %+v, %v", page, err)
				}
				if last, err := s.LastOutcome(t.Context()); err != nil || last != first.Outcome.Sequence {
					t.Errorf("beside an open commit: the last outcome is %d (%v), want %d", last, err, first.Outcome.Sequence)
				}
				if _, err := s.LoadOutcomes(t.Context(), later[2].Outcome.Sequence, 10); err != nil {
					t.Errorf("beside an open commit, a cursor that was good: %v", err)
				}
			}
			if err := end.end(tx); err != nil {
				t.Fatal(err)
			}
			want := idsOf(later)
			if end.late {
				want = append([]string{slow.ID}, want...)
			}
			for _, s := range []*postgres.Store{a, b} {
				page, err := s.LoadOutcomes(t.Context(), first.Outcome.Sequence, 10)
				if err != nil || !slices.Equal(idsOf(page.Instances), want) || page.Held {
					t.Errorf("afterwards: read %q (held: %t), %v, want %q", idsOf(page.Instances), page.Held, err, want)
				}
			}
		})
	}
}

// TestPlainSequenceIsPassed shows that the test above can fail: by the sequences
// alone, the reader is past what comes late.
func TestPlainSequenceIsPassed(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	s := openNode(t, where)
	w := newWebhook(t, s)
	slow := create(t, s, w)
	tx, err := postgrestest.Connect(t, where).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outcomeOfAnother(t, tx, slow)
	cancelOne(t, s, w)
	var read int64
	conn := postgrestest.Connect(t, where)
	if err := conn.QueryRow(t.Context(), `SELECT max(sequence) FROM outcomes`).Scan(&read); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var late int64
	if err := conn.QueryRow(t.Context(), `SELECT sequence FROM outcomes WHERE id = $1`, slow.ID).Scan(&late); err != nil || late >= read {
		t.Errorf("the late outcome has the sequence %d (%v), read up to %d: this test shows nothing", late, err, read)
	}
}

// TestOtherTransactionsHoldNothingBack: one that writes and has no outcome, and one
// that only has a snapshot.
func TestOtherTransactionsHoldNothingBack(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	s := openNode(t, where)
	for _, query := range []string{`UPDATE nodes SET seen_at = seen_at WHERE id = 'none'; CREATE TABLE mine (n int)`, `SELECT pg_current_snapshot()`} {
		tx, err := postgrestest.Connect(t, where).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
		if err == nil {
			_, err = tx.Exec(t.Context(), query)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	i := cancelOne(t, s, newWebhook(t, s))
	page, err := s.LoadOutcomes(t.Context(), 0, 10)
	if err != nil || !slices.Equal(idsOf(page.Instances), []string{i.ID}) || page.Held {
		t.Errorf("read %+v, %v", page, err)
	}
}

// TestFeedIsCompleteBesideManyNodes follows the feed at each of three nodes while
// all of them close instances.
func TestFeedIsCompleteBesideManyNodes(t *testing.T) {
	t.Parallel()
	const nodes, each = 3, 150
	where := postgrestest.URL(t)
	var stores []*postgres.Store
	for range nodes {
		stores = append(stores, openNode(t, where))
	}
	w := newWebhook(t, stores[0])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	read := make([]chan []string, nodes)
	for n, s := range stores {
		read[n] = make(chan []string, 1)
		go func() {
			var all []string
			for after := int64(0); len(all) < nodes*each && ctx.Err() == nil; {
				page, err := s.LoadOutcomes(ctx, after, 20)
				if err != nil {
					break
				}
				for _, i := range page.Instances {
					all, after = append(all, i.ID), i.Outcome.Sequence
				}
			}
			read[n] <- all
		}()
	}
	errs := make(chan error, nodes*8)
	for n := range nodes * 8 {
		go func() {
			s := stores[n%nodes]
			for range each / 8 {
				errs <- closeOne(ctx, s, w)
			}
			if n/nodes == 0 {
				for range each % 8 {
					errs <- closeOne(ctx, s, w)
				}
			}
		}()
	}
	for range nodes * each {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	first := <-read[0]
	if n := len(first); n != nodes*each {
		t.Errorf("one node read %d of %d", n, nodes*each)
	}
	for _, r := range read[1:] {
		if !slices.Equal(<-r, first) {
			t.Error("two nodes read different orders")
		}
	}
}

func closeOne(ctx context.Context, s riposte.Store, w riposte.Webhook) error {
	i, e, err := riposte.NewInstance(w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}}, func(id string) string { return id }, s.Now())
	if err != nil {
		return err
	}
	created, err := s.CreateInstances(ctx, []riposte.NewInstanceRecord{{Instance: i, Envelope: e}})
	if err != nil {
		return err
	}
	next, err := created[0].Advance(riposte.Canceled{}, s.Now())
	if err != nil {
		return err
	}
	_, err = s.SaveInstance(ctx, next, nil)
	return err
}

// TestCursorIsTooOldWhenItsDayIsGone because it went as a whole.
func TestCursorIsTooOldWhenItsDayIsGone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s, err := postgres.Open(t.Context(), postgrestest.URL(t), postgres.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := newWebhook(t, s)
	first := cancelOne(t, s, w)
	cancelOne(t, s, w)
	now = now.Add(40 * 24 * time.Hour)
	if n, err := s.PurgeInstances(t.Context(), now, 100); err != nil || n != 2 {
		t.Fatalf("purged %d, %v", n, err)
	}
	if _, err := s.LoadOutcomes(t.Context(), first.Outcome.Sequence, 10); !errors.Is(err, riposte.ErrCursorTooOld) {
		t.Errorf("read on: %v", err)
	}
}

func idsOf(instances []riposte.Instance) []string {
	ids := make([]string, len(instances))
	for n, i := range instances {
		ids[n] = i.ID
	}
	return ids
}
