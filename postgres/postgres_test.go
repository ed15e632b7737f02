package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/storetest"
)

func TestStore(t *testing.T) { storetest.Run(t, open) }

func TestSuiteFindsPlantedBugs(t *testing.T) { storetest.FindPlanted(t, open) }

// open keeps the store of each place in a schema of its own.
func open(ctx context.Context, place string, now func() time.Time) (riposte.Store, error) {
	url, err := postgrestest.SchemaURL(ctx, place)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, url, postgres.Options{Now: now})
}

func newWebhook(t testing.TB, s riposte.Store) riposte.Webhook {
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
	return newRequest(t, s, w, "")
}

func newRequest(t *testing.T, s riposte.Store, w riposte.Webhook, requestID string) riposte.NewInstanceRecord {
	i, e, err := riposte.NewInstance(w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "t"}, Payload: []byte(`{}`), RequestID: requestID},
		func(id string) string { return "https://riposte.example/callback/" + id }, s.Now())
	if err != nil {
		t.Error(err)
	}
	return riposte.NewInstanceRecord{Instance: i, Envelope: e}
}
