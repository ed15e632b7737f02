package riposte_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/riposte-dev/riposte"
)

func TestNewWebhookHasItsDefaults(t *testing.T) {
	const url = "https://Receiver.EXAMPLE/ask"
	w, err := riposte.NewWebhook("Approvals", "asks", url, 0, acceptAnyURL, start.Add(999))
	if err != nil {
		t.Fatal(err)
	}
	want := riposte.Webhook{
		DisplayName: "Approvals", Description: "asks", URL: url, Host: "receiver.example",
		CallbackTimeout: 691_200 * time.Second, CreatedAt: start, UpdatedAt: start,
		Settings: riposte.WebhookSettings{RetryPolicy: riposte.RetryFastThenSlow, MaxInFlight: 64},
	}
	if diff := cmp.Diff(want, w, cmpopts.IgnoreFields(riposte.Webhook{}, "ID")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !riposte.IsID(w.ID) {
		t.Errorf("its id is %q", w.ID)
	}
}

func TestWebhookRefused(t *testing.T) {
	refuse := func(err error) riposte.DestinationCheck {
		return func(string) (string, error) { return "", err }
	}
	for _, tt := range []struct {
		name                          string
		displayName, description, url string
		timeout                       time.Duration
		check                         riposte.DestinationCheck
		fields                        []string
	}{
		{"no name", "", "", "https://r.example", 0, acceptAnyURL, []string{"displayName"}},
		{"name of 257 characters", strings.Repeat("ä", 257), "", "https://r.example", 0, acceptAnyURL, []string{"displayName"}},
		{"description of 2049 characters", "n", strings.Repeat("ä", 2049), "https://r.example", 0, acceptAnyURL, []string{"description"}},
		{"NULs", "n\x00", "\x00", "https://r.example", 0, acceptAnyURL, []string{"displayName", "description"}},
		{"no url", "n", "", "", 0, acceptAnyURL, []string{"url"}},
		{"a url that the rules refuse", "n", "", "http://r.example", 0, refuse(riposte.Invalid(riposte.Violation{Field: "url", Description: "must be https"})), []string{"url"}},
		{"a check that fails in another way", "n", "", "https://r.example", 0, refuse(errors.New("no idea")), []string{"url"}},
		{"a check whose error names no field", "n", "", "https://r.example", 0, refuse(riposte.ErrUnavailable), []string{"url"}},
		{"timeout a nanosecond short", "n", "", "https://r.example", 24*time.Hour - 1, acceptAnyURL, []string{"callbackTimeout"}},
		{"timeout a nanosecond long", "n", "", "https://r.example", 30*24*time.Hour + 1, acceptAnyURL, []string{"callbackTimeout"}},
		{"timeout negative", "n", "", "https://r.example", -time.Hour, acceptAnyURL, []string{"callbackTimeout"}},
		{"everything", "", strings.Repeat("x", 2049), "", time.Hour, acceptAnyURL, []string{"displayName", "description", "url", "callbackTimeout"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := riposte.NewWebhook(tt.displayName, tt.description, tt.url, tt.timeout, tt.check, start)
			if got := violatedFields(t, err); !slices.Equal(got, tt.fields) {
				t.Errorf("got %v about %q, want an error about %q", err, got, tt.fields)
			}
		})
	}
}

func TestWebhookTakenAtItsBounds(t *testing.T) {
	for _, timeout := range []time.Duration{24 * time.Hour, 30 * 24 * time.Hour} {
		_, err := riposte.NewWebhook(strings.Repeat("😀", 256), strings.Repeat("😀", 2048), "https://r.example", timeout, acceptAnyURL, start)
		if err != nil {
			t.Errorf("timeout %s: %v", timeout, err)
		}
	}
}

func TestCallbackTimeoutErrorIsInPlainSeconds(t *testing.T) {
	_, err := riposte.NewWebhook("n", "", "https://r.example", 2_592_001*time.Second, acceptAnyURL, start)
	const want = "callbackTimeout must be from 86400s to 2592000s (1 to 30 days), is 2592001s"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestValidateSetsTheHostAgain(t *testing.T) {
	w := newWebhook(t)
	w.URL = "https://other.example"
	if err := w.Validate(func(string) (string, error) { return "other.example", nil }); err != nil {
		t.Fatal(err)
	}
	if w.Host != "other.example" {
		t.Errorf("the host is %q", w.Host)
	}
}

func TestDeletedWebhookSaysSo(t *testing.T) {
	w := newWebhook(t)
	if w.Deleted() {
		t.Error("it was born deleted")
	}
	w.Delete(start.Add(time.Hour + 999))
	if !w.Deleted() || !w.DeletedAt.Equal(start.Add(time.Hour)) || !w.UpdatedAt.Equal(w.DeletedAt) {
		t.Errorf("deleted at %s, updated at %s", w.DeletedAt, w.UpdatedAt)
	}
}

func TestWebhookSettingsBounds(t *testing.T) {
	for _, tt := range []struct {
		settings riposte.WebhookSettings
		fields   []string
	}{
		{riposte.WebhookSettings{RetryPolicy: riposte.RetryFast, MaxInFlight: 1}, nil},
		{riposte.WebhookSettings{RetryPolicy: riposte.RetryFastThenSlow, MaxInFlight: 1024}, nil},
		{riposte.WebhookSettings{RetryPolicy: riposte.RetryFast, MaxInFlight: 0}, []string{"maxInFlight"}},
		{riposte.WebhookSettings{RetryPolicy: riposte.RetryFast, MaxInFlight: 1025}, []string{"maxInFlight"}},
		{riposte.WebhookSettings{RetryPolicy: "SLOW", MaxInFlight: 1}, []string{"retryPolicy"}},
		{riposte.WebhookSettings{RetryPolicy: riposte.RetryFast, MaxInFlight: 1, MaxInFlightTotal: -1}, []string{"maxInFlightTotal"}},
		{riposte.WebhookSettings{RetryPolicy: riposte.RetryFast, MaxInFlight: 1, MaxInFlightTotal: 16385}, []string{"maxInFlightTotal"}},
		{riposte.WebhookSettings{RetryPolicy: riposte.RetryFast, MaxInFlight: 1, MaxInFlightTotal: 16384}, nil},
		{riposte.WebhookSettings{}, []string{"retryPolicy", "maxInFlight"}},
	} {
		if got := violatedFields(t, tt.settings.Validate(acceptAnyURL)); !slices.Equal(got, tt.fields) {
			t.Errorf("%+v: errors about %q, want %q", tt.settings, got, tt.fields)
		}
	}
}
