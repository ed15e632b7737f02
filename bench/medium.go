package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
)

// medium is what systems keep their data in. A store is named by its directory
// or by its database's URL.
type medium interface {
	// flag is the servers' for a store.
	flag() string
	// create makes a store that is empty, or a copy of from, which nobody uses.
	create(ctx context.Context, from string) (store string, err error)
	remove(ctx context.Context, store string) error
	// open opens Riposte's; now is nil for the store's own clock.
	open(ctx context.Context, store string, now func() time.Time) (riposte.Store, error)
	copying(store string) copying
	// settle has done now what a store would do later about what was written,
	// when it would be measured with what comes then.
	settle(ctx context.Context, store string) error
	// usage is what the medium's own processes have used up.
	usage(ctx context.Context) (usage, error)
}

// directories has each store in a directory below its own.
type directories struct{ dir string }

func (directories) flag() string { return "--data" }

func (d directories) create(ctx context.Context, from string) (string, error) {
	store, err := os.MkdirTemp(d.dir, "store-")
	if err != nil || from == "" {
		return store, err
	}
	if err := os.CopyFS(store, os.DirFS(from)); err != nil {
		return store, err
	}
	return store, d.settle(ctx, store)
}

func (directories) remove(_ context.Context, store string) error { return os.RemoveAll(store) }

func (directories) open(ctx context.Context, store string, now func() time.Time) (riposte.Store, error) {
	return sqlite.Open(ctx, store, sqlite.Options{Now: now})
}

// settle writes the file back.
func (directories) settle(_ context.Context, store string) error {
	f, err := os.Open(filepath.Join(store, sqlite.FileName))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (directories) usage(context.Context) (usage, error) { return usage{}, nil }

// copying is without a journal: a crash may break the file, which nobody will
// need then. In the end a server finds it as a server leaves it.
func (directories) copying(store string) copying {
	return copying{
		driver: "sqlite",
		source: "file:" + filepath.Join(store, sqlite.FileName) +
			"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-65536)",
		columns: "SELECT name FROM pragma_table_info(?)",
		tables: []table{{name: "instances", key: "number"}, {name: "labels", key: "instance"}, {name: "envelopes", key: "instance"},
			{name: "attempts", key: "instance"}, {name: "outcomes", key: "instance"}},
		finish: []string{"PRAGMA journal_mode = WAL"},
	}
}
