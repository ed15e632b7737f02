// Command accessrequest is an application on Riposte, and its tutorial: people ask for
// access, and a policy asks an approver, then a system that provisions, and then
// tells the person. README.md beside it walks through the code.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/riposte-dev/riposte/client"
)

const usage = `accessrequest runs requests for access through a policy, on a Riposte server.

  accessrequest                                       seven requests, from their beginning to their audit trails
  accessrequest request --who ada --wants db-admin    keep a request
  accessrequest run                                   run what is kept, until Ctrl-C
  accessrequest audit [R-1]                           the audit trail, of one request or of all

Each takes --data DIR, where it keeps its store: ./accessrequest-data unless it is the
first, whose store is thrown away. The server is RIPOSTE_SERVER (http://127.0.0.1:8080
by default), called with RIPOSTE_API_KEY.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "accessrequest:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out io.Writer) error {
	name := "story"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(out, usage) }
	data := flags.String("data", "accessrequest-data", "")
	var do func(*Store) error
	switch name {
	case "story":
		*data = "" // thrown away
		do = func(s *Store) error { return story(ctx, s, out) }
	case "request":
		who, wants := flags.String("who", "", ""), flags.String("wants", "", "")
		do = func(s *Store) error { return request(ctx, s, out, *who, *wants) }
	case "run":
		untilClosed := flags.Bool("until-closed", false, "")
		do = func(s *Store) error { return run(ctx, s, out, *untilClosed, "") }
	case "audit":
		do = func(s *Store) error { return audit(ctx, s, out, flags.Arg(0)) }
	default:
		return fmt.Errorf("there is no command %q\n\n%s", name, usage)
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0 && name != "audit" || flags.NArg() > 1:
		return fmt.Errorf("there is something too much: %q\n\n%s", flags.Args(), usage)
	}
	return withStore(*data, do)
}

func request(ctx context.Context, s *Store, out io.Writer, who, wants string) error {
	if who == "" || wants == "" {
		return errors.New("a request needs --who and --wants")
	}
	r, err := s.add(ctx, newRequest(who, wants))
	if err == nil {
		fmt.Fprintln(out, r.ticket())
	}
	return err
}

// audit takes R-1 or 1, and "" for all requests.
func audit(ctx context.Context, s *Store, out io.Writer, ticket string) error {
	if ticket == "" {
		return s.printAudit(ctx, out, 0)
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(ticket, "R-"), 10, 64)
	if err != nil || id < 1 {
		return fmt.Errorf("%q names no request: they are called R-1, R-2 and so on", ticket)
	}
	return s.printAudit(ctx, out, id)
}

// withStore opens the store in a directory, "" for one that is thrown away.
func withStore(dir string, do func(*Store) error) error {
	if dir == "" {
		temporary, err := os.MkdirTemp("", "accessrequest-")
		if err != nil {
			return fmt.Errorf("making a throw-away data directory: %w", err)
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	s, err := openStore(dir)
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.close())
}

// run runs the application and the systems that it asks, until ctx ends or, if told
// so, until every request is closed. The opening is printed once all is there.
func run(ctx context.Context, s *Store, out io.Writer, untilClosed bool, opening string) error {
	server, key := os.Getenv("RIPOSTE_SERVER"), os.Getenv("RIPOSTE_API_KEY")
	if server == "" {
		server = "http://127.0.0.1:8080"
	}
	say := sayer(out)
	others := &systems{store: s, say: say}
	l, err := listen(ctx, s)
	if err != nil {
		return err
	}
	defer l.Close()
	webhooks, err := newWebhooksAt(server, key, say).of(ctx, s, others.urls(l))
	if err != nil {
		return err
	}
	c, err := client.New(server, client.WithAPIKey(key))
	if err != nil {
		return err
	}
	a := &application{store: s, client: c, webhooks: webhooks, say: say, untilClosed: untilClosed, triggered: make(chan struct{}, 1)}
	fmt.Fprint(out, opening)
	err = together(ctx, a.ask, a.take, others.callBack,
		func(ctx context.Context) error { return others.serve(ctx, l, server) })
	if errors.Is(err, errAllClosed) || ctx.Err() != nil {
		return nil // as it was meant to end
	}
	return err
}

// together runs functions until the first one returns, and returns its error.
func together(ctx context.Context, all ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, f := range all {
		running.Go(func() { cancel(f(ctx)) })
	}
	running.Wait()
	return context.Cause(ctx)
}

// sayer prints a line at once, from any goroutine.
func sayer(out io.Writer) func(ticket, format string, args ...any) {
	began := time.Now()
	var mu sync.Mutex
	return func(ticket, format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "  %7.3fs  %-4s  %s\n", time.Since(began).Seconds(), ticket, fmt.Sprintf(format, args...))
	}
}
