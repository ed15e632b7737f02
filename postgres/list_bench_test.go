package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// benchRows is how many instances the lists of BenchmarkList are of.
const benchRows = 200_000

// BenchmarkList lists the newest, by filters that an index tells and by some that
// only the rows tell, of which there are few or none. Half of the instances wait, over
// the days of which there are partitions.
func BenchmarkList(b *testing.B) {
	where := postgrestest.URL(b)
	s, err := postgres.Open(b.Context(), where, postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.PurgeInstances(b.Context(), time.Unix(0, 0), 1); err != nil { // which makes partitions
		b.Fatal(err)
	}
	w, other := newWebhook(b, s), newWebhook(b, s)
	conn := postgrestest.Connect(b, where)
	const days = 8
	for day := range days {
		at := s.Now().Truncate(24*time.Hour).AddDate(0, 0, day)
		for _, query := range []string{
			fmt.Sprintf(`INSERT INTO instances SELECT left('%s', 12) || lpad(to_hex(n), 12, '0'), CASE n %% 2 WHEN 0 THEN '%s' ELSE '%s' END, 'approvalStep', 't', 0, '', 'd', %d,
				%d, NULL, '', NULL, '', 2, '{}' FROM generate_series(1, %d) n`, riposte.LeastID(at.Add(time.Hour)), w.ID, other.ID, at.UnixMicro(), at.AddDate(0, 0, 14).UnixMicro(), benchRows/days),
			fmt.Sprintf(`INSERT INTO open SELECT id, webhook, 'WAITING_CALLBACK', 1, 1, expires_at, NULL, 1, 1, expires_at FROM instances
				WHERE id > '%s' AND ('x' || right(id, 6))::bit(24)::int %% 4 < 2`, riposte.LeastID(at)),
			fmt.Sprintf(`INSERT INTO outcomes (id, sequence, kind, via, comment, decided_at, state, attempts, version, updated_at, last_attempted_at, completed_at, expires_at)
				SELECT id, nextval('outcome_sequence'), 'DELIVERED', 'SYNC', '', 1, 'SUCCESS', 1, 2, 1, 1, 1, expires_at FROM instances
				WHERE id > '%s' AND ('x' || right(id, 6))::bit(24)::int %% 4 >= 2`, riposte.LeastID(at)),
		} {
			if _, err := conn.Exec(b.Context(), query); err != nil {
				b.Fatal(query, err)
			}
		}
	}
	if _, err := conn.Exec(b.Context(), `VACUUM ANALYZE`); err != nil {
		b.Fatal(err)
	}
	for _, each := range []struct {
		name   string
		filter riposte.InstanceFilter
	}{
		{"all", riposte.InstanceFilter{}},
		{"webhook", riposte.InstanceFilter{WebhookID: w.ID}},
		{"open state", riposte.InstanceFilter{State: riposte.StateWaitingCallback}},
		{"closed state", riposte.InstanceFilter{State: riposte.StateSuccess}},
		{"source", riposte.InstanceFilter{SourceKind: riposte.SourceApprovalStep}},
		{"webhook and state", riposte.InstanceFilter{WebhookID: w.ID, State: riposte.StateSuccess}},
		{"none of source and webhook", riposte.InstanceFilter{WebhookID: w.ID, SourceKind: riposte.SourceWorkflowStep}},
		{"none of state and source", riposte.InstanceFilter{State: riposte.StateSuccess, SourceKind: riposte.SourceWorkflowStep}},
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
