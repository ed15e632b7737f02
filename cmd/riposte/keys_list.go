package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newKeysListCommand() *cobra.Command {
	f := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List API keys, newest first",
		Long: `List all API keys, newest first, after the one that the server's configuration
gives. This needs an admin's key. When a key was last used is known to within a
minute.`,
		Example: "  riposte keys list\n  riposte keys list --json | jq -r '.list[] | select(.lastUsedAt == null) | .id'",
		Args:    noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			res, err := c.keys.List(cmd.Context(), &ripostev1.KeysServiceListRequest{})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeKeys(out, res.GetList(), time.Now()) })
		}),
	}
	f.register(cmd)
	return cmd
}

func newKeysRevokeCommand() *cobra.Command {
	f := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End an API key",
		Long: `End an API key: whoever uses it is refused from then on, within 5 s at each node.
The last key of an admin can't be revoked. This needs an admin's key.`,
		Example: "  riposte keys revoke KEY_ID",
		Args:    exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.keys.Revoke(cmd.Context(), &ripostev1.KeysServiceRevokeRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { fmt.Fprintf(out, "Revoked key %s.\n", visible(args[0])) })
		}),
	}
	f.register(cmd)
	return cmd
}

func writeKeys(out *bytes.Buffer, list []*ripostev1.Key, now time.Time) {
	t := newTable(out, "ID", "NAME", "ROLE", "AGE", "EXPIRES", "LAST USED", "CALLS/S")
	for _, k := range list {
		t.row(k.GetId(), short(k.GetName(), 40), roleName(k.GetRole()), age(k.GetCreatedAt(), now), moment(k.GetExpiresAt(), now),
			moment(k.GetLastUsedAt(), now), callsPerSecond(k.GetRateLimit()))
	}
	t.flush()
}

// roleName is "" for the command line, which needs no role.
func roleName(r ripostev1.Role) string { return strings.ToLower(enumName(r, "ROLE_")) }

// callsPerSecond is "" for no bound.
func callsPerSecond(rateLimit int32) string {
	if rateLimit == 0 {
		return ""
	}
	return count(rateLimit)
}
