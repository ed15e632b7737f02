package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newClientsListCommand() *cobra.Command {
	f := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List client credentials, newest first",
		Long: `List all client credentials, newest first. This needs an admin's key. When a client
was last used is known to within a minute.`,
		Example: "  riposte clients list\n  riposte clients list --json | jq -r '.list[] | select(.lastUsedAt == null) | .id'",
		Args:    noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			res, err := c.credentials.List(cmd.Context(), &ripostev1.ClientsServiceListRequest{})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeClients(out, res.GetList(), time.Now()) })
		}),
	}
	f.register(cmd)
	return cmd
}

func newClientsRevokeCommand() *cobra.Command {
	f := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End client credentials",
		Long: `End client credentials: whoever uses them, or an access token that was got with
them, is refused from then on, within 5 s at each node. ID is the one that clients
list shows first. This needs an admin's key.`,
		Example: "  riposte clients revoke ID",
		Args:    exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.credentials.Revoke(cmd.Context(), &ripostev1.ClientsServiceRevokeRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { fmt.Fprintf(out, "Revoked client %s.\n", visible(args[0])) })
		}),
	}
	f.register(cmd)
	return cmd
}

func writeClients(out *bytes.Buffer, list []*ripostev1.Client, now time.Time) {
	if len(list) == 0 {
		fmt.Fprintln(out, "No clients yet. Make one: riposte clients create --role admin|sender|viewer")
		return
	}
	t := newTable(out, "ID", "CLIENT ID", "ROLE", "AGE", "EXPIRES", "LAST USED", "CALLS/S")
	for _, c := range list {
		t.row(c.GetId(), c.GetClientId(), roleName(c.GetRole()), age(c.GetCreatedAt(), now), moment(c.GetExpiresAt(), now),
			moment(c.GetLastUsedAt(), now), callsPerSecond(c.GetRateLimit()))
	}
	t.flush()
}
