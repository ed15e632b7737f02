package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newKeysCommand() *cobra.Command {
	cmd := newGroup("keys", "Manage API keys, and rotate the server's own", "")
	cmd.AddCommand(newKeysCreateCommand(), newKeysListCommand(), newKeysRevokeCommand(), newKeysServerCommand(), newKeysGenerateMasterCommand())
	for _, r := range rotations {
		cmd.AddCommand(newRotationCommand(r))
	}
	return cmd
}

func newKeysCreateCommand() *cobra.Command {
	var (
		name  string
		store storeFlags
		is    roleFlags
	)
	cmd := &cobra.Command{
		Use:   "create --role admin|sender|viewer",
		Short: "Make an API key and print it, once",
		Long: `Make an API key and print it. Only its hash is kept: it can't be shown again.

The key is written to the store in --data or --database-url. While a server
holds that directory, or where --server is given, it is made through the API
with an admin's key. A database takes it beside its servers.

  viewer  reads everything but keys, clients and the audit log
  sender  creates instances, and reads and acts on its own
  admin   does everything

Keys of one name own the same instances: a sender's key gives way to another
one of its name.`,
		Example: `  riposte keys create --role sender --name billing
  riposte keys create --role sender --name ci --expires-in 720h --rate-limit 50
  riposte keys create --role admin --name ops --database-url postgres://riposte@db.example.com/riposte
  riposte keys create --role viewer --server https://riposte.example.com --api-key "$ADMIN_KEY"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			res, err := createKey(cmd, &store, &is, name)
			if err != nil {
				return err
			}
			return store.print(cmd, res, func(out *bytes.Buffer) { fmt.Fprintln(out, res.GetSecret()) })
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what the key is for, and whose the instances are that it creates")
	is.register(cmd)
	store.register(cmd)
	return cmd
}

func createKey(cmd *cobra.Command, store *storeFlags, is *roleFlags, name string) (res *ripostev1.KeysServiceCreateResponse, err error) {
	expires, err := is.expiresAt(cmd, time.Now())
	if err != nil {
		return nil, err
	}
	newKey := func(now time.Time) (riposte.Key, string, error) {
		return riposte.NewLimitedKey(name, riposte.Role(is.role), expires, int(is.rateLimit), now)
	}
	if _, _, err := newKey(time.Now()); err != nil {
		return nil, err
	}
	overAPI := func(ctx context.Context, c *clients) (err error) {
		req := &ripostev1.KeysServiceCreateRequest{Name: name, Role: is.message(), RateLimit: is.rateLimit}
		if !expires.IsZero() {
			req.ExpiresAt = timestamppb.New(expires)
		}
		res, err = c.keys.Create(ctx, req)
		return err
	}
	inStore := func(ctx context.Context, s riposte.Store) error {
		k, secret, err := newKey(s.Now())
		if err != nil {
			return err
		}
		res = &ripostev1.KeysServiceCreateResponse{Key: api.KeyMessage(k), Secret: secret}
		e, _ := riposte.AuditOf(ctx)
		e.Target, e.Detail = k.ID, k.Summary()
		return s.CreateKey(riposte.WithAudit(ctx, e), k)
	}
	return res, store.do(cmd, "KeysService.Create", overAPI, inStore)
}
