package console

import (
	"log/slog"
	"net/http"
	"strings"
)

// Options is what the console needs.
type Options struct {
	API        http.Handler // the API, which is called in process
	SessionKey []byte       // 32 bytes; the same at all nodes
	PublicURL  string       // the server's; its host is one that the console answers to
	Hosts      []string     // further host names that it answers to
	DevKey     string       // the API key that anybody on this machine may sign in with by one click; "" but in riposte dev
	Logger     *slog.Logger
}

// Console serves the pages.
type Console struct {
	Options
	api      clients
	sessions sessions
	hosts    hosts
	pages    pages
	handler  http.Handler
}

// NewSessionKey is what a SessionKey is made by.
func NewSessionKey() ([]byte, error) { return newSessionKey() }

// New returns the console, or an error for a SessionKey that can't be one.
func New(o Options) (*Console, error) {
	c := &Console{Options: o, api: newClients(o.API), hosts: newHosts(o.PublicURL, o.Hosts), pages: parsePages()}
	var err error
	if c.sessions, err = newSessions(o.SessionKey); err != nil {
		return nil, err
	}
	c.handler = c.guarded(c.routes())
	return c, nil
}

// Paths are the patterns, for a http.ServeMux, of all that the console serves.
var Paths = []string{
	"/{$}", signInPath, signOutPath, staticPath, "/webhooks", "/webhooks/", "/instances", "/instances/", "/verify", "/verify/", "/keys", "/keys/",
	"/clients", "/clients/", "/server-keys", "/server-keys/", "/audit", "/audit/",
}

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+staticPath, static)
	mux.HandleFunc("GET "+signInPath, c.signInForm)
	mux.HandleFunc("POST "+signInPath, c.signIn)
	mux.HandleFunc("POST "+signOutPath, c.signOut)
	for pattern, screen := range map[string]func(*visit) error{
		"GET /{$}": (*visit).overview,

		"GET /webhooks":              (*visit).webhooks,
		"POST /webhooks":             (*visit).createWebhook,
		"GET /webhooks/new":          (*visit).newWebhook,
		"GET /webhooks/{id}":         (*visit).webhook,
		"POST /webhooks/{id}":        (*visit).updateWebhook,
		"GET /webhooks/{id}/edit":    (*visit).editWebhook,
		"POST /webhooks/{id}/test":   (*visit).testWebhook,
		"POST /webhooks/{id}/delete": (*visit).deleteWebhook,

		"GET /webhooks/{id}/requests":                     (*visit).webhookRequests,
		"GET /webhooks/{id}/requests/{form...}":           (*visit).toWebhookRequests,
		"POST /webhooks/{id}/requests/header":             (*visit).setHeader,
		"POST /webhooks/{id}/requests/header/remove":      (*visit).removeHeader,
		"POST /webhooks/{id}/requests/secret":             (*visit).rotateSecret,
		"POST /webhooks/{id}/requests/secret/remove":      (*visit).removeSecret,
		"POST /webhooks/{id}/requests/certificate":        (*visit).setClientCertificate,
		"POST /webhooks/{id}/requests/certificate/remove": (*visit).removeClientCertificate,
		"POST /webhooks/{id}/requests/authorities":        (*visit).setAuthorities,

		"GET /instances":                (*visit).instances,
		"GET /instances/bulk":           (*visit).bulkForm,
		"POST /instances/bulk":          (*visit).bulkNext,
		"GET /instances/{id}":           (*visit).instance,
		"GET /instances/{id}/delivery":  (*visit).delivery,
		"POST /instances/{id}/cancel":   (*visit).cancelInstance,
		"POST /instances/{id}/retry":    (*visit).retryInstance,
		"POST /instances/{id}/recreate": (*visit).recreateInstance,
		"POST /instances/{id}/answer":   (*visit).answerInstance,
		"GET /instances/{id}/answer":    (*visit).toInstance,

		"GET /verify":           (*visit).verify,
		"GET /verify/delivery":  (*visit).verify, // for who reloads by the address
		"GET /verify/document":  (*visit).verify,
		"POST /verify/delivery": (*visit).verifyDelivery,
		"POST /verify/document": (*visit).verifyDocument,

		"GET /keys":              (*visit).keys,
		"POST /keys":             (*visit).createKey,
		"POST /keys/{id}/revoke": (*visit).revokeKey,

		"GET /clients":              (*visit).clients,
		"POST /clients":             (*visit).createClient,
		"POST /clients/{id}/revoke": (*visit).revokeClient,

		"GET /server-keys":               (*visit).serverKeys,
		"GET /server-keys/{use}/rotate":  (*visit).toServerKeys,
		"POST /server-keys/{use}/rotate": (*visit).rotateServerKey,

		"GET /audit": (*visit).audit,
	} {
		mux.Handle(pattern, c.signedIn(screen))
	}
	mux.Handle("/", c.signedIn(func(*visit) error { return errNoPage }))
	return mux
}

// isAsset reports whether a path is none of a page.
func isAsset(path string) bool { return strings.HasPrefix(path, staticPath) }
