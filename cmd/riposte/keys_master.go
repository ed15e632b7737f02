package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/riposte-dev/riposte/vault"
)

func newKeysGenerateMasterCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "generate-master",
		Short: "Print a new master key",
		Long: `Print a new master key: 32 random bytes in base64. A server encrypts its secrets
at rest with keys that the master key wraps. Give it by RIPOSTE_MASTER_KEY or
--master-key-file to every node, and keep a copy where the database's backups are
not: without it nobody can open the secrets in them, you neither.`,
		Example: `  riposte keys generate-master
  (umask 077; riposte keys generate-master >/etc/riposte/master.key)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), vault.NewMaster())
			return err
		},
	}
}
