package check

import (
	"context"
	"time"

	"github.com/riposte-dev/riposte"
)

// Result is what a check came to.
type Result string

const (
	Pass Result = "pass"
	Warn Result = "warn" // within the contract, or not to be seen from here; worth a look
	Fail Result = "fail"
	Skip Result = "skip" // not played: what it builds on isn't there
)

// Verdict is a result with what led to it.
type Verdict struct {
	Result Result `json:"result"`
	Came   string `json:"came"`           // what the receiver did
	Hint   string `json:"hint,omitempty"` // what to do about it
}

// Check is one pace through which a receiver is played.
type Check struct {
	Name     string
	Section  string // of PROTOCOL.md, which has the rule
	Done     string // what is done to the receiver
	Expected string // of the receiver

	source riposte.SourceKind // of those that ask every source; "" for the others
	needs  need
	play   func(context.Context, *Session, *Evidence) error
	judge  func(Evidence) Verdict
}

// need is what a check builds on.
type need int

const (
	needNothing  need = iota
	needTime          // the receiver answers in time
	needAnswer        // it took an honest delivery: else a refusal proves nothing
	needCallback      // it answered one by callback
)

// Evidence is all that a judge sees.
type Evidence struct {
	Source    riposte.SourceKind
	Instance  *Instance  // of a question that the server delivered
	Attempts  []Attempt  // of one that the check delivered, in their order
	Callbacks []Callback // of one that the check delivered, in their order; refused ones of one that the server did
	Mark      time.Time  // when its last attempt began
	TimedOut  bool       // the check's own time was up
	Keys      Keys

	question *question
}

// Attempt is one HTTP try.
type Attempt struct {
	Status int // 0 when none came
	Body   []byte
	Err    error
	Took   time.Duration
}

// Callback is a document that the receiver posted, and what it was told.
type Callback struct {
	At       time.Time
	Document []byte
	Status   int
	Reason   string // the server's, when it refused
	Message  string // likewise
}

// Instance is what a question that the server delivered came to.
type Instance struct {
	Attempt Attempt
	Kind    string // of the outcome; "" while it is open
	Via     riposte.Via
	Failure string
	Took    time.Duration // until the outcome
}

// Keys is what the receiver has to trust.
type Keys struct {
	Issuer  string
	JWKSURL string
	Fetched bool // the receiver has asked for them
}

// Row is a check in a report.
type Row struct {
	Name     string `json:"name"`
	Section  string `json:"section"`
	Done     string `json:"done"`
	Expected string `json:"expected"`
	Verdict
}

// Report is what all checks came to.
type Report struct {
	URL     string `json:"url"`
	Issuer  string `json:"issuer"`
	JWKSURL string `json:"jwksUrl"`
	Passed  int    `json:"passed"`
	Warned  int    `json:"warned"`
	Failed  int    `json:"failed"`
	Skipped int    `json:"skipped"`
	Checks  []Row  `json:"checks"`
}

func (r *Report) add(c Check, v Verdict) {
	switch v.Result {
	case Pass:
		r.Passed++
	case Warn:
		r.Warned++
	case Fail:
		r.Failed++
	case Skip:
		r.Skipped++
	}
	r.Checks = append(r.Checks, Row{Name: c.Name, Section: c.Section, Done: c.Done, Expected: c.Expected, Verdict: v})
}
