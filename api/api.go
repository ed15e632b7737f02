// Package api is the only door: one set of handlers that REST, gRPC, gRPC-Web
// and Connect share, with authentication, limits and error mapping each at one
// place.
//
// A request passes the bounds of what is in work at once (limit.go), the router
// (router.go), authentication (auth.go) with its caller's rate (rate.go), for REST
// the gateway (rest.go), the choke point (call.go), and then its operation.
// The callback, the key set and the health paths are plain handlers beside them
// and need no credentials. What operators read (operator.go) does. A stream
// (stream.go) passes the choke point once.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/feed"
)

// Options is what the API needs; all but Keys and Metrics is required.
type Options struct {
	Store      riposte.Store
	PublicURL  string                   // base of callback URLs, without a slash at the end
	Issuer     string                   // the iss of the server's JWTs
	Check      riposte.DestinationCheck // the rules for a webhook's URL
	OutcomeURL string                   // where outcomes are pushed whose webhook has no URL for them; "" for nowhere
	JWKS       func() []byte            // the document at /auth/v1/jwks
	Keys       []riposte.Key            // API keys that the configuration gives, beside the store's
	Tokens     *CallbackTokens
	ServerKeys ServerKeys      // the server's own keys
	Counted    Counted         // what is not in the store yet of the statistics
	Held       func() []string // the webhooks, by id, that are held because their receivers can't be reached
	Metrics    http.Handler    // what GET /metrics answers to a viewer; nil: there is nothing at that path
	Logger     *slog.Logger

	// CallbacksApart leaves callbacks to the handler of Callbacks alone.
	CallbacksApart bool

	// Question builds the request that would ask an instance's question now. A
	// riposte.Error says why there would be none.
	Question func(context.Context, riposte.ClaimedInstance) (*http.Request, error)

	// Sealer returns what seals the secrets of webhooks, which only requests to receivers
	// have open, or why this node can't.
	Sealer func(context.Context) (riposte.Sealer, error)

	// AccessTokens are what clients call with, beside API keys.
	AccessTokens *AccessTokens
}

// Server is the API over one store.
type Server struct {
	Options
	waiters     *waiters
	feed        *feed.Feed
	older       *olderSums
	counts      *kept[counts]
	pressing    *kept[pressing]
	trouble     *kept[trouble]
	lastUses    *lastUses
	refusals    rate.Sometimes // to be logged
	unsubscribe func()
	publicURL   *url.URL
	bounds      *bounds
	buckets     buckets
	handler     http.Handler
	door        http.Handler    // handler, within bounds
	stopping    context.Context // ends when nobody may wait any longer
	stop        context.CancelFunc
	running     sync.WaitGroup
}

// New returns the API. Close it before the store.
func New(o Options) *Server {
	s := &Server{Options: o, refusals: rate.Sometimes{Interval: time.Second}, waiters: newWaiters(o.Store), feed: feed.New(o.Store, o.Logger)}
	if s.publicURL, _ = url.Parse(o.PublicURL); s.publicURL == nil { // whoever configures it has checked it
		s.publicURL = &url.URL{}
	}
	s.older, s.lastUses = newOlderSums(s.counted), newLastUses(o.Store, o.Logger)
	s.counts, s.pressing, s.trouble = newKept(countsAge, s.readCounts), newKept(countsAge, s.readPressing), newKept(troubleAge, s.readTrouble)
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.unsubscribe = o.Store.Subscribe(s.waiters.changed)
	s.running.Go(func() { s.waiters.run(s.stopping) })
	s.running.Go(func() { s.lastUses.run(s.stopping) })
	s.bounds, s.buckets.byCaller = newBounds(), map[string]*rate.Limiter{}
	s.handler = s.panicLogged(s.routes())
	s.door = s.bounded(s.handler)
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.door.ServeHTTP(w, r) }

func (s *Server) panicLogged(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.logPanic(r)
		h.ServeHTTP(w, r)
	})
}

// logPanic tells of a bug at a level that operators see. The path stays out of
// it: it may have a callback's token. net/http then ends the connection.
func (s *Server) logPanic(r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler {
		s.Logger.Error("a handler panicked", "panic", p, "method", r.Method, "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}

// StopWaiting makes every Wait answer now and every Watch end, so that a stop
// takes no longer than what is being worked on.
func (s *Server) StopWaiting() { s.stop() }

// Close ends what New began.
func (s *Server) Close() {
	s.StopWaiting()
	s.unsubscribe()
	s.running.Wait()
	s.lastUses.close()
	s.feed.Close()
}
