package outbound

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
)

// sealPlainly keeps what it was given readable, behind what it is for.
func sealPlainly(purpose string, secret []byte) riposte.Sealed {
	return riposte.Sealed(purpose + "=" + string(secret))
}

func openPlainly(purpose string, sealed riposte.Sealed) ([]byte, error) {
	secret, ok := bytes.CutPrefix(sealed, []byte(purpose+"="))
	if !ok {
		return nil, errors.New("it was sealed for something else")
	}
	return secret, nil
}

// opening is a client that opens what sealPlainly sealed.
func opening(o *Options) { o.Open = openPlainly }

func newOpeningClient(tb testing.TB) *Client {
	tb.Helper()
	return newClient(tb, opening)
}

// asked is an attempt of a webhook with this URL.
func asked(url string, headers ...riposte.Header) riposte.ClaimedInstance {
	a := claimed(url)
	a.Webhook = riposte.Webhook{ID: "w1", URL: url, Version: 1, Settings: riposte.WebhookSettings{Request: riposte.RequestSettings{Headers: headers}}}
	return a
}

func plainHeader(name, value string) riposte.Header {
	h := riposte.Header{Name: name}
	h.Value = sealPlainly(h.Purpose("w1"), []byte(value))
	return h
}

// rotate gives the webhook another secret and returns what verifies its signatures.
func rotate(tb testing.TB, w *riposte.Webhook, scheme riposte.SecretScheme, keep time.Duration, now time.Time) string {
	tb.Helper()
	_, verifyWith, err := w.RotateSecret(riposte.SecretRotation{Scheme: scheme, Keep: keep}, sealPlainly, now)
	if err != nil {
		tb.Fatal(err)
	}
	w.Version++
	return verifyWith
}

// TestSignatureVectors has the examples of the specification's libraries.
func TestSignatureVectors(t *testing.T) {
	const id, timestamp, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`
	for _, tt := range []struct {
		scheme    riposte.SecretScheme
		key, want string
	}{
		{riposte.SchemeV1, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		{riposte.SchemeV1A, "VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=", "tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="},
	} {
		key := must(base64.StdEncoding.DecodeString(tt.key))
		if got := base64.StdEncoding.EncodeToString(newSign(tt.scheme, key)(id, timestamp, []byte(body))); got != tt.want {
			t.Errorf("%s: the signature is %s, want %s", tt.scheme, got, tt.want)
		}
	}
}

// record is a receiver that keeps what came last.
func record(tb testing.TB, got *seen) string {
	return receiver(tb, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*got = seen{r.Method, r.RequestURI, r.Host, r.Proto, r.Header.Clone(), body}
	})
}

// wantVerified checks a signature as the receiver would that has verifyWith.
func wantVerified(tb testing.TB, h http.Header, body []byte, verifyWith string) {
	tb.Helper()
	public, asymmetric := strings.CutPrefix(verifyWith, "whpk_")
	if !asymmetric {
		if err := must(standardwebhooks.NewWebhook(verifyWith)).Verify(body, h); err != nil {
			tb.Errorf("the library says: %v", err)
		}
		return
	}
	key := ed25519.PublicKey(must(base64.StdEncoding.DecodeString(public)))
	text := h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + string(body)
	for signature := range strings.SplitSeq(h.Get("webhook-signature"), " ") {
		encoded, ok := strings.CutPrefix(signature, "v1a,")
		if ok && ed25519.Verify(key, []byte(text), must(base64.StdEncoding.DecodeString(encoded))) {
			return
		}
	}
	tb.Errorf("no signature is by %s: %q", verifyWith, h.Get("webhook-signature"))
}

func TestRequestsAreSignedWithEachLiveSecret(t *testing.T) {
	var got seen
	a := asked(record(t, &got))
	now := time.Now()
	ended := rotate(t, &a.Webhook, riposte.SchemeV1, 0, now.Add(-time.Hour))
	oldest := rotate(t, &a.Webhook, riposte.SchemeV1, time.Minute, now.Add(-time.Hour))
	older := rotate(t, &a.Webhook, riposte.SchemeV1A, time.Hour, now.Add(-30*time.Minute)) // ends the one before at half an hour from now
	newest := rotate(t, &a.Webhook, riposte.SchemeV1, time.Hour, now)
	wantStatus(t, newOpeningClient(t).Send(t.Context(), a), 200)

	for _, verifyWith := range []string{oldest, older, newest} {
		wantVerified(t, got.header, got.body, verifyWith)
	}
	var schemes []string
	for signature := range strings.SplitSeq(got.header.Get("Webhook-Signature"), " ") {
		scheme, _, _ := strings.Cut(signature, ",")
		schemes = append(schemes, scheme)
	}
	if diff := cmp.Diff([]string{"v1", "v1a", "v1"}, schemes); diff != "" || len(got.header["Webhook-Signature"]) != 1 {
		t.Errorf("the signatures differ (-want +got):\n%s", diff)
	}
	if err := must(standardwebhooks.NewWebhook(ended)).Verify(got.body, got.header); err == nil {
		t.Error("the one that has ended signs")
	}
	first, _, _ := strings.Cut(got.header.Get("Webhook-Signature"), " ")
	h := got.header.Clone()
	h.Set("Webhook-Signature", first)
	wantVerified(t, h, got.body, newest)
}

// TestSecretEndsAtItsTime has one client, which knows the secrets from before.
func TestSecretEndsAtItsTime(t *testing.T) {
	now := sentAt
	c := newClient(t, func(o *Options) { o.Open, o.Now = openPlainly, func() time.Time { return now } })
	a := asked("https://receiver.example/hook")
	rotate(t, &a.Webhook, riposte.SchemeV1, 0, sentAt)
	rotate(t, &a.Webhook, riposte.SchemeV1, time.Hour, now)
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 2}, {time.Hour - time.Second, 2}, {time.Hour, 1}} {
		now = sentAt.Add(tt.after)
		q := must(c.Question(t.Context(), a))
		if got := len(strings.Fields(q.Header.Get("Webhook-Signature"))); got != tt.want {
			t.Errorf("after %v there are %d signatures, want %d", tt.after, got, tt.want)
		}
	}
}

// TestSecretsChangeWhileDeliveriesRun rotates from one goroutine while others send. Each
// delivery verifies with what was the newest secret when it was sent.
func TestSecretsChangeWhileDeliveriesRun(t *testing.T) {
	type current struct {
		webhook    riposte.Webhook
		verifyWith string
	}
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := must(standardwebhooks.NewWebhook(r.Header.Get("X-Verify-With"))).Verify(body, r.Header); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	})
	c := newOpeningClient(t)
	var newest atomic.Pointer[current]
	w := asked(url).Webhook
	change := func() {
		verifyWith := rotate(t, &w, riposte.SchemeV1, 0, time.Now())
		w.Settings.Request.Headers = []riposte.Header{plainHeader("X-Verify-With", verifyWith)}
		newest.Store(&current{w, verifyWith})
	}
	change()
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 50 {
				a := claimed(url)
				a.Webhook = newest.Load().webhook
				if r := c.Send(t.Context(), a); r.Attempt.StatusCode != 200 {
					t.Errorf("version %d: %d, %v, %s", a.Webhook.Version, r.Attempt.StatusCode, r.Attempt.Error, r.Attempt.ResponseBody)
				}
			}
		}()
	}
	for running := 4; running > 0; {
		select {
		case <-done:
			running--
		default:
			change()
		}
	}
}

// TestNothingOfAWebhookChangesTheContract gives requests headers that no API would let
// pass: with them everything is as without.
func TestNothingOfAWebhookChangesTheContract(t *testing.T) {
	var got seen
	url := record(t, &got)
	c := newClient(t, func(o *Options) { o.Open, o.Now = openPlainly, func() time.Time { return sentAt } })
	bare := asked(url)
	wantStatus(t, c.Send(t.Context(), bare), 200)
	want := got
	ours := slices.Collect(func(yield func(string) bool) {
		for name := range want.header {
			if !yield(name) {
				return
			}
		}
	})
	more := []string{"Host", "Transfer-Encoding", "Connection", "Trailer", "Te", "Upgrade", "Expect", "Accept-Encoding", "Webhook-Signature", "Proxy-Connection",
		"Keep-Alive", "Idempotency-Key", "Cookie"}
	// Every name in several spellings, and harmless ones between them.
	names := rapid.Custom(func(t *rapid.T) string {
		name := rapid.OneOf(rapid.SampledFrom(ours), rapid.SampledFrom(more), rapid.Just("x-a"), rapid.StringMatching(`[A-Za-z!#$%&'*+.^_|~0-9-]{1,12}`)).Draw(t, "name")
		return rapid.SampledFrom([]func(string) string{strings.ToLower, strings.ToUpper, textproto.CanonicalMIMEHeaderKey,
			func(s string) string { return s }}).Draw(t, "spelling")(name)
	})
	version := int64(1)
	rapid.Check(t, func(t *rapid.T) {
		a, wanted := bare, map[string]string{}
		version++
		a.Webhook.Version = version
		a.Webhook.Settings.Request.Headers = nil
		for n, name := range rapid.SliceOfN(names, 0, 20).Draw(t, "names") {
			value := fmt.Sprintf("chunked-%d", n)
			a.Webhook.Settings.Request.Headers = append(a.Webhook.Settings.Request.Headers, plainHeader(name, value))
			canonical := textproto.CanonicalMIMEHeaderKey(name)
			if _, twice := wanted[canonical]; !twice && !riposte.ReservedHeader(name) {
				wanted[canonical] = value
			}
		}
		if r := c.Send(t.Context(), a); r.Attempt.StatusCode != 200 {
			t.Fatalf("the attempt failed: %+v", r.Attempt)
		}
		if got.method != want.method || got.uri != want.uri || got.host != want.host || !bytes.Equal(got.body, want.body) {
			t.Fatalf("the request is %+v, want %+v", got, want)
		}
		for name, values := range got.header {
			_, isOurs := want.header[name]
			switch {
			case name == "Authorization" && len(values) == 1 && strings.HasPrefix(values[0], "bearer eyJ"):
			case isOurs && slices.Equal(values, want.header[name]):
			case !isOurs && slices.Equal(values, []string{wanted[name]}):
			default:
				t.Fatalf("%s is %q, without the webhook's %q", name, values, want.header[name])
			}
		}
		if len(got.header) != len(want.header)+len(wanted) {
			t.Fatalf("there are %d headers, want ours and %d: %v", len(got.header), len(wanted), got.header)
		}
	})
}

// TestOnlyTheWebhooksHostLearnsItsHeaders: a question that was asked before the url was
// changed goes on to the old one.
func TestOnlyTheWebhooksHostLearnsItsHeaders(t *testing.T) {
	var got seen
	a := asked(record(t, &got), plainHeader("X-Key", "s3cret"))
	verifyWith := rotate(t, &a.Webhook, riposte.SchemeV1, 0, time.Now())
	c := newOpeningClient(t)
	for url, want := range map[string]string{
		a.Webhook.URL: "s3cret", a.Webhook.URL + "/other?x=1": "s3cret",
		"https://new.example/hook": "", strings.Replace(a.Webhook.URL, "http:", "https:", 1): "", "http://127.0.0.1:1/hook": "", "no url": "",
	} {
		a.Webhook.URL = url
		a.Webhook.Version++
		wantStatus(t, c.Send(t.Context(), a), 200)
		if key := got.header.Get("X-Key"); key != want {
			t.Errorf("the webhook is at %s now: X-Key is %q, want %q", url, key, want)
		}
		wantVerified(t, got.header, got.body, verifyWith)
	}
}

func TestPushHasNothingOfTheWebhook(t *testing.T) {
	var got seen
	url := record(t, &got)
	a := asked(url, plainHeader("X-Key", "s3cret"))
	rotate(t, &a.Webhook, riposte.SchemeV1, 0, time.Now())
	a.Instance.State, a.Instance.Push = riposte.StateProcessResponse, &riposte.Push{URL: url}
	c := newClient(t, func(o *Options) {
		opening(o)
		o.OutcomeBody = func(riposte.Instance) ([]byte, error) { return []byte(`{}`), nil }
	})
	wantStatus(t, c.Send(t.Context(), a), 200)
	if got.header.Get("X-Key") != "" || got.header.Get("Webhook-Signature") != "" || got.header.Get("Webhook-Event") != riposte.PushEvent {
		t.Errorf("the push has %v", got.header)
	}
}

func TestSecretThatCantBeOpenedSendsNothing(t *testing.T) {
	var got seen
	url := record(t, &got)
	secret := asked(url)
	rotate(t, &secret.Webhook, riposte.SchemeV1, 0, time.Now())
	secret.Webhook.ID = "w2" // somebody moved it there
	certificate := asked("https" + strings.TrimPrefix(url, "http"))
	certificate.Webhook.Settings.Request.ClientCertificate = &riposte.ClientCertificate{PrivateKey: riposte.Sealed("other")}
	for name, a := range map[string]riposte.ClaimedInstance{
		"a header": asked(url, plainHeader("X-Key", "k"), riposte.Header{Name: "X-Other", Value: plainHeader("X-Key", "k").Value}),
		"a secret": secret, "a client certificate": certificate,
	} {
		t.Run(name, func(t *testing.T) {
			c := newOpeningClient(t)
			r := c.Send(t.Context(), a)
			wantError(t, r, riposte.PhasePrepare, ReasonSecretUnreadable)
			if got.method != "" || r.Attempt.RemoteAddress != "" || r.Attempt.Phases != (riposte.Phases{}) {
				t.Errorf("something was sent: %+v, %+v", got, r.Attempt)
			}
			_, err := c.Question(t.Context(), a)
			if e, ok := errors.AsType[*riposte.Error](err); !ok || e.Code != riposte.CodeFailedPrecondition || e.Reason != ReasonSecretUnreadable {
				t.Errorf("Question's error is %v", err)
			}
		})
	}
	t.Run("a client that opens none", func(t *testing.T) {
		wantError(t, newClient(t, nil).Send(t.Context(), asked(url, plainHeader("X-Key", "k"))), riposte.PhasePrepare, ReasonSecretUnreadable)
	})
}

func TestQuestionHidesHeadersAndSigns(t *testing.T) {
	a := asked("https://receiver.example/hook", plainHeader("x-key", "s3cret"))
	verifyWith := rotate(t, &a.Webhook, riposte.SchemeV1, 0, time.Now())
	q := must(newOpeningClient(t).Question(t.Context(), a))
	if got := q.Header.Get("X-Key"); got != "<hidden>" {
		t.Errorf("X-Key is %q", got)
	}
	wantVerified(t, q.Header, must(io.ReadAll(q.Body)), verifyWith)
}

// TestQuestionsAreShownWhileTheWebhookChanges is for the race detector: what is shown is
// a copy of what others go on to use.
func TestQuestionsAreShownWhileTheWebhookChanges(t *testing.T) {
	c := newOpeningClient(t)
	var showing sync.WaitGroup
	for n := range 4 {
		showing.Go(func() {
			a := asked("https://receiver.example/hook", plainHeader("X-Key", "s3cret"))
			for range 50 {
				a.Webhook.Version += int64(1 + n)
				q, err := c.Question(t.Context(), a)
				if err != nil || q.Header.Get("X-Key") != hiddenValue {
					t.Errorf("it is shown as %v, %v", q, err)
				}
			}
		})
	}
	showing.Wait()
}

// TestSettingsAreOpenedOnce counts what is opened.
func TestSettingsAreOpenedOnce(t *testing.T) {
	var opens atomic.Int64
	c := newClient(t, func(o *Options) {
		o.Open = func(purpose string, sealed riposte.Sealed) ([]byte, error) {
			opens.Add(1)
			return openPlainly(purpose, sealed)
		}
	})
	ask := func(a riposte.ClaimedInstance, want string, wantOpens int64) {
		t.Helper()
		opens.Store(0)
		m, err := c.message(a)
		if err != nil {
			t.Fatal(err)
		}
		h := must(c.build(t.Context(), m, sentAt)).Header
		if got := h.Get("X-Key"); got != want || opens.Load() != wantOpens {
			t.Errorf("X-Key is %q after %d opens, want %q after %d", got, opens.Load(), want, wantOpens)
		}
	}
	bare, a := asked("https://receiver.example/hook"), asked("https://receiver.example/hook", plainHeader("X-Key", "1"))
	ask(bare, "", 0)
	ask(a, "1", 1)
	ask(a, "1", 0)
	a.Webhook.Version++ // for something else
	ask(a, "1", 0)
	a.Webhook.Version++
	a.Webhook.Settings.Request.Headers = []riposte.Header{plainHeader("X-Key", "2")}
	ask(a, "2", 1)
	ask(a, "2", 0)
	for n := range maxOpened + 10 {
		w := riposte.Webhook{ID: strconv.Itoa(n), URL: a.Webhook.URL}
		h := riposte.Header{Name: "X-Key"}
		h.Value = sealPlainly(h.Purpose(w.ID), []byte(w.ID))
		w.Settings.Request.Headers = []riposte.Header{h}
		ask(riposte.ClaimedInstance{Instance: a.Instance, Envelope: a.Envelope, Webhook: w}, w.ID, 1)
	}
	if n := len(c.openings.known); n != maxOpened {
		t.Errorf("%d webhooks are remembered, want %d", n, maxOpened)
	}
}
