// Package server puts one node together: the store, the engine, the API and
// the listener. The binary and the test kit start it alike.
package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	"github.com/riposte-dev/riposte/console"
	"github.com/riposte-dev/riposte/engine"
	"github.com/riposte-dev/riposte/keyring"
	"github.com/riposte-dev/riposte/metrics"
	"github.com/riposte-dev/riposte/outbound"
	"github.com/riposte-dev/riposte/statistics"
	"github.com/riposte-dev/riposte/vault"
)

// Limits of a stop.
const (
	// shutdownTimeout is a little longer than an attempt may take: a stop waits
	// for calls as long as for attempts.
	shutdownTimeout = riposte.AttemptTimeout + 5*time.Second
	// statisticsTimeout is for how long a stop then tries to save them.
	statisticsTimeout = 5 * time.Second
)

// Server is one node.
type Server struct {
	config   Config
	store    riposte.Store
	masters  masterKeys
	vault    *vault.Vault
	keys     *keyring.Keeper
	signing  *outbound.Signer
	tokens   *api.CallbackTokens
	access   *api.AccessTokens
	api      *api.Server
	engine   *engine.Engine
	console  *console.Console
	metrics  *metrics.Metrics
	unwatch  func()
	counted  *statistics.Collector
	outbound *outbound.Client
	entrance entrances
}

// Open listens, opens the store and makes what the first start makes: the
// master key, the server's own keys and an admin's API key. Nothing is served
// before Run.
func Open(ctx context.Context, c Config) (*Server, error) {
	at, err := listen(c)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, c, at)
	if err != nil {
		at.close()
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, c Config, at entrances) (*Server, error) {
	destinations, err := c.check(at.callbacks().listener.Addr())
	if err != nil {
		return nil, err
	}
	destinations = destinations.Except(at.addresses()...)
	watched := metrics.New()
	store, err := c.openStore(ctx, watched)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, store: store, entrance: at, metrics: watched, masters: newMasterKeys(c)}
	if err := s.wire(ctx, destinations); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return s, nil
}

func (s *Server) wire(ctx context.Context, destinations outbound.Destinations) error {
	keys, err := s.adminKeys(ctx)
	if err != nil {
		return err
	}
	if s.vault, err = s.openVault(ctx); err != nil {
		return err
	}
	if err := s.openKeys(ctx); err != nil {
		return err
	}
	s.outbound, err = outbound.New(outbound.Options{Destinations: destinations, Signer: s.signing, Issuer: s.config.Issuer,
		OutcomeBody: api.OutcomeBody, Timeout: s.config.AttemptTimeout, Now: s.store.Now, Open: s.vault.Open})
	if err != nil {
		return err
	}
	s.counted = statistics.New(statistics.Options{Store: s.store, Logger: s.config.Logger})
	s.engine = engine.New(engine.Options{
		Store:  s.metrics.Store(s.store),
		Sender: s.metrics.Sender(s.counted.Sender(s.outbound)),
		Fast:   riposte.FastDelay{Min: s.config.RetryMinDelay, Max: s.config.RetryMaxDelay},
		Keep:   s.config.Keep,
		Logger: s.config.Logger,
	})
	s.unwatch = s.metrics.Watch(s.store, s.engine)
	s.api = api.New(api.Options{
		Store:      s.store,
		PublicURL:  s.config.PublicURL,
		Issuer:     s.config.Issuer,
		Check:      destinations.Check,
		OutcomeURL: s.config.OutcomeURL,
		JWKS:       s.signing.JWKS,
		Question:   s.outbound.Question,
		Sealer:     s.vault.Sealer,
		Keys:       keys,
		Tokens:     s.tokens,
		ServerKeys: s.keys,
		Counted:    s.counted,
		Held:       s.engine.Held,
		Metrics:    s.metrics.Handler(s.config.Logger),
		Logger:     s.config.Logger,

		AccessTokens: s.access,

		CallbacksApart: s.config.CallbackListen != "",
	})
	if s.console, err = s.newConsole(ctx); err == nil {
		err = s.openEntrances()
	}
	if err != nil {
		s.api.Close() // before the store, as ever
	}
	return err
}

func (s *Server) newConsole(ctx context.Context) (*console.Console, error) {
	key, err := s.sessionKey(ctx)
	if err != nil {
		return nil, err
	}
	o := console.Options{API: s.api.Inside(), SessionKey: key, PublicURL: s.config.PublicURL, Logger: s.config.Logger,
		Hosts: s.config.consoleHosts()}
	if s.config.ConsoleOpen {
		o.DevKey = s.config.APIKey
	}
	return console.New(o)
}

// routes puts the console beside the API, which has every other path.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.api)
	pages := s.api.Pages(s.console)
	for _, path := range console.Paths {
		mux.Handle(path, pages)
	}
	return mux
}

// URL is the base of the server's public URLs, without a slash at the end.
func (s *Server) URL() string { return s.config.PublicURL }

// Issuer is the iss of the server's JWTs.
func (s *Server) Issuer() string { return s.config.Issuer }

// Signer signs as the server's own deliveries are signed. It is for programs
// that deliver beside the server in their own process, as riposte check does.
func (s *Server) Signer() *outbound.Signer { return s.signing }

// StoreName says where the store is, without a password.
func (s *Server) StoreName() string { return s.config.storeName() }

// Addr is the address that the listener got.
func (s *Server) Addr() net.Addr { return s.entrance.main.listener.Addr() }

// CallbackAddr is the address at which callbacks come in: Addr, or that of their own
// listener.
func (s *Server) CallbackAddr() net.Addr { return s.entrance.callbacks().listener.Addr() }

// Subscribe tells f of each instance that changed, after the commit. f must
// not block.
func (s *Server) Subscribe(f func(riposte.Instance)) (cancel func()) { return s.store.Subscribe(f) }

// Told returns when all who subscribed have been told of what is committed by now, and
// when it is counted.
func (s *Server) Told(ctx context.Context) error { return s.store.Told(ctx) }

// InFlight is how many attempts are in flight.
func (s *Server) InFlight() int { return s.engine.InFlight() }

// Run serves until ctx ends, then stops cleanly: it says that it is not ready,
// claims nothing more, lets the attempts and then the calls in flight end, and
// closes the store.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { s.engine.Run(ctx) })
	running.Go(func() { s.counted.Run(ctx) })
	running.Go(func() { s.keys.Run(ctx) })
	served := s.entrance.serve()
	if s.entrance.certificate != nil {
		running.Go(func() { s.entrance.certificate.run(ctx) })
	}

	var err error
	select {
	case err = <-served:
		cancel()
	case <-ctx.Done():
		// The listeners stay until the engine is done, because callbacks may
		// still come in; only waiting ends at once.
		s.api.StopWaiting()
	}
	running.Wait()
	return errors.Join(err, s.close())
}

func (s *Server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := s.entrance.shutDown(ctx)
	s.api.Close()
	s.unwatch()
	s.outbound.Close()
	s.closeCounted()
	return errors.Join(err, s.store.Close())
}

// closeCounted comes when nothing changes any more. A stop without it is clean: what
// is lost then are some counts.
func (s *Server) closeCounted() {
	ctx, cancel := context.WithTimeout(context.Background(), statisticsTimeout)
	defer cancel()
	if err := s.counted.Close(ctx); err != nil {
		s.config.Logger.Warn("statistics: the last ones are lost", "error", err)
	}
}
