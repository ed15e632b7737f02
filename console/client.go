package console

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"connectrpc.com/connect"

	"github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1/webhooksv1connect"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
)

// clients are the API's services. Who calls is in the context that visit.call makes.
type clients struct {
	webhooks   webhooksv1connect.WebhooksServiceClient
	search     webhooksv1connect.WebhooksSearchClient
	instances  ripostev1connect.InstancesServiceClient
	settings   ripostev1connect.WebhookSettingsServiceClient
	keys       ripostev1connect.KeysServiceClient
	statistics ripostev1connect.StatisticsServiceClient
	verify     ripostev1connect.VerificationServiceClient
	clients    ripostev1connect.ClientsServiceClient
	serverKeys ripostev1connect.ServerKeysServiceClient
	audit      ripostev1connect.AuditServiceClient
}

// inProcess is a base URL that nobody looks up.
const inProcess = "http://riposte"

func newClients(api http.Handler) clients {
	h := &http.Client{Transport: direct{api}}
	return clients{
		webhooks:   webhooksv1connect.NewWebhooksServiceClient(h, inProcess),
		search:     webhooksv1connect.NewWebhooksSearchClient(h, inProcess),
		instances:  ripostev1connect.NewInstancesServiceClient(h, inProcess),
		settings:   ripostev1connect.NewWebhookSettingsServiceClient(h, inProcess),
		keys:       ripostev1connect.NewKeysServiceClient(h, inProcess),
		statistics: ripostev1connect.NewStatisticsServiceClient(h, inProcess),
		verify:     ripostev1connect.NewVerificationServiceClient(h, inProcess),
		clients:    ripostev1connect.NewClientsServiceClient(h, inProcess),
		serverKeys: ripostev1connect.NewServerKeysServiceClient(h, inProcess),
		audit:      ripostev1connect.NewAuditServiceClient(h, inProcess),
	}
}

// as returns a context for one call with an API key, from the address that a browser's
// connection came from: for the audit log it is the browser that calls.
func as(ctx context.Context, key, remoteAddr string) context.Context {
	ctx, call := connect.NewClientContext(ctx)
	call.RequestHeader().Set("Authorization", "Bearer "+key)
	return context.WithValue(ctx, remoteAddrKey{}, remoteAddr)
}

type remoteAddrKey struct{}

// direct hands requests to a handler without a connection between: the console must
// work whatever address the server listens on and whatever stands in front of it.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr, _ = r.Context().Value(remoteAddrKey{}).(string)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	w := &response{header: http.Header{}}
	d.handler.ServeHTTP(w, in)
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// response keeps what a handler answers.
type response struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
