package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/riposte-dev/riposte/receiver"
)

const (
	// promptTime is how long a person has for an answer at once. The sender
	// gives an attempt 30 s.
	promptTime = 20 * time.Second
	// stopTime is what is left for responses under way when it ends.
	stopTime = 2 * time.Second
)

// listenFlags are what a receiver for development is made from.
type listenFlags struct {
	server, listen, url             string
	answer, script, forward         string
	later                           span
	answerGiven, laterGiven, prompt bool
}

func newListenCommand() *cobra.Command {
	var f listenFlags
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive deliveries, show them and answer them",
		Long: `Be a receiver, for development: verify each delivery against the keys of --server,
show it, and answer it as --answer, --script or the person at the terminal says.
It needs no API key. What does not verify is refused, and each check that failed
is named.

The answers:

` + answerWords + `

An answer that the source doesn't take gives way to auto. Without --answer it is
"ask" on a terminal, which lets you type one of them for each delivery, and auto
elsewhere. Who takes longer than 20 s to type has answered 202; what he types
then is called back. With --later an answer is called back anyway, that long
after a 202.

` + scriptHelp + `

--forward passes each delivery that verifies on, with its headers and its body
byte for byte, and answers with what comes back: the receiver that you write
stays where it is, and here you see what it is asked and says. Where it verifies,
too, its own URL is the one that the webhook has, which is this command's.`,
		Example: `  riposte listen
  riposte listen --answer approve --later 10s
  riposte listen --answer 'deny not without a ticket' --server https://riposte.example.com --url https://my-tunnel.example/hook
  riposte listen --script answers.json
  riposte listen --forward http://127.0.0.1:3000/webhooks`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.answerGiven, f.laterGiven = cmd.Flags().Changed("answer"), cmd.Flags().Changed("later")
			in, isFile := cmd.InOrStdin().(*os.File)
			f.prompt = f.answer == "ask" || !f.answerGiven && isFile && term.IsTerminal(int(in.Fd()))
			l, err := f.listener(cmd)
			if err != nil {
				return err
			}
			return l.run(cmd.Context(), f.listen)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", defaultServer, "`URL` of the server that sends")
	env(flags, "server", "RIPOSTE_SERVER")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:9090", "host:port to listen on")
	flags.StringVar(&f.url, "url", "", "the receiver's own `URL` as its webhooks have it (default http://LISTEN)")
	flags.StringVar(&f.answer, "answer", "", "what to answer: one of the `words` above, or ask")
	flags.Var(&f.later, "later", "answer 202, and call the answer back after this time")
	flags.StringVar(&f.script, "script", "", "answer as the rules in this `file` say")
	flags.StringVar(&f.forward, "forward", "", "pass deliveries on to the receiver at this `URL`")
	return cmd
}

// listener reads the flags.
func (f *listenFlags) listener(cmd *cobra.Command) (*listener, error) {
	server, err := parseServer(f.server)
	if err != nil {
		return nil, err
	}
	l := &listener{server: server, url: f.url, screen: &screen{out: cmd.OutOrStdout()}, told: "auto"}
	if f.laterGiven && f.later <= 0 {
		return nil, usagef("--later must be more than nothing")
	}
	switch {
	case f.script != "" && (f.answerGiven || f.laterGiven):
		return nil, usagef("--script says what is answered: leave out --answer and --later")
	case f.forward != "" && (f.answerGiven || f.laterGiven || f.script != ""):
		return nil, usagef("with --forward the other receiver answers: leave out --answer, --later and --script")
	case f.script != "":
		rules, err := readScript(f.script)
		if err != nil {
			return nil, err
		}
		l.plan, l.told = rules.plan, "as "+f.script+" says"
	case f.forward != "":
		if l.forward, err = newForwarder(f.forward); err != nil {
			return nil, err
		}
		l.told = "what " + f.forward + " answers"
	case f.prompt:
		l.prompt = newPrompter(l.screen, cmd.InOrStdin())
		l.told = "what you type"
		l.plan = func(receiver.Delivery, string) plan { return plan{later: time.Duration(f.later)} }
	default:
		return l, l.always(f.answer, time.Duration(f.later))
	}
	return l, nil
}

// always answers the same to all.
func (l *listener) always(text string, later time.Duration) error {
	p := plan{later: later}
	if text != "" {
		var err error
		if p.answer, err = parseAnswer(text); err != nil {
			return usagef("--answer: %w", err)
		}
		l.told = text
	}
	if later > 0 {
		if p.answer.word == "later" || p.answer.status != 0 {
			return usagef("--later needs an --answer that has a document, not %s", text)
		}
		l.told += ", by callback after " + span(later).text()
	}
	l.plan = func(receiver.Delivery, string) plan { return p }
	return nil
}

// listener is a receiver for development.
type listener struct {
	server, url string
	told        string // what it answers, for people
	plan        func(d receiver.Delivery, path string) plan
	forward     *forwarder // answers instead, unless nil
	prompt      *prompter  // asks the person, unless nil
	screen      *screen

	verifiers map[string]*receiver.Verifier // by the host that a request names; "" for all others
	ending    context.Context
	callbacks sync.WaitGroup

	verified, refused, dropped atomic.Int64
}

// run ends cleanly with ctx or a signal.
func (l *listener) run(ctx context.Context, address string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	l.ending = ctx
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w; --listen names another address", address, innermost(err))
	}
	own, err := l.makeVerifiers(socket.Addr().String())
	if err != nil {
		_ = socket.Close()
		return usagef("--url: %w", err)
	}
	l.screen.line("Listening on http://%s for what %s sends; the answer is %s. Ctrl-C ends it.\nA webhook for it: riposte webhooks create --name listen --url %s",
		socket.Addr(), visible(l.server), visible(l.told), visible(own))
	if l.prompt != nil {
		go l.prompt.run(ctx)
	}
	s := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(stopped)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		_ = s.Shutdown(limited)
	})
	if err := s.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listening: %w", err)
	}
	<-stopped
	l.callbacks.Wait()
	l.sum()
	return nil
}

func (l *listener) sum() {
	l.screen.block(func(b *bytes.Buffer) {
		fmt.Fprintf(b, "\nStopped. Deliveries that verified: %d; that didn't: %d.\n", l.verified.Load(), l.refused.Load())
		if n := l.dropped.Load(); n > 0 {
			fmt.Fprintf(b, "Answers that were still to be called back: %d. Their instances wait on.\n", n)
		}
	})
}

// makeVerifiers makes one for --url, or one for each name that this machine has
// for itself, and returns the first URL.
func (l *listener) makeVerifiers(address string) (own string, err error) {
	l.verifiers = map[string]*receiver.Verifier{}
	own = "http://" + address
	hosts := []string{""}
	if l.url != "" {
		own = l.url
	} else if host, port, err := net.SplitHostPort(address); err == nil {
		ip := net.ParseIP(host)
		if ip.IsUnspecified() {
			own = "http://127.0.0.1:" + port
		}
		if ip.IsUnspecified() || ip.IsLoopback() {
			hosts = append(hosts, "localhost:"+port, "127.0.0.1:"+port, "[::1]:"+port)
		}
	}
	for _, host := range hosts {
		at := own
		if host != "" {
			at = "http://" + host
		}
		if l.verifiers[host], err = receiver.NewVerifier(l.server, at); err != nil {
			return "", err
		}
	}
	return own, nil
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := l.verifiers[r.Host]
	if v == nil {
		v = l.verifiers[""]
	}
	req, err := v.Read(r)
	var d receiver.Delivery
	if err == nil {
		var checks []receiver.Check
		d, checks = v.Check(r.Context(), req)
		err = receiver.Verdict(checks)
	}
	if refused, ok := errors.AsType[*receiver.Refusal](err); ok {
		l.refused.Add(1)
		receiver.Refuse(w, refused)
		l.screen.block(func(b *bytes.Buffer) { l.writeRefusal(b, r, d, refused) })
		return
	}
	l.verified.Add(1)
	if l.forward != nil {
		l.pass(w, r, d)
		return
	}
	l.answer(w, r, d)
}

// answer shows a delivery and answers it, at once or later.
func (l *listener) answer(w http.ResponseWriter, r *http.Request, d receiver.Delivery) {
	p := l.plan(d, r.URL.Path)
	if p.delay > 0 && !l.sleep(r.Context(), p.delay) {
		l.screen.line("%s  instance %s: nobody waits for the answer any more", stamp(), visible(d.InstanceID))
		return
	}
	if l.prompt != nil {
		l.ask(w, r, d, p)
		return
	}
	say := p.answer.to(d.Source)
	if p.status != 0 {
		say.status = p.status
	}
	note := ""
	if !p.answer.fits(d.Source) {
		note = fmt.Sprintf(" (the source %s takes no %s)", d.Source, p.answer.word)
	}
	l.screen.block(func(b *bytes.Buffer) {
		writeDelivery(b, d, r.URL.Path)
		if p.later > 0 {
			fmt.Fprintf(b, "  Answered: 202 Accepted; called back in %s%s\n", span(p.later).text(), note)
		} else {
			fmt.Fprintf(b, "  Answered: %s%s\n", say.text(), note)
		}
	})
	if p.later > 0 {
		receiver.Later(w)
		l.callBack(d, say.document, p.later)
		return
	}
	send(w, say)
}

func send(w http.ResponseWriter, say reply) {
	if say.document != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(say.status)
	_, _ = w.Write(say.document) // the sender's own affair when it has gone
}

// sleep reports whether all of the time passed.
func (l *listener) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-l.ending.Done():
	}
	return false
}

// callBack calls a document back, after the response has gone out.
func (l *listener) callBack(d receiver.Delivery, document []byte, after time.Duration) {
	l.callbacks.Go(func() {
		if !l.sleep(context.Background(), after) {
			l.dropped.Add(1)
			return
		}
		l.callBackNow(d, document)
	})
}

// callBackNow is given a little time where it is under way when all ends.
func (l *listener) callBackNow(d receiver.Delivery, document []byte) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.ending))
	defer cancel()
	defer context.AfterFunc(l.ending, func() { time.AfterFunc(stopTime, cancel) })()
	err := receiver.CallBack(ctx, d.CallbackURL, receiver.Raw(document))
	outcome := "accepted"
	if err != nil {
		outcome = visible(err.Error())
	}
	l.screen.line("%s  instance %s: called back %s: %s", stamp(), visible(d.InstanceID), visible(short(string(document), 400)), outcome)
}

// forwarder passes deliveries on to another receiver.
type forwarder struct {
	to        *url.URL
	transport http.RoundTripper
}

func newForwarder(to string) (*forwarder, error) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usagef("--forward must be an http or https URL such as http://127.0.0.1:3000, not %q", to)
	}
	return &forwarder{u, &http.Transport{DisableCompression: true, Proxy: http.ProxyFromEnvironment}}, nil
}

// maxForwarded bounds the other receiver's answer, in bytes: the sender reads
// no more.
const maxForwarded = 256_000

// pass answers with what the other receiver answers.
func (l *listener) pass(w http.ResponseWriter, r *http.Request, d receiver.Delivery) {
	resp, body, err := l.forward.exchange(r, d)
	l.screen.block(func(b *bytes.Buffer) {
		writeDelivery(b, d, r.URL.Path)
		if err != nil {
			fmt.Fprintf(b, "  Answered: 502 Bad Gateway, because %s could not be asked: %s\n", visible(l.forward.to.Host), visible(err.Error()))
			return
		}
		fmt.Fprintf(b, "  Answered by %s: %s\n", visible(l.forward.to.Host), visible(resp.Status))
		if len(body) > 0 {
			writeShown(b, "  Response:", string(body))
		}
	})
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body)
}

// exchange sends the delivery as it came, the host's name included. Where the
// URL has a path, that takes the place of the delivery's.
func (f *forwarder) exchange(r *http.Request, d receiver.Delivery) (*http.Response, []byte, error) {
	u := *f.to
	if u.Path == "" || u.Path == "/" {
		u.Path, u.RawPath = r.URL.Path, r.URL.RawPath
	}
	if u.RawQuery == "" {
		u.RawQuery = r.URL.RawQuery
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, u.String(), bytes.NewReader(d.Body))
	if err != nil {
		return nil, nil, err
	}
	req.Header, req.Host = r.Header.Clone(), r.Host
	req.Header.Del("Connection") // this connection's own
	resp, err := f.transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxForwarded))
	resp.Header.Del("Connection")
	resp.Header.Del("Content-Length")
	resp.Header.Del("Transfer-Encoding")
	return resp, body, err
}
