package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/server"
	"github.com/riposte-dev/riposte/sqlite"
)

// storeFlags are the flags of a command that works on a store, or at the server that
// has it.
type storeFlags struct {
	clientFlags
	data, databaseURL string
}

func (f *storeFlags) register(cmd *cobra.Command) {
	f.data = server.Default().Data
	cmd.Flags().StringVar(&f.data, "data", f.data, "data `directory`")
	env(cmd.Flags(), "data", "RIPOSTE_DATA")
	databaseFlag(cmd, &f.databaseURL)
	f.clientFlags.register(cmd)
}

// do goes to the server that --server names or that holds the store, else to the
// store. A RIPOSTE_SERVER doesn't override a store on the command line. What inStore
// changes is in the audit log under operation.
func (f *storeFlags) do(cmd *cobra.Command, operation string, overAPI func(context.Context, *clients) error, inStore func(context.Context, riposte.Store) error) error {
	if err := oneStore(cmd, &f.databaseURL); err != nil {
		return err
	}
	call := func() error {
		c, err := f.clients()
		if err != nil {
			return err
		}
		return overAPI(cmd.Context(), c)
	}
	server := cmd.Flags().Lookup("server")
	if server.Changed && (!fromEnv(server) || !onCommandLine(cmd, "data") && !onCommandLine(cmd, "database-url")) {
		return call()
	}
	store, err := f.open(cmd)
	if errors.Is(err, sqlite.ErrLocked) {
		if err := call(); err != nil {
			return fmt.Errorf("a server holds %s, so it must be made there (name it with --server): %w", f.data, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	ctx := riposte.WithAudit(cmd.Context(), riposte.AuditEntry{Actor: riposte.ActorCommandLine, Operation: operation})
	return errors.Join(inStore(ctx, store), store.Close())
}

func (f *storeFlags) open(cmd *cobra.Command) (riposte.Store, error) {
	if f.databaseURL != "" {
		return postgres.Open(cmd.Context(), f.databaseURL, postgres.Options{})
	}
	if _, err := os.Stat(filepath.Join(f.data, sqlite.FileName)); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(cmd.ErrOrStderr(), "There is no store in %s yet: making one.\n", f.data)
	}
	return sqlite.Open(cmd.Context(), f.data, sqlite.Options{})
}

func onCommandLine(cmd *cobra.Command, flag string) bool {
	f := cmd.Flags().Lookup(flag)
	return f.Changed && !fromEnv(f)
}
