package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/riposte-dev/riposte/receiver"
)

// question is a delivery that waits for a person's answer.
type question struct {
	delivery receiver.Delivery
	path     string
	late     atomic.Bool // 202 has been answered
	answer   chan answer // takes one
}

// prompter asks the person at the terminal, one question at a time.
type prompter struct {
	screen    *screen
	in        io.Reader
	questions chan *question
}

func newPrompter(s *screen, in io.Reader) *prompter {
	return &prompter{screen: s, in: in, questions: make(chan *question)}
}

// run asks until ctx ends. Reading the terminal can't be broken off, so that
// goes on by itself. Once there is no more to read, the answer is auto.
func (p *prompter) run(ctx context.Context) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(p.in); scan.Scan(); {
			select {
			case lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case q := <-p.questions:
			p.put(ctx, q, lines)
		case <-ctx.Done():
			return
		}
	}
}

// put shows a question and takes what is typed, as often as it takes.
func (p *prompter) put(ctx context.Context, q *question, lines <-chan string) {
	p.screen.block(func(b *bytes.Buffer) { writeDelivery(b, q.delivery, q.path) })
	for {
		p.screen.block(func(b *bytes.Buffer) { fmt.Fprintf(b, "  %s? (Enter for the first) ", choicesOf(q.delivery.Source)) })
		select {
		case line, more := <-lines:
			if !more {
				p.screen.line("auto, because there is no more input")
				q.answer <- answer{}
				return
			}
			a, err := q.parse(line)
			if err == nil {
				q.answer <- a
				return
			}
			p.screen.line("  %s", visible(err.Error()))
		case <-ctx.Done():
			return
		}
	}
}

// choicesOf lists the answers that a source takes, auto's first.
func choicesOf(source receiver.SourceKind) string {
	switch source {
	case receiver.SourceApprovalStep:
		return "approve, deny, reassign ID or replace-policy STEPS"
	case receiver.SourceProvisionStep:
		return "complete or errored"
	case receiver.SourceWorkflowStep:
		return "context JSON"
	}
	return "ok"
}

// parse is stricter than for the flag: the person can type again.
func (q *question) parse(line string) (answer, error) {
	if strings.TrimSpace(line) == "" {
		return answer{}, nil
	}
	a, err := parseAnswer(line)
	switch {
	case err != nil:
		return a, err
	case !a.fits(q.delivery.Source):
		return a, fmt.Errorf("the source %s takes no %s", q.delivery.Source, a.word)
	case q.late.Load() && a.to(q.delivery.Source).document == nil:
		return a, errors.New("202 has been answered, so only a document can be called back")
	}
	return a, nil
}

// ask has the person answer: at once where he is quick, by callback where he is
// not, or was told to be late.
func (l *listener) ask(w http.ResponseWriter, r *http.Request, d receiver.Delivery, p plan) {
	q := &question{delivery: d, path: r.URL.Path, answer: make(chan answer, 1)}
	q.late.Store(p.later > 0)
	l.callbacks.Go(func() {
		select {
		case l.prompt.questions <- q:
		case <-l.ending.Done():
		}
	})
	timer := time.NewTimer(promptTime)
	defer timer.Stop()
	if p.later == 0 {
		select {
		case a := <-q.answer:
			say := a.to(d.Source)
			l.screen.line("  Answered: %s", say.text())
			send(w, say)
			return
		case <-l.ending.Done():
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case <-timer.C:
			q.late.Store(true)
		}
	}
	receiver.Later(w)
	l.callbacks.Go(func() { l.answerLate(q, p.later) })
}

// answerLate calls back what is typed after the 202.
func (l *listener) answerLate(q *question, after time.Duration) {
	select {
	case a := <-q.answer:
		say := a.to(q.delivery.Source)
		if say.document == nil {
			l.screen.line("  202 was answered in the meantime, and nothing is called back.")
			return
		}
		if after > 0 && !l.sleep(context.Background(), after) {
			l.dropped.Add(1)
			return
		}
		l.callBackNow(q.delivery, say.document)
	case <-l.ending.Done():
		l.dropped.Add(1)
	}
}
