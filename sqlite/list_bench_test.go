package sqlite

import (
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// benchRows is how many instances the lists of BenchmarkList are of.
const benchRows = 200_000

// BenchmarkList lists the newest, by filters that an index tells and by some that
// only the rows tell, of which there are few or none.
func BenchmarkList(b *testing.B) {
	s := openStore(b, Options{})
	w, other := saveWebhook(b, s), saveWebhook(b, s)
	for _, each := range []riposte.Webhook{w, other} {
		if _, err := s.CreateInstances(b.Context(), []riposte.NewInstanceRecord{newRecord(b, s, each, "")}); err != nil {
			b.Fatal(err)
		}
	}
	multiply(b, s, benchRows)
	for _, each := range []struct {
		name   string
		filter riposte.InstanceFilter
	}{
		{"all", riposte.InstanceFilter{}},
		{"webhook", riposte.InstanceFilter{WebhookID: w.ID}},
		{"state", riposte.InstanceFilter{State: riposte.StatePending}},
		{"source", riposte.InstanceFilter{SourceKind: riposte.SourceApprovalStep}},
		{"webhook and state", riposte.InstanceFilter{WebhookID: w.ID, State: riposte.StatePending}},
		{"none of source and webhook", riposte.InstanceFilter{WebhookID: w.ID, SourceKind: riposte.SourceWorkflowStep}},
		{"none of a creator", riposte.InstanceFilter{CreatedBy: "nobody"}},
		{"none that expires", riposte.InstanceFilter{WebhookID: w.ID, Expires: riposte.TimeRange{From: s.Now().Add(riposte.MaxCallbackTimeout - time.Hour)}}},
	} {
		b.Run(each.name, func(b *testing.B) {
			each.filter.Limit = 50
			for b.Loop() {
				if _, err := s.ListInstances(b.Context(), each.filter); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
