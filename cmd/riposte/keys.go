package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/server"
	"github.com/riposte-dev/riposte/sqlite"
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
	data, databaseURL := server.Default().Data, ""
	flags := &clientFlags{}
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
			if err := oneStore(cmd, &databaseURL); err != nil {
				return err
			}
			secret, err := createKey(cmd, data, databaseURL, flags, name, riposte.Role(role))
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
	cmd.Flags().StringVar(&data, "data", data, "data `directory`")
	env(cmd.Flags(), "data", "RIPOSTE_DATA")
	databaseFlag(cmd, &databaseURL)
	flags.register(cmd)
	return cmd
}

// createKey goes to the server that --server names or that holds the store,
// else to the store. A RIPOSTE_SERVER doesn't override a store on the command
// line.
func createKey(cmd *cobra.Command, data, databaseURL string, flags *clientFlags, name string, role riposte.Role) (string, error) {
	if _, _, err := riposte.NewKey(name, role, time.Now()); err != nil {
		return "", err
	}
	server := cmd.Flags().Lookup("server")
	if server.Changed && (!fromEnv(server) || !onCommandLine(cmd, "data") && !onCommandLine(cmd, "database-url")) {
		return createKeyOverAPI(cmd.Context(), flags, name, string(role))
	}
	if databaseURL != "" {
		store, err := postgres.Open(cmd.Context(), databaseURL, postgres.Options{})
		if err != nil {
			return "", err
		}
		return createKeyInStore(cmd.Context(), store, name, role)
	}
	if _, err := os.Stat(filepath.Join(data, sqlite.FileName)); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(cmd.ErrOrStderr(), "There is no store in %s yet: making one.\n", data)
	}
	store, err := sqlite.Open(cmd.Context(), data, sqlite.Options{})
	if errors.Is(err, sqlite.ErrLocked) {
		secret, err := createKeyOverAPI(cmd.Context(), flags, name, string(role))
		if err != nil {
			err = fmt.Errorf("a server holds %s, so the key must come from it (name it with --server): %w", data, err)
		}
		return secret, err
	}
	if err != nil {
		return "", err
	}
	return createKeyInStore(cmd.Context(), store, name, role)
}

func onCommandLine(cmd *cobra.Command, flag string) bool {
	f := cmd.Flags().Lookup(flag)
	return f.Changed && !fromEnv(f)
}

// createKeyInStore closes the store.
func createKeyInStore(ctx context.Context, store riposte.Store, name string, role riposte.Role) (_ string, err error) {
	defer func() { err = errors.Join(err, store.Close()) }()
	k, secret, err := riposte.NewKey(name, role, store.Now())
	if err != nil {
		return "", err
	}
	return secret, store.CreateKey(ctx, k)
}

func createKeyOverAPI(ctx context.Context, flags *clientFlags, name, role string) (string, error) {
	c, err := flags.clients()
	if err != nil {
		return "", err
	}
	value := ripostev1.Role_value["ROLE_"+strings.ToUpper(role)]
	res, err := c.keys.Create(ctx, &ripostev1.KeysServiceCreateRequest{Name: name, Role: ripostev1.Role(value)})
	if err != nil {
		return "", err
	}
	return res.GetSecret(), nil
}
