package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestFilterSelects(t *testing.T) {
	noon, next := at("2026-03-01T12:00:00Z"), at("2026-03-01T12:00:00.000001Z")
	for filter, want := range map[string]riposte.InstanceFilter{
		"":                                  {},
		" \t\n":                             {},
		"webhookId=abc":                     {WebhookID: "abc"},
		" webhook_id = 'abc' ":              {WebhookID: "abc"},
		"state = ERROR":                     {State: riposte.StateError},
		`state="WEBHOOK_STATE_FATAL_ERROR"`: {State: riposte.StateFatalError},
		"source = approvalStep":             {SourceKind: riposte.SourceApprovalStep},
		`ticketId = "a \"b\" \\c AND d"`:    {TicketID: `a "b" \c AND d`},
		`ticket_id='it\'s'`:                 {TicketID: "it's"},
		"ticketId = AND":                    {TicketID: "AND"},
		"ticketId=a=b:c<d>e!f/é":            {TicketID: "a=b:c<d>e!f/é"},
		`createdBy = "the \"red\" one"`:     {CreatedBy: `the "red" one`},
		"created_by=red":                    {CreatedBy: "red"},
		"labels.team = red":                 {Labels: map[string]string{"team": "red"}},
		`labels."a b" = ""`:                 {Labels: map[string]string{"a b": ""}},
		`labels.app.kubernetes.io/name = x`: {Labels: map[string]string{"app.kubernetes.io/name": "x"}},
		"labels.my-key = x AND labels.2 = y AND state = PENDING": {State: riposte.StatePending, Labels: map[string]string{"my-key": "x", "2": "y"}},

		`createdAt = "2026-03-01T12:00:00Z"`:                 {Created: riposte.TimeRange{From: noon, To: next}},
		"createdAt >= 2026-03-01T12:00:00Z":                  {Created: riposte.TimeRange{From: noon}},
		"created_at > 2026-03-01T12:00:00Z":                  {Created: riposte.TimeRange{From: next}},
		"createdAt < 2026-03-01T13:00:00+01:00":              {Created: riposte.TimeRange{To: noon}},
		"expiresAt <= 2026-03-01T12:00:00Z":                  {Expires: riposte.TimeRange{To: next}},
		"expires_at>=2026-03-01T11:59:59.9999995Z":           {Expires: riposte.TimeRange{From: noon}},
		"expiresAt > 2026-03-01T11:59:59.9999995Z":           {Expires: riposte.TimeRange{From: noon}},
		"expiresAt < 2026-03-01T12:00:00.0000005Z":           {Expires: riposte.TimeRange{To: next}},
		"expiresAt <= 2026-03-01T12:00:00.0000005Z":          {Expires: riposte.TimeRange{To: next}},
		"createdAt = 2026-03-01T12:00:00.0000005Z":           {Created: riposte.TimeRange{From: next, To: next}},
		"createdAt < 0001-01-01T00:00:00Z":                   {Created: riposte.TimeRange{To: time.Unix(0, 0).UTC()}},
		"createdAt > 0001-01-01T00:00:00Z AND state=PENDING": {State: riposte.StatePending, Created: riposte.TimeRange{From: time.UnixMicro(1).UTC()}},
		"createdAt >= 2020-01-01T00:00:00Z AND createdAt >= 2026-03-01T12:00:00Z AND createdAt < 2026-03-01T12:00:00.000001Z AND createdAt < 2030-01-01T00:00:00Z": {
			Created: riposte.TimeRange{From: noon, To: next}},
	} {
		got, err := api.ParseFilter(filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filter, diff)
		}
	}
}

func TestFilterSaysWhatItDoesNotTake(t *testing.T) {
	for filter, rule := range map[string]string{
		"state":                                    "must be comparisons such as",
		"= ERROR":                                  "must be comparisons such as",
		"state =":                                  "must be comparisons such as",
		"state == ERROR":                           "must be comparisons such as",
		`state = "ERROR`:                           "must be comparisons such as",
		"NOT state = ERROR":                        "must be comparisons such as",
		"-state = ERROR":                           "must be comparisons such as",
		"(state = ERROR)":                          "must be comparisons such as",
		"state = ERROR AND":                        "must be comparisons such as",
		"AND state = ERROR":                        "must be comparisons such as",
		"state = ERROR AND AND source = test":      "must be comparisons such as",
		"state = ERROR OR state = PENDING":         "must join its comparisons with AND",
		"state = ERROR and source = test":          "must join its comparisons with AND",
		"state = ERROR source = test":              "must join its comparisons with AND",
		`state = "ERROR"AND source = test`:         "must join its comparisons with AND",
		"state = ERROR)":                           "must join its comparisons with AND",
		"state = HAPPY":                            `has no state "HAPPY"`,
		"state = error":                            `has no state "error"`,
		"state = WEBHOOK_STATE_":                   `has no state ""`,
		"createdBy != red":                         "takes only = for createdBy, not !=",
		`createdBy = ""`:                           "must not compare createdBy with nothing",
		"createdBy = a AND created_by = b":         "must name createdBy once",
		"state : ERROR":                            "takes only = for state, not :",
		"state != ERROR":                           "takes only = for state, not !=",
		"ticketId > a":                             "takes only = for ticketId, not >",
		`ticketId = ""`:                            "must not compare ticketId with nothing",
		"source = approval_step":                   `has no source "approval_step"`,
		"color = red":                              `can't compare "color"`,
		"labels = red":                             `can't compare "labels"`,
		"labels.a < b":                             "takes only = for labels.a, not <",
		"labels.a = b AND labels.\"a\" = c":        "must name labels.a once",
		"webhookId = a AND webhook_id = b":         "must name webhookId once",
		"createdAt = yesterday":                    "must compare createdAt with an RFC 3339 time",
		"createdAt >= 2026-03-01":                  "must compare createdAt with an RFC 3339 time",
		"createdAt != 2026-03-01T12:00:00Z":        "takes only =, <, <=, > and >= for createdAt, not !=",
		"state = \xff":                             `has no state "\xff"`,
		strings.Repeat(" ", api.MaxFilterLength+1): "must have at most 2048 bytes",
	} {
		_, err := api.ParseFilter(filter)
		if err == nil || !strings.Contains(err.Error(), "filter "+rule) {
			t.Errorf("%s: %v, want a part %q", filter, err, rule)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{
		"", "state=WEBHOOK_STATE_", `createdBy = 'x'`, `state = ERROR AND labels."a b" = 'c\'' AND createdAt >= "2026-01-02T15:04:05Z"`, "labels.a.b/c-d=é AND ticketId=x", "expiresAt<0001-01-01T00:00:00Z", `a."" = ""`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		got, err := api.ParseFilter(filter)
		if err != nil {
			if msg := err.Error(); !strings.HasPrefix(msg, "filter ") || strings.ToValidUTF8(msg, "") != msg {
				t.Errorf("%q: %q", filter, msg)
			}
			return
		}
		if strings.TrimSpace(filter) != "" && cmp.Equal(got, riposte.InstanceFilter{}) {
			t.Errorf("%q selects everything", filter)
		}
		again, err := api.ParseFilter(" " + filter + "\t")
		if len(filter) < api.MaxFilterLength-1 && (err != nil || !cmp.Equal(got, again)) {
			t.Errorf("%q: white space around it changes %+v to %+v (%v)", filter, got, again, err)
		}
	})
}
