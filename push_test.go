package riposte_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// toPush is an instance that was approved, and whose outcome is to be pushed to url.
func toPush(t *testing.T, url string) riposte.Instance {
	t.Helper()
	i := newInstance(t, riposte.InstanceRequest{Source: sources[approvalStep], OutcomeURL: url})
	i = advance(t, i, riposte.Claimed{}, start)
	return advance(t, i, attempted(200, goodDocuments[approvalStep]), start)
}

// TestPushIsRetriedAsAnAttemptIs, and whoever asks for it begins anew.
func TestPushIsRetriedAsAnAttemptIs(t *testing.T) {
	i, now := toPush(t, outcomeURL), start
	fail := func() time.Duration {
		t.Helper()
		i = advance(t, i, riposte.PushClaimed{}, now)
		i = advance(t, i, pushed(503), now)
		delay := i.DueAt.Sub(now)
		now = i.DueAt
		return delay
	}
	for n := 1; n <= 60; n++ {
		want := riposte.DefaultFastDelay.Min
		if n >= riposte.FastAttempts {
			want = riposte.SlowMinDelay
		}
		if got := fail(); got != want {
			t.Fatalf("after %d failed pushes the next one is due in %s, want %s", n, got, want)
		}
	}
	i = advance(t, i, riposte.RetryRequested{OutcomeURL: "https://other.example/"}, now)
	if got := fail(); got != riposte.DefaultFastDelay.Min || i.Push.Attempts != 61 || i.Push.Tries != 1 {
		t.Errorf("after a retry the next one is due in %s: %+v", got, i.Push)
	}
}

// TestPushIsGivenUp after its time, which a retry begins anew.
func TestPushIsGivenUp(t *testing.T) {
	i := advance(t, toPush(t, outcomeURL), riposte.PushClaimed{}, start)
	for _, since := range []time.Duration{0, 100 * 24 * time.Hour} {
		began := start.Add(since)
		if since > 0 {
			i = advance(t, i, riposte.RetryRequested{}, began)
			i = advance(t, i, riposte.PushClaimed{}, began)
		}
		last := began.Add(riposte.PushPeriod - riposte.DefaultFastDelay.Min)
		if j := advance(t, i, pushed(500), last); !j.Push.GivenUpAt.IsZero() || !j.DueAt.Equal(began.Add(riposte.PushPeriod)) {
			t.Errorf("just in time: %+v, due at %s", j.Push, j.DueAt)
		}
		i = advance(t, i, pushed(500), last.Add(time.Microsecond))
		if i.Push.GivenUpAt.IsZero() || !i.DueAt.IsZero() || i.State != riposte.StateProcessResponse {
			t.Errorf("too late: %+v, due at %s", i.Push, i.DueAt)
		}
	}
}

// TestPushesToOneHostShareALane, however its name is written.
func TestPushesToOneHostShareALane(t *testing.T) {
	for lane, urls := range map[string][]string{
		"push:h.example:443":     {"https://h.example", "https://H.Example./x?y", "https://h.example:443/", "HTTPS://h.example/a"},
		"push:h.example:80":      {"http://h.example/", "http://h.example:80"},
		"push:h.example:8443":    {"https://h.example:8443/o"},
		"push:[2001:db8::1]:443": {"https://[2001:DB8::1]/", "https://[2001:db8::1]:443/o"},
	} {
		for _, url := range urls {
			if got := toPush(t, url).Lane(); got != lane {
				t.Errorf("%s is in the lane %q, want %q", url, got, lane)
			}
		}
		if w, ok := riposte.PushLane(lane); !ok || w.ID != lane || w.Settings.MaxInFlight != riposte.DefaultMaxInFlight {
			t.Errorf("%s: %+v, %t", lane, w, ok)
		}
	}
	i := newInstance(t, riposte.InstanceRequest{Source: sources[approvalStep], OutcomeURL: outcomeURL})
	if _, ok := riposte.PushLane(i.Lane()); ok || i.Lane() != i.WebhookID {
		t.Errorf("before its outcome it is in the lane %q", i.Lane())
	}
}

func TestOutcomeURLIsCheckedAsAWebhooks(t *testing.T) {
	refuse := func(err error) riposte.DestinationCheck {
		return func(string) (string, error) { return "", err }
	}
	for _, err := range []error{riposte.Invalid(riposte.Violation{Field: "url", Description: "must be https"}), errors.New("no idea"), riposte.ErrUnavailable} {
		if got := violatedFields(t, riposte.CheckOutcomeURL("x", refuse(err))); !slices.Equal(got, []string{"outcomeUrl"}) {
			t.Errorf("%v: got an error about %q", err, got)
		}
		if err := riposte.CheckOutcomeURL("", refuse(err)); err != nil {
			t.Errorf("nowhere is refused: %v", err)
		}
	}
	if err := riposte.CheckOutcomeURL(outcomeURL, acceptAnyURL); err != nil {
		t.Error(err)
	}
}
