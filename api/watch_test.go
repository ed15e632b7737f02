package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// watched is one line of a stream.
type watched struct {
	Cursor   string
	Instance *struct {
		WebhookInstance struct{ ID, State string }
		Outcome         struct {
			Kind, DocumentJSON, Sequence string
		}
	}
	Error *status
}

// stream opens one by HTTP. It is closed with the test.
func (n *node) stream(path string, header ...string) (*http.Response, *bufio.Scanner) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.BaseURL()+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+n.APIKey)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := n.http.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return res, lines
}

func next(t testing.TB, lines *bufio.Scanner) watched {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("the stream has ended: %v", lines.Err())
	}
	var w watched
	if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
		t.Fatalf("%s: %v", lines.Bytes(), err)
	}
	return w
}

func TestWatchByLines(t *testing.T) {
	n := startNode(t)
	hook := n.webhook("/approve")
	before := n.approval(hook, riposte.StateSuccess)
	res, lines := n.stream("/api/v1/instances:watch?after=0")
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "application/x-ndjson" {
		t.Fatalf("HTTP %d, %s", res.StatusCode, got)
	}
	first := next(t, lines)
	if first.Cursor != "0" || first.Instance != nil {
		t.Errorf("begins with %+v", first)
	}
	second := next(t, lines)
	if i := second.Instance; i == nil || i.WebhookInstance.ID != before || i.Outcome.Kind != "OUTCOME_KIND_APPROVED" ||
		i.Outcome.DocumentJSON != answers["/approve"].Body || i.Outcome.Sequence != second.Cursor {
		t.Errorf("then comes %+v", second)
	}
	live := n.approval(hook, riposte.StateSuccess)
	third := next(t, lines)
	if third.Instance == nil || third.Instance.WebhookInstance.ID != live || third.Instance.WebhookInstance.State != "WEBHOOK_STATE_SUCCESS" {
		t.Errorf("and then %+v", third)
	}
	// Who goes on from a cursor gets what comes after it, and nothing twice.
	_, lines = n.stream("/api/v1/instances:watch?after=" + second.Cursor)
	if again := next(t, lines); again.Cursor != second.Cursor {
		t.Errorf("goes on from %q", again.Cursor)
	}
	if again := next(t, lines); again.Instance == nil || again.Instance.WebhookInstance.ID != live {
		t.Errorf("goes on with %+v", again)
	}
}

func TestWatchOfWhatIsToComeLeavesOutWhatWas(t *testing.T) {
	n := startNode(t)
	hook := n.webhook("/approve")
	n.approval(hook, riposte.StateSuccess)
	_, lines := n.stream("/api/v1/instances:watch")
	if first := next(t, lines); first.Cursor == "0" || first.Instance != nil {
		t.Errorf("begins with %+v", first)
	}
	live := n.approval(hook, riposte.StateSuccess)
	if got := next(t, lines); got.Instance == nil || got.Instance.WebhookInstance.ID != live {
		t.Errorf("got %+v", got)
	}
}

func TestWatchByServerSentEvents(t *testing.T) {
	n := startNode(t)
	hook := n.webhook("/approve")
	ids := []string{n.approval(hook, riposte.StateSuccess), n.approval(hook, riposte.StateSuccess)}
	res, lines := n.stream("/api/v1/instances:watch?after=0", "Accept", "text/event-stream")
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatal(got)
	}
	event := func() (fields map[string]string) {
		fields = map[string]string{}
		for lines.Scan() && lines.Text() != "" {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			fields[name] = value
		}
		return fields
	}
	if first := event(); first["id"] != "0" || first["data"] != "" {
		t.Errorf("begins with %v", first)
	}
	var last map[string]string
	for _, id := range ids {
		last = event()
		var w watched
		if err := json.Unmarshal([]byte(last["data"]), &w); err != nil || last["event"] != "outcome" || w.Instance.WebhookInstance.ID != id ||
			w.Cursor != last["id"] {
			t.Errorf("%v, %v", last, err)
		}
	}
	// A browser that comes back says where it was.
	_, lines = n.stream("/api/v1/instances:watch?after=0", "Accept", "text/event-stream", "Last-Event-ID", last["id"])
	if again := event(); again["id"] != last["id"] {
		t.Errorf("goes on from %v", again)
	}
}

func TestWatchByGRPC(t *testing.T) {
	n := startNode(t)
	client := ripostev1.NewInstancesServiceClient(n.grpc)
	stream, err := client.Watch(n.asAdmin(), &ripostev1.InstancesServiceWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || first.GetInstance() != nil {
		t.Fatalf("begins with %v, %v", first, err)
	}
	id := n.approval(n.webhook("/approve"), riposte.StateSuccess)
	got, err := stream.Recv()
	if err != nil || got.GetInstance().GetWebhookInstance().GetId() != id || got.GetInstance().GetOutcome().GetDocumentJson() == "" {
		t.Errorf("%v, %v", got, err)
	}
	stream, err = client.Watch(n.asAdmin(), &ripostev1.InstancesServiceWatchRequest{After: "99"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); grpcstatus.Code(err) != codes.InvalidArgument {
		t.Errorf("a cursor to come: %v", err)
	}
}

func TestWatchFilters(t *testing.T) {
	n := startNode(t)
	hook, other := n.webhook("/approve"), n.webhook("/approve")
	n.approval(other, riposte.StateSuccess)
	want := n.approval(hook, riposte.StateSuccess)
	for _, filter := range []string{"webhookId=" + hook, `source=approvalStep%20AND%20webhookId="` + hook + `"`, "ticketId=ticket-1%20AND%20webhook_id=" + hook} {
		_, lines := n.stream("/api/v1/instances:watch?after=0&filter=" + filter)
		next(t, lines)
		if got := next(t, lines); got.Instance == nil || got.Instance.WebhookInstance.ID != want {
			t.Errorf("%s: %+v", filter, got)
		}
	}
}

func TestWatchRefuses(t *testing.T) {
	n := startNode(t)
	for query, field := range map[string]string{
		"after=x": "after", "after=-1": "after", "after=1.5": "after", "filter=state=ERROR": "filter", "filter=nonsense": "filter",
		`filter=createdAt>"2026-01-02T15:04:05Z"`: "filter", "page_size=3": "page_size",
	} {
		r := n.send(http.MethodGet, "/api/v1/instances:watch?"+strings.ReplaceAll(query, ">", "%3E"), "")
		if _, named := r.error(t).fields()[field]; r.status != http.StatusBadRequest || !named {
			t.Errorf("%s: HTTP %d, %s", query, r.status, r.body)
		}
	}
	if r := n.send(http.MethodGet, "/api/v1/instances:watch?after=5", ""); r.status != http.StatusBadRequest || r.error(t).reason() != "CURSOR_UNKNOWN" {
		t.Errorf("a cursor to come: HTTP %d, %s", r.status, r.body)
	}
	if r := n.send(http.MethodGet, "/api/v1/instances:watch", "", "Authorization", ""); r.status != http.StatusUnauthorized {
		t.Errorf("without a key: HTTP %d", r.status)
	}
	if r := n.send(http.MethodHead, "/api/v1/instances:watch", ""); r.status != http.StatusOK || r.header.Get("Content-Type") == "" {
		t.Errorf("HEAD: HTTP %d, %v", r.status, r.header)
	}
}

// TestWatchShowsThatItIsAlive when there is nothing to tell, and goes on with its
// cursor past what the filter left out.
func TestWatchShowsThatItIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newInProcess(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(40*time.Second, cancel)
		r, w := io.Pipe()
		defer r.Close()
		go func() {
			defer w.Close()
			p.api.ServeHTTP(&pipeWriter{ResponseRecorder: httptest.NewRecorder(), to: w}, newRequest(ctx, "GET /api/v1/instances:watch?filter=source=test", ""))
		}()
		go func() {
			time.Sleep(20 * time.Second)
			p.serve(t.Context(), "POST /api/v1/instances/"+p.waiting+":cancel", `{}`)
		}()
		began, lines := time.Now(), bufio.NewScanner(r)
		var got []string
		for lines.Scan() {
			var w watched
			if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s", time.Since(began), w.Cursor))
		}
		if want := "[0s 0 15s 0 30s 1]"; fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}

// pipeWriter is a response that is read while it is written.
type pipeWriter struct {
	*httptest.ResponseRecorder
	to io.Writer
}

func (w *pipeWriter) Write(b []byte) (int, error) { return w.to.Write(b) }

func TestWatchEndsWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newInProcess(t)
		time.AfterFunc(time.Second, p.api.StopWaiting)
		start := time.Now()
		w := p.serve(t.Context(), "GET /api/v1/instances:watch", "")
		if w.Code != http.StatusOK || time.Since(start) != time.Second || !strings.Contains(w.Body.String(), `"error"`) ||
			!strings.Contains(w.Body.String(), "STOPPING") {
			t.Errorf("HTTP %d after %s: %s", w.Code, time.Since(start), w.Body)
		}
		if w := p.serve(t.Context(), "GET /api/v1/instances:watch", ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("afterwards: HTTP %d, %s", w.Code, w.Body)
		}
	})
}

// TestWatchEndsWithItsKey within 5 s after that is revoked.
func TestWatchEndsWithItsKey(t *testing.T) {
	for name, accept := range map[string]string{"lines": "", "events": "text/event-stream"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newInProcess(t)
				k, secret, err := riposte.NewKey("watcher", riposte.RoleViewer, p.store.Now())
				if err != nil {
					t.Fatal(err)
				}
				if err := p.store.CreateKey(t.Context(), k); err != nil {
					t.Fatal(err)
				}
				const revoked = 21 * time.Second // heartbeats are sent until then
				time.AfterFunc(revoked, func() { p.serve(t.Context(), "DELETE /api/v1/keys/"+k.ID, "") })
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r := newRequest(ctx, "GET /api/v1/instances:watch", "")
				r.Header.Set("Authorization", "Bearer "+secret)
				r.Header.Set("Accept", accept)
				w, start := httptest.NewRecorder(), time.Now()
				p.api.ServeHTTP(w, r)
				if took := time.Since(start); took < revoked || took > revoked+5*time.Second {
					t.Errorf("it ends after %s", took)
				}
				if body := w.Body.String(); !strings.Contains(body, "error") || !strings.Contains(body, "BAD_CREDENTIALS") {
					t.Errorf("it ends with %s", body)
				}
			})
		})
	}
}

// TestRevokedKeyIsSentNoOutcome, by Connect and by gRPC.
func TestRevokedKeyIsSentNoOutcome(t *testing.T) {
	n := startNode(t)
	hook := n.webhook("/approve")
	k, authorization := n.key("watcher", ripostev1.Role_ROLE_VIEWER)
	c := ripostetest.NewClient(n.BaseURL(), strings.TrimPrefix(authorization, "Bearer "))
	t.Cleanup(c.CloseIdleConnections)
	byConnect, err := c.Instances.Watch(t.Context(), &ripostev1.InstancesServiceWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer byConnect.Close()
	byGRPC, err := ripostev1.NewInstancesServiceClient(n.grpc).Watch(
		metadata.AppendToOutgoingContext(t.Context(), "authorization", authorization), &ripostev1.InstancesServiceWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !byConnect.Receive() {
		t.Fatal(byConnect.Err())
	}
	if _, err := byGRPC.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Keys.Revoke(t.Context(), &ripostev1.KeysServiceRevokeRequest{Id: k.GetId()}); err != nil {
		t.Fatal(err)
	}
	n.approval(hook, riposte.StateSuccess)
	if byConnect.Receive() || connect.CodeOf(byConnect.Err()) != connect.CodeUnauthenticated {
		t.Errorf("Connect: %v, %v", byConnect.Msg(), byConnect.Err())
	}
	if got, err := byGRPC.Recv(); grpcstatus.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC: %v, %v", got, err)
	}
}
