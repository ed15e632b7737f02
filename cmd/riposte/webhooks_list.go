package main

import (
	"bytes"
	"io"
	"time"

	"github.com/spf13/cobra"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
)

const largestWebhooksPage = 100

func newWebhooksListCommand(f *clientFlags) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List webhooks, newest first",
		Long:    "List the webhooks that are not deleted, newest first.",
		Example: "  riposte webhooks list\n  riposte webhooks list --limit 0 --json | jq -r '.list[].id'",
		Args:    noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			list, more, err := collect(limit, largestWebhooksPage, func(size int32, token string) ([]*webhooksv1.Webhook, string, error) {
				res, err := c.webhooks.List(cmd.Context(), &webhooksv1.WebhooksServiceListRequest{PageSize: size, PageToken: token})
				return res.GetList(), res.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			tellMore(cmd, more, limit)
			return f.print(cmd, &webhooksv1.WebhooksServiceListResponse{List: list}, func(out *bytes.Buffer) {
				writeWebhooks(out, list, "No webhooks yet. Create one: riposte webhooks create --name NAME --url URL\n", time.Now())
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", defaultLimit, limitUsage)
	return cmd
}

func newWebhooksSearchCommand(f *clientFlags) *cobra.Command {
	var (
		limit int
		refs  []string
	)
	cmd := &cobra.Command{
		Use:   "search [QUERY]",
		Short: "Find webhooks by name, description or id",
		Long: `Find webhooks whose name or description has QUERY in it, in upper or lower case.
With --ref only those with one of these ids; both together narrow each other.`,
		Example: `  riposte webhooks search approval
  riposte webhooks search --ref WEBHOOK_ID --ref OTHER_ID`,
		Args: atMostOne("QUERY"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			req := &webhooksv1.WebhooksSearchRequest{}
			if len(args) > 0 {
				req.Query = args[0]
			}
			for _, id := range refs {
				req.Refs = append(req.Refs, &webhooksv1.WebhookRef{Id: id})
			}
			list, more, err := collect(limit, largestWebhooksPage, func(size int32, token string) ([]*webhooksv1.Webhook, string, error) {
				req.PageSize, req.PageToken = size, token
				res, err := c.search.Search(cmd.Context(), req)
				return res.GetList(), res.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			tellMore(cmd, more, limit)
			return f.print(cmd, &webhooksv1.WebhooksSearchResponse{List: list}, func(out *bytes.Buffer) {
				writeWebhooks(out, list, "No webhook matches. riposte webhooks list shows those there are.\n", time.Now())
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", defaultLimit, limitUsage)
	cmd.Flags().StringArrayVar(&refs, "ref", nil, "`ID` of a webhook; may be repeated")
	return cmd
}

func writeWebhooks(out io.Writer, list []*webhooksv1.Webhook, none string, now time.Time) {
	if len(list) == 0 {
		_, _ = io.WriteString(out, none)
		return
	}
	t := newTable(out, "ID", "NAME", "URL", "TIMEOUT", "AGE")
	for _, w := range list {
		t.row(w.GetId(), short(w.GetDisplayName(), 40), short(w.GetUrl(), 60), patience(w.GetCallbackTimeout()), age(w.GetCreatedAt(), now))
	}
	t.flush()
}
