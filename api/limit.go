package api

import (
	"context"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
)

// The bounds of what is in work at once. Each kind of request has its own, so that too
// many of one kind leave the others alone. docs/operations.md says what that comes to
// in memory.
const (
	// Hundreds of workers that each ask one question after the other are no overload, nor
	// are as many receivers that answer at the same time and may not try again. But where
	// more are worked on at once, all that are answered by one commit crowd the processors.
	maxCalls        = 1024
	maxWorked       = 128
	maxCallBytes    = 96 << 20 // three batches of the largest
	maxCallbacks    = 1024
	maxCallbackBody = 32 << 20
	// Whoever was asked once must not take everybody's places, nor their bytes, with one
	// URL. But of dozens that answer at once each is told what became of it.
	maxCallbacksOfOne = 64
	// A wait costs a connection's memory and nothing else, for a minute or more.
	maxWaits     = 16_384
	maxWaitBytes = 64 << 20
	maxPages     = 64
	maxPageBytes = 16 << 20
	// Whoever asks for a token sends a body before anybody knows who that is.
	maxTokens = 256
)

const (
	// overloadedDelay is when a caller who was refused may try again.
	overloadedDelay = time.Second
	// maxInflation is how many bytes one of gzip may become.
	maxInflation = 1032
	// maxDrained is how much of a body that nobody wants net/http may read, so that its
	// HTTP/1.1 connection can be used again. Whoever sends more gets another one.
	maxDrained = 4 << 10
)

var errOverloaded = &riposte.Error{Code: riposte.CodeUnavailable, Reason: "OVERLOADED",
	Message: "the server has as much to do as it can hold: try again"}

// turnPatience is for how long a request waits for its turn: a store that hangs is told
// of by then to those who have theirs.
const turnPatience = 5 * time.Second

// bound is of one kind of requests: how many there are, and how many bytes of their
// bodies are held. None of them waits for room: who is refused at once knows it. Those
// that there is room for wait for their turn, in their order, once their bodies have come:
// who sends slowly keeps nobody else from work.
type bound struct {
	requests, bytes      int64         // at most
	turns                chan struct{} // has one for each that is worked on; nil where all are at once
	inFlight, held, shed atomic.Int64

	ofOne int // requests at most of one path; 0 for any number
	mu    sync.Mutex
	paths map[string]int // with as many in flight; nil where ofOne is 0
}

// bounds are those of all kinds.
type bounds struct{ calls, callbacks, waits, pages, tokens bound }

func newBounds() *bounds {
	return &bounds{
		calls:     bound{requests: maxCalls, bytes: maxCallBytes, turns: make(chan struct{}, maxWorked)},
		callbacks: bound{requests: maxCallbacks, bytes: maxCallbackBody, turns: make(chan struct{}, maxWorked), ofOne: maxCallbacksOfOne, paths: map[string]int{}},
		waits:     bound{requests: maxWaits, bytes: maxWaitBytes},
		pages:     bound{requests: maxPages, bytes: maxPageBytes},
		tokens:    bound{requests: maxTokens, bytes: maxTokens * maxTokenBody},
	}
}

// of returns the bound for a path, nil for what is never refused: it costs little, and
// it is needed most when there is too much of the rest.
func (b *bounds) of(path string) *bound {
	switch path {
	case healthPath, readyPath, jwksPath:
		return nil
	case tokenPath:
		return &b.tokens
	}
	switch {
	case waits(path):
		return &b.waits
	case isOperators(path):
		return nil
	case strings.HasPrefix(path, callbackPath):
		return &b.callbacks
	}
	return &b.calls
}

// waits reports whether what is called by a path may wait for long.
func waits(path string) bool {
	switch path {
	case watchPath, ripostev1connect.InstancesServiceWatchProcedure, ripostev1connect.InstancesServiceWaitProcedure,
		ripostev1connect.ConsumersServicePullProcedure:
		return true
	}
	return strings.HasPrefix(path, "/api/") && (strings.HasSuffix(path, ":wait") || strings.HasSuffix(path, ":pull"))
}

// add takes n more where they fit below most.
func add(to *atomic.Int64, n, most int64) bool {
	if to.Add(n) <= most {
		return true
	}
	to.Add(-n)
	return false
}

// bounded is next for the requests that there is room for; the others are refused
// before their bodies are read.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := s.bounds.of(r.URL.Path)
		if b == nil {
			next.ServeHTTP(w, r)
			return
		}
		limit := bodyLimit(r.URL.Path)
		switch b {
		case &s.bounds.callbacks:
			limit = riposte.MaxDocumentSize
		case &s.bounds.tokens:
			limit = maxTokenBody
		}
		b.serve(w, r, int64(limit), next, s.shed)
	})
}

// Pages is h, which serves people, with bounds of its own: they want to see why the
// callers are refused. What h asks of the API it asks Inside.
func (s *Server) Pages(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.bounds.pages.serve(w, r, maxPageBytes, h, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, errOverloaded.Message, http.StatusServiceUnavailable)
		})
	})
}

// Inside is the API for requests that are within bounds already.
func (s *Server) Inside() http.Handler { return s.handler }

func (b *bound) serve(w http.ResponseWriter, r *http.Request, limit int64, next http.Handler, shed http.HandlerFunc) {
	body := &countedBody{ReadCloser: r.Body, ctx: r.Context(), of: b, shed: true}
	defer body.release()
	if !add(&b.inFlight, 1, b.requests) {
		b.refuse(w, r, shed)
		return
	}
	defer b.inFlight.Add(-1)
	if !b.enter(r.URL.Path) {
		b.refuse(w, r, shed)
		return
	}
	defer b.leave(r.URL.Path)
	if !body.reserve(announced(r, limit)) || r.Body == http.NoBody && !body.takeTurn() {
		b.refuse(w, r, shed)
		return
	}
	body.shed = false
	if r.Body != http.NoBody {
		r.Body = body
	}
	next.ServeHTTP(w, r)
}

// enter reports whether there are not too many of one path.
func (b *bound) enter(path string) bool {
	if b.ofOne == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paths[path] == b.ofOne {
		return false
	}
	b.paths[path]++
	return true
}

func (b *bound) leave(path string) {
	if b.ofOne == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paths[path]--; b.paths[path] == 0 {
		delete(b.paths, path)
	}
}

// takeTurn reports whether there was one in time.
func (b *bound) takeTurn(ctx context.Context) bool {
	select {
	case b.turns <- struct{}{}:
		return true
	default:
	}
	late := time.NewTimer(turnPatience)
	defer late.Stop()
	select {
	case b.turns <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-late.C:
	}
	return false
}

func (b *bound) refuse(w http.ResponseWriter, r *http.Request, shed http.HandlerFunc) {
	b.shed.Add(1)
	if r.ProtoMajor == 1 && (r.ContentLength < 0 || r.ContentLength > maxDrained) {
		w.Header().Set("Connection", "close")
	}
	shed(w, r)
}

// announced is how many bytes a body is going to take, as far as its head says: what
// is compressed takes as many as it may become.
func announced(r *http.Request, limit int64) int64 {
	length := r.ContentLength
	if compressed(r.Header) {
		if length < 0 || length > limit/maxInflation {
			return limit
		}
		length *= maxInflation
	}
	return min(max(length, 0), limit)
}

func compressed(h http.Header) bool {
	for _, name := range []string{"Content-Encoding", "Grpc-Encoding", "Connect-Content-Encoding"} {
		if encoding := h.Get(name); encoding != "" && encoding != "identity" {
			return true
		}
	}
	return false
}

// countedBody takes from its bound what its head didn't announce when that comes, and a
// turn when all has come.
type countedBody struct {
	io.ReadCloser
	ctx        context.Context // the request's
	of         *bound
	read, held int64
	turn       bool // it is the request's
	shed       bool // it is counted as refused
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read += int64(n)
	if !c.reserve(c.read-c.held) || err == io.EOF && !c.takeTurn() {
		if !c.shed {
			c.shed = true
			c.of.shed.Add(1)
		}
		return 0, tryAgain(errOverloaded, overloadedDelay)
	}
	return n, err
}

func (c *countedBody) reserve(n int64) bool {
	if n <= 0 {
		return true
	}
	if !add(&c.of.held, n, c.of.bytes) {
		return false
	}
	c.held += n
	return true
}

func (c *countedBody) takeTurn() bool {
	if !c.turn && c.of.turns != nil {
		c.turn = c.of.takeTurn(c.ctx)
		return c.turn
	}
	return true
}

func (c *countedBody) release() {
	c.of.held.Add(-c.held)
	if c.turn {
		<-c.of.turns
	}
}

// shed answers whom there is no room for. Over REST that costs next to nothing: there
// may be very many of them.
func (s *Server) shed(w http.ResponseWriter, r *http.Request) {
	s.refusals.Do(func() {
		s.Logger.Warn("overloaded: callers are told to try again", "path", shownPath(r.URL.Path))
	})
	if r.URL.Path == tokenPath {
		s.refuseGrant(w, r, errOverloaded)
		return
	}
	if isREST(r) {
		writeStatus(w, http.StatusServiceUnavailable, "1", overloadedJSON())
		return
	}
	writeRefusal(w, r, tryAgain(errOverloaded, overloadedDelay))
}

var overloadedJSON = sync.OnceValue(func() []byte { return statusJSON(tryAgain(errOverloaded, overloadedDelay)) })

// shownPath keeps the tokens of callback URLs out of logs.
func shownPath(path string) string {
	if strings.HasPrefix(path, callbackPath) {
		return callbackPath
	}
	return path
}

// tryAgain is e with when to try again, as REST and as gRPC clients look for it.
func tryAgain(e *riposte.Error, after time.Duration) *connect.Error {
	out := connectError(e)
	addDetail(out, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	out.Meta().Set("Retry-After", strconv.FormatFloat(math.Ceil(after.Seconds()), 'f', 0, 64))
	return out
}

// InFlight is how many requests of each kind are in work; for metrics.
func (s *Server) InFlight() map[string]int64 {
	return s.bounds.each(func(b *bound) int64 { return b.inFlight.Load() })
}

// HeldBytes is how many bytes of the bodies of each kind are held; for metrics.
func (s *Server) HeldBytes() map[string]int64 {
	return s.bounds.each(func(b *bound) int64 { return b.held.Load() })
}

// Shed is how many requests of each kind were refused because there was no room for
// them; for metrics.
func (s *Server) Shed() map[string]int64 {
	return s.bounds.each(func(b *bound) int64 { return b.shed.Load() })
}

func (b *bounds) each(of func(*bound) int64) map[string]int64 {
	return map[string]int64{"call": of(&b.calls), "callback": of(&b.callbacks), "wait": of(&b.waits), "page": of(&b.pages), "token": of(&b.tokens)}
}
