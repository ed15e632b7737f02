package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	"github.com/riposte-dev/riposte/outbound"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// Bounds of a session when nothing else is said.
const (
	DefaultTimeout = 40 * time.Second // of a check; it outlasts an attempt
	DefaultListen  = "127.0.0.1:8080"
)

// destinations are the addresses to deliver to beside public ones: whoever
// checks a receiver names it, so no caller's URL has to be guarded against.
const destinations = "loopback,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"

// Options says what to check. URL must be set.
type Options struct {
	URL       string // of the receiver
	Listen    string // host:port of the key set and of callbacks
	PublicURL string // as the receiver reaches them; http://Listen when empty
	Issuer    string // the JWT's iss; PublicURL's host when empty
	Data      string // keeps the signing key from run to run; throw-away when empty
	Sources   []riposte.Source
	Payload   []byte // of every question but a test; a small one when nil
	Timeout   time.Duration
	Only      []string // names of checks; all when empty
	Skip      []string

	AttemptTimeout time.Duration // for tests; riposte.AttemptTimeout when zero
	RetryPatience  time.Duration // for tests; how long a callback that got 503 is waited for, 15 s when zero
}

// Session is a server that is ready to play a receiver through its paces.
type Session struct {
	options   Options
	to        target
	front     *front
	catcher   *ripostetest.Receiver
	server    *ripostetest.Server
	signers   signers
	http      *http.Client
	throwAway string // a directory
	running   bool   // Run was called, which closes the server

	webhooks struct{ receiver, catcher string } // ids

	main   riposte.SourceKind // answered an honest question
	late   riposte.SourceKind // answered one by callback
	slowly time.Duration      // the longest that a callback took
}

// target is the receiver's URL as the JWT names it.
type target struct{ host, htu string }

// ErrOptions is matched by what Open says of options that can't work.
var ErrOptions = errors.New("check: bad options")

// optionError is an ErrOptions that says what is wrong, and no more.
type optionError struct{ error }

func (e optionError) Unwrap() error        { return e.error }
func (e optionError) Is(target error) bool { return target == ErrOptions }

// Open listens and starts what the checks need. Close it.
func Open(ctx context.Context, o Options) (*Session, error) {
	o.Listen, o.Timeout = cmp.Or(o.Listen, DefaultListen), cmp.Or(o.Timeout, DefaultTimeout)
	o.RetryPatience = cmp.Or(o.RetryPatience, retryPatience)
	o.AttemptTimeout = cmp.Or(o.AttemptTimeout, riposte.AttemptTimeout)
	if len(o.Sources) == 0 {
		o.Sources = defaultSources()
	}
	s := &Session{options: o}
	var err error
	if s.to, err = o.check(); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func defaultSources() []riposte.Source {
	const id = "riposte-check"
	sources := make([]riposte.Source, len(sourceOrder))
	for n, kind := range sourceOrder {
		switch kind {
		case riposte.SourceTest:
			sources[n] = riposte.Source{Kind: kind}
		case riposte.SourceWorkflowStep:
			sources[n] = riposte.Source{Kind: kind, WorkflowExecutionID: 1, WorkflowStepID: id}
		default:
			sources[n] = riposte.Source{Kind: kind, TicketID: id}
		}
	}
	return sources
}

func (o *Options) check() (target, error) {
	allowed, err := outbound.ParseDestinations(destinations)
	if err != nil {
		return target{}, err
	}
	host, err := allowed.Check(o.URL)
	if err != nil {
		return target{}, optionError{err}
	}
	for _, name := range slices.Concat(o.Only, o.Skip) {
		if !slices.Contains(Names(), name) {
			return target{}, optionError{fmt.Errorf("there is no check %q: riposte check --help lists them", name)}
		}
	}
	for _, source := range o.Sources {
		if err := source.Validate(); err != nil {
			return target{}, optionError{err}
		}
		if source.Kind != riposte.SourceTest {
			if err := riposte.CheckPayload(source.Kind, o.Payload); err != nil {
				return target{}, optionError{err}
			}
		}
	}
	htu, _, _ := strings.Cut(o.URL, "?") // a fragment has been refused
	return target{host: host, htu: htu}, nil
}

func (s *Session) open(ctx context.Context) (err error) {
	listener, err := net.Listen("tcp", s.options.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", s.options.Listen, err)
	}
	if err := s.openServer(ctx, listener.Addr()); err != nil {
		listener.Close()
		return err
	}
	s.front = newFront(listener, s.server.BaseURL())
	s.catcher, err = ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply {
		return ripostetest.Reply{Status: http.StatusAccepted}
	})
	if err != nil {
		return err
	}
	key, err := outbound.NewSigningKey()
	if err != nil {
		return err
	}
	foreign, err := outbound.NewSigner(key)
	s.signers = signers{own: s.server.Signer(), foreign: foreign}
	s.http = &http.Client{
		Timeout:       s.options.AttemptTimeout,
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return err
}

// openServer opens the server behind the front, whose address is given.
func (s *Session) openServer(ctx context.Context, front net.Addr) (err error) {
	c := server.Default()
	c.Listen, c.AllowDestinations, c.AttemptTimeout = "127.0.0.1:0", destinations, s.options.AttemptTimeout
	c.Issuer, c.Data, c.Logger = s.options.Issuer, s.options.Data, slog.New(slog.DiscardHandler)
	if c.PublicURL = s.options.PublicURL; c.PublicURL == "" {
		if c.PublicURL, err = server.DefaultPublicURL(s.options.Listen, front); err != nil {
			return optionError{err}
		}
	}
	if c.Data == "" {
		if s.throwAway, err = os.MkdirTemp("", "riposte-check-"); err != nil {
			return fmt.Errorf("making a throw-away data directory: %w", err)
		}
		c.Data = s.throwAway
	}
	_, key, err := riposte.NewKey("check", riposte.RoleAdmin, time.Now())
	if err != nil {
		return err
	}
	c.APIKey = key
	opened, err := server.Open(ctx, c)
	if err != nil {
		return err
	}
	s.server = &ripostetest.Server{Server: opened, Config: c, APIKey: key}
	s.server.Client = ripostetest.NewClient(s.server.BaseURL(), key)
	return nil
}

// Close ends a session. What Run runs must have ended.
func (s *Session) Close() {
	if s.front != nil {
		s.front.close()
	}
	if s.catcher != nil {
		s.catcher.Close()
	}
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
	if s.server != nil {
		s.server.CloseIdleConnections()
		if !s.running {
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_ = s.server.Run(ended)
		}
	}
	if s.throwAway != "" {
		_ = os.RemoveAll(s.throwAway)
	}
}

// PublicURL is the base below which the receiver finds keys and callbacks.
func (s *Session) PublicURL() string { return s.server.URL() }

// Keys says what the receiver has to trust.
func (s *Session) Keys() Keys {
	return Keys{Issuer: s.server.Issuer(), JWKSURL: s.server.URL() + jwksPath, Fetched: s.front.keysFetched()}
}

// makeWebhooks makes one for the receiver and one for the catcher.
func (s *Session) makeWebhooks(ctx context.Context) error {
	for url, id := range map[string]*string{s.options.URL: &s.webhooks.receiver, s.catcher.URL: &s.webhooks.catcher} {
		res, err := s.server.Webhooks.Create(ctx, &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "riposte check", Url: url})
		if err != nil {
			return fmt.Errorf("making a webhook for %s: %w", url, err)
		}
		*id = res.GetWebhook().GetId()
	}
	return nil
}
