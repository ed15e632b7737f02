package storetest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"pgregory.net/rapid"
)

var model = []behaviour{
	{"a store does as its model, whatever comes", func(h *house) {
		rapid.Check(h.TB, func(t *rapid.T) {
			// One store for all runs, because opening one takes long. What the
			// runs before left open expires, and is taken.
			h.clock.Advance(riposte.MaxCallbackTimeout)
			h.settle(riposte.ClaimRequest{})
			h.takePushes()
			m := &modelled{house: &house{TB: ruled{h.TB, t}, store: h.store, clock: h.clock}, t: t,
				webhooks: make(map[string]riposte.Webhook), instances: make(map[string]riposte.Instance),
				attempts: make(map[string]map[int]bool), stale: make(map[string]riposte.Instance), touched: make(map[string]bool)}
			t.Repeat(map[string]func(*rapid.T){
				"":              m.compareTouched,
				"add webhook":   m.addWebhook,
				"drop webhook":  m.dropWebhook,
				"create":        m.create,
				"claim":         m.claimAll,
				"save":          m.saveFresh,
				"save stale":    m.saveStale,
				"record late":   m.recordLate,
				"let time pass": m.pass,
				"purge":         m.purge,
			})
			for id := range m.instances {
				m.compare(id)
			}
			m.compareCounts()
		})
	}},
}

// ruled is a testing.TB whose failures are rapid's, which then looks for a
// shorter way to the same.
type ruled struct {
	testing.TB
	t *rapid.T
}

func (r ruled) Errorf(format string, args ...any) { r.t.Errorf(format, args...) }
func (r ruled) Fatalf(format string, args ...any) { r.t.Fatalf(format, args...) }

// modelled is a store beside what it should be: the state machine over maps.
type modelled struct {
	*house
	t         *rapid.T
	webhooks  map[string]riposte.Webhook
	instances map[string]riposte.Instance
	attempts  map[string]map[int]bool     // which are recorded, and whether the record is real
	stale     map[string]riposte.Instance // a version of each that is no longer current
	touched   map[string]bool             // instances that the last step was about
}

// pick draws one of m's keys, or skips the step.
func pick[V any](t *rapid.T, m map[string]V) string {
	if len(m) == 0 {
		t.Skip()
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m))).Draw(t, "id")
}

func (m *modelled) addWebhook(t *rapid.T) {
	w := m.webhook(func(w *riposte.Webhook) {
		w.Settings.RetryPolicy = rapid.SampledFrom([]riposte.RetryPolicy{riposte.RetryFast, riposte.RetryFastThenSlow}).Draw(t, "policy")
	})
	m.webhooks[w.ID] = w
}

func (m *modelled) dropWebhook(t *rapid.T) {
	w := m.webhooks[pick(t, m.webhooks)]
	if w.Deleted() {
		t.Skip()
	}
	m.webhooks[w.ID] = m.deleteWebhook(w)
}

func (m *modelled) create(t *rapid.T) {
	w := m.webhooks[pick(t, m.webhooks)]
	r := riposte.InstanceRequest{
		RequestID:  rapid.SampledFrom([]string{"", "", "r", "s"}).Draw(t, "requestId"),
		OutcomeURL: rapid.SampledFrom([]string{"", outcomeURL, "https://other.example/"}).Draw(t, "outcomeUrl"),
		CreatedBy:  rapid.SampledFrom([]string{"", "red", "red", "blue"}).Draw(t, "createdBy"),
	}
	record := m.record(w, r)
	got, err := m.store.CreateInstances(m.Context(), []riposte.NewInstanceRecord{record})
	m.touched[record.Instance.ID] = true
	want, repeated := m.requested(w.ID, r.RequestID)
	if repeated && !record.Instance.Repeats(want.Fingerprint, want.CreatedBy) {
		m.wantError(err, riposte.ErrRequestIDReused)
		return
	}
	if w.Deleted() && !repeated {
		m.wantError(err, riposte.ErrWebhookNotFound)
		return
	}
	m.must(err)
	if !repeated {
		want = record.Instance.Stored(1)
		m.instances[want.ID] = want
	}
	m.wantEqual(got[0], want)
}

func (m *modelled) requested(webhookID, requestID string) (riposte.Instance, bool) {
	for _, i := range m.instances {
		if requestID != "" && i.WebhookID == webhookID && i.RequestID == requestID {
			return i, true
		}
	}
	return riposte.Instance{}, false
}

// claimAll claims until nothing is due, as the model does.
func (m *modelled) claimAll(t *rapid.T) {
	for {
		c := m.claim(riposte.ClaimRequest{Limit: rapid.IntRange(1, 20).Draw(t, "limit")})
		if len(c.Attempts) == 0 && (c.Next.IsZero() || c.Next.After(m.now())) {
			break
		}
	}
	for id, i := range m.instances {
		for {
			next, lost, err := i.Due(m.webhooks[i.WebhookID], m.now())
			if err != nil {
				break // not due any more
			}
			m.stale[id] = i
			if lost != nil {
				m.recorded(id, lost.Number, false)
			}
			i = next.Stored(i.Version + 1)
		}
		m.set(i)
	}
}

func (m *modelled) recorded(id string, number int, real bool) {
	if m.attempts[id] == nil {
		m.attempts[id] = make(map[int]bool)
	}
	m.attempts[id][number] = m.attempts[id][number] || real
	m.touched[id] = true
}

// set takes an instance over. Its outcome's sequence is the store's affair,
// but for that it never changes.
func (m *modelled) set(i riposte.Instance) {
	if i.Outcome != nil && i.Outcome.Sequence == 0 {
		o := *i.Outcome
		if stored := m.load(i.ID).Outcome; stored != nil {
			o.Sequence = stored.Sequence
		}
		i.Outcome = &o
	}
	m.instances[i.ID] = i
	m.touched[i.ID] = true
}

func (m *modelled) anyEvent(t *rapid.T) riposte.Event {
	return rapid.SampledFrom([]riposte.Event{
		attempted(200), attempted(202), attempted(410), attempted(500), answered(riposte.ViaCallback),
		answered(riposte.ViaOperator), riposte.Canceled{Message: "enough"}, riposte.RetryRequested{},
		riposte.RetryRequested{OutcomeURL: outcomeURL}, pushAnswered(200), pushAnswered(410), pushAnswered(500),
	}).Draw(t, "event")
}

func (m *modelled) saveFresh(t *rapid.T) {
	i := m.instances[pick(t, m.instances)]
	next, err := i.Advance(m.anyEvent(t), m.now())
	if err != nil {
		t.Skip()
	}
	var a *riposte.Attempt
	if i.State == riposte.StateRunning && rapid.Bool().Draw(t, "with attempt") {
		made := attempt(i.Attempts, i.LastAttemptedAt)
		a = &made
		m.recorded(i.ID, i.Attempts, true)
	}
	m.save(next, a)
	m.stale[i.ID] = i
	m.set(next.Stored(i.Version + 1))
}

func (m *modelled) saveStale(t *rapid.T) {
	i := m.stale[pick(t, m.stale)]
	next, err := i.Advance(m.anyEvent(t), m.now())
	if err != nil {
		t.Skip()
	}
	a := attempt(max(1, i.Attempts), i.CreatedAt)
	_, err = m.store.SaveInstance(m.Context(), next, &a)
	m.touched[i.ID] = true
	if _, there := m.instances[i.ID]; there {
		m.wantError(err, riposte.ErrConflict)
	} else {
		m.wantError(err, riposte.ErrInstanceNotFound)
	}
}

func (m *modelled) recordLate(t *rapid.T) {
	i := m.instances[pick(t, m.instances)]
	if i.Attempts == 0 {
		t.Skip()
	}
	n := rapid.IntRange(1, i.Attempts).Draw(t, "number")
	m.must(m.store.RecordAttempt(m.Context(), i.ID, attempt(n, i.CreatedAt)))
	m.recorded(i.ID, n, true)
}

func (m *modelled) pass(t *rapid.T) {
	m.clock.Advance(rapid.SampledFrom([]time.Duration{time.Microsecond, 3 * time.Second, riposte.LeaseDuration,
		riposte.DefaultCallbackTimeout}).Draw(t, "time"))
}

// purge removes what is closed and has expired, whatever the order.
func (m *modelled) purge(*rapid.T) {
	_, err := m.store.PurgeInstances(m.Context(), m.now(), 1000)
	m.must(err)
	left := make(map[string]bool)
	for id, i := range m.instances {
		if i.State.Closed() && i.ExpiresAt.Before(m.now()) {
			delete(m.instances, id)
			delete(m.attempts, id)
			continue
		}
		left[i.WebhookID] = true
	}
	for id, w := range m.webhooks {
		if w.Deleted() && !left[id] {
			// It may be gone or not, and nobody may ask for it.
			delete(m.webhooks, id)
		}
	}
}

func (m *modelled) compareTouched(*rapid.T) {
	for id := range m.touched {
		m.compare(id)
	}
	clear(m.touched)
}

// compareCounts asks the rows, because other runs' are among them.
func (m *modelled) compareCounts() {
	want := make(map[riposte.State]int)
	for _, s := range riposte.States {
		want[s] = len(m.list(riposte.InstanceFilter{State: s, Limit: 1_000_000}))
	}
	m.wantEqual(m.counts(), want)
}

func (m *modelled) compare(id string) {
	got, err := m.store.LoadInstance(m.Context(), id)
	want, there := m.instances[id]
	if !there {
		m.wantError(err, riposte.ErrInstanceNotFound)
		return
	}
	m.must(err)
	m.wantEqual(got, want)
	recorded := make(map[int]bool)
	for _, a := range m.house.attempts(id) {
		recorded[a.Number] = a.Error == nil || a.Error.Phase != riposte.PhaseUnknown
	}
	m.wantEqual(recorded, m.attempts[id])
}
