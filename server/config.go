package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/outbound"
)

// Config is all there is to set; Default has the values that hold when nothing
// is said.
type Config struct {
	Listen            string // host:port
	CallbackListen    string // host:port where callbacks come in, and nowhere else; Listen, beside all the rest, when empty
	TLSCert, TLSKey   string // PEM files, both or none; without TLS when empty
	TLSDevelopment    bool   // TLS with a certificate by an authority of the server's own, kept in Data
	Data              string // the data directory; not used with a DatabaseURL
	DatabaseURL       string // the PostgreSQL database that several nodes share; none when empty
	PublicURL         string // base of callback URLs; Listen, or CallbackListen, by http, or https with TLS, when empty
	Issuer            string // the JWT's iss; PublicURL's host when empty
	AllowDestinations string // CIDRs and "loopback", comma-separated
	DenyDestinations  string // CIDRs, comma-separated: refused even where allowed
	OutcomeURL        string // where outcomes are pushed whose webhook has no URL for them; nowhere when empty
	RetryMinDelay     time.Duration
	RetryMaxDelay     time.Duration
	Keep              time.Duration // how long closed instances stay after they expired
	APIKey            string        // an admin key of the operator's choice
	ConsoleHosts      string        // host names that the console answers to beside PublicURL's, comma-separated; a port counts for nothing
	ConsoleOpen       bool          // whether anybody may sign in to the console with APIKey by one click
	MasterKey         string        // master keys, comma-separated or one a line: the first seals, all open; master.key in Data when empty
	MasterKeyFile     string        // the file that has them, in place of MasterKey; read again at each rotation
	Logger            *slog.Logger
	Now               func() time.Time // the clock, for tests; the store's own when nil
	AttemptTimeout    time.Duration    // for tests; riposte.AttemptTimeout, which a lease outlasts, when zero
}

// Default is a Config with every default set.
func Default() Config {
	return Config{
		Listen:        "127.0.0.1:8080",
		Data:          "./riposte-data",
		RetryMinDelay: riposte.DefaultFastDelay.Min,
		RetryMaxDelay: riposte.DefaultFastDelay.Max,
		Logger:        slog.Default(),
	}
}

const minAPIKeyLength = 16 // characters

// check completes what follows from other settings and refuses what can't work.
// actual is the address that the listener got which callbacks come in at.
func (c *Config) check(actual net.Addr) (outbound.Destinations, error) {
	destinations, err := outbound.ParseDestinations(c.AllowDestinations)
	if err != nil {
		return destinations, fmt.Errorf("--allow-destinations: %w", err)
	}
	if destinations, err = destinations.Deny(c.DenyDestinations); err != nil {
		return destinations, fmt.Errorf("--deny-destinations: %w", err)
	}
	if err := c.checkTLS(); err != nil {
		return destinations, err
	}
	if c.PublicURL == "" {
		if c.PublicURL, err = c.defaultPublicURL(actual); err != nil {
			return destinations, err
		}
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return destinations, errors.New("--public-url must be an http or https URL without user info, query and fragment")
	}
	if c.Issuer == "" {
		c.Issuer = u.Hostname()
	}
	if err := riposte.CheckOutcomeURL(c.OutcomeURL, destinations.Check); err != nil {
		return destinations, fmt.Errorf("--outcome-url %s", strings.TrimPrefix(err.Error(), "outcomeUrl "))
	}
	if err := c.checkConsoleHosts(); err != nil {
		return destinations, err
	}
	return destinations, c.checkRest()
}

// consoleHosts are those of ConsoleHosts.
func (c *Config) consoleHosts() []string {
	return strings.FieldsFunc(c.ConsoleHosts, func(r rune) bool { return r == ',' || r == ' ' })
}

// checkConsoleHosts refuses what no browser sends as a host, and so would never match.
func (c *Config) checkConsoleHosts() error {
	for _, host := range c.consoleHosts() {
		odd := strings.ContainsFunc(host, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._:[]", r))
		})
		u, err := url.Parse("//" + host)
		if odd || net.ParseIP(host) == nil && (err != nil || u.Hostname() == "") {
			return fmt.Errorf("--console-hosts must be host names as browsers send them, such as riposte.example, not %q", host)
		}
	}
	return nil
}

func (c *Config) checkRest() error {
	switch {
	case strings.ContainsAny(c.Issuer, "/: \t") && net.ParseIP(c.Issuer) == nil:
		return fmt.Errorf("--issuer must be a bare host name, not %q", c.Issuer)
	case c.RetryMinDelay < 0 || c.RetryMaxDelay < c.RetryMinDelay:
		return fmt.Errorf("--retry-min-delay (%s) must not be negative, and --retry-max-delay (%s) not smaller", c.RetryMinDelay, c.RetryMaxDelay)
	case c.MasterKey != "" && c.MasterKeyFile != "":
		return errors.New("RIPOSTE_MASTER_KEY and --master-key-file both give master keys: leave one out")
	case c.Keep < 0:
		return fmt.Errorf("--keep must not be negative, is %s", c.Keep)
	case c.APIKey != "" && len(c.APIKey) < minAPIKeyLength:
		return fmt.Errorf("RIPOSTE_API_KEY must have at least %d characters", minAPIKeyLength)
	}
	return nil
}

var errNeedsPublicURL = errors.New("listening on every address needs --public-url: receivers get callback URLs below it, and no address follows from a wildcard")

// withTLS reports whether the listeners take TLS alone.
func (c *Config) withTLS() bool { return c.TLSCert != "" || c.TLSDevelopment }

func (c *Config) checkTLS() error {
	switch {
	case c.TLSCert != "" && c.TLSKey == "":
		return errors.New("--tls-cert needs --tls-key, the file with its private key")
	case c.TLSKey != "" && c.TLSCert == "":
		return errors.New("--tls-key needs --tls-cert, the file with its certificate")
	case c.TLSCert != "" && c.TLSDevelopment:
		return errors.New("--tls makes a certificate of its own: leave it out, or --tls-cert and --tls-key")
	}
	return nil
}

// callbackListen is where callbacks come in, and the name of its flag.
func (c *Config) callbackListen() (listen, flag string) {
	if c.CallbackListen != "" {
		return c.CallbackListen, "--callback-listen"
	}
	return c.Listen, "--listen"
}

// defaultPublicURL is where callbacks come in.
func (c *Config) defaultPublicURL(actual net.Addr) (string, error) {
	listen, flag := c.callbackListen()
	u, err := DefaultPublicURL(listen, actual)
	if err != nil && !errors.Is(err, errNeedsPublicURL) {
		err = fmt.Errorf("%s: %w", flag, err)
	}
	if c.withTLS() {
		u = strings.Replace(u, "http:", "https:", 1)
	}
	return u, err
}

// DefaultPublicURL is http://listen exactly as given, but for a port 0, which
// stands for the one that the listener got.
func DefaultPublicURL(listen string, actual net.Addr) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "", errNeedsPublicURL
	}
	if port != "0" {
		return "http://" + listen, nil
	}
	_, port, err = net.SplitHostPort(actual.String())
	if err != nil {
		return "", fmt.Errorf("reading the listener's address: %w", err)
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
