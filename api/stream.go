package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
)

const (
	watchPath = "/api/v1/instances:watch"
	// sendTimeout bounds how long a caller who doesn't read is waited for.
	sendTimeout = 30 * time.Second
)

// streaming is h for answers that take as long as the caller stays: reading has
// no time limit, and each piece that is written has one of its own.
func streaming(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Time{})
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
		h(&streamWriter{ResponseWriter: w, controller: c}, r)
	}
}

// streamWriter is an http.ResponseWriter with a time limit for each write.
type streamWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
}

func (w *streamWriter) Write(b []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher, which Connect asks for.
func (w *streamWriter) Flush() { _ = w.FlushError() }

// FlushError is what an http.ResponseController calls.
func (w *streamWriter) FlushError() error {
	w.extend()
	return w.controller.Flush()
}

func (w *streamWriter) extend() { _ = w.controller.SetWriteDeadline(time.Now().Add(sendTimeout)) }

// watchREST streams server-sent events to whoever accepts them, and lines of JSON
// to all others.
func (s *Server) watchREST(w http.ResponseWriter, r *http.Request) {
	req := &watchRequest{}
	_ = queryParser{}.Parse(req, r.URL.Query(), utilities.NewDoubleArray(nil)) // what it refuses is in req
	if id := r.Header.Get("Last-Event-ID"); id != "" && refusal(req) == nil {
		req.After = id // the address is where it began
	}
	to := &restSender{w: w, headOnly: r.Method == http.MethodHead, events: strings.Contains(r.Header.Get("Accept"), "text/event-stream")}
	err := callStream(r.Context(), s, watchName, req, to, s.watch)
	if e, ok := errors.AsType[*connect.Error](err); ok {
		to.fail(e)
	}
}

// restSender writes the answers of a stream.
type restSender struct {
	w        http.ResponseWriter
	events   bool // or else lines
	headOnly bool
	begun    bool
}

var errHeadOnly = errors.New("only the head is wanted")

func (t *restSender) Send(r *watchResponse) error {
	t.begin()
	if t.headOnly {
		return errHeadOnly
	}
	b, err := codec{}.Marshal(r)
	if err != nil {
		return err
	}
	switch {
	case !t.events:
		return t.write(string(b), "\n")
	case r.GetInstance() == nil: // it moves the cursor, and no event is dispatched
		return t.write("id: ", r.GetCursor(), "\n\n")
	}
	return t.write("id: ", r.GetCursor(), "\nevent: outcome\ndata: ", string(b), "\n\n")
}

func (t *restSender) begin() {
	if t.begun {
		return
	}
	t.begun = true
	h := t.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	if t.events {
		h.Set("Content-Type", "text/event-stream")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // a proxy in front would keep it back
	t.w.WriteHeader(http.StatusOK)
}

func (t *restSender) write(parts ...string) error {
	_, err := t.w.Write([]byte(strings.Join(parts, "")))
	return err
}

func (t *restSender) Flush() error { return http.NewResponseController(t.w).Flush() }

// fail says why there is no more, if there is anybody to tell.
func (t *restSender) fail(e *connect.Error) {
	switch b := statusJSON(e); {
	case !t.begun:
		writeError(t.w, e)
	case e.Code() == connect.CodeCanceled:
	case t.events:
		_ = t.write("event: error\ndata: ", string(b), "\n\n")
	default:
		_ = t.write(`{"error":`, string(b), "}\n")
	}
}
