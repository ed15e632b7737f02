package riposte_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

var refused = &riposte.AttemptError{Phase: riposte.PhaseConnect, Reason: "REFUSED", Message: "connection refused"}

func TestHealth(t *testing.T) {
	taken := &riposte.LastAttempt{StatusCode: 202}
	for name, c := range map[string]struct {
		attempts, failed int
		last             *riposte.LastAttempt
		held             bool
		want             riposte.Health
	}{
		"nothing":                                  {want: riposte.HealthQuiet},
		"a last attempt of long ago":               {last: taken, want: riposte.HealthQuiet},
		"all taken":                                {attempts: 5, last: taken, want: riposte.HealthHealthy},
		"most failed, and the last was taken":      {attempts: 5, failed: 4, last: taken, want: riposte.HealthHealthy},
		"the only one failed":                      {attempts: 1, failed: 1, last: &riposte.LastAttempt{StatusCode: 500}, want: riposte.HealthFailing},
		"a fifth failed, with the last":            {attempts: 15, failed: 3, last: &riposte.LastAttempt{StatusCode: 404}, want: riposte.HealthFailing},
		"less than a fifth failed, with the last":  {attempts: 16, failed: 3, last: &riposte.LastAttempt{StatusCode: 404}, want: riposte.HealthHealthy},
		"a redirect is no answer":                  {attempts: 1, failed: 1, last: &riposte.LastAttempt{StatusCode: 302}, want: riposte.HealthFailing},
		"no connection":                            {attempts: 1, failed: 1, last: &riposte.LastAttempt{Error: refused}, want: riposte.HealthFailing},
		"a response that broke off":                {attempts: 1, failed: 1, last: &riposte.LastAttempt{StatusCode: 200, Error: refused}, want: riposte.HealthFailing},
		"held":                                     {attempts: 9, failed: 9, last: &riposte.LastAttempt{Error: refused}, held: true, want: riposte.HealthHeld},
		"held for so long that nothing is counted": {held: true, want: riposte.HealthHeld},
	} {
		s := riposte.Statistics{Attempts: c.attempts, AttemptsFailed: c.failed, Last: c.last}
		if got := s.Health(c.held); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// took counts attempts that took as long as given.
func took(times ...time.Duration) (s riposte.Statistics) {
	for n, d := range times {
		s.Ended("i", &riposte.Attempt{Number: n + 1, StartedAt: start, Duration: d, StatusCode: 200})
	}
	return s
}

func TestAnswerTimesHaveTheirClass(t *testing.T) {
	for class, bound := range riposte.AnswerTimes {
		if s := took(bound); s.Times[class] != 1 {
			t.Errorf("%s is none of class %d: %v", bound, class, s.Times)
		}
		if s := took(bound + 1); s.Times[class+1] != 1 {
			t.Errorf("a moment more than %s is none of class %d: %v", bound, class+1, s.Times)
		}
	}
	if s := took(0); s.Times[0] != 1 {
		t.Errorf("no time at all is none of the first class: %v", s.Times)
	}
}

func TestAnswerTime(t *testing.T) {
	many := func(fast, slow int) (s riposte.Statistics) {
		s.Times[0], s.Times[7] = fast, slow
		return s
	}
	const fast, slow = 5 * time.Millisecond, time.Second
	for name, c := range map[string]struct {
		s     riposte.Statistics
		share float64
		want  time.Duration
	}{
		"of nothing":               {share: 0.5, want: 0},
		"all of nothing":           {share: 1, want: 0},
		"of one":                   {s: many(0, 1), share: 0.5, want: slow},
		"a tiny share":             {s: many(1, 99), share: 0.000001, want: fast},
		"half of two":              {s: many(1, 1), share: 0.5, want: fast},
		"more than half of two":    {s: many(1, 1), share: 0.51, want: slow},
		"all of two":               {s: many(1, 1), share: 1, want: slow},
		"95 of 100":                {s: many(95, 5), share: 0.95, want: fast},
		"95 of 100, one too few":   {s: many(94, 6), share: 0.95, want: slow},
		"55 of 100, as floats are": {s: many(55, 45), share: 0.55, want: fast},
		"longer than the last":     {s: took(riposte.AttemptTimeout + time.Second), share: 0.5, want: riposte.AttemptTimeout},
	} {
		if got := c.s.AnswerTime(c.share); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestStatisticsCountAttempts(t *testing.T) {
	var s riposte.Statistics
	s.Ended("first", &riposte.Attempt{StartedAt: start, Duration: 3 * time.Second, StatusCode: 503})
	s.Ended("second", &riposte.Attempt{StartedAt: start, Duration: time.Second, Error: refused}) // ended earlier
	s.Ended("third", &riposte.Attempt{StartedAt: start, Duration: 2 * time.Second, StatusCode: 200})
	want := riposte.Statistics{Attempts: 3, AttemptsFailed: 2,
		Last: &riposte.LastAttempt{EndedAt: start.Add(3 * time.Second), InstanceID: "first", StatusCode: 503}}
	want.Times[8], want.Times[9] = 1, 1
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestStatisticsAddUp(t *testing.T) {
	last := func(d time.Duration) *riposte.LastAttempt { return &riposte.LastAttempt{EndedAt: start.Add(d)} }
	s := riposte.Statistics{Created: 1, Answered: 2, Failed: 3, Attempts: 4, AttemptsFailed: 5, Last: last(time.Second)}
	s.Times[0], s.Times[12] = 6, 7
	if s.Counted() != 10 {
		t.Errorf("counted %d", s.Counted())
	}
	sum := s
	for _, each := range []riposte.Statistics{{Last: last(0)}, s, {}} {
		sum.Add(each)
	}
	want := riposte.Statistics{Created: 2, Answered: 4, Failed: 6, Attempts: 8, AttemptsFailed: 10, Last: last(time.Second)}
	want.Times[0], want.Times[12] = 12, 14
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if sum.Add(riposte.Statistics{Last: last(time.Minute)}); !sum.Last.EndedAt.Equal(start.Add(time.Minute)) {
		t.Errorf("the last attempt ended at %s", sum.Last.EndedAt)
	}
	var none riposte.Statistics
	if none.Add(s); none.Last == nil {
		t.Error("the last attempt is lost")
	}
}

// TestStatisticsKeepTheirNames: what one version has stored, the next one reads.
func TestStatisticsKeepTheirNames(t *testing.T) {
	s := riposte.Statistics{Created: 1, Answered: 2, Failed: 3, Attempts: 4, AttemptsFailed: 5,
		Last: &riposte.LastAttempt{EndedAt: start, InstanceID: "i", StatusCode: 500, Error: refused}}
	for class := range s.Times {
		s.Times[class] = class
	}
	const stored = `{"created":1,"answered":2,"failed":3,"attempts":4,"attemptsFailed":5,"times":[0,1,2,3,4,5,6,7,8,9,10,11,12],` +
		`"last":{"endedAt":"2026-03-01T12:00:00.123456Z","instanceId":"i","statusCode":500,` +
		`"error":{"Phase":"connect","Reason":"REFUSED","Message":"connection refused"}}}`
	for want, s := range map[string]riposte.Statistics{stored: s, "{}": {}} {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != want {
			t.Errorf("stored as %s\n     want %s", b, want)
		}
		var back riposte.Statistics
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Errorf("-stored +loaded\n%s", diff)
		}
	}
}
