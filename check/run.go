package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/riposte-dev/riposte"
)

// How long the receiver must have been quiet before the evidence is judged:
// shortest where it does nothing later anyway.
const (
	minQuiet = 500 * time.Millisecond
	maxQuiet = 10 * time.Second
)

// Progress is told before each check.
type Progress func(n, total int, c Check)

// played is a check with its evidence, or why there is none.
type played struct {
	check    Check
	evidence Evidence
	skipped  string
}

// Run plays the checks, one after the other, and reports. It returns an error
// only when it could not do so. It may be called once.
func (s *Session) Run(ctx context.Context, tell Progress) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	s.running = true
	go func() {
		defer cancel()
		served <- s.server.Run(ctx)
	}()
	report, err := s.run(ctx, tell)
	cancel()
	return report, errors.Join(err, <-served)
}

func (s *Session) run(ctx context.Context, tell Progress) (*Report, error) {
	if err := s.makeWebhooks(ctx); err != nil {
		return nil, err
	}
	checks, shown := choose(s.kinds(), s.options.Only, s.options.Skip)
	all := make([]played, 0, len(checks))
	answers := true
	for n, c := range checks {
		tell(n+1, len(checks), c)
		p := played{check: c, skipped: s.missing(c.needs, answers)}
		if p.skipped == "" {
			var err error
			if p, err = s.playOne(ctx, c); err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			s.learn(p)
			answers = answers && (c.needs != needNothing || c.judge(p.evidence).Result != Fail)
		}
		all = append(all, p)
	}
	s.pause(ctx, s.quiet())
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	report := &Report{URL: s.options.URL, Issuer: s.Keys().Issuer, JWKSURL: s.Keys().JWKSURL}
	for _, p := range all {
		if shown(p.check) {
			report.add(p.check, s.judge(p))
		}
	}
	return report, nil
}

// missing says what a check builds on and isn't there.
func (s *Session) missing(n need, answers bool) string {
	switch {
	case n == needNothing:
		return ""
	case !answers:
		return "the receiver does not answer in time"
	case n == needAnswer && s.main == "", n == needCallback && s.main == "":
		return "no honest question was answered, so this would prove nothing"
	case n == needCallback && s.late == "":
		return "the receiver answers at once, without a callback"
	}
	return ""
}

func (s *Session) playOne(ctx context.Context, c Check) (played, error) {
	limited, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	p := played{check: c, evidence: Evidence{Source: c.source}}
	err := c.play(limited, s, &p.evidence)
	p.evidence.Keys = s.Keys()
	switch {
	case errors.Is(err, errNoPayload):
		p.skipped = err.Error()
	case ctx.Err() != nil:
		return p, ctx.Err()
	case limited.Err() != nil:
		p.evidence.TimedOut = true
	case err != nil:
		return p, err
	}
	return p, nil
}

// learn takes from an answered question what later checks build on.
func (s *Session) learn(p played) {
	i := p.evidence.Instance
	if i == nil || p.check.source == "" || p.check.judge(p.evidence).Result == Fail {
		return
	}
	s.main = cmp.Or(s.main, p.check.source)
	if i.Via == riposte.ViaCallback || i.Attempt.Status == http.StatusAccepted {
		s.late = cmp.Or(s.late, p.check.source)
		s.slowly = max(s.slowly, i.Took)
	}
}

func (s *Session) quiet() time.Duration { return min(minQuiet+2*s.slowly, maxQuiet) }

func (s *Session) judge(p played) Verdict {
	if p.skipped != "" {
		return Verdict{Result: Skip, Came: p.skipped}
	}
	if q := p.evidence.question; q != nil {
		p.evidence.Callbacks, _ = s.front.callbacks(q.token)
	}
	return p.check.judge(p.evidence)
}

func (s *Session) kinds() []riposte.SourceKind {
	kinds := make([]riposte.SourceKind, len(s.options.Sources))
	for n, source := range s.options.Sources {
		kinds[n] = source.Kind
	}
	return kinds
}
