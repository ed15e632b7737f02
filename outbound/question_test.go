package outbound

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

// TestQuestionIsWhatSendSends sends an instance and compares what came with what
// Question says of it.
func TestQuestionIsWhatSendSends(t *testing.T) {
	var got *http.Request
	var body []byte
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}) + "/a%2Fb//c?q=1&q=%20"
	c := newClient(t, func(o *Options) { o.Now = func() time.Time { return sentAt } })
	sent := claimed(url)
	sent.Instance.State = riposte.StateRunning
	wantStatus(t, c.Send(t.Context(), sent), 200)

	q, err := c.Question(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	if q.Method != got.Method || q.URL.String() != url || q.Host != got.Host {
		t.Errorf("the request is %s %s at %s, sent was %s %s at %s", q.Method, q.URL, q.Host, got.Method, got.RequestURI, got.Host)
	}
	if b, err := io.ReadAll(q.Body); err != nil || string(b) != string(body) {
		t.Errorf("the body is %q (%v), sent was %q", b, err, body)
	}
	_, claims := verified(t, q.Header.Get("Authorization"), c.signer.JWKS())
	_, sentClaims := verified(t, got.Header.Get("Authorization"), c.signer.JWKS())
	if claims["jti"] == sentClaims["jti"] {
		t.Error("the token is not a new one")
	}
	delete(claims, "jti")
	delete(sentClaims, "jti")
	if diff := cmp.Diff(sentClaims, claims); diff != "" {
		t.Errorf("the claims differ (-sent +got):\n%s", diff)
	}
	for _, h := range []http.Header{q.Header, got.Header} {
		h.Del("Authorization")
		h.Del("Content-Length") // the transport's
	}
	if diff := cmp.Diff(got.Header, q.Header); diff != "" {
		t.Errorf("the headers differ (-sent +got):\n%s", diff)
	}
}

func TestQuestionsAttemptIsTheNextOrTheLast(t *testing.T) {
	c := newClient(t, nil)
	for _, tt := range []struct {
		state    riposte.State
		attempts int
		want     string
	}{
		{riposte.StatePending, 0, "1"},
		{riposte.StateError, 3, "4"},
		{riposte.StateRunning, 3, "3"},
		{riposte.StateWaitingCallback, 2, "2"},
		{riposte.StateSuccess, 2, "2"},
		{riposte.StateFatalError, 0, "1"}, // canceled before the first
	} {
		i := claimed("http://127.0.0.1:1/hook")
		i.Instance.State, i.Instance.Attempts = tt.state, tt.attempts
		q, err := c.Question(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.Header.Get("Webhook-Attempt"); got != tt.want {
			t.Errorf("in %s after %d attempts it is %s, want %s", tt.state, tt.attempts, got, tt.want)
		}
	}
}

// TestQuestionStaysAQuestion: what the next request of such an instance would be is
// a push of its outcome.
func TestQuestionStaysAQuestion(t *testing.T) {
	c := newClient(t, nil)
	i := claimed("http://127.0.0.1:1/hook")
	i.Instance.State, i.Instance.Push = riposte.StateProcessResponse, &riposte.Push{URL: "http://127.0.0.1:1/outcome"}
	q, err := c.Question(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(i.Envelope.Body)
	if want := "sha-256=" + base64.StdEncoding.EncodeToString(sum[:]); q.URL.String() != i.Instance.Destination || q.Header.Get("Content-Digest") != want {
		t.Errorf("it goes to %s with the digest %s, want %s, %s", q.URL, q.Header.Get("Content-Digest"), i.Instance.Destination, want)
	}
}

func TestQuestionOfADestinationThatIsNotAllowed(t *testing.T) {
	c := newClient(t, func(o *Options) { o.Destinations = Destinations{} })
	for destination, reason := range map[string]string{"https://127.0.0.1/hook": ReasonBlockedAddress, "http://example.com/": ReasonBadURL} {
		i := claimed(destination)
		_, err := c.Question(t.Context(), i)
		if e, ok := errors.AsType[*riposte.Error](err); !ok || e.Code != riposte.CodeFailedPrecondition || e.Reason != reason {
			t.Errorf("%s: the error is %v, want %s", destination, err, reason)
		}
	}
}
