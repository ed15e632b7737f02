package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// databaseFlag is --database-url, which stands in place of --data.
func databaseFlag(cmd *cobra.Command, url *string) {
	cmd.Flags().StringVar(url, "database-url", "", "`URL` of the PostgreSQL database that several nodes share, in place of --data")
	env(cmd.Flags(), "database-url", "RIPOSTE_DATABASE_URL")
}

var errTwoStores = errors.New("--data and --database-url name two stores: leave one out")

// oneStore refuses two stores on one command line. What the command line names
// overrides what the environment does, and there a database overrides a data
// directory.
func oneStore(cmd *cobra.Command, databaseURL *string) error {
	switch {
	case !onCommandLine(cmd, "data"):
	case onCommandLine(cmd, "database-url"):
		return errTwoStores
	default:
		*databaseURL = ""
	}
	return nil
}
