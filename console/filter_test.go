package console

import (
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"
)

func TestFilterBecomesTheAPIs(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		query, want string
		bad         []string
	}{
		{query: "", want: ""},
		{query: "state=ERROR", want: `state = "ERROR"`},
		{query: "state=ERROR&source=test&webhook=w&ticket=T-1", want: `state = "ERROR" AND webhookId = "w" AND source = "test" AND ticketId = "T-1"`},
		{query: `ticket=a"b\c AND state=x`, want: `ticketId = "a\"b\\c AND state=x"`},
		{query: "ticket=+ ", want: ""},
		{query: "labels=team%3Dred+env%3Da%3Db", want: `labels."team" = "red" AND labels."env" = "a=b"`},
		{query: "labels=team", bad: []string{"labels"}},
		{query: "labels=%3Dred", bad: []string{"labels"}},
		{query: `labels=a"b%3Dred`, bad: []string{"labels"}},
		{query: "since=1h", want: `createdAt >= "2026-11-26T11:00:00Z"`},
		{query: "since=nonsense", bad: []string{"since"}},
		{query: "since=2h&state=PENDING", bad: []string{"since"}},
		{query: `labels=team="red blue" "a key"=x`, want: `labels."team" = "red blue" AND labels."a key" = "x"`},
		{query: `labels='it is'='a "b"'  "a=\"b\""=`, want: `labels."it is" = "a \"b\"" AND labels.'a="b"' = ""`},
		{query: `labels=a\b=O'Brien\ c=""`, want: `labels."a\\b" = "O'Brien\\" AND labels."c" = ""`},
		{query: `labels="a"b=c`, bad: []string{"labels"}},
		{query: `labels=a="b"c`, bad: []string{"labels"}},
		{query: `labels=a="b`, bad: []string{"labels"}},
		{query: `labels=""=b`, bad: []string{"labels"}},
		{query: `labels=a=b c`, bad: []string{"labels"}},
		{query: `labels="'\""=b`, bad: []string{"labels"}},
		{query: "from=2026-11-26T10:00Z", want: `createdAt >= "2026-11-26T10:00:00Z"`},
		{query: "from=10:00", bad: []string{"from"}},
		{query: "from=2026-11-26T10:00", want: `createdAt >= "2026-11-26T10:00:00Z"`},
		{query: "from=2026-11-26T10:00:00.5%2B01:00", want: `createdAt >= "2026-11-26T09:00:00.5Z"`},
		{query: "to=2026-11-26", want: `createdAt < "2026-11-26T00:00:00Z"`},
		{query: "from=x&to=y", bad: []string{"from", "to"}},
	} {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		got, problems := readInstanceFilter(q).fixed(now).expression(now)
		bad := slices.Sorted(maps.Keys(problems))
		if !slices.Equal(bad, tt.bad) || len(bad) == 0 && got != tt.want {
			t.Errorf("%s: %s %v, want %s %v", tt.query, got, bad, tt.want, tt.bad)
		}
	}
}

// TestFilterStaysAsItIsInTheURL, so that a page can be shared and gone back to.
func TestFilterStaysAsItIsInTheURL(t *testing.T) {
	f := instanceFilter{State: "ERROR", Webhook: "w", Source: "test", Ticket: `&"'<`, Labels: `a=b "c d"='e  f'`, Since: "1h", From: "2026-01-01", To: "x"}
	u, err := url.Parse(instancesURL(f, 50, "token+/="))
	if err != nil {
		t.Fatal(err)
	}
	if got := readInstanceFilter(u.Query()); got != f {
		t.Errorf("%s reads as %+v", u, got)
	}
	if q := u.Query(); q.Get("page") != "token+/=" || pageSize(q) != 50 {
		t.Errorf("%s has no token or size", u)
	}
}

// TestFixedFilterMatchesTheSame, however long it is worked on.
func TestFixedFilterMatchesTheSame(t *testing.T) {
	now := time.Date(2026, 1, 31, 8, 0, 0, 5000, time.UTC)
	for name, tt := range map[string]struct{ filter, want instanceFilter }{
		"nothing":            {instanceFilter{}, instanceFilter{}},
		"no span":            {instanceFilter{State: "ERROR", From: "x"}, instanceFilter{State: "ERROR", From: "x"}},
		"a span":             {instanceFilter{State: "ERROR", Since: "1h"}, instanceFilter{State: "ERROR", From: "2026-01-31T07:00:00Z"}},
		"a span, from later": {instanceFilter{Since: "1h", From: "2026-01-31T07:30"}, instanceFilter{From: "2026-01-31T07:30"}},
		"from, a span later": {instanceFilter{Since: "1h", From: "2026-01-30"}, instanceFilter{From: "2026-01-31T07:00:00Z"}},
		"from is no time":    {instanceFilter{Since: "1h", From: "noon"}, instanceFilter{From: "noon"}},
		"no such span":       {instanceFilter{Since: "ever"}, instanceFilter{Since: "ever"}},
	} {
		if got := tt.filter.fixed(now); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestFilterInWords(t *testing.T) {
	f := instanceFilter{State: "WAITING_CALLBACK", Source: "approvalStep", Webhook: "w1", Ticket: "T-1", Labels: ` a=b  "c  d"="e f" `, From: "2026-01-31", To: "2026-02-01T09:30"}
	for name, tt := range map[string]struct {
		filter  instanceFilter
		webhook string
		want    []string
	}{
		"all": {f, "Hire", []string{"State Waiting for callback", "Source Approval step", "Webhook Hire", "Ticket T-1", `Labels a=b and "c  d"="e f"`,
			"Asked from 31 Jan 2026 00:00:00 UTC", "Asked before 1 Feb 2026 09:30:00 UTC"}},
		"none":                      {instanceFilter{}, "", nil},
		"a webhook that is deleted": {instanceFilter{Webhook: "w1"}, "", []string{"Webhook w1"}},
		"what nobody knows":         {instanceFilter{State: "SLEEPING", Source: "x", From: "noon"}, "", []string{"State SLEEPING", "Source x"}},
		"labels that are none":      {instanceFilter{Labels: "a b=c"}, "", []string{"Labels a b=c"}},
	} {
		var got []string
		for _, w := range tt.filter.words(tt.webhook) {
			got = append(got, w.Name+" "+w.Text+w.At.Text)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestWhatWasChangedLeadsToItsPage(t *testing.T) {
	for operation, want := range map[string]string{
		"WebhooksService.Update": "/webhooks/x", "WebhookSettingsService.RotateSecret": "/webhooks/x", "WebhooksService.Test": "/instances/x",
		"InstancesService.Cancel": "/instances/x", "KeysService.Create": "/keys", "ClientsService.Revoke": "/clients", "ServerKeysService.Rotate": "/server-keys#x",
		"ConsumersService.Create": "", "": "",
	} {
		if got := targetURL(operation, "x"); got != want {
			t.Errorf("%s leads to %q, want %q", operation, got, want)
		}
		if got := targetURL(operation, ""); got != "" {
			t.Errorf("%s of nothing leads to %q", operation, got)
		}
	}
}
