package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits of a connection. What is in work at once is the API's to bound.
const (
	// readHeaderTimeout is for the handshake and, again and again, for a request's head.
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second // head and body
	// writeTimeout is for the whole of a request, so it is longer than the longest wait
	// and what its answer then takes. Streams have a limit for each piece instead.
	writeTimeout   = 3 * time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10

	// maxStreams is how many calls may share a connection by HTTP/2. What a client
	// resets at once takes its place until it is done with, which is net/http's answer
	// to rapid resets.
	maxStreams = 250
	// A connection with calls on it that is silent for pingAfter is asked whether
	// anybody is there.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// What a peer may send of bodies before they are read, in bytes.
	streamBuffer     = 256 << 10
	connectionBuffer = 1 << 20
)

// entrances are where requests come in.
type entrances struct {
	main        *entrance
	own         *entrance // the callbacks' own; nil where they share the main one
	certificate *certificate
}

// entrance is a listener with what it serves.
type entrance struct {
	name     string
	listener *boundedListener
	http     *http.Server
}

// listen takes the addresses; nobody is answered yet.
func listen(c Config) (entrances, error) {
	most := connectionLimit(openFiles())
	if c.CallbackListen == "" {
		main, err := newEntrance("main", "--listen", c.Listen, most)
		return entrances{main: main}, err
	}
	own, err := newEntrance("callback", "--callback-listen", c.CallbackListen, most/callbackShare)
	if err != nil {
		return entrances{}, err
	}
	main, err := newEntrance("main", "--listen", c.Listen, most-most/callbackShare)
	if err != nil {
		own.listener.Close()
	}
	return entrances{main: main, own: own}, err
}

func newEntrance(name, flag, address string, most int64) (*entrance, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s (%s): %w", address, flag, err)
	}
	return &entrance{name: name, listener: newBoundedListener(l, most)}, nil
}

func (e entrances) all() []*entrance {
	if e.own == nil {
		return []*entrance{e.main}
	}
	return []*entrance{e.main, e.own}
}

// callbacks is where callbacks come in.
func (e entrances) callbacks() *entrance {
	if e.own != nil {
		return e.own
	}
	return e.main
}

func (e entrances) addresses() []netip.AddrPort {
	var all []netip.AddrPort
	for _, each := range e.all() {
		all = append(all, each.listener.Addr().(*net.TCPAddr).AddrPort())
	}
	return all
}

func (e entrances) close() {
	for _, each := range e.all() {
		each.listener.Close()
	}
}

// openEntrances makes what serves: TLS and handlers.
func (s *Server) openEntrances() error {
	config, err := s.tlsConfig()
	if err != nil {
		return err
	}
	s.entrance.main.http = s.newHTTPServer(s.routes(), config)
	s.entrance.main.http.RegisterOnShutdown(s.api.StopWaiting)
	if s.entrance.own != nil {
		s.entrance.own.http = s.newHTTPServer(s.api.Callbacks(), config)
	}
	for _, each := range s.entrance.all() {
		s.metrics.WatchListener(each.name, each.listener)
	}
	s.metrics.WatchDoor(s.api)
	return nil
}

// tlsConfig is nil without TLS.
func (s *Server) tlsConfig() (*tls.Config, error) {
	switch {
	case s.config.TLSDevelopment:
		return s.developmentTLS()
	case s.config.TLSCert == "":
		return nil, nil
	}
	c, err := openCertificate(s.config.TLSCert, s.config.TLSKey, s.config.Logger)
	if err != nil {
		return nil, err
	}
	s.entrance.certificate = c
	return c.config(), nil
}

func (s *Server) developmentTLS() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(s.config.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	now := time.Now() // whatever the store's clock says: others look at it, too
	a, err := openAuthority(s.config.Data, host, now)
	if err != nil {
		return nil, err
	}
	cert, err := a.issue(host, now)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}}, nil
}

func (s *Server) newHTTPServer(h http.Handler, config *tls.Config) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(config != nil)
	protocols.SetUnencryptedHTTP2(config == nil) // gRPC without TLS
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		TLSConfig:         config,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connectionBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
			WriteByteTimeout:              pingAfter,
		},
		ErrorLog: errorLog(s.config.Logger),
	}
}

// serve answers until shutDown, or sends the error that ends it.
func (e entrances) serve() <-chan error {
	served := make(chan error, len(e.all()))
	for _, each := range e.all() {
		go func() {
			if each.http.TLSConfig != nil {
				served <- each.http.ServeTLS(each.listener, "", "")
				return
			}
			served <- each.http.Serve(each.listener)
		}()
	}
	return served
}

// shutDown lets the calls in flight end, at all entrances at once.
func (e entrances) shutDown(ctx context.Context) error {
	all := e.all()
	errs := make([]error, len(all))
	var closing sync.WaitGroup
	for n, each := range all {
		closing.Go(func() { errs[n] = each.http.Shutdown(ctx) })
	}
	closing.Wait()
	return errors.Join(errs...)
}
