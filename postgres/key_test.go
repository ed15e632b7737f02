package postgres_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// TestDeletedCredentialsEndAtOtherNodes within 5 s, though they have loaded them.
func TestDeletedCredentialsEndAtOtherNodes(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	a := openNode(t, where)
	b, passed := openTimedNode(t, where)
	k := newKey(t, a)
	c := riposte.Client{ID: "id", ClientID: "client@host/uic", Role: riposte.RoleViewer, PublicKey: make([]byte, 32), CreatedAt: a.Now()}
	if err := a.CreateClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	load := func() (key, client error) {
		_, key = b.LoadKey(t.Context(), k.Hash)
		_, client = b.LoadClient(t.Context(), c.ClientID)
		return key, client
	}
	if err := errors.Join(load()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.DeleteKey(t.Context(), k.ID, false), a.DeleteClient(t.Context(), c.ID)); err != nil {
		t.Fatal(err)
	}
	passed.Store(int64(5*time.Second - time.Microsecond))
	if err := errors.Join(load()); err != nil {
		t.Errorf("what was loaded is looked at again before 5 s: %v", err)
	}
	passed.Store(int64(5 * time.Second))
	if key, client := load(); !errors.Is(key, riposte.ErrKeyNotFound) || !errors.Is(client, riposte.ErrClientNotFound) {
		t.Errorf("after 5 s: %v and %v, want ErrKeyNotFound and ErrClientNotFound", key, client)
	}
}

// openTimedNode opens one whose time has passed as the test says, in nanoseconds.
func openTimedNode(t *testing.T, where string) (*postgres.Store, *atomic.Int64) {
	t.Helper()
	began, passed := time.Now(), &atomic.Int64{}
	s, err := postgres.Open(t.Context(), where, postgres.Options{Now: func() time.Time { return began.Add(time.Duration(passed.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, passed
}

func newKey(t *testing.T, s riposte.Store) riposte.Key {
	t.Helper()
	k, _, err := riposte.NewKey("key", riposte.RoleAdmin, s.Now())
	if err == nil {
		err = s.CreateKey(t.Context(), k)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestKnownKeyCountsWhileTheDatabaseIsAway for an hour after it was last seen there,
// and no longer when the database says that it is gone.
func TestKnownKeyCountsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	a := openNode(t, where)
	cutter := newCutter(t, where)
	b, passed := openTimedNode(t, cutter.url)
	k, other, late := newKey(t, a), newKey(t, a), newKey(t, a)
	remove := func(k riposte.Key) {
		t.Helper()
		if err := a.DeleteKey(t.Context(), k.ID, false); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when time.Duration, key riposte.Key, want error) {
		t.Helper()
		passed.Store(int64(when))
		if _, err := b.LoadKey(t.Context(), key.Hash); !errors.Is(err, want) {
			t.Errorf("after %s: %v, want %v", when, err, want)
		}
	}
	want(0, k, nil)
	want(0, other, nil)
	cutter.away.Store(true)
	want(0, late, riposte.ErrUnavailable)
	want(5*time.Second, k, nil)
	want(time.Hour-time.Microsecond, k, nil)
	want(time.Hour+time.Second, k, riposte.ErrUnavailable)
	want(time.Hour-time.Microsecond, other, nil)
	cutter.away.Store(false)
	remove(k)
	remove(other)
	want(time.Hour, other, nil) // for a second after the last look
	want(time.Hour+time.Second, k, riposte.ErrKeyNotFound)
	want(time.Hour+time.Second, late, nil)
	remove(late)
	want(time.Hour+6*time.Second, late, riposte.ErrKeyNotFound)
	cutter.away.Store(true)
	want(time.Hour+7*time.Second, late, riposte.ErrUnavailable)
}

// TestDatabaseThatHangsHoldsUpNoKnownKey longer than a second, nor one call after the
// other; and a look that it answers late is as old as its question.
func TestDatabaseThatHangsHoldsUpNoKnownKey(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	a := openNode(t, where)
	cutter := newCutter(t, where)
	b, passed := openTimedNode(t, cutter.url)
	k := newKey(t, a)
	load := func() error {
		_, err := b.LoadKey(t.Context(), k.Hash)
		return err
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	passed.Store(int64(5 * time.Second))
	cutter.hangs.Lock()
	began := time.Now()
	for range 100 {
		if err := load(); err != nil {
			t.Error(err)
			break
		}
	}
	took := time.Since(began)
	cutter.hangs.Unlock()
	if took > 4*time.Second {
		t.Errorf("100 calls were held up for %s", took)
	}
	if err := a.DeleteKey(t.Context(), k.ID, false); err != nil {
		t.Fatal(err)
	}
	passed.Store(int64(10 * time.Second))
	if err := load(); !errors.Is(err, riposte.ErrKeyNotFound) {
		t.Errorf("the database answers again: %v, want ErrKeyNotFound", err)
	}
}
