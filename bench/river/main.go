// Command river does Riposte's job with River on PostgreSQL: the peer that the
// benchmarks compare Riposte with.
//
// It speaks the part of Riposte's API that the load generator uses. A create is
// one Insert, answered when it has been committed; a worker POSTs the payload
// with a signed JWT; River's completer records what came of it.
//
// River is set up as for its own benchmark (riverqueue.com/docs/benchmarks and
// cmd/river/riverbench in its repository), with settings that its authors found
// to work far better than the defaults when throughput counts: a cooldown of 2
// rather than 100 ms between fetches, a poll every 20 ms rather than 1 s, and
// 2,000 workers. Its other defaults stand. The pool is ours; see maxConns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	maxWorkers  = 2_000
	insertBatch = 5_000
	eventBuffer = 75_000 // events; River drops what doesn't fit

	// pgxpool's default, 4 on a small machine, would make creates queue up that
	// PostgreSQL commits in one fsync when they come together. River itself
	// holds two to five (riverqueue.com/docs/pgbouncer).
	maxConns = 64
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` to serve on")
	databaseURL := flag.String("database-url", os.Getenv("RIPOSTE_TEST_DATABASE_URL"), "PostgreSQL `URL`")
	paused := flag.Bool("paused", false, "work no jobs before POST /start")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *databaseURL, *paused); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, databaseURL string, paused bool) error {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return fmt.Errorf("reading --database-url: %w", err)
	}
	config.MaxConns = maxConns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("opening database: %w", err)
	}
	defer pool.Close()
	if err := migrate(ctx, pool); err != nil {
		return fmt.Errorf("making River's tables: %w", err)
	}
	s, err := newServer(pool)
	if err != nil {
		return fmt.Errorf("setting River up: %w", err)
	}
	if !paused {
		if _, err := s.start(nil); err != nil {
			return fmt.Errorf("starting client: %w", err)
		}
	}
	return serve(ctx, listen, s)
}

// migrate makes River's tables.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func newServer(pool *pgxpool.Pool) (*server, error) {
	d, err := newDeliverer()
	if err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, d)
	s := &server{}
	s.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{
		// "Throughput is limited by this value", says River, and so is latency.
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		SoftStopTimeout:   10 * time.Second, // a receiver may hang
		Workers:           workers,
	})
	if err != nil {
		return nil, err
	}
	// These events come after a completion has been committed, which the worker
	// does not see.
	events, _ := s.client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: eventBuffer,
		Kinds:    []river.EventKind{river.EventKindJobCompleted},
	})
	go func() {
		for range events {
			s.closed.Add(1)
		}
	}()
	return s, nil
}

func serve(ctx context.Context, listen string, s *server) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	h := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	fmt.Printf("listening on %s\n", l.Addr())

	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	return errors.Join(h.Close(), s.client.Stop(context.Background()))
}
