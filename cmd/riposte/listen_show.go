package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riposte-dev/riposte/receiver"
)

// maxShownLines bounds what is shown of a payload or of a response.
const maxShownLines = 100

// screen writes whole blocks, whoever writes at the same time.
type screen struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *screen) block(write func(*bytes.Buffer)) {
	var b bytes.Buffer
	write(&b)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.out.Write(b.Bytes()) // to nobody, when the terminal is gone
}

func (s *screen) line(format string, args ...any) {
	s.block(func(b *bytes.Buffer) { fmt.Fprintf(b, format+"\n", args...) })
}

func stamp() string { return time.Now().Format(time.TimeOnly) }

// writeDelivery shows what a verified delivery says.
func writeDelivery(out *bytes.Buffer, d receiver.Delivery, path string) {
	fmt.Fprintf(out, "\n%s  %s\n", stamp(), title(d))
	t := newFacts(out)
	t.add("  Instance", d.InstanceID)
	t.add("  Event", d.Event)
	t.add("  Ticket", ticket(d.Payload))
	t.add("  Path", path)
	t.add("  Verified", "yes, sent by "+d.Claims.Issuer)
	t.flush()
	writeShown(out, "  Payload:", string(d.Payload))
}

// title says who asks, and for which time.
func title(d receiver.Delivery) string {
	source := string(d.Source)
	if source == "" {
		source = "something newer than this command"
	}
	if d.Attempt == 0 {
		return source
	}
	return fmt.Sprintf("%s, attempt %d", source, d.Attempt)
}

// ticket is the ticket's id where the payload has it, which is the caller's to
// decide: by the name that C1's payloads have for it, or by the API's own.
func ticket(payload []byte) string {
	var p struct {
		TicketID string `json:"ticketId"`
		TaskView struct {
			Task struct {
				ID string `json:"id"`
			} `json:"task"`
		} `json:"taskView"`
	}
	_ = json.Unmarshal(payload, &p) // as far as it goes
	if p.TicketID != "" {
		return p.TicketID
	}
	return p.TaskView.Task.ID
}

// writeShown writes a document of the other side's so that it can't act on the
// terminal, nor fill it.
func writeShown(out *bytes.Buffer, title, text string) {
	lines := strings.Split(strings.TrimRight(pretty(text), "\r\n"), "\n")
	more := len(lines) - maxShownLines
	lines = lines[:min(len(lines), maxShownLines)]
	out.WriteString(title + "\n")
	for _, line := range lines {
		out.WriteString(strings.TrimRight("    "+visibleLines(short(line, 1000)), " ") + "\n")
	}
	if more > 0 {
		fmt.Fprintf(out, "    (and %d more lines)\n", more)
	}
}

// writeRefusal shows each check that failed, and what may be the matter.
func (l *listener) writeRefusal(out *bytes.Buffer, r *http.Request, d receiver.Delivery, refused *receiver.Refusal) {
	fmt.Fprintf(out, "\n%s  REFUSED with %d: a %s of %s that does not verify\n", stamp(), refused.Status(), visible(short(r.Method, 20)), visible(short(r.URL.Path, 200)))
	if d.InstanceID != "" {
		fmt.Fprintf(out, "  It says that it is of the instance %s.\n", visible(short(d.InstanceID, 60)))
	}
	failed := map[string]bool{}
	for _, c := range refused.Checks {
		if !c.OK {
			failed[c.Name] = true
			fmt.Fprintf(out, "  FAILED  %s: %s\n", c.Name, visible(c.Detail))
		}
	}
	if good := len(refused.Checks) - len(failed); good > 0 {
		fmt.Fprintf(out, "  The other %d checks are OK.\n", good)
	}
	for _, hint := range l.refusalHints(failed, d) {
		fmt.Fprintf(out, "  Hint: %s\n", hint)
	}
}

// refusalHints say what may be the matter, by the checks that failed.
func (l *listener) refusalHints(failed map[string]bool, d receiver.Delivery) []string {
	any := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return failed[n] })
	}
	var list []string
	if any("Authorization", "JWT") {
		list = append(list, "this is not how Riposte sends: is it a request by hand?")
	}
	if any("kid", "alg", "signature") {
		list = append(list, fmt.Sprintf("the keys are those of %s: name the server that sends with --server", l.server))
	}
	if any("aud", "htu") && d.Claims.URL != "" {
		list = append(list, "say with --url which URL the webhook has; this was sent to "+visible(short(d.Claims.URL, 200)))
	}
	if any("iat", "nbf", "exp") {
		list = append(list, "do the two clocks agree, or is this an old request that was sent again?")
	}
	if any("Content-Digest", "htb_s256") {
		list = append(list, "the body isn't the one that was signed: does a proxy change it?")
	}
	if any("replay") {
		list = append(list, "does a proxy repeat requests by itself?")
	}
	return list
}
