// Command limit is the thinnest pipeline that keeps Riposte's promise, to be
// measured against: it takes an instance over HTTP, appends it to a file and
// answers once that is synced, delivers it with a signed POST, and appends what
// came of it. Appends that wait at the same time share an fsync. It can neither
// retry nor recover, and has no API to speak of.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// inFlight is how many attempts a receiver gets at once, as in Riposte.
const inFlight = 64

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	data := flag.String("data", ".", "directory of the log")
	flag.Parse()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	p := newPipeline(*data, "http://"+l.Addr().String())
	go func() { log.Fatal(http.Serve(l, p.routes())) }()
	stopped, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	<-stopped.Done()
}

// entry is bytes that wait to be on disk.
type entry struct {
	bytes []byte
	done  chan struct{}
}

type pipeline struct {
	url            string
	key            ed25519.PrivateKey
	client         *http.Client
	entries        chan entry
	mu             sync.RWMutex
	receivers      map[string]*receiver
	closed, fsyncs atomic.Int64
}

type receiver struct {
	url, host string
	due       chan instance
}

type instance struct {
	id   string
	body []byte
}

func newPipeline(dir, url string) *pipeline {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * inFlight}}
	p := &pipeline{url: url, key: key, client: client, entries: make(chan entry, 1024), receivers: map[string]*receiver{}}
	f, err := os.OpenFile(filepath.Join(dir, "limit.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	go p.write(f)
	return p
}

func (p *pipeline) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/webhooks", p.createWebhook)
	mux.HandleFunc("POST /api/v1/webhooks/{id}/instances", p.create)
	mux.HandleFunc("POST /callback/{id}", p.callback)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "bench_closed_total %d\nbench_fsyncs_total %d\n", p.closed.Load(), p.fsyncs.Load())
	})
	return mux
}

// write appends what has queued up since the last fsync, syncs, and tells
// everybody.
func (p *pipeline) write(f *os.File) {
	w := bufio.NewWriterSize(f, 1<<20)
	for first := range p.entries {
		batch := []entry{first}
		for range len(p.entries) {
			batch = append(batch, <-p.entries)
		}
		for _, e := range batch {
			w.Write(e.bytes)
		}
		if err := errors.Join(w.Flush(), f.Sync()); err != nil {
			log.Fatal(err)
		}
		p.fsyncs.Add(1)
		for _, e := range batch {
			close(e.done)
		}
	}
}

func (p *pipeline) append(parts ...[]byte) {
	e := entry{bytes.Join(parts, []byte(" ")), make(chan struct{})}
	p.entries <- e
	<-e.done
}

func (p *pipeline) createWebhook(w http.ResponseWriter, r *http.Request) {
	var req struct{ URL string }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(req.URL, "http://"), ":")
	id, to := rand.Text(), &receiver{url: req.URL, host: host, due: make(chan instance, 1<<20)}
	p.mu.Lock()
	p.receivers[id] = to
	p.mu.Unlock()
	for range inFlight {
		go p.deliver(to)
	}
	fmt.Fprintf(w, `{"webhook":{"id":%q}}`, id)
}

func (p *pipeline) create(w http.ResponseWriter, r *http.Request) {
	var req struct{ Payload json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.RLock()
	to := p.receivers[r.PathValue("id")]
	p.mu.RUnlock()
	i := instance{rand.Text(), req.Payload}
	p.append([]byte("created"), []byte(i.id), i.body, []byte("\n"))
	to.due <- i
	fmt.Fprintf(w, `{"instance":{"webhookInstance":{"id":%q}}}`, i.id)
}

func (p *pipeline) deliver(to *receiver) {
	for i := range to.due {
		req, _ := http.NewRequest(http.MethodPost, to.url, bytes.NewReader(i.body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "bearer "+p.sign(to, i.body))
		req.Header.Set("Webhook-Id", i.id)
		req.Header.Set("Webhook-Callback-Url", p.url+"/callback/"+i.id)
		resp, err := p.client.Do(req)
		if err != nil {
			log.Fatal(err) // it could not be measured any more
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		p.append(fmt.Append(nil, resp.StatusCode), []byte(i.id), body, []byte("\n"))
		if resp.StatusCode != http.StatusAccepted {
			p.closed.Add(1)
		}
	}
}

func (p *pipeline) callback(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.append([]byte("answered"), []byte(r.PathValue("id")), body, []byte("\n"))
	p.closed.Add(1)
	fmt.Fprint(w, "{}")
}

var header = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"JWT"}`))

// sign returns a JWT with the claims that Riposte's have.
func (p *pipeline) sign(to *receiver, body []byte) string {
	sum, now := sha256.Sum256(body), time.Now().Unix()
	claims := fmt.Appendf(nil, `{"aud":%q,"c1typ":"wh","exp":%d,"htm":"POST","htu":%q,"htb_s256":%q,"iat":%d,"iss":"limit","jti":%q,"nbf":%d}`,
		to.host, now+120, to.url, base64.StdEncoding.EncodeToString(sum[:]), now, rand.Text(), now-60)
	signed := header + "." + base64.RawURLEncoding.EncodeToString(claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(p.key, []byte(signed)))
}
