// Package postgrestest gives tests a PostgreSQL schema of their own, on the
// server that scripts/postgres starts.
package postgrestest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/jackc/pgx/v5"
)

// Variable names the environment variable that has the server's URL.
const Variable = "RIPOSTE_TEST_DATABASE_URL"

// TB is what URL needs of a *testing.T.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	TempDir() string
	Cleanup(func())
	Context() context.Context
}

// URL makes an empty schema for the test and names it as a database's URL. It
// stays until the server is thrown away.
func URL(tb TB) string {
	tb.Helper()
	where, err := SchemaURL(tb.Context(), tb.TempDir())
	if err != nil {
		tb.Fatalf("making a schema for the test: %v", err)
	}
	return where
}

// Connect returns a connection to a database for as long as the test runs.
func Connect(tb TB, where string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), where)
	if err != nil {
		tb.Fatalf("connecting to the database: %v", err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// SchemaURL is the URL of the schema that belongs to a place, and makes it if
// need be.
func SchemaURL(ctx context.Context, place string) (string, error) {
	database := os.Getenv(Variable)
	if database == "" {
		return "", errors.New(Variable + " is not set: run the tests by scripts/postgres go test")
	}
	schema := fmt.Sprintf("test_%x", sha256.Sum256([]byte(place)))[:40]
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
		return "", err
	}
	u, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String(), nil
}
