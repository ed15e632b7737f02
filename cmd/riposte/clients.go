package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/server"
)

func newClientsCommand() *cobra.Command {
	cmd := newGroup("clients", "Manage client credentials",
		`Client credentials are what programs call with that get themselves access tokens
(OAuth 2.0), as ConductorOne's own clients do: a client id and a secret, from
which POST /auth/v1/token makes a token that is good for ten minutes.`)
	cmd.AddCommand(newClientsCreateCommand(), newClientsListCommand(), newClientsRevokeCommand())
	return cmd
}

func newClientsCreateCommand() *cobra.Command {
	var (
		name, publicURL string
		store           storeFlags
		is              roleFlags
	)
	cmd := &cobra.Command{
		Use:   "create --role admin|sender|viewer",
		Short: "Make client credentials and print them, once",
		Long: `Make client credentials and print them, in the two lines that cone's config.yaml
takes. Only the public key is kept: the secret can't be shown again.

They are written to the store in --data or --database-url. While a server holds
that directory, or where --server is given, they are made through the API with an
admin's key. A database takes them beside its servers.

The client id has the host of the server's public URL, because ConductorOne's
clients call whatever host is there if nothing else tells them. The server knows
its own; beside a store, give --public-url as serve has it.`,
		Example: `  riposte clients create --role admin --name terraform
  riposte clients create --role sender --name billing --expires-in 2160h --rate-limit 50
  riposte clients create --role admin --database-url postgres://riposte@db.example.com/riposte --public-url https://riposte.example.com
  riposte clients create --role viewer --server https://riposte.example.com --json | jq -r .clientSecret`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			res, err := createClient(cmd, &store, &is, name, publicURL)
			if err != nil {
				return err
			}
			return store.print(cmd, res, func(out *bytes.Buffer) {
				fmt.Fprintf(out, "client-id: %s\nclient-secret: %s\n", res.GetClient().GetClientId(), res.GetClientSecret())
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what the client is for, and whose the instances are that it creates: lower-case letters, digits and hyphens (default: made up)")
	cmd.Flags().StringVar(&publicURL, "public-url", "", "the server's public `URL`, where the client is made in a store (default http://"+server.Default().Listen+", as serve's)")
	env(cmd.Flags(), "public-url", "RIPOSTE_PUBLIC_URL")
	is.register(cmd)
	store.register(cmd)
	return cmd
}

func createClient(cmd *cobra.Command, store *storeFlags, is *roleFlags, name, publicURL string) (res *ripostev1.ClientsServiceCreateResponse, err error) {
	expires, err := is.expiresAt(cmd, time.Now())
	if err != nil {
		return nil, err
	}
	newClient := func(host string, now time.Time) (riposte.Client, string, error) {
		return riposte.NewClient(name, host, riposte.Role(is.role), expires, int(is.rateLimit), now)
	}
	if _, _, err := newClient("host", time.Now()); err != nil { // before a store is made
		return nil, err
	}
	overAPI := func(ctx context.Context, c *clients) (err error) {
		req := &ripostev1.ClientsServiceCreateRequest{Name: name, Role: is.message(), RateLimit: is.rateLimit}
		if !expires.IsZero() {
			req.ExpiresAt = timestamppb.New(expires)
		}
		res, err = c.credentials.Create(ctx, req)
		return err
	}
	inStore := func(ctx context.Context, s riposte.Store) error {
		host, err := hostOfClients(publicURL, store.databaseURL != "")
		if err != nil {
			return err
		}
		c, secret, err := newClient(host, s.Now())
		if err != nil {
			return err
		}
		res = &ripostev1.ClientsServiceCreateResponse{Client: api.ClientMessage(c), ClientSecret: secret}
		e, _ := riposte.AuditOf(ctx)
		e.Target, e.Detail = c.ID, c.Summary()
		return s.CreateClient(riposte.WithAudit(ctx, e), c)
	}
	return res, store.do(cmd, "ClientsService.Create", overAPI, inStore)
}

// hostOfClients is the host of a server's public URL. One that is alone may have the
// default; nodes that share a database never have it.
func hostOfClients(publicURL string, nodes bool) (string, error) {
	if publicURL == "" {
		if nodes {
			return "", usagef("--public-url is missing: clients call the host that is in their id, so give it as serve has it")
		}
		publicURL = "http://" + server.Default().Listen
	}
	u, err := url.Parse(publicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", usagef("--public-url must be an http or https URL, not %q", publicURL)
	}
	return riposte.ClientHost(u), nil
}
