package server

import (
	"context"
	"net/url"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/metrics"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/sqlite"
)

// openStore opens the database that nodes share, or else the embedded store.
func (c *Config) openStore(ctx context.Context, watched *metrics.Metrics) (riposte.Store, error) {
	if c.DatabaseURL != "" {
		return postgres.Open(ctx, c.DatabaseURL, postgres.Options{Logger: c.Logger, Now: c.Now, OnCommit: watched.Committed})
	}
	return sqlite.Open(ctx, c.Data, sqlite.Options{Logger: c.Logger, Now: c.Now, OnCommit: watched.Committed})
}

func (c *Config) storeName() string {
	if c.DatabaseURL == "" {
		return c.Data
	}
	u, err := url.Parse(c.DatabaseURL)
	if err != nil || u.Host == "" {
		return "PostgreSQL" // in libpq's other way to name a database
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
