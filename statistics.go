package riposte

import (
	"math"
	"slices"
	"time"
)

// The spans that Statistics are kept for, and for how long.
const (
	StatisticsMinute  = time.Minute
	StatisticsQuarter = 15 * time.Minute

	KeepStatisticsMinutes  = 61 * time.Minute
	KeepStatisticsQuarters = 24*time.Hour + StatisticsQuarter
)

// AnswerTimes are the upper bounds of the classes that Statistics sorts answers'
// times into, each with its own. What takes longer than the last is in one more class.
// Stored counts are by class, so none is ever changed.
var AnswerTimes = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, AttemptTimeout,
}

// Statistics counts what happened in a span of time. The zero value counts nothing.
// Its JSON is how stores keep it; a name in there never changes its meaning.
type Statistics struct {
	Created        int                       `json:"created,omitzero"`        // instances
	Answered       int                       `json:"answered,omitzero"`       // instances that came to an answer
	Failed         int                       `json:"failed,omitzero"`         // instances that came to none
	Attempts       int                       `json:"attempts,omitzero"`       // that ended
	AttemptsFailed int                       `json:"attemptsFailed,omitzero"` // of these, without a whole response of the 2xx
	Times          [len(AnswerTimes) + 1]int `json:"times,omitzero"`          // by class, of the attempts that ended with a status line
	Last           *LastAttempt              `json:"last,omitzero"`           // the attempt that ended last; nil for none
}

// LastAttempt is what is known of the last attempt of a webhook.
type LastAttempt struct {
	EndedAt    time.Time     `json:"endedAt"`
	InstanceID string        `json:"instanceId"`
	StatusCode int           `json:"statusCode,omitzero"` // 0 when no status line came
	Error      *AttemptError `json:"error,omitzero"`      // nil when the response was read whole
}

// Failed reports whether the receiver did not take what was asked.
func (l LastAttempt) Failed() bool { return l.Error != nil || l.StatusCode/100 != 2 }

// Ended counts an attempt that has ended.
func (s *Statistics) Ended(instanceID string, a *Attempt) {
	last := LastAttempt{EndedAt: Time(a.StartedAt.Add(a.Duration)), InstanceID: instanceID, StatusCode: a.StatusCode, Error: a.Error}
	s.Attempts++
	if last.Failed() {
		s.AttemptsFailed++
	}
	if a.StatusCode != 0 {
		class, _ := slices.BinarySearch(AnswerTimes[:], a.Duration)
		s.Times[class]++
	}
	s.keepLast(&last)
}

// Add counts what t counts, too.
func (s *Statistics) Add(t Statistics) {
	s.Created += t.Created
	s.Answered += t.Answered
	s.Failed += t.Failed
	s.Attempts += t.Attempts
	s.AttemptsFailed += t.AttemptsFailed
	for class, n := range t.Times {
		s.Times[class] += n
	}
	s.keepLast(t.Last)
}

func (s *Statistics) keepLast(l *LastAttempt) {
	if l != nil && (s.Last == nil || s.Last.EndedAt.Before(l.EndedAt)) {
		s.Last = l
	}
}

// Counted is how many events s counts.
func (s Statistics) Counted() int { return s.Created + s.Answered + s.Failed + s.Attempts }

// AnswerTime returns what the given share of all answers, over 0 to 1, did not exceed:
// the bound of its class, or AttemptTimeout for what took longer than the last. It is 0
// where there was no answer.
func (s Statistics) AnswerTime(share float64) time.Duration {
	all := 0
	for _, n := range s.Times {
		all += n
	}
	// 0.55 of 100 is a little more than 55 in floating point.
	left := max(1, int(math.Ceil(share*float64(all)-1e-6)))
	for class, n := range s.Times {
		if left -= n; left <= 0 {
			return AnswerTimes[min(class, len(AnswerTimes)-1)]
		}
	}
	return 0
}

// Health is how a webhook's receiver fares.
type Health string

const (
	HealthQuiet   Health = "QUIET"   // nothing was attempted in the last hour
	HealthHealthy Health = "HEALTHY" // it takes what it is asked
	HealthFailing Health = "FAILING" // the last attempt failed, as did a fifth of them or more
	HealthHeld    Health = "HELD"    // its instances are held, because it doesn't answer at all
)

// failingShare of its attempts make a receiver one that fails, if the last is among them.
const failingShare = 0.2

// Health says how the receiver fares whose last hour s is.
func (s Statistics) Health(held bool) Health {
	switch {
	case held:
		return HealthHeld
	case s.Attempts == 0 || s.Last == nil:
		return HealthQuiet
	case s.Last.Failed() && float64(s.AttemptsFailed) >= failingShare*float64(s.Attempts):
		return HealthFailing
	}
	return HealthHealthy
}

// StatisticsRow is what one process counted in one span. What happened in the span is
// the sum over the processes. A process counts on in a row until its span is over, so
// that of two states of a row the later one has Counted more.
type StatisticsRow struct {
	WebhookID string        // "" for all webhooks together
	Span      time.Duration // StatisticsMinute, or StatisticsQuarter
	Start     time.Time     // a multiple of Span
	Process   string        // an id of the process that counted
	Statistics
}

// StatisticsFilter selects rows; its parts combine with AND.
type StatisticsFilter struct {
	// WebhookIDs to select; "" stands for all webhooks together. nil for each webhook
	// there is, and not for all together.
	WebhookIDs []string
	Span       time.Duration // StatisticsMinute, or StatisticsQuarter
	From       time.Time     // those that started before are left out
}
