package main

import (
	"bytes"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const largestAuditPage = 1000

func newAuditCommand() *cobra.Command {
	var (
		limit  int
		filter string
	)
	f := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what",
		Long: `Show the audit log, newest first: each change that somebody made, with the key or
client, the address it came from, the operation, and what was changed. Entries
are kept for 400 days. This needs an admin's key.

A filter compares actor, operation and target with =, and createdAt with =, <,
<=, > and >=, joined by AND. The actor is the id of a key or client,
"configured" or "command line".`,
		Example: `  riposte audit
  riposte audit --filter 'operation = KeysService.Create AND createdAt >= "2026-01-02T00:00:00Z"'
  riposte audit --filter 'target = WEBHOOK_ID' --limit 0 --json`,
		Args: noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			list, more, err := collect(limit, largestAuditPage, func(size int32, token string) ([]*ripostev1.AuditEntry, string, error) {
				res, err := c.audit.List(cmd.Context(), &ripostev1.AuditServiceListRequest{Filter: filter, PageSize: size, PageToken: token})
				return res.GetList(), res.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			tellMore(cmd, more, limit)
			return f.print(cmd, &ripostev1.AuditServiceListResponse{List: list}, func(out *bytes.Buffer) { writeAudit(out, list) })
		}),
	}
	f.register(cmd)
	cmd.Flags().StringVar(&filter, "filter", "", "`EXPRESSION` such as 'operation = KeysService.Create'")
	cmd.Flags().IntVar(&limit, "limit", defaultLimit, limitUsage)
	return cmd
}

func writeAudit(out *bytes.Buffer, list []*ripostev1.AuditEntry) {
	if len(list) == 0 {
		out.WriteString("Nothing here: nothing was changed that the filter selects.\n")
		return
	}
	t := newTable(out, "TIME", "WHO", "ROLE", "FROM", "OPERATION", "TARGET", "DETAIL")
	for _, e := range list {
		who := e.GetActor()
		if name := e.GetActorName(); name != "" {
			who = strings.TrimSpace(short(name, 40) + " " + who)
		}
		t.row(e.GetCreatedAt().AsTime().UTC().Format(time.RFC3339), who, roleName(e.GetRole()), e.GetRemoteAddress(), e.GetOperation(), e.GetTarget(), short(e.GetDetail(), 80))
	}
	t.flush()
}
