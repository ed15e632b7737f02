package ripostetest

import (
	"cmp"
	"context"
	"crypto/x509"
	"log/slog"
	"os"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/server"
)

// TB is what the kit needs of a *testing.T, so that programs that are not
// tests don't link the testing package.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// Server is a whole server on loopback, with a client of every service.
type Server struct {
	*server.Server
	*Client // an admin's
	Config  server.Config
	APIKey  string // an admin's
	// Roots has the authority of a server WithTLS; nil for any other.
	Roots *x509.CertPool

	tb     TB
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

// APIKey is the admin's key of every server that Start starts.
const APIKey = "riposte-test-api-key"

// MasterKey is that of every server on PostgreSQL that Start starts; one on a directory of
// its own makes its own.
const MasterKey = "cmlwb3N0ZXRlc3QgbWFzdGVyIGtleSBmb3IgdGVzdHM="

// WithTLS is a change for Start: the server takes https alone, with a certificate by an
// authority of its own, which Server.Roots has.
func WithTLS(c *server.Config) { c.TLSDevelopment = true }

// Start runs a server that may deliver to loopback until the test ends. Each
// change is made to its configuration first.
func Start(tb TB, changes ...func(*server.Config)) *Server {
	tb.Helper()
	c := server.Default()
	c.Listen = "127.0.0.1:0"
	c.AllowDestinations = "loopback"
	c.APIKey = APIKey
	c.Logger = slog.New(slog.DiscardHandler)
	c.Data = ""
	for _, change := range changes {
		change(&c)
	}
	if c.Data == "" {
		c.Data = tb.TempDir()
	}
	if c.DatabaseURL != "" && c.MasterKeyFile == "" {
		c.MasterKey = cmp.Or(c.MasterKey, MasterKey)
	}
	ctx, cancel := context.WithCancel(context.Background())
	opened, err := server.Open(ctx, c)
	if err != nil {
		cancel()
		tb.Fatalf("starting a server: %v", err)
	}
	s := &Server{Server: opened, Config: c, APIKey: c.APIKey, tb: tb, cancel: cancel, ended: make(chan struct{})}
	if c.TLSDevelopment {
		pem, err := os.ReadFile(server.AuthorityFile(c.Data))
		if err != nil {
			tb.Errorf("reading the server's authority: %v", err)
		}
		s.Roots = x509.NewCertPool()
		s.Roots.AppendCertsFromPEM(pem)
	}
	s.Client = NewTLSClient(s.BaseURL(), s.APIKey, s.Roots)
	tb.Cleanup(s.CloseIdleConnections)
	go func() {
		defer close(s.ended)
		s.err = opened.Run(ctx)
	}()
	tb.Cleanup(s.Stop)
	return s
}

// Stop ends the server cleanly; it may be called twice.
func (s *Server) Stop() {
	s.tb.Helper()
	s.cancel()
	<-s.ended
	if s.err != nil {
		s.tb.Errorf("stopping the server: %v", s.err)
		s.err = nil
	}
}

// BaseURL is where the server listens.
func (s *Server) BaseURL() string {
	if s.Config.TLSCert != "" || s.Config.TLSDevelopment {
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// WaitFor returns the instance, in the view FULL, once done says so; it asks
// again after each change of the instance. When ctx ends first, it returns the
// instance as it was last, and ctx's error.
func (s *Server) WaitFor(ctx context.Context, id string, done func(*ripostev1.Instance) bool) (*ripostev1.Instance, error) {
	changed := make(chan struct{}, 1)
	defer s.Subscribe(func(i riposte.Instance) {
		if i.ID != id && i.ID != "" {
			return
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for {
		res, err := s.Instances.Get(ctx, &ripostev1.InstancesServiceGetRequest{Id: id, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
		if err != nil {
			return nil, err
		}
		if done(res.GetInstance()) {
			return res.GetInstance(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return res.GetInstance(), ctx.Err()
		}
	}
}
