package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// TestCallbackIsUsedOnce: after whatever closed the instance, a callback gets
// 400 with the reason.
func TestCallbackIsUsedOnce(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	for _, tt := range []struct {
		name   string
		reply  ripostetest.Reply
		close  func(t *testing.T, id, url string) // nil when the reply does
		reason string
	}{
		{"after a successful callback", ripostetest.Reply{Status: 202}, func(t *testing.T, _, url string) {
			callBack(t, url, approve).ok(t)
		}, "CALLBACK_ALREADY_USED"},
		{"after a synchronous answer", ripostetest.Reply{Body: approve}, nil, "CALLBACK_ALREADY_USED"},
		{"after an operator's answer", ripostetest.Reply{Status: 202}, func(t *testing.T, id, _ string) {
			rest(t, s, http.MethodPost, "/api/v1/instances/"+id+":answer", `{"document":`+approve+`}`).ok(t)
		}, "CALLBACK_ALREADY_USED"},
		{"after a bad synchronous answer", ripostetest.Reply{Body: "OK"}, nil, "INSTANCE_CLOSED"},
		{"after a cancellation", ripostetest.Reply{Status: 202}, func(t *testing.T, id, _ string) {
			rest(t, s, http.MethodPost, "/api/v1/instances/"+id+":cancel", "").ok(t)
		}, "INSTANCE_CLOSED"},
		{"after 410", ripostetest.Reply{Status: 410}, nil, "INSTANCE_CLOSED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, always(tt.reply))
			id := askAt(t, s, r, sourceApprovalStep)
			url := delivered(t, r, id, 1).Envelope.CallbackURL
			if tt.close != nil {
				inState(t, s, id, "WAITING_CALLBACK")
				tt.close(t, id, url)
			}
			before := closed(t, s, id)
			for _, document := range []string{deny, "", "{", complete} {
				st := callBack(t, url, document).refused(t, 400, tt.reason)
				if got := st.metadata("sameDocument"); got != "" {
					t.Errorf("with another document sameDocument is %q", got)
				}
			}
			same := callBack(t, url, approve).refused(t, 400, tt.reason).metadata("sameDocument")
			if want := map[bool]string{true: "true"}[tt.reason == "CALLBACK_ALREADY_USED"]; same != want {
				t.Errorf("with the accepted document sameDocument is %q, want %q", same, want)
			}
			if diff := cmp.Diff(before.String(), get(t, s, id).String()); diff != "" {
				t.Errorf("late callbacks changed the instance (-before +after):\n%s", diff)
			}
		})
	}
	// After expiry: TestExpires.
}

// TestEarlyCallback: a callback while its attempt is in flight wins, whatever
// the attempt then brings; that is recorded and changes nothing.
func TestEarlyCallback(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	for _, reply := range []ripostetest.Reply{
		{Status: 202},
		{Status: 200, Body: deny},
		{Status: 200, Body: "no document"},
		{Status: 410},
		{Status: 500},
		{Status: 503, Header: http.Header{"Retry-After": {"1"}}},
	} {
		t.Run(strings.TrimSpace(fmt.Sprint("before ", reply.Status, " ", reply.Body)), func(t *testing.T) {
			t.Parallel()
			called := make(chan response, 1)
			r := newReceiver(t, func(d ripostetest.Delivery) ripostetest.Reply {
				called <- callBack(t, d.Envelope.CallbackURL, approve)
				return reply
			})
			id := askAt(t, s, r, sourceApprovalStep)
			(<-called).ok(t)
			wantAnswer(t, closed(t, s, id), "APPROVED", "CALLBACK", approve)
			eventually(t, "the attempt's result is not recorded", func() bool {
				all := get(t, s, id).GetAttempts()
				return len(all) == 1 && all[0].GetError().GetPhase() != "unknown"
			})
			i := get(t, s, id)
			wantAnswer(t, i, "APPROVED", "CALLBACK", approve)
			wantAttempts(t, i, 1)
			if a := i.GetAttempts()[0]; int(a.GetStatusCode()) != reply.Status || a.GetResponseBody() != reply.Body || a.GetError() != nil {
				t.Errorf("the attempt is recorded as %v", a)
			}
		})
	}
}

// TestCallbackBetweenAttempts: a 202 that got lost.
func TestCallbackBetweenAttempts(t *testing.T) {
	t.Parallel()
	st := newStage(t, ripostetest.Reply{Status: 500})
	id := st.ask(t, day)
	inState(t, st.server, id, "ERROR")
	url := callbackURL(st.receiver, id)
	callBack(t, url, approve).ok(t)
	wantAnswer(t, get(t, st.server, id), "APPROVED", "CALLBACK", approve)

	jump(t, st.server, st.clock, 2*time.Hour) // past the retry that was due
	i := get(t, st.server, id)
	wantAnswer(t, i, "APPROVED", "CALLBACK", approve)
	wantAttempts(t, i, 1)
	if n := len(st.receiver.Deliveries(id)); n != 1 {
		t.Errorf("there were %d deliveries, want 1: retries stop", n)
	}
}

// TestSimultaneousCallbacks: of many at once exactly one wins, and the others
// get a clean 400.
func TestSimultaneousCallbacks(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	const n = 50
	id, url := waiting(t, s, "approvalStep")
	document := func(k int) string { return fmt.Sprintf(`{"version":"v1","approve":{"comment":"%d"}}`, k) }

	var responses [n]response
	var posting sync.WaitGroup
	ready := make(chan struct{})
	for k := range n {
		posting.Go(func() {
			<-ready
			responses[k] = callBack(t, url, document(k))
		})
	}
	close(ready)
	posting.Wait()

	winner := -1
	for k, r := range responses {
		if r.status != http.StatusOK {
			r.refused(t, 400, "CALLBACK_ALREADY_USED")
			continue
		}
		if winner >= 0 {
			t.Errorf("callbacks %d and %d were both accepted", winner, k)
		}
		winner = k
	}
	if winner < 0 {
		t.Fatal("no callback was accepted")
	}
	wantAnswer(t, get(t, s, id), "APPROVED", "CALLBACK", document(winner))
}

// TestCallbackMethod: only POST acts.
func TestCallbackMethod(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	id, url := waiting(t, s, "approvalStep")
	before := get(t, s, id).String()
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		t.Run(method, func(t *testing.T) {
			r := send(t, method, url, approve, http.Header{"Content-Type": {"application/json"}, "X-Http-Method-Override": {"POST"}})
			if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" {
				t.Errorf("answered %d with Allow %q, want 405 with POST", r.status, r.header.Get("Allow"))
			}
			if diff := cmp.Diff(before, get(t, s, id).String()); diff != "" {
				t.Errorf("%s changed the instance (-before +after):\n%s", method, diff)
			}
		})
	}
	t.Run(http.MethodPost, func(t *testing.T) {
		callBack(t, url, approve).ok(t)
	})
}

func TestCallbackToken(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	id, url := waiting(t, s, "approvalStep")
	_, other := waiting(t, s, "approvalStep")
	token := path.Base(url)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(token) {
		t.Errorf("the token %q is no unpadded base64url: %v", token, err)
	}
	if url != s.URL()+"/api/v1/webhooks/callback/"+token {
		t.Errorf("the callback URL is %q", url)
	}
	if strings.Contains(string(raw), id) || strings.Contains(token, id) {
		t.Errorf("the token %q tells its holder the instance's id", token)
	}
	if url == other {
		t.Error("two instances have one callback URL")
	}
}

// TestInvalidCallback: whatever the cause, the answer is the same.
func TestInvalidCallback(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	id, url := waiting(t, s, "approvalStep")
	base, token := s.BaseURL()+"/api/v1/webhooks/callback/", path.Base(url)
	want := callBack(t, base+"x", approve)
	want.refused(t, 400, "INVALID_CALLBACK")
	wantSame := func(t *testing.T, token, document string) {
		t.Helper()
		got := callBack(t, base+token, document)
		got.header.Del("Date")
		want.header.Del("Date")
		if diff := cmp.Diff(want.header, got.header); got.status != want.status || string(got.body) != string(want.body) || diff != "" {
			t.Errorf("token %q is answered %d %s %s\nwant %d %s", token, got.status, got.body, diff, want.status, want.body)
		}
	}

	t.Run("garbage", func(t *testing.T) {
		for _, garbage := range []string{"-", "%00", "%ff", "AAAA", "..%2f..", id, strings.Repeat("A", 8000),
			base64.RawURLEncoding.EncodeToString([]byte("\x01" + id)), "%E2%80%AE"} {
			wantSame(t, garbage, approve)
		}
	})
	t.Run("whatever the document", func(t *testing.T) {
		for _, document := range []string{"", "{", "null", complete} {
			wantSame(t, "x", document)
		}
	})
	t.Run("truncated or lengthened", func(t *testing.T) {
		for n := 1; n < len(token); n += 7 {
			wantSame(t, token[:n], approve)
		}
		for _, tail := range []string{"%0A", "%0D", "A", "AA", "AAAA", "=", "==", "%3D", "%20", ".", token} {
			wantSame(t, token+tail, approve)
		}
	})
	t.Run("bit flipped", func(t *testing.T) {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		for at := range raw {
			flipped := append([]byte(nil), raw...)
			flipped[at] ^= 1 << (at % 8)
			wantSame(t, base64.RawURLEncoding.EncodeToString(flipped), approve)
		}
	})
	t.Run("another spelling of the same bits", func(t *testing.T) {
		// The last character has bits that stand for nothing.
		if len(token)%4 == 0 {
			t.Skip("the token's length leaves no such bits")
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.IndexByte(alphabet, token[len(token)-1])
		wantSame(t, token[:len(token)-1]+alphabet[last^1:last^1+1], approve)
	})
	t.Run("another server's", func(t *testing.T) {
		_, elsewhere := waiting(t, ripostetest.Start(t), "approvalStep")
		wantSame(t, path.Base(elsewhere), approve)
	})
	t.Run("purged instance's", func(t *testing.T) {
		wantPurgedSame(t, string(want.body))
	})
	wantOpen(t, get(t, s, id), "WAITING_CALLBACK")
	callBack(t, base+token, approve).ok(t)
}

// wantPurgedSame restarts a server long after an instance has expired: a start
// removes what is older than Keep.
func wantPurgedSame(t *testing.T, want string) {
	t.Helper()
	clock, data := new(ripostetest.Clock), t.TempDir()
	start := func() *ripostetest.Server {
		return ripostetest.Start(t, timedBy(clock), func(c *server.Config) { c.Data = data })
	}
	s := start()
	id, url := waiting(t, s, "approvalStep")
	callBack(t, url, approve).ok(t)
	s.Stop()

	clock.Advance(365 * day)
	s = start()
	eventually(t, "the instance is not purged", func() bool {
		_, err := s.Instances.Get(patient(t), &ripostev1.InstancesServiceGetRequest{Id: id})
		return err != nil
	})
	got := callBack(t, s.BaseURL()+"/api/v1/webhooks/callback/"+path.Base(url), approve)
	if got.status != 400 || string(got.body) != want {
		t.Errorf("a purged instance's token is answered %d %s\nwant 400 %s", got.status, got.body, want)
	}
}
