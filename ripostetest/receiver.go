// Package ripostetest is a test kit for those who work with Riposte: a scripted
// receiver that keeps a log, the check that a receiver makes of a delivery, and
// a whole server on loopback. Nothing in it is a stand-in: the receiver is an
// HTTP server, the server is the product.
package ripostetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Delivery is a request that a receiver got.
type Delivery struct {
	Method   string
	Path     string
	Target   string // path and query as they were sent
	Header   http.Header
	Body     []byte
	Envelope Envelope
	At       time.Time
	Attempt  int // of this instance at this receiver, from 1
}

// Envelope is a delivery's body, read.
type Envelope struct {
	Version     string          `json:"version"`
	WebhookID   string          `json:"webhookId"` // the instance's id
	CallbackURL string          `json:"callbackUrl"`
	Event       string          `json:"event"`
	Payload     json.RawMessage `json:"payload"`
}

// Reply is what a receiver's script answers.
type Reply struct {
	Status   int // 200 when zero
	Header   http.Header
	Body     string
	Hang     bool          // answer nothing until the caller gives up
	Callback string        // a document to post to the callback URL once the reply is out
	After    time.Duration // how long after the reply
}

// Receiver is an endpoint that answers by its script and logs what it got.
type Receiver struct {
	URL string

	script   func(Delivery) Reply
	server   *http.Server
	client   *http.Client
	closing  chan struct{}
	close    func()
	handlers sync.WaitGroup

	mu         sync.Mutex
	deliveries []Delivery
	attempts   map[string]int
	callbacks  []CallbackResult
	changed    chan struct{} // closed and replaced at each change
}

// CallbackResult is what the server answered a callback of the receiver's.
type CallbackResult struct {
	InstanceID string
	Status     int
	Body       []byte
	Err        error
}

// NewReceiver listens on loopback. script is called concurrently.
func NewReceiver(script func(Delivery) Reply) (*Receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		URL:      "http://" + listener.Addr().String(),
		script:   script,
		client:   &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		closing:  make(chan struct{}),
		attempts: map[string]int{},
		changed:  make(chan struct{}),
	}
	r.close = sync.OnceFunc(r.shutDown)
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

// Trust has callbacks go to servers whose certificates are by one of roots; nil stands
// for the system's. It is called before the first delivery.
func (r *Receiver) Trust(roots *x509.CertPool) {
	r.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Close ends the receiver and what it still had to call back; it may be called
// twice.
func (r *Receiver) Close() { r.close() }

func (r *Receiver) shutDown() {
	close(r.closing)
	_ = r.server.Close()
	r.handlers.Wait()
	r.client.CloseIdleConnections()
}

// Deliveries returns the log so far, of one instance or of all ("").
func (r *Receiver) Deliveries(instanceID string) []Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ds []Delivery
	for _, d := range r.deliveries {
		if instanceID == "" || d.Envelope.WebhookID == instanceID {
			ds = append(ds, d)
		}
	}
	return ds
}

// Callbacks returns what the server answered the receiver's callbacks so far.
func (r *Receiver) Callbacks() []CallbackResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]CallbackResult(nil), r.callbacks...)
}

// Wait returns when done says so; it asks again after each delivery and
// callback.
func (r *Receiver) Wait(ctx context.Context, done func() bool) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	d := Delivery{Method: req.Method, Path: req.URL.Path, Target: req.RequestURI, Header: req.Header, Body: body, At: time.Now()}
	_ = json.Unmarshal(body, &d.Envelope)
	r.log(&d)

	reply := r.script(d)
	if reply.Hang {
		select {
		case <-req.Context().Done():
		case <-r.closing:
		}
		return
	}
	if reply.Callback != "" {
		defer r.handlers.Go(func() { r.callBack(d.Envelope, reply) })
	}
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(max(reply.Status, http.StatusOK))
	_, _ = io.WriteString(w, reply.Body)
}

func (r *Receiver) log(d *Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts[d.Envelope.WebhookID]++
	d.Attempt = r.attempts[d.Envelope.WebhookID]
	r.deliveries = append(r.deliveries, *d)
	r.tell()
}

// tell wakes those who Wait; mu is held.
func (r *Receiver) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Receiver) callBack(e Envelope, reply Reply) {
	timer := time.NewTimer(reply.After)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.closing:
		return
	}
	result := r.post(e, reply.Callback)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.callbacks = append(r.callbacks, result)
	r.tell()
}

func (r *Receiver) post(e Envelope, document string) CallbackResult {
	result := CallbackResult{InstanceID: e.WebhookID}
	resp, err := r.client.Post(e.CallbackURL, "application/json", strings.NewReader(document))
	if err != nil {
		result.Err = err
		return result
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, result.Err = b.ReadFrom(resp.Body)
	result.Status, result.Body = resp.StatusCode, b.Bytes()
	return result
}
