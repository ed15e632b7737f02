package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync/atomic"

	driver "modernc.org/sqlite"
)

const (
	// checkpointPages is how many pages go into the log between two
	// checkpoints; a page has 4 KiB.
	checkpointPages = 4 << 10
	// maxLogPages is when the writer itself finishes a checkpoint. One that
	// runs beside a busy writer never gets to the end of the log, and only
	// from there can the log start over.
	maxLogPages = 16 << 10
)

// checkpointer copies the log into the database, on a connection of its own
// beside the writer.
type checkpointer struct {
	path     string
	logger   *slog.Logger
	fatal    func(error)
	wake     chan struct{}
	finished chan struct{}

	pages int         // written by the writer since it woke us
	long  atomic.Bool // the log is; see maxLogPages
}

func newCheckpointer(path string, opts Options) *checkpointer {
	c := &checkpointer{path: path, logger: opts.Logger, fatal: opts.Fatal,
		wake: make(chan struct{}, 1), finished: make(chan struct{})}
	go c.run()
	return c
}

// committed is called by the writer, with its connection, after each commit.
func (c *checkpointer) committed(conn *sql.Conn) {
	c.pages += pagesWritten(conn)
	if c.pages < checkpointPages {
		return
	}
	c.pages = 0
	if c.long.Swap(false) {
		c.checkpoint(conn)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// pagesWritten returns how many pages conn has written since it was last
// asked.
func pagesWritten(conn *sql.Conn) (pages int) {
	_ = conn.Raw(func(dc any) error {
		if s, ok := dc.(driver.DBStatus); ok {
			pages, _, _ = s.Status(driver.DBStatusCacheWrite, true)
		}
		return nil
	})
	return pages
}

func (c *checkpointer) run() {
	defer close(c.finished)
	db, err := sql.Open("sqlite", dsn(c.path, "synchronous(FULL)"))
	if err != nil {
		c.logger.Error("opening a connection for checkpoints", "error", err)
		return
	}
	defer db.Close()
	for range c.wake {
		conn, err := db.Conn(context.Background())
		if err != nil {
			c.logger.Error("opening a connection for checkpoints", "error", err)
			continue
		}
		c.checkpoint(conn)
		_ = conn.Close()
	}
}

// checkpoint is passive: it waits for nobody and nobody waits for it.
func (c *checkpointer) checkpoint(conn *sql.Conn) {
	var busy, logged, copied int
	err := conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &logged, &copied)
	switch {
	case err == nil:
		c.long.Store(logged > maxLogPages)
	case dooms(err) && !harmless(err):
		c.fatal(fmt.Errorf("checkpointing: %w", err))
	default:
		c.logger.Warn("the checkpoint has to wait", "error", err)
	}
}

func (c *checkpointer) close() {
	close(c.wake)
	<-c.finished
}
