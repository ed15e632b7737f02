package check

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	callbackPath = "/api/v1/webhooks/callback/"
	jwksPath     = "/auth/v1/jwks"
)

// maxCallback bounds what is read of a callback, in bytes: enough for the
// server to see that it is too large.
const maxCallback = 1 << 20

// front is the server's public side: it lets the key set and the callbacks
// through to it, and keeps a log.
type front struct {
	base   string // of the server behind it; set before it serves
	server *http.Server
	client *http.Client

	mu        sync.Mutex
	fetched   bool                  // the key set
	calls     map[string][]Callback // by token, of the checks' own questions
	strangers []Callback            // all others
	busy      map[string]int        // how many callbacks to refuse with 503, by token
	changed   chan struct{}         // closed and replaced at each change
}

func newFront(listener net.Listener, base string) *front {
	f := &front{
		base: base, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}},
		calls: map[string][]Callback{}, busy: map[string]int{}, changed: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+jwksPath, f.keys)
	mux.HandleFunc(callbackPath+"{token}", f.callback)
	f.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = f.server.Serve(listener) }()
	return f
}

func (f *front) close() {
	_ = f.server.Close()
	f.client.CloseIdleConnections()
}

func (f *front) keys(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.fetched = true
	f.mu.Unlock()
	status, header, body, err := f.forward(r, nil)
	reply(w, status, header, body, err)
}

func (f *front) callback(w http.ResponseWriter, r *http.Request) {
	document, err := io.ReadAll(io.LimitReader(r.Body, maxCallback))
	if err != nil {
		return // the receiver has hung up
	}
	token, at := r.PathValue("token"), time.Now()
	if r.Method == http.MethodPost && f.isBusy(token) {
		f.log(token, Callback{At: at, Document: document, Status: http.StatusServiceUnavailable})
		http.Error(w, "riposte check plays a server that is busy: come back", http.StatusServiceUnavailable)
		return
	}
	status, header, body, err := f.forward(r, document)
	if r.Method == http.MethodPost {
		reason, message := refusal(status, body)
		f.log(token, Callback{At: at, Document: document, Status: status, Reason: reason, Message: message})
	}
	reply(w, status, header, body, err)
}

// forward takes a request to the server. What it needs of the header is the
// content type alone.
func (f *front) forward(r *http.Request, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, f.base+r.URL.EscapedPath(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		req.Header.Set("Content-Type", t)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxCallback))
	return resp.StatusCode, resp.Header, answer, err
}

func reply(w http.ResponseWriter, status int, header http.Header, body []byte, err error) {
	if err != nil {
		http.Error(w, fmt.Sprintf("riposte check: %v", err), http.StatusBadGateway)
		return
	}
	for _, name := range []string{"Content-Type", "Cache-Control", "Allow"} {
		if v := header.Values(name); len(v) > 0 {
			w.Header()[name] = v
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (f *front) isBusy(token string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[token] == 0 {
		return false
	}
	f.busy[token]--
	return true
}

func (f *front) beBusy(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy[token] = 1
}

func (f *front) log(token string, c Callback) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if calls, ok := f.calls[token]; ok {
		f.calls[token] = append(calls, c)
	} else {
		f.strangers = append(f.strangers, c)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// callbacks returns what was posted with a token so far, and what is closed at
// the next callback.
func (f *front) callbacks(token string) ([]Callback, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Callback(nil), f.calls[token]...), f.changed
}

func (f *front) keysFetched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fetched
}

// tokenOf is the one-time part of a callback URL.
func tokenOf(callbackURL string) string { return path.Base(callbackURL) }

// refusal reads what the server has against a callback.
func refusal(status int, body []byte) (reason, message string) {
	if status < 400 {
		return "", ""
	}
	var said struct {
		Message string
		Details []struct{ Reason string }
	}
	_ = json.Unmarshal(body, &said) // a server that says nothing still refuses
	for _, d := range said.Details {
		reason = cmp.Or(reason, d.Reason)
	}
	return reason, said.Message
}

// isBad: the document is what the server refused, and not the moment.
func (c Callback) isBad() bool {
	return c.Reason == riposte.ErrBadDocument.Reason || c.Status == http.StatusRequestEntityTooLarge
}

// expect says that a callback with this token is of a question of a check's own.
func (f *front) expect(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[token] = []Callback{}
}

// bad returns the bad documents that came since, but for questions of a check's
// own. They are of the one question that the server asks at a time: those
// before it are closed, and refuse any document.
func (f *front) bad(since time.Time) ([]Callback, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Callback
	for _, c := range f.strangers {
		if c.isBad() && !c.At.Before(since) {
			list = append(list, c)
		}
	}
	return list, f.changed
}
