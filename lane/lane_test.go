package lane_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// rows are a store's in a map, with a count of the questions that an index full
// of dead rows answers slowly.
type rows struct {
	lanes *lane.Lanes
	open  map[string]riposte.Instance
	asked int
}

func (r *rows) write(i riposte.Instance, isNew bool) riposte.Instance {
	i = i.Stored(i.Version + 1)
	delete(r.open, i.ID)
	if !i.State.Closed() {
		r.open[i.ID] = i
	}
	r.lanes.Written(r.lanes.ByID[i.WebhookID], i, isNew)
	return i
}

// earliest returns the open instances of a webhook, or of all, by a time.
func (r *rows) earliest(webhook string, by func(riposte.Instance) time.Time) []riposte.Instance {
	var found []riposte.Instance
	for _, i := range r.open {
		if webhook == "" || i.WebhookID == webhook {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b riposte.Instance) int {
		return cmp.Or(by(a).Compare(by(b)), cmp.Compare(a.ID, b.ID))
	})
	return found
}

func first(in []riposte.Instance, by func(riposte.Instance) time.Time) int64 {
	if len(in) == 0 {
		return lane.Never
	}
	return by(in[0]).UnixMicro()
}

func upTo(in []riposte.Instance, by func(riposte.Instance) time.Time, since, now int64, limit int) (found []riposte.Instance) {
	for _, i := range in {
		if at := by(i).UnixMicro(); at >= since && at <= now && len(found) < limit {
			found = append(found, i)
		}
	}
	return found
}

func dueAt(i riposte.Instance) time.Time     { return i.DueAt }
func expiresAt(i riposte.Instance) time.Time { return i.ExpiresAt }

func (r *rows) Expired(now int64, limit int) ([]riposte.Instance, error) {
	return upTo(r.earliest("", expiresAt), expiresAt, lane.Unknown, now, limit), nil
}

// Due looks from the bound on, so that a bound that is too late loses rows.
func (r *rows) Due(now int64, takes []lane.Take) (found []riposte.Instance, err error) {
	for _, t := range takes {
		found = append(found, upTo(r.earliest(t.Lane.Webhook.ID, dueAt), dueAt, t.Lane.Due.At, now, t.Limit)...)
	}
	return found, nil
}

func (r *rows) FirstDue(l *lane.Lane) (int64, error) {
	r.asked++
	return first(r.earliest(l.Webhook.ID, dueAt), dueAt), nil
}

func (r *rows) FirstExpiry() (int64, error) {
	r.asked++
	return first(r.earliest("", expiresAt), expiresAt), nil
}

func (r *rows) InFlight(*lane.Lane, int64) (int, error) { return 0, nil }

func (r *rows) Save(changes []lane.Change) (saved []riposte.Instance, err error) {
	for _, c := range changes {
		saved = append(saved, r.write(c.Instance, false))
	}
	return saved, nil
}

func (r *rows) Envelopes(claimed []riposte.Instance) ([]riposte.Envelope, error) {
	return make([]riposte.Envelope, len(claimed)), nil
}

var began = riposte.Time(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

// house has lanes over rows, with one webhook.
type house struct {
	rapid.TB
	*rows
	webhook riposte.Webhook
	now     time.Time
}

func newHouse(t rapid.TB) *house {
	t.Helper()
	w, err := riposte.NewWebhook("w", "", "https://receiver.example/", 24*time.Hour, func(string) (string, error) { return "receiver.example", nil }, began)
	if err != nil {
		t.Fatal(err)
	}
	lanes := lane.New()
	lanes.Add(1, w)
	return &house{TB: t, rows: &rows{lanes: lanes, open: map[string]riposte.Instance{}}, webhook: w, now: began}
}

func (h *house) must(i riposte.Instance, err error) riposte.Instance {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
	return i
}

func (h *house) create(now time.Time) {
	i, _, err := riposte.NewInstance(h.webhook, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}},
		func(string) string { return "https://riposte.example/" }, now)
	h.write(h.must(i, err), true)
}

// claim claims without a bound but limit, and checks that all that is due is
// taken, earliest first, and that the next look is not too late.
func (h *house) claim(limit int) riposte.Claim {
	h.Helper()
	want := upTo(h.earliest("", dueAt), dueAt, lane.Unknown, h.now.UnixMicro(), limit)
	c, err := h.lanes.Claim(h.rows, riposte.ClaimRequest{Limit: limit}, h.now)
	if err != nil {
		h.Fatal(err)
	}
	taken := len(c.Attempts)
	for _, i := range want {
		if now, open := h.open[i.ID]; open && now.Version == i.Version {
			h.Fatalf("%d were claimed, but not what was due at %s", taken, i.DueAt)
		}
	}
	next := min(first(h.earliest("", dueAt), dueAt), first(h.earliest("", expiresAt), expiresAt))
	got := int64(lane.Never)
	if !c.Next.IsZero() {
		got = c.Next.UnixMicro()
	}
	if limit > taken && (got > max(next, h.now.UnixMicro()) || taken == 0 && got != next) {
		h.Fatalf("%d were claimed; next is %d, want %d", taken, got, next)
	}
	return c
}

func TestClaimsMissNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHouse(rt)
		change := func(f func(riposte.Instance) (riposte.Instance, error)) {
			open := h.earliest("", expiresAt)
			if len(open) == 0 {
				return
			}
			i, err := f(open[rapid.IntRange(0, len(open)-1).Draw(rt, "which")])
			if err == nil { // and not refused by its state
				h.write(i, false)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				ahead := rapid.SampledFrom([]time.Duration{0, 0, 20 * time.Millisecond}).Draw(rt, "ahead") // of a claim's time
				h.create(h.now.Add(ahead))
			},
			"claim": func(rt *rapid.T) { h.claim(rapid.IntRange(1, 5).Draw(rt, "limit")) },
			"cancel": func(*rapid.T) {
				change(func(i riposte.Instance) (riposte.Instance, error) { return i.Apply(riposte.Canceled{}, h.now) })
			},
			"fail": func(*rapid.T) {
				change(func(i riposte.Instance) (riposte.Instance, error) {
					return i.Apply(riposte.Attempted{Result: riposte.Result{Attempt: riposte.Attempt{StatusCode: 500}}}, h.now)
				})
			},
			"let time pass": func(rt *rapid.T) {
				h.now = h.now.Add(time.Duration(rapid.IntRange(1, 40_000).Draw(rt, "ms")) * time.Millisecond)
			},
			"from the rows": func(*rapid.T) { h.lanes.Forget(h.lanes.ByID[h.webhook.ID]) },
		})
	})
}

// TestBusyLaneAsksNoIndex has attempts that take 10 ms, as one after the other is
// created. Nothing but the end of leases is due later, and that is no question
// for each of them.
func TestBusyLaneAsksNoIndex(t *testing.T) {
	h := newHouse(t)
	var running []riposte.ClaimedInstance
	for range 1000 { // 10 s
		h.now = h.now.Add(10 * time.Millisecond)
		for _, c := range running {
			h.write(h.must(c.Instance.Apply(riposte.Canceled{}, h.now)), false)
		}
		h.create(h.now)
		running = h.claim(10).Attempts
		if len(running) != 1 {
			t.Fatalf("%d were claimed", len(running))
		}
	}
	if h.asked > 3 {
		t.Errorf("the rows were asked %d times when to look next", h.asked)
	}
}
