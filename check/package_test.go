package check_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/check"
	"github.com/riposte-dev/riposte/receiver"
)

// TestAReceiverMadeOfThePackagePasses checks what docs/receivers.md shows.
func TestAReceiverMadeOfThePackagePasses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		later   bool
		skipped []string
	}{
		{"that answers at once", false, ofCallbacks},
		{"that calls back", true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h http.Handler
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
			s, err := check.Open(t.Context(), check.Options{URL: server.URL + "/hook?tenant=1", Listen: "127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			v, err := receiver.NewVerifier(s.PublicURL(), server.URL+"/hook", receiver.WithIssuer(s.Keys().Issuer))
			if err != nil {
				t.Fatal(err)
			}
			var running sync.WaitGroup
			defer running.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			defer server.Close()
			h = &handler{verifier: v, later: tt.later, asked: map[string]bool{}, callBack: func(url string, d receiver.Document) {
				running.Go(func() { _ = receiver.CallBack(ctx, url, d) }) // one that comes too late is refused
			}}
			report, err := s.Run(t.Context(), func(int, int, check.Check) {})
			if err != nil {
				t.Fatal(err)
			}
			if !s.Keys().Fetched {
				t.Error("the verifier's request for the keys was not seen")
			}
			if diff := cmp.Diff(tt.skipped, names(report, check.Fail, check.Warn, check.Skip)); diff != "" {
				t.Errorf("not passed: -want +got\n%s", diff)
				tell(t, report)
			}
		})
	}
}

// handler is a receiver whose answer depends on the event alone, so that it
// keeps only what it has been asked.
type handler struct {
	verifier *receiver.Verifier
	later    bool
	callBack func(url string, d receiver.Document)

	mu    sync.Mutex
	asked map[string]bool
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d, err := h.verifier.Verify(r)
	if err != nil {
		receiver.Refuse(w, err)
		return
	}
	if !h.later {
		_ = receiver.Respond(w, answerTo(d.Source))
		return
	}
	if h.first(d.InstanceID) {
		h.callBack(d.CallbackURL, answerTo(d.Source))
	}
	receiver.Later(w)
}

func (h *handler) first(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.asked[id]
	h.asked[id] = true
	return !seen
}

func answerTo(kind receiver.SourceKind) receiver.Document {
	switch kind {
	case receiver.SourceApprovalStep:
		return receiver.Approve("fine by me")
	case receiver.SourceProvisionStep:
		return receiver.Complete("")
	case receiver.SourceWorkflowStep:
		return receiver.Context(map[string]string{"manager": "grace"})
	}
	return receiver.VersionAlone()
}
