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

// TestDeletedKeyEndsAtOtherNodes within 5 s, though they have loaded it.
func TestDeletedKeyEndsAtOtherNodes(t *testing.T) {
	t.Parallel()
	where, began := postgrestest.URL(t), time.Now()
	a := openNode(t, where)
	var passed atomic.Int64
	b, err := postgres.Open(t.Context(), where, postgres.Options{Now: func() time.Time { return began.Add(time.Duration(passed.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	k, _, err := riposte.NewKey("key", riposte.RoleAdmin, a.Now())
	if err == nil {
		err = a.CreateKey(t.Context(), k)
	}
	if err != nil {
		t.Fatal(err)
	}
	load := func() error {
		_, err := b.LoadKey(t.Context(), k.Hash)
		return err
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteKey(t.Context(), k.ID, false); err != nil {
		t.Fatal(err)
	}
	passed.Store(int64(5*time.Second - time.Microsecond))
	if err := load(); err != nil {
		t.Errorf("a loaded key is looked at again before 5 s: %v", err)
	}
	passed.Store(int64(5 * time.Second))
	if err := load(); !errors.Is(err, riposte.ErrKeyNotFound) {
		t.Errorf("after 5 s: %v, want ErrKeyNotFound", err)
	}
}
