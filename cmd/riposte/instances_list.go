package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const largestInstancesPage = 1000

// filterFlags are the most common comparisons of a filter, as flags.
type filterFlags struct {
	filter, webhook, state, source, ticket string
	labels                                 []string
}

func (l *filterFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&l.filter, "filter", "", "`EXPRESSION` such as 'state = ERROR AND createdAt >= \"2026-01-02T00:00:00Z\"'")
	flags.StringVar(&l.webhook, "webhook", "", "only those of the webhook with this `ID`")
	flags.StringVar(&l.state, "state", "", "only those in this `STATE`, such as WAITING_CALLBACK")
	flags.StringVar(&l.source, "source", "", "only those of this `KIND`: test, approval-step, provision-step, policy-post-action or workflow-step")
	flags.StringVar(&l.ticket, "ticket", "", "only those of this `TICKET`")
	flags.StringArrayVar(&l.labels, "label", nil, "only those with this `KEY=VALUE`; may be repeated")
}

func newInstancesListCommand(f *clientFlags) *cobra.Command {
	var (
		limit int
		l     filterFlags
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List instances, newest first",
		Long: `List instances, newest first. The flags and --filter narrow each other.

A filter compares webhookId, state, source, ticketId, createdBy and labels.KEY
with =, and createdAt and expiresAt with =, <, <=, > and >=, joined by AND. With a
sender's key only its own are listed.`,
		Example: `  riposte instances list --webhook WEBHOOK_ID --state WAITING_CALLBACK
  riposte instances list --label team=db --source approval-step
  riposte instances list --filter 'expiresAt < "2026-02-01T00:00:00Z"' --limit 0 --json`,
		Args: noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			filter, err := l.expression()
			if err != nil {
				return err
			}
			list, more, err := collect(limit, largestInstancesPage, func(size int32, token string) ([]*ripostev1.Instance, string, error) {
				res, err := c.instances.List(cmd.Context(), &ripostev1.InstancesServiceListRequest{Filter: filter, PageSize: size, PageToken: token})
				return res.GetList(), res.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			tellMore(cmd, more, limit)
			return f.print(cmd, &ripostev1.InstancesServiceListResponse{List: list}, func(out *bytes.Buffer) {
				writeInstances(out, list, filter != "", time.Now())
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", defaultLimit, limitUsage)
	l.register(cmd)
	return cmd
}

// expression joins the flags into one filter.
func (l *filterFlags) expression() (string, error) {
	var all []string
	if l.filter != "" {
		all = append(all, l.filter)
	}
	for _, c := range []struct{ field, value string }{
		{"webhookId", l.webhook},
		{"state", strings.ReplaceAll(strings.ToUpper(l.state), "-", "_")},
		{"source", camelCase(l.source)},
		{"ticketId", l.ticket},
	} {
		if c.value != "" {
			all = append(all, c.field+" = "+quoteFilter(c.value))
		}
	}
	labels, err := readPairs("label", l.labels)
	if err != nil {
		return "", err
	}
	for key, value := range labels {
		if strings.ContainsAny(key, `"\`) {
			return "", usagef("--label can't find a key with a quote or a backslash in it: %q", key)
		}
		all = append(all, `labels."`+key+`" = `+quoteFilter(value))
	}
	// A page's token belongs to one filter, and a map has no order.
	slices.Sort(all[len(all)-len(labels):])
	return strings.Join(all, " AND "), nil
}

// quoteFilter writes a string as a filter reads it: a backslash means the
// character after it, so strconv.Quote's \n would be an n.
func quoteFilter(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// camelCase turns a flag's name into the API's: approval-step to approvalStep.
func camelCase(s string) string {
	words := strings.Split(s, "-")
	for i, w := range words {
		if i > 0 && w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}

func writeInstances(out io.Writer, list []*ripostev1.Instance, filtered bool, now time.Time) {
	if len(list) == 0 {
		none := "No instances yet. Ask a first question: riposte instances create WEBHOOK_ID --test\n"
		if filtered {
			none = "No instance matches.\n"
		}
		_, _ = io.WriteString(out, none)
		return
	}
	t := newTable(out, "ID", "WEBHOOK", "SOURCE", "STATE", "ATTEMPTS", "AGE", "OUTCOME", "NEXT")
	for _, i := range list {
		w := i.GetWebhookInstance()
		t.row(w.GetId(), w.GetWebhookId(), short(sourceText(w.GetSource()), 40), stateName(i), count(w.GetAttempts()),
			age(w.GetCreatedAt(), now), outcomeText(i.GetOutcome()), nextText(i, now))
	}
	t.flush()
}
