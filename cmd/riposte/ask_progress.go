package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// How long one call of a wait may take that is watched. On a terminal the time
// that is left moves; elsewhere only changes count, and who waits for days
// costs the server little.
const (
	shortestStep        = 250 * time.Millisecond
	longestTerminalStep = time.Second
	longestPlainStep    = 15 * time.Second
)

// progress shows an instance on its way: on a terminal in one line that is
// drawn anew and begins with the time since it was asked, elsewhere with a line
// for each change that begins with the time of day. A nil one shows nothing.
type progress struct {
	out   io.Writer
	width func() int // of the terminal; nil elsewhere
	began time.Time
	last  string // what the last line was about
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, began: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.width = func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil || width < 1 {
				return 80
			}
			return width
		}
	}
	return p
}

// step grows with the time that has passed.
func (p *progress) step() time.Duration {
	if p == nil {
		return longestWait
	}
	longest := longestPlainStep
	if p.width != nil {
		longest = longestTerminalStep
	}
	return max(shortestStep, min(longest, time.Since(p.began)/4))
}

// begin says which instance it is.
func (p *progress) begin(i *ripostev1.Instance) {
	w := i.GetWebhookInstance()
	fmt.Fprintf(p.out, "Instance %s asks %s: %s\n", visible(w.GetId()), visible(short(w.GetSpec().GetDestination(), 80)), visible(sourceText(w.GetSource())))
	p.saw(i, nil)
}

// saw shows how the instance stands, as far as is known: with an error, as it
// stood before.
func (p *progress) saw(i *ripostev1.Instance, err error) {
	if p == nil {
		return
	}
	now := time.Now()
	w := i.GetWebhookInstance()
	about := fmt.Sprint(stateName(i), w.GetAttempts())
	text := progressText(i, now)
	if err != nil {
		about = "away"
		text = "waiting for the server, " + text + " when it was last seen: " + visible(err.Error())
	}
	switch {
	case p.width != nil:
		text = roughly(now.Sub(w.GetCreatedAt().AsTime()).Abs()) + "  " + text
		fmt.Fprintf(p.out, "\r\x1b[K%s", short(text, p.width()-1))
	case about != p.last:
		fmt.Fprintf(p.out, "%s  %s\n", now.Format(time.TimeOnly), text)
	}
	p.last = about
}

// end leaves the screen to what was asked for. The instance may be absent.
func (p *progress) end(i *ripostev1.Instance) {
	switch {
	case p == nil:
	case p.width != nil:
		fmt.Fprint(p.out, "\r\x1b[K")
	case i.GetOutcome() != nil:
		p.saw(i, nil)
	}
	if p != nil {
		fmt.Fprintln(p.out)
	}
}

// progressText is how an instance stands: its state, the attempts and what it
// came to, or the time that is left.
func progressText(i *ripostev1.Instance, now time.Time) string {
	w := i.GetWebhookInstance()
	text := stateName(i)
	if n := w.GetAttempts(); n > 0 {
		text += fmt.Sprintf(", attempt %d", n)
	}
	if o := i.GetOutcome(); o != nil {
		return text + ": " + outcomeText(o)
	}
	if next := i.GetNextAttemptAt(); next != nil && w.GetAttempts() > 0 && next.AsTime().After(now) {
		text += ", the next in " + roughly(next.AsTime().Sub(now))
	}
	return text + ", " + remaining(w.GetExpiresAt().AsTime().Sub(now)) + " left"
}

// remaining counts down in the two units that people would look at.
func remaining(d time.Duration) string {
	d = max(0, d)
	for _, unit := range []struct {
		size, part time.Duration
		name, rest string
	}{{day, time.Hour, "d", "h"}, {time.Hour, time.Minute, "h", "m"}, {time.Minute, time.Second, "m", "s"}} {
		if d >= unit.size {
			return fmt.Sprintf("%d%s %d%s", d/unit.size, unit.name, d%unit.size/unit.part, unit.rest)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
