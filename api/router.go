package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1/webhooksv1connect"
	"github.com/riposte-dev/riposte/gen/openapi"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
)

// Bounds of a request's body, in bytes. A batch is bounded by what the server
// can hold at once, not by 1000 of the largest payloads.
const (
	maxBody      = 2 << 20
	maxBatchBody = 32 << 20
	// maxVerifiedBody holds any delivery that a receiver takes, in a JSON string, where
	// its quotes count twice.
	maxVerifiedBody = 4 << 20
	// maxWaitBody holds a name and the longest filter, however they are written. It is held
	// for as long as the wait, and where it is compressed it counts whole.
	maxWaitBody = 16 << 10
	// minCompressed: what fits into a packet gains nothing by gzip.
	minCompressed = 1 << 10
)

// The paths of what isn't an operation.
const (
	healthPath   = "/healthz"
	readyPath    = "/readyz"
	jwksPath     = "/auth/v1/jwks"
	callbackPath = "/api/v1/webhooks/callback/"
)

// routes lays out every path the server has.
func (s *Server) routes() http.Handler {
	var (
		webhooks  = webhooksService{s}
		search    = searchService{s}
		instances = instancesService{s}
		settings  = settingsService{s}
		consumers = consumersService{s}
		keys      = keysService{s}
		figures   = statisticsService{s}
		verify    = verificationService{s}
		clients   = clientsService{s}
		ownKeys   = serverKeysService{s}
		audit     = auditService{s}
	)
	mux := http.NewServeMux()
	mux.HandleFunc(healthPath, only(http.MethodGet, s.healthz))
	mux.HandleFunc(readyPath, only(http.MethodGet, s.readyz))
	mux.HandleFunc(tokenPath, s.token)
	mux.HandleFunc("/openapi.json", only(http.MethodGet, serveOpenAPI))
	if s.CallbacksApart {
		mux.HandleFunc(jwksPath, only(http.MethodGet, s.jwks))
		mux.HandleFunc(callbackPath, notFound)
	} else {
		s.receiverRoutes(mux)
	}
	mux.HandleFunc("/", notFound)
	s.operatorRoutes(mux)

	mux.Handle(watchPath, s.authenticated(only(http.MethodGet, streaming(s.watchREST))))
	mux.Handle("/api/", s.authenticated(newREST(webhooks, search, instances, settings, consumers, keys, figures, verify, clients, ownKeys, audit)))

	rpc := func(path string, h http.Handler) { mux.Handle(path, s.authenticated(h)) }
	options := connect.WithHandlerOptions(
		connect.WithCodec(codec{}),
		connect.WithCompressMinBytes(minCompressed),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			return []connect.HandlerOption{connect.WithReadMaxBytes(bodyLimit(spec.Procedure))}
		}),
	)
	rpc(webhooksv1connect.NewWebhooksServiceHandler(webhooks, options))
	rpc(webhooksv1connect.NewWebhooksSearchHandler(search, options))
	path, h := ripostev1connect.NewInstancesServiceHandler(instances, options)
	rpc(path, h)
	rpc(ripostev1connect.InstancesServiceWatchProcedure, streaming(h.ServeHTTP))
	rpc(ripostev1connect.NewWebhookSettingsServiceHandler(settings, options))
	rpc(ripostev1connect.NewConsumersServiceHandler(consumers, options))
	rpc(ripostev1connect.NewKeysServiceHandler(keys, options))
	rpc(ripostev1connect.NewStatisticsServiceHandler(figures, options))
	rpc(ripostev1connect.NewVerificationServiceHandler(verify, options))
	rpc(ripostev1connect.NewClientsServiceHandler(clients, options))
	rpc(ripostev1connect.NewServerKeysServiceHandler(ownKeys, options))
	rpc(ripostev1connect.NewAuditServiceHandler(audit, options))
	return mux
}

// receiverRoutes adds what receivers call: callbacks, and the keys that deliveries are
// verified with. Both are for everybody.
func (s *Server) receiverRoutes(mux *http.ServeMux) {
	mux.HandleFunc(jwksPath, only(http.MethodGet, s.jwks))
	mux.HandleFunc(callbackPath+"{token}", only(http.MethodPost, s.callback))
}

// Callbacks is what a listener of their own serves: what receivers call, and nothing
// else. There is no health path: whoever looks whether the listener is there connects
// to it, and whether the server is ready is for the other one's networks to ask.
func (s *Server) Callbacks() http.Handler {
	mux := http.NewServeMux()
	s.receiverRoutes(mux)
	mux.HandleFunc("/", notFound)
	return s.panicLogged(s.bounded(mux))
}

var errStopping = &riposte.Error{Code: riposte.CodeUnavailable, Reason: "STOPPING", Message: "the server is stopping: try again"}

// bodyLimit takes a procedure's name or a REST path.
func bodyLimit(path string) int {
	switch path {
	case ripostev1connect.InstancesServiceBatchCreateProcedure, "/api/v1/instances:batchCreate":
		return maxBatchBody
	case ripostev1connect.VerificationServiceVerifyDeliveryProcedure, "/api/v1/verify/delivery":
		return maxVerifiedBody
	}
	if waits(path) {
		return maxWaitBody
	}
	return maxBody
}

// only answers every other method with 405: GET, HEAD and OPTIONS of a
// callback URL, as link scanners send them, must never act. What takes GET
// takes HEAD.
func only(method string, h http.HandlerFunc) http.HandlerFunc {
	allow := []string{method}
	if method == http.MethodGet {
		allow = append(allow, http.MethodHead)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(allow, r.Method) {
			methodNotAllowed(w, allow...)
			return
		}
		h(w, r)
	}
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n"))
}

// readyz says whether the store takes commits and no stop has begun.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	err := s.Store.Check(ctx)
	if s.stopping.Err() != nil {
		err = errStopping
	}
	if err != nil {
		s.Logger.Warn("not ready", "error", err)
		writeError(w, connectError(riposte.ErrUnavailable))
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

// jwks shows what other nodes have rotated a second ago, too: who doesn't know a key by
// its name asks any node.
func (s *Server) jwks(w http.ResponseWriter, r *http.Request) {
	if err := s.ServerKeys.Reread(r.Context(), riposte.ServerKeySigning); err != nil {
		s.refusals.Do(func() { s.Logger.Warn("the key set may be an old one", "error", err) })
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(s.JWKS())
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapi.Document)
}
