package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/storetest"
)

func TestStore(t *testing.T) { storetest.Run(t, open) }

// open keeps the store of each place in a schema of its own.
func open(ctx context.Context, place string, now func() time.Time) (riposte.Store, error) {
	url, err := schemaURL(ctx, place)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, url, postgres.Options{Now: now})
}

// schemaURL names the test database's schema for a place, and makes it if need be.
func schemaURL(ctx context.Context, place string) (string, error) {
	database := os.Getenv("RIPOSTE_TEST_DATABASE_URL")
	if database == "" {
		return "", fmt.Errorf("RIPOSTE_TEST_DATABASE_URL is not set: scripts/postgres go test ./postgres sets it")
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

func TestSuiteFindsPlantedBugs(t *testing.T) { storetest.FindPlanted(t, open) }

func newWebhook(t *testing.T, s riposte.Store) riposte.Webhook {
	t.Helper()
	w, err := riposte.NewWebhook("webhook", "", "https://receiver.example/hook", 0, func(string) (string, error) { return "receiver.example", nil }, s.Now())
	if err == nil {
		w, err = s.SaveWebhook(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// newRecord may be called by any goroutine.
func newRecord(t *testing.T, s riposte.Store, w riposte.Webhook) riposte.NewInstanceRecord {
	i, e, err := riposte.NewInstance(w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "t"}, Payload: []byte(`{}`)},
		func(id string) string { return "https://riposte.example/callback/" + id }, s.Now())
	if err != nil {
		t.Error(err)
	}
	return riposte.NewInstanceRecord{Instance: i, Envelope: e}
}
