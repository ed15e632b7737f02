// Command riposte is the server, its development mode and its client.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the release build.
var version = "dev"

func main() {
	os.Exit(run(newRootCommand()))
}

func run(root *cobra.Command) int {
	err := root.Execute()
	if err == nil {
		return 0
	}
	if err.Error() != "" {
		fmt.Fprintln(root.ErrOrStderr(), "riposte:", err)
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return 1
}

func newRootCommand() *cobra.Command {
	root := newGroup("riposte", "Webhooks that ask a question and wait for the answer",
		`Riposte asks other systems questions over HTTP and waits for their answers: a
millisecond or three weeks. It takes a question durably, calls the endpoint with
a signed request, retries, takes the answer at once or later on a one-time
callback URL, and hands the outcome to the caller exactly once.`)
	root.Example = `  riposte dev                  see it work, on loopback and throw-away data
  riposte serve                run it
  riposte webhooks create --name approvals --url https://example.com/hook
  riposte ask approvals --approval-step T-1 --wait`
	root.Version = version
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return readEnv(cmd) }
	root.AddCommand(newServeCommand(), newDevCommand(), newWebhooksCommand(), newInstancesCommand(), newAskCommand(), newListenCommand(), newWatchCommand(), newConsumersCommand(), newKeysCommand(), newClientsCommand(), newAuditCommand(), newCheckCommand())
	return root
}
