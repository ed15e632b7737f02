package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/check"
)

// checkFlags say what to check, and how to show it.
type checkFlags struct {
	options  check.Options
	question instanceFlags // its sources and payload
	timeout  span
	json     bool
}

func newCheckCommand() *cobra.Command {
	f := checkFlags{options: check.Options{Listen: check.DefaultListen}, timeout: span(check.DefaultTimeout)}
	cmd := &cobra.Command{
		Use:   "check URL",
		Short: "Play a receiver through its paces",
		Long: `Play a receiver through its paces, and report as a table what it did right and
what it did not. It sends FORGED and REPEATED deliveries beside honest ones, and
the receiver acts on the honest ones: use it on your own receivers alone, and
where no harm comes of what they do.

The receiver must trust this command's keys. It serves them at LISTEN (or
--public-url, where the receiver reaches it by another name) as a server does,
and says at its start what to configure: the issuer and the key set's URL. They
are new each time unless --data keeps them. Callbacks go there, too. http and
addresses of loopback and private networks are allowed.

Every source is asked once; name those that the receiver takes where it doesn't
take all. The questions end after their first attempt, whatever comes of it.
Each check has --timeout, so that all is over in that many times the number of
checks at most; with a receiver that answers at once it takes seconds.

` + checkNames() + `
Exit codes: 0 when nothing failed (warnings don't count), 3 when a check failed,
1 when the checks could not be played, 2 for a wrong command line.`,
		Example: `  riposte check http://127.0.0.1:9000/hook
  riposte check http://127.0.0.1:9000/hook --approval-step T-1 --payload @question.json
  riposte check https://staging.example.com/hook --listen 0.0.0.0:8080 --public-url https://check.example.com --data ./check-keys
  riposte check http://127.0.0.1:9000/hook --only wrong-key,expired,replay --json`,
		Args: exactly("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.options.URL = args[0]
			return f.run(cmd)
		},
	}
	f.register(cmd)
	return cmd
}

// checkNames is the part of the help that lists the checks.
func checkNames() string {
	var out bytes.Buffer
	out.WriteString("The checks, with the section of docs/receivers.md that has the rule:\n\n")
	t := newTable(&out, "  NAME", "RULE", "WHAT IS DONE", "WHAT IS EXPECTED")
	for _, c := range check.All() {
		t.row("  "+c.Name, c.Section, c.Done, c.Expected)
	}
	t.flush()
	return out.String()
}

// register gives no flag a twin in the environment: what is set there is meant
// for a server, and this must not pass for it.
func (f *checkFlags) register(cmd *cobra.Command) {
	flags, o := cmd.Flags(), &f.options
	flags.StringVar(&o.Listen, "listen", o.Listen, "host:port of the key set and of callbacks")
	flags.StringVar(&o.PublicURL, "public-url", "", "base `URL` of both, as the receiver reaches it (default http://LISTEN)")
	flags.StringVar(&o.Issuer, "issuer", "", "`host` name that the JWT names as its issuer (default the public URL's)")
	flags.StringVar(&o.Data, "data", "", "`directory` that keeps the keys for the next time (default throw-away)")
	f.question.registerQuestion(cmd)
	flags.Var(&f.timeout, "timeout", "how long a check may take, a callback included; 35s or more lets an attempt end (it takes up to 30s)")
	flags.StringSliceVar(&o.Only, "only", nil, "play these `CHECKS` alone, and the questions that they build on")
	flags.StringSliceVar(&o.Skip, "skip", nil, "leave out these `CHECKS`")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON")
}

func (f *checkFlags) run(cmd *cobra.Command) (err error) {
	if f.timeout <= 0 {
		return usagef("--timeout must be more than 0")
	}
	f.options.Timeout = time.Duration(f.timeout)
	if err := f.readQuestion(cmd); err != nil {
		return err
	}
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	s, err := check.Open(ctx, f.options)
	switch {
	case errors.Is(err, check.ErrOptions):
		return usageError(err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: is a server there? name another address with --listen", err)
	case err != nil:
		return err
	}
	defer s.Close()
	keys, progress := s.Keys(), cmd.ErrOrStderr()
	fmt.Fprintf(progress, "The receiver at %s must trust\n  the issuer    %s\n  its keys at   %s\nCallbacks come in below %s.\n\n",
		visible(f.options.URL), keys.Issuer, keys.JWKSURL, s.PublicURL())
	tell, clear := liveLine(progress)
	report, err := s.Run(ctx, tell)
	clear()
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return err
	}
	return f.show(cmd, report)
}

// readQuestion takes the sources that are named, each with its id; none stands
// for all of them.
func (f *checkFlags) readQuestion(cmd *cobra.Command) error {
	q, given := &f.question, cmd.Flags().Changed
	add := func(s riposte.Source) { f.options.Sources = append(f.options.Sources, s) }
	if given("approval-step") {
		add(riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: q.approvalStep})
	}
	if given("provision-step") {
		add(riposte.Source{Kind: riposte.SourceProvisionStep, TicketID: q.provisionStep})
	}
	if given("workflow-step") {
		step, err := parseWorkflowStep(q.workflowStep)
		if err != nil {
			return err
		}
		add(riposte.Source{Kind: riposte.SourceWorkflowStep, WorkflowExecutionID: step.GetWorkflowExecutionId(), WorkflowStepID: step.GetWorkflowStepId()})
	}
	if given("policy-post-action") {
		add(riposte.Source{Kind: riposte.SourcePolicyPostAction, TicketID: q.policyPostAction})
	}
	if q.test {
		add(riposte.Source{Kind: riposte.SourceTest})
	}
	if !given("payload") {
		return nil
	}
	var err error
	f.options.Payload, err = readJSON(cmd, "payload", q.payload)
	return err
}

// liveLine tells which check is being played: on a terminal in one line that
// changes and that clear removes, else in a line each.
func liveLine(w io.Writer) (tell check.Progress, clear func()) {
	const clearLine = "\r\x1b[2K"
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		tell = func(n, total int, c check.Check) {
			fmt.Fprintf(w, "%s%2d/%d %s: %s", clearLine, n, total, c.Name, c.Done)
		}
		return tell, func() { fmt.Fprint(w, clearLine) }
	}
	tell = func(n, total int, c check.Check) { fmt.Fprintf(w, "%2d/%d %s\n", n, total, c.Name) }
	return tell, func() { fmt.Fprintln(w) }
}

// errFailedChecks makes the exit code; the report has said it all.
var errFailedChecks = &exitError{exitFailed, errors.New("")}

func (f *checkFlags) show(cmd *cobra.Command, report *check.Report) error {
	var out bytes.Buffer
	if f.json {
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		writeReport(&out, report)
	}
	if _, err := cmd.OutOrStdout().Write(out.Bytes()); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	if report.Failed > 0 {
		return errFailedChecks
	}
	return nil
}

func writeReport(out *bytes.Buffer, report *check.Report) {
	t := newTable(out, "RESULT", "CHECK", "RULE", "DONE", "EXPECTED", "CAME")
	for _, r := range report.Checks {
		t.row(string(r.Result), r.Name, r.Section, r.Done, r.Expected, short(r.Came, 120))
	}
	t.flush()
	for _, result := range []check.Result{check.Fail, check.Warn} {
		rows := slices.DeleteFunc(slices.Clone(report.Checks), func(r check.Row) bool { return r.Result != result || r.Hint == "" })
		for n, r := range rows {
			if n == 0 {
				fmt.Fprintf(out, "\n%s:\n", map[check.Result]string{check.Fail: "What failed, and what to do", check.Warn: "Worth a look"}[result])
			}
			fmt.Fprintf(out, "  %s: %s\n", r.Name, visible(r.Hint))
		}
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d worth a look, %d skipped.\n", report.Passed, report.Failed, report.Warned, report.Skipped)
}
