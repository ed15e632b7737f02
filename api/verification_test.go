package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/outbound"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// foreign is a server of somebody else, whose clock stands still.
type foreign struct {
	client *outbound.Client
	keySet string
}

var foreignNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newForeign() (foreign, error) {
	key, err := outbound.NewSigningKey()
	if err != nil {
		return foreign{}, err
	}
	signer, err := outbound.NewSigner(key)
	if err != nil {
		return foreign{}, err
	}
	client, err := outbound.New(outbound.Options{Signer: signer, Issuer: "foreign.example", Now: func() time.Time { return foreignNow }})
	return foreign{client, string(signer.JWKS())}, err
}

// delivery is what the foreign server would send for an approval.
func (f foreign) delivery() (*ripostev1.VerificationServiceVerifyDeliveryRequest, error) {
	const id = "0123456789abcdefghijklmn"
	source := riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "ticket-1"}
	i := riposte.Instance{ID: id, Source: source, Destination: "https://receiver.example/hook?a=1", State: riposte.StatePending}
	req, err := f.client.Question(context.Background(), riposte.ClaimedInstance{Instance: i,
		Envelope: riposte.NewEnvelope(id, "https://foreign.example/callback/1", source, []byte(payload))})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r := &ripostev1.VerificationServiceVerifyDeliveryRequest{Method: req.Method, Url: req.URL.String(), Body: string(body)}
	for name := range req.Header {
		r.Headers = append(r.Headers, &ripostev1.Header{Name: name, Value: req.Header.Get(name)})
	}
	return r, nil
}

// recordedDelivery is the story's: its checks say the same at every run.
func recordedDelivery() string {
	f, err := newForeign()
	if err != nil {
		panic(err)
	}
	d, err := f.delivery()
	if err != nil {
		panic(err)
	}
	b, err := json.Marshal(map[string]any{"method": d.GetMethod(), "url": d.GetUrl(), "headers": d.GetHeaders(), "body": d.GetBody(),
		"receivedAt": foreignNow.Add(time.Second), "keySet": f.keySet})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// failed are the names of the checks that are not OK.
func failed(r *ripostev1.VerificationServiceVerifyDeliveryResponse) string {
	var names []string
	for _, c := range r.GetChecks() {
		if !c.GetOk() {
			names = append(names, c.GetName())
		}
	}
	return strings.Join(names, ",")
}

func TestVerifyDeliveryFindsTheFault(t *testing.T) {
	f, err := newForeign()
	if err != nil {
		t.Fatal(err)
	}
	another, err := newForeign()
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t)
	type request = ripostev1.VerificationServiceVerifyDeliveryRequest
	set := func(r *request, name, value string) {
		for _, h := range r.GetHeaders() {
			if h.GetName() == name {
				h.Value = value
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*request)
		want   string
	}{
		"nothing":             {func(*request) {}, ""},
		"no method is POST":   {func(r *request) { r.Method = "" }, ""},
		"names in lower case": {func(r *request) { lowerNames(r.GetHeaders()) }, ""},
		"the default port":    {func(r *request) { r.Url = "https://receiver.example:443/hook" }, ""},
		"all paths of a host": {func(r *request) { r.Url = "https://receiver.example" }, "htu"},
		"a method":            {func(r *request) { r.Method = "PUT" }, "method"},
		"another path":        {func(r *request) { r.Url = "https://receiver.example/other" }, "htu"},
		"another host":        {func(r *request) { r.Url = "https://other.example/hook" }, "aud,htu"},
		"a byte of the body":  {func(r *request) { r.Body += " " }, "Content-Digest,htb_s256"},
		"no body":             {func(r *request) { r.Body = "" }, "body,Content-Digest,htb_s256"},
		"no headers":          {func(r *request) { r.Headers = nil }, "Webhook-Version,Webhook-Id,Webhook-Event,Webhook-Callback-Url,Content-Digest,Authorization"},
		"another id":          {func(r *request) { set(r, "Webhook-Id", "x") }, "Webhook-Id"},
		"two authorizations": {func(r *request) {
			r.Headers = append(r.Headers, &ripostev1.Header{Name: "authorization", Value: "bearer x"})
		}, "Authorization"},
		"a token that is none":  {func(r *request) { set(r, "Authorization", "bearer x") }, "JWT"},
		"too early":             {func(r *request) { r.ReceivedAt = timestamppb.New(foreignNow.Add(-2 * time.Minute)) }, "nbf"},
		"too late":              {func(r *request) { r.ReceivedAt = timestamppb.New(foreignNow.Add(3 * time.Minute)) }, "exp"},
		"now":                   {func(r *request) { r.ReceivedAt = nil }, "exp"},
		"another server's keys": {func(r *request) { r.KeySet = another.keySet }, "kid"},
		"this server's keys":    {func(r *request) { r.KeySet = "" }, "kid,iss"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := f.delivery()
			if err != nil {
				t.Fatal(err)
			}
			r.KeySet, r.ReceivedAt = f.keySet, timestamppb.New(foreignNow)
			c.change(r)
			res, err := n.Verification.VerifyDelivery(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if got := failed(res); got != c.want || res.GetAuthentic() != (c.want == "") {
				t.Errorf("authentic is %v, and not OK are %q, want %q", res.GetAuthentic(), got, c.want)
			}
		})
	}
}

func lowerNames(headers []*ripostev1.Header) {
	for _, h := range headers {
		h.Name = strings.ToLower(h.GetName())
	}
}

// verifies asks whether a delivery that a receiver logged is authentic, with the
// server's own keys.
func verifies(t *testing.T, s *ripostetest.Server, d ripostetest.Delivery, url string, at *timestamppb.Timestamp) string {
	t.Helper()
	r := &ripostev1.VerificationServiceVerifyDeliveryRequest{Method: d.Method, Url: url, Body: string(d.Body), ReceivedAt: at}
	for name, values := range d.Header {
		for _, value := range values {
			r.Headers = append(r.Headers, &ripostev1.Header{Name: name, Value: value})
		}
	}
	res, err := s.Verification.VerifyDelivery(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return failed(res)
}

func TestOwnDeliveriesAndPushesVerify(t *testing.T) {
	clock := &ripostetest.Clock{}
	receiver, err := ripostetest.NewReceiver(func(d ripostetest.Delivery) ripostetest.Reply { return answers[d.Path] })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	n := &node{t: t, receiver: receiver}
	n.Server = ripostetest.Start(t, func(c *server.Config) {
		c.Now, c.OutcomeURL = clock.Now, receiver.URL+"/outcome"
	})
	id := n.approval(n.webhook("/approve"), riposte.StateSuccess)
	for _, d := range receiver.Deliveries("") {
		if got := verifies(t, n.Server, d, receiver.URL+d.Path, nil); got != "" {
			t.Errorf("%s: not OK are %s", d.Path, got)
		}
		// A copy verifies as often as it is looked at.
		if got := verifies(t, n.Server, d, receiver.URL, nil); got != "htu" {
			t.Errorf("%s, for the whole host: not OK are %q", d.Path, got)
		}
	}
	if got := len(receiver.Deliveries("")); got != 2 {
		t.Fatalf("there are %d deliveries, want the question %s and its outcome", got, id)
	}
	d := receiver.Deliveries("")[0]
	came := timestamppb.New(clock.Now())
	clock.Advance(5 * time.Minute)
	if got := verifies(t, n.Server, d, receiver.URL+d.Path, nil); got != "exp" {
		t.Errorf("five minutes later: not OK are %q", got)
	}
	if got := verifies(t, n.Server, d, receiver.URL+d.Path, came); got != "" {
		t.Errorf("as of when it came: not OK are %q", got)
	}
}

// TestVerifyDeliveryAtNoTime: JSON has no such time, and Protobuf has.
func TestVerifyDeliveryAtNoTime(t *testing.T) {
	n := startNode(t)
	_, err := n.Verification.VerifyDelivery(t.Context(), &ripostev1.VerificationServiceVerifyDeliveryRequest{
		Url: "https://a.example", ReceivedAt: &timestamppb.Timestamp{Seconds: 1 << 60}})
	if err == nil || !strings.Contains(err.Error(), "receivedAt must be a time from the year 1 to 9999") {
		t.Errorf("the error is %v", err)
	}
}

// TestVerifyDeliveryFetchesNothing names a server of its own wherever a URL can be.
func TestVerifyDeliveryFetchesNothing(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	defer s.Close()
	f, err := newForeign()
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.delivery()
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t)
	r.Url = s.URL
	r.Headers = append(r.Headers, &ripostev1.Header{Name: "Host", Value: strings.TrimPrefix(s.URL, "http://")})
	for _, keySet := range []string{"", f.keySet} {
		r.KeySet = keySet
		res, err := n.Verification.VerifyDelivery(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range res.GetChecks() {
			if c.GetName() == "kid" && !strings.HasSuffix(c.GetDetail(), "key of the keys given.") && !strings.Contains(c.GetDetail(), "is no key of the keys given:") {
				t.Errorf("with the key set %.10q: %s", keySet, c.GetDetail())
			}
		}
	}
	r.KeySet = s.URL
	if _, err := n.Verification.VerifyDelivery(t.Context(), r); err == nil {
		t.Error("a URL passed for a key set")
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestVerifyDocumentSaysWhatACallbackWould(t *testing.T) {
	n := startNode(t)
	waiting := n.approval(n.webhook("/later"), riposte.StateWaitingCallback)
	for name, c := range map[string]struct {
		source, document string
		kind             ripostev1.OutcomeKind
		problem          string
	}{
		"an approval":         {"approvalStep", `{"version":"v1","approve":{}}`, ripostev1.OutcomeKind_OUTCOME_KIND_APPROVED, ""},
		"a provisioning":      {"provisionStep", `{"version":"v1","errored":{}}`, ripostev1.OutcomeKind_OUTCOME_KIND_ERRORED, ""},
		"a workflow":          {"workflowStep", `{"version":"v1","context":{}}`, ripostev1.OutcomeKind_OUTCOME_KIND_CONTEXT, ""},
		"a test":              {"test", `{"version":"v1"}`, ripostev1.OutcomeKind_OUTCOME_KIND_DELIVERED, ""},
		"a policy's":          {"policyPostAction", `{"version":"v1"}`, ripostev1.OutcomeKind_OUTCOME_KIND_DELIVERED, ""},
		"of another source":   {"approvalStep", `{"version":"v1","complete":{}}`, 0, "it must have exactly one of approve, deny, reassign, replacePolicy, has 0"},
		"an empty one":        {"approvalStep", ``, 0, "it is empty"},
		"no JSON":             {"approvalStep", `approve`, 0, "invalid character"},
		"one that is too big": {"approvalStep", `{"version":"v1","approve":{},"x":"` + strings.Repeat("x", 256_000) + `"}`, 0, "larger than 256000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := n.Verification.VerifyDocument(t.Context(), &ripostev1.VerificationServiceVerifyDocumentRequest{Source: c.source, Document: c.document})
			if err != nil {
				t.Fatal(err)
			}
			if res.GetAccepted() != (c.problem == "") || res.GetKind() != c.kind || !strings.Contains(res.GetProblem(), c.problem) {
				t.Errorf("it says %v, want %s, %q", res, c.kind, c.problem)
			}
			if c.problem == "" || c.source != "approvalStep" {
				return
			}
			// What a receiver is told that calls back with the same.
			full, err := n.Instances.GetDelivery(t.Context(), &ripostev1.InstancesServiceGetDeliveryRequest{Id: waiting})
			if err != nil {
				t.Fatal(err)
			}
			n.t = t
			_, path, _ := strings.Cut(full.GetHeaders()["Webhook-Callback-Url"], n.URL())
			if said := n.send(http.MethodPost, path, c.document); said.status == http.StatusBadRequest && said.error(t).Message != res.GetProblem() {
				t.Errorf("it says %q, and a callback is told %q", res.GetProblem(), said.error(t).Message)
			}
		})
	}
}
