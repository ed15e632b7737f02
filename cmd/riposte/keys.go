package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newKeysCommand() *cobra.Command {
	cmd := newGroup("keys", "Manage API keys, and rotate the server's own", "")
	cmd.AddCommand(newKeysCreateCommand(), newKeysServerCommand(), newKeysGenerateMasterCommand())
	for _, r := range rotations {
		cmd.AddCommand(newRotationCommand(r))
	}
	return cmd
}

func newKeysCreateCommand() *cobra.Command {
	var role, name string
	store := &storeFlags{}
	cmd := &cobra.Command{
		Use:   "create --role admin|sender|viewer",
		Short: "Make an API key and print it, once",
		Long: `Make an API key and print it. Only its hash is kept: it can't be shown again.

The key is written to the store in --data or --database-url. While a server
holds that directory, or where --server is given, it is made through the API
with an admin's key. A database takes it beside its servers.

  viewer  reads everything
  sender  also creates instances and acts on them
  admin   also manages webhooks and keys`,
		Example: `  riposte keys create --role sender --name billing
  riposte keys create --role admin --name ops --database-url postgres://riposte@db.example.com/riposte
  riposte keys create --role viewer --server https://riposte.example.com --api-key "$ADMIN_KEY"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			secret, err := createKey(cmd, store, name, riposte.Role(role))
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), secret)
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "admin, sender or viewer")
	_ = cmd.MarkFlagRequired("role")
	cmd.Flags().StringVar(&name, "name", "", "what the key is for")
	store.register(cmd)
	return cmd
}

func createKey(cmd *cobra.Command, store *storeFlags, name string, role riposte.Role) (secret string, err error) {
	if _, _, err := riposte.NewKey(name, role, time.Now()); err != nil {
		return "", err
	}
	overAPI := func(ctx context.Context, c *clients) error {
		value := ripostev1.Role_value["ROLE_"+strings.ToUpper(string(role))]
		res, err := c.keys.Create(ctx, &ripostev1.KeysServiceCreateRequest{Name: name, Role: ripostev1.Role(value)})
		secret = res.GetSecret()
		return err
	}
	inStore := func(ctx context.Context, s riposte.Store) error {
		var k riposte.Key
		if k, secret, err = riposte.NewKey(name, role, s.Now()); err != nil {
			return err
		}
		return s.CreateKey(ctx, k)
	}
	return secret, store.do(cmd, "KeysService.Create", overAPI, inStore)
}
