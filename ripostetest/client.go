package ripostetest

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"

	"github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1/webhooksv1connect"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
)

// Client has a client of each of a server's services.
type Client struct {
	Webhooks     webhooksv1connect.WebhooksServiceClient
	Search       webhooksv1connect.WebhooksSearchClient
	Instances    ripostev1connect.InstancesServiceClient
	Settings     ripostev1connect.WebhookSettingsServiceClient
	Consumers    ripostev1connect.ConsumersServiceClient
	Keys         ripostev1connect.KeysServiceClient
	Audit        ripostev1connect.AuditServiceClient
	ServerKeys   ripostev1connect.ServerKeysServiceClient
	Clients      ripostev1connect.ClientsServiceClient
	Statistics   ripostev1connect.StatisticsServiceClient
	Verification ripostev1connect.VerificationServiceClient

	http *http.Client
}

// NewClient returns a client of the server at base that calls with an API key.
func NewClient(base, apiKey string) *Client { return NewTLSClient(base, apiKey, nil) }

// NewTLSClient is NewClient for a server whose certificate is by one of roots; nil stands
// for the system's.
func NewTLSClient(base, apiKey string, roots *x509.CertPool) *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	if roots != nil {
		transport.TLSClientConfig, transport.ForceAttemptHTTP2 = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, true
	}
	h := &http.Client{Transport: authorized{apiKey, transport}}
	return &Client{
		Webhooks:     webhooksv1connect.NewWebhooksServiceClient(h, base),
		Search:       webhooksv1connect.NewWebhooksSearchClient(h, base),
		Instances:    ripostev1connect.NewInstancesServiceClient(h, base),
		Settings:     ripostev1connect.NewWebhookSettingsServiceClient(h, base),
		Consumers:    ripostev1connect.NewConsumersServiceClient(h, base),
		Keys:         ripostev1connect.NewKeysServiceClient(h, base),
		Audit:        ripostev1connect.NewAuditServiceClient(h, base),
		ServerKeys:   ripostev1connect.NewServerKeysServiceClient(h, base),
		Clients:      ripostev1connect.NewClientsServiceClient(h, base),
		Statistics:   ripostev1connect.NewStatisticsServiceClient(h, base),
		Verification: ripostev1connect.NewVerificationServiceClient(h, base),
		http:         h,
	}
}

// CloseIdleConnections lets go of the connections that no call uses.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// authorized adds the API key to each request.
type authorized struct {
	key  string
	next *http.Transport
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.key)
	return a.next.RoundTrip(r)
}

func (a authorized) CloseIdleConnections() { a.next.CloseIdleConnections() }
