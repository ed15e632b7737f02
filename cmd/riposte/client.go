package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/riposte-dev/riposte/apijson"
	"github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1/webhooksv1connect"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
)

const (
	defaultServer = "http://127.0.0.1:8080"

	// callTimeout bounds every call but those that the server lets wait, which get
	// waitMargin on top of what they ask it for.
	callTimeout = 30 * time.Second
	waitMargin  = 10 * time.Second
)

// clientFlags are the flags of every command that talks to a server.
type clientFlags struct {
	server string
	apiKey string
	json   bool

	transport http.RoundTripper // nil for the default one
}

// register gives cmd and its subcommands the flags.
func (f *clientFlags) register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.server, "server", defaultServer, "`URL` of the server")
	flags.StringVar(&f.apiKey, "api-key", "", "API `key`; the environment hides it from other users of the machine")
	flags.BoolVar(&f.json, "json", false, "print the API's JSON, for programs")
	env(flags, "server", "RIPOSTE_SERVER")
	env(flags, "api-key", "RIPOSTE_API_KEY")
}

// clients are the API's services at one server.
type clients struct {
	caller       caller
	webhooks     webhooksv1connect.WebhooksServiceClient
	search       webhooksv1connect.WebhooksSearchClient
	instances    ripostev1connect.InstancesServiceClient
	settings     ripostev1connect.WebhookSettingsServiceClient
	keys         ripostev1connect.KeysServiceClient
	audit        ripostev1connect.AuditServiceClient
	serverKeys   ripostev1connect.ServerKeysServiceClient
	credentials  ripostev1connect.ClientsServiceClient
	consumers    ripostev1connect.ConsumersServiceClient
	statistics   ripostev1connect.StatisticsServiceClient
	verification ripostev1connect.VerificationServiceClient
}

// clients makes the clients that the flags ask for. It does not connect.
func (f *clientFlags) clients() (*clients, error) {
	server, err := parseServer(f.server)
	if err != nil {
		return nil, err
	}
	key := strings.TrimSpace(f.apiKey)
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, usagef("the API key has characters that no key has: is it the content of admin.key?")
	}
	client := &http.Client{CheckRedirect: refuseRedirect, Transport: f.transport}
	who := caller{server: server, key: key}
	options := []connect.ClientOption{connect.WithCodec(apijson.Codec{}), connect.WithInterceptors(who)}
	return &clients{
		caller:       who,
		webhooks:     webhooksv1connect.NewWebhooksServiceClient(client, server, options...),
		search:       webhooksv1connect.NewWebhooksSearchClient(client, server, options...),
		instances:    ripostev1connect.NewInstancesServiceClient(client, server, options...),
		settings:     ripostev1connect.NewWebhookSettingsServiceClient(client, server, options...),
		keys:         ripostev1connect.NewKeysServiceClient(client, server, options...),
		audit:        ripostev1connect.NewAuditServiceClient(client, server, options...),
		serverKeys:   ripostev1connect.NewServerKeysServiceClient(client, server, options...),
		credentials:  ripostev1connect.NewClientsServiceClient(client, server, options...),
		consumers:    ripostev1connect.NewConsumersServiceClient(client, server, options...),
		statistics:   ripostev1connect.NewStatisticsServiceClient(client, server, options...),
		verification: ripostev1connect.NewVerificationServiceClient(client, server, options...),
	}, nil
}

// parseServer returns the URL without a slash at its end. User info is refused
// because the URL is part of error messages.
func parseServer(s string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "", usagef("the server must be an http or https URL such as %s, not %q", defaultServer, s)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", usagef("the server's URL must have no user info, query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// refuseRedirect keeps a POST from turning into a GET, and the API key from
// going where nobody sent it.
func refuseRedirect(r *http.Request, _ []*http.Request) error {
	return fmt.Errorf("the server redirects to %s://%s: name that one with --server", r.URL.Scheme, r.URL.Host)
}

// caller is what every call over one set of clients has in common: the choke
// point of all of them.
type caller struct{ server, key string }

// WrapUnary implements connect.Interceptor: it identifies the caller, bounds the
// time and makes errors say what to do.
func (c caller) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		c.identify(req.Header())
		ctx, cancel := context.WithTimeout(ctx, timeoutOf(req.Any()))
		defer cancel()
		res, err := next(ctx, req)
		if err != nil {
			return nil, c.explain(err)
		}
		return res, nil
	}
}

func timeoutOf(req any) time.Duration {
	switch req := req.(type) {
	case *ripostev1.InstancesServiceWaitRequest:
		return req.GetTimeout().AsDuration() + waitMargin
	case *ripostev1.ConsumersServicePullRequest:
		return max(callTimeout, req.GetWait().AsDuration()+waitMargin)
	}
	return callTimeout
}

// WrapStreamingClient implements connect.Interceptor: it identifies the caller. A
// stream's errors come when it is read, so whoever reads explains them.
func (c caller) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		c.identify(conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler implements connect.Interceptor for servers.
func (c caller) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (c caller) identify(h http.Header) {
	if c.key != "" {
		h.Set("Authorization", "Bearer "+c.key)
	}
}

func (c caller) explain(err error) error {
	return &explained{text: visibleLines(explanation(c.server, err)), cause: err}
}

// connected wraps what a command does with the clients that its flags ask for.
func (f *clientFlags) connected(do func(cmd *cobra.Command, c *clients, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := f.clients()
		if err != nil {
			return err
		}
		return do(cmd, c, args)
	}
}

// newGroup returns a command that only has subcommands. Cobra alone would
// answer an unknown one with the help and exit code 0.
func newGroup(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,

		SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := cmd.CommandPath() + " --help lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return usagef("%s has no command %q: %s", cmd.CommandPath(), args[0], hint)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// exactly takes one argument for each name. An empty one is an unset variable
// in somebody's script.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("got %d arguments; usage: %s %s", len(args), cmd.CommandPath(), strings.Join(names, " "))
		}
		for i, arg := range args {
			if arg == "" {
				return usagef("%s is empty", names[i])
			}
		}
		return nil
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("got the argument %q; usage: %s", args[0], cmd.CommandPath())
	}
	return nil
}

func atMostOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("got %d arguments; usage: %s [%s], in quotes where it has blanks", len(args), cmd.CommandPath(), name)
		}
		return nil
	}
}
