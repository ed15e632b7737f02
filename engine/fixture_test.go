package engine_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/engine"
	"github.com/riposte-dev/riposte/outbound"
	"github.com/riposte-dev/riposte/sqlite"
)

// The tests run the engine over a real store on disk in a bubble of synctest:
// the clock goes on only when everybody waits, so a test of three weeks takes
// milliseconds and every time is exact.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// in runs a test in a bubble.
func in(t *testing.T, test func(*testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

// pass lets d go by, and then all that follows at that moment happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func openStore(t testing.TB) riposte.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start runs an engine; stop ends it cleanly and returns when Run has. The
// test's end stops it too.
func start(t testing.TB, s riposte.Store, sender engine.Sender, changes ...func(*engine.Options)) (e *engine.Engine, stop func()) {
	t.Helper()
	o := engine.Options{Store: s, Sender: sender, Fast: riposte.DefaultFastDelay, Logger: slog.New(slog.DiscardHandler)}
	for _, change := range changes {
		change(&o)
	}
	e = engine.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return e, stop
}

func newWebhook(t testing.TB, s riposte.Store, changes ...func(*riposte.Webhook)) riposte.Webhook {
	t.Helper()
	check := func(string) (string, error) { return "receiver.test", nil }
	w, err := riposte.NewWebhook("receiver", "", "https://receiver.test/", 0, check, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(&w)
	}
	if w, err = s.SaveWebhook(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

func bound(n int) func(*riposte.Webhook) {
	return func(w *riposte.Webhook) { w.Settings.MaxInFlight = n }
}

// shortly is a callback timeout that keeps the tests short; the API's shortest
// is a day. No poll of the engine's falls on it by chance.
const shortly = 127 * time.Second

func expiresShortly(w *riposte.Webhook) { w.CallbackTimeout = shortly }

// ask creates n instances on w, all or none.
func ask(t testing.TB, s riposte.Store, w riposte.Webhook, n int) []riposte.Instance {
	t.Helper()
	records := make([]riposte.NewInstanceRecord, n)
	for at := range records {
		i, envelope, err := riposte.NewInstance(w, riposte.InstanceRequest{
			Source: riposte.Source{Kind: riposte.SourceProvisionStep, TicketID: "T-1"},
		}, func(id string) string { return "https://riposte.test/" + id }, s.Now())
		if err != nil {
			t.Fatal(err)
		}
		records[at] = riposte.NewInstanceRecord{Instance: i, Envelope: envelope}
	}
	created, err := s.CreateInstances(context.Background(), records)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func askOne(t testing.TB, s riposte.Store, w riposte.Webhook) riposte.Instance {
	t.Helper()
	return ask(t, s, w, 1)[0]
}

func load(t testing.TB, s riposte.Store, id string) riposte.Instance {
	t.Helper()
	i, err := s.LoadInstance(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func attemptsOf(t testing.TB, s riposte.Store, id string) []riposte.Attempt {
	t.Helper()
	all, err := s.LoadAttempts(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// answerByCallback does what the API does for a callback.
func answerByCallback(t testing.TB, s riposte.Store, id string) {
	t.Helper()
	answer, err := riposte.ParseAnswer(riposte.SourceProvisionStep, []byte(complete))
	if err != nil {
		t.Fatal(err)
	}
	next, err := load(t, s, id).Advance(riposte.Answered{Via: riposte.ViaCallback, Answer: answer}, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveInstance(context.Background(), next, nil); err != nil {
		t.Fatal(err)
	}
}

const complete = `{"version":"v1","complete":{}}`

// receiver is a Sender that answers by its script and keeps a log.
type receiver struct {
	script func(riposte.ClaimedInstance) int // the status it answers, 0 for none; nil for 200 at once

	mu       sync.Mutex
	log      []delivery
	inFlight map[string]int // by webhook, "" for all
	most     map[string]int
}

type delivery struct {
	instance string
	attempt  int
	at       time.Time
}

func (r *receiver) Send(_ context.Context, c riposte.ClaimedInstance) riposte.Result {
	began := time.Now()
	r.enter(c, began)
	status := 200
	if r.script != nil {
		status = r.script(c)
	}
	r.leave(c)
	a := riposte.Attempt{Number: c.Instance.Attempts, StartedAt: riposte.Time(began), Duration: time.Since(began), StatusCode: status}
	switch {
	case status != 0:
		return riposte.Result{Attempt: a, Document: []byte(complete)}
	case a.Duration < riposte.AttemptTimeout:
		a.Error = &riposte.AttemptError{Phase: riposte.PhaseConnect, Reason: outbound.ReasonRefused}
	default:
		a.Error = &riposte.AttemptError{Phase: riposte.PhaseResponse, Reason: outbound.ReasonTimeout}
	}
	return riposte.Result{Attempt: a}
}

func (r *receiver) enter(c riposte.ClaimedInstance, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inFlight == nil {
		r.inFlight, r.most = map[string]int{}, map[string]int{}
	}
	r.log = append(r.log, delivery{c.Instance.ID, c.Instance.Attempts, riposte.Time(at)})
	for _, scope := range []string{"", c.Webhook.ID} {
		r.inFlight[scope]++
		r.most[scope] = max(r.most[scope], r.inFlight[scope])
	}
}

func (r *receiver) leave(c riposte.ClaimedInstance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight[""]--
	r.inFlight[c.Webhook.ID]--
}

func (r *receiver) deliveries() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivery(nil), r.log...)
}

// mostInFlight is how many attempts were in flight at once at most, on one
// webhook or on all ("").
func (r *receiver) mostInFlight(webhookID string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most[webhookID]
}

// faulty is a store that fails as it is told to, before an effect or after it.
type faulty struct {
	riposte.Store
	beforeClaim           func(riposte.ClaimRequest) error
	afterClaim            func(ctx context.Context) error
	beforeSave, afterSave func(riposte.Instance) error
}

func (f *faulty) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	if f.beforeClaim != nil {
		if err := f.beforeClaim(r); err != nil {
			return riposte.Claim{}, err
		}
	}
	c, err := f.Store.Claim(ctx, r)
	if err == nil && f.afterClaim != nil {
		if err := f.afterClaim(ctx); err != nil {
			return riposte.Claim{}, err
		}
	}
	return c, err
}

func (f *faulty) SaveInstance(ctx context.Context, i riposte.Instance, a *riposte.Attempt) (riposte.Instance, error) {
	if f.beforeSave != nil {
		if err := f.beforeSave(i); err != nil {
			return riposte.Instance{}, err
		}
	}
	saved, err := f.Store.SaveInstance(ctx, i, a)
	if err == nil && f.afterSave != nil {
		err = f.afterSave(i)
	}
	return saved, err
}
