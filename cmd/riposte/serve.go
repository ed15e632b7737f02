package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/riposte-dev/riposte/server"
	"github.com/riposte-dev/riposte/sqlite"
)

func newServeCommand() *cobra.Command {
	config := server.Default()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: on its own embedded store in --data, or as one of several nodes
on the PostgreSQL database (15 or newer) in --database-url, which is all that
they share.

The first start makes the server's own keys and, unless RIPOSTE_API_KEY gives one,
an admin's API key, which it writes to admin.key there. On a database, make the
first key with riposte keys create.

Secrets are encrypted at rest, by keys that a master key wraps: that of
RIPOSTE_MASTER_KEY or --master-key-file, the same at all nodes, which riposte keys
generate-master makes. Without one, the first start on a data directory makes
master.key there, so that a backup of the directory has both; a database needs one.

A first SIGINT or SIGTERM stops cleanly: attempts in flight end (30 s at most)
and are saved. A second one stops at once; what was in flight is attempted again
at the next start.`,
		Example: `  riposte serve
  riposte serve --listen 0.0.0.0:8080 --public-url https://riposte.example.com --data /var/lib/riposte
  riposte serve --database-url postgres://riposte@db.example.com/riposte --master-key-file /etc/riposte/master.key --listen 0.0.0.0:8080 --public-url https://riposte.example.com
  riposte serve --allow-destinations 10.20.0.0/16 --deny-destinations 10.20.0.1
  riposte serve --listen riposte.example.com:443 --tls-cert riposte.pem --tls-key riposte-key.pem
  riposte serve --listen 10.0.0.7:8080 --callback-listen 192.0.2.7:8443 --public-url https://callbacks.example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.APIKey, config.MasterKey = os.Getenv("RIPOSTE_API_KEY"), os.Getenv("RIPOSTE_MASTER_KEY")
			config.Logger = newLogger(cmd.ErrOrStderr())
			if err := oneStore(cmd, &config.DatabaseURL); err != nil {
				return err
			}
			return serve(cmd.Context(), config)
		},
	}
	serverFlags(cmd, &config)
	databaseFlag(cmd, &config.DatabaseURL)
	f := cmd.Flags()
	f.StringVar(&config.MasterKeyFile, "master-key-file", "", "`file` with the master key, in place of RIPOSTE_MASTER_KEY (default master.key in --data, made by the first start)")
	env(f, "master-key-file", "RIPOSTE_MASTER_KEY_FILE")
	f.StringVar(&config.TLSCert, "tls-cert", "", "`file` with the TLS certificate in PEM, and those between it and its authority; read again when it changes")
	env(f, "tls-cert", "RIPOSTE_TLS_CERT")
	f.StringVar(&config.TLSKey, "tls-key", "", "`file` with the certificate's private key in PEM; read again when it changes")
	env(f, "tls-key", "RIPOSTE_TLS_KEY")
	return cmd
}

// serverFlags are those that serve and dev share.
func serverFlags(cmd *cobra.Command, c *server.Config) {
	f := cmd.Flags()
	f.StringVar(&c.Listen, "listen", c.Listen, "host:port to listen on")
	env(f, "listen", "RIPOSTE_LISTEN")
	f.StringVar(&c.CallbackListen, "callback-listen", c.CallbackListen, "host:port where receivers come in, and nobody else (default --listen, beside all the rest)")
	env(f, "callback-listen", "RIPOSTE_CALLBACK_LISTEN")
	f.StringVar(&c.Data, "data", c.Data, "data `directory`")
	env(f, "data", "RIPOSTE_DATA")
	f.StringVar(&c.PublicURL, "public-url", c.PublicURL, "base `URL` of callback URLs, as receivers reach it (default http://LISTEN, or https:// with TLS)")
	env(f, "public-url", "RIPOSTE_PUBLIC_URL")
	f.StringVar(&c.Issuer, "issuer", c.Issuer, "`host` name that the JWT names as its issuer (default the public URL's)")
	env(f, "issuer", "RIPOSTE_ISSUER")
	f.StringVar(&c.AllowDestinations, "allow-destinations", c.AllowDestinations, "addresses to deliver to beside public ones: `CIDRs`, or loopback, which also permits http and other ports")
	env(f, "allow-destinations", "RIPOSTE_ALLOW_DESTINATIONS")
	f.StringVar(&c.DenyDestinations, "deny-destinations", c.DenyDestinations, "addresses never to deliver to, public and allowed ones included: `CIDRs`")
	env(f, "deny-destinations", "RIPOSTE_DENY_DESTINATIONS")
	f.DurationVar(&c.RetryMinDelay, "retry-min-delay", c.RetryMinDelay, "shortest delay of the fast retry phase")
	env(f, "retry-min-delay", "RIPOSTE_RETRY_MIN_DELAY")
	f.DurationVar(&c.RetryMaxDelay, "retry-max-delay", c.RetryMaxDelay, "longest delay of the fast retry phase")
	env(f, "retry-max-delay", "RIPOSTE_RETRY_MAX_DELAY")
	f.StringVar(&c.OutcomeURL, "outcome-url", c.OutcomeURL, "`URL` that outcomes are pushed to where neither the instance nor its webhook has one (default nowhere)")
	env(f, "outcome-url", "RIPOSTE_OUTCOME_URL")
	f.StringVar(&c.ConsoleHosts, "console-hosts", c.ConsoleHosts, "`host` names that the console answers to, beside the public URL's and localhost, comma-separated")
	env(f, "console-hosts", "RIPOSTE_CONSOLE_HOSTS")
	f.DurationVar(&c.Keep, "keep", c.Keep, "how long closed instances stay after they expired, beyond an hour")
	env(f, "keep", "RIPOSTE_KEEP")
}

// gcPercent lets the heap grow to five times what is alive, which is some
// megabytes: at Go's default of twice, collecting took a seventh of the CPU.
const gcPercent = 400

func serve(ctx context.Context, config server.Config) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(os.DirFS("/")))
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	s, err := open(ctx, config)
	if err != nil {
		return err
	}
	config.Logger.Info("serving", "url", s.URL(), "listen", s.Addr().String(), "callbacks", s.CallbackAddr().String(), "store", s.StoreName())
	return s.Run(ctx)
}

// open explains what a person can do about a data directory in use.
func open(ctx context.Context, config server.Config) (*server.Server, error) {
	s, err := server.Open(ctx, config)
	if errors.Is(err, sqlite.ErrLocked) {
		return nil, fmt.Errorf("%w: another riposte serves %s; stop it, or name another directory with --data", err, config.Data)
	}
	return s, err
}

// untilSignal returns a context that the first SIGINT or SIGTERM ends; the
// second one then ends the process in the usual way.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// newLogger writes text for people and JSON for programs, and takes in what the
// standard library logs.
func newLogger(w io.Writer) *slog.Logger {
	logger := slog.New(newHandler(w))
	log.SetFlags(0)
	log.SetOutput(standardLog{logger})
	return logger
}

func newHandler(w io.Writer) slog.Handler {
	level := &slog.HandlerOptions{Level: slog.LevelInfo}
	if os.Getenv("RIPOSTE_LOG_LEVEL") == "debug" {
		level.Level = slog.LevelDebug
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.NewTextHandler(w, level)
	}
	return slog.NewJSONHandler(w, level)
}

// standardLog is where package log writes to. Of a receiver that sends more than it
// was asked for, net/http logs the beginning, which may be anything: our own request
// with its JWT and callback URL, sent back. So that is left out.
type standardLog struct{ logger *slog.Logger }

func (l standardLog) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(string(line), " starting with ")
	l.logger.Debug(strings.TrimSpace(text))
	return len(line), nil
}
