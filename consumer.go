package riposte

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Bounds of a consumer and of what it is given.
const (
	MaxConsumers = 1000
	// MaxLeases is how many pulls of one consumer may be out at once.
	MaxLeases       = 100
	MaxPull         = 1000 // outcomes
	DefaultPull     = 100
	MinLease        = time.Second
	DefaultLease    = 30 * time.Second
	MaxLease        = time.Hour
	maxConsumerName = 63 // characters
)

var consumerName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// OutcomeFilter selects outcomes by their instances; its parts combine with AND,
// and a zero part selects all.
type OutcomeFilter struct {
	WebhookID  string            `json:"webhookId,omitempty"`
	SourceKind SourceKind        `json:"source,omitempty"`
	TicketID   string            `json:"ticketId,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	CreatedBy  string            `json:"createdBy,omitempty"`
}

// Selects reports whether the filter lets i's outcome through.
func (f OutcomeFilter) Selects(i Instance) bool {
	for key, value := range f.Labels {
		if got, ok := i.Labels[key]; !ok || got != value {
			return false
		}
	}
	return (f.WebhookID == "" || f.WebhookID == i.WebhookID) && (f.SourceKind == "" || f.SourceKind == i.Source.Kind) &&
		(f.TicketID == "" || f.TicketID == i.Source.TicketID) && (f.CreatedBy == "" || f.CreatedBy == i.CreatedBy)
}

// Consumer is a place in the feed that the server keeps under a name, for those
// who don't keep a cursor themselves. It is changed by value and saved with
// compare-and-swap on Version.
type Consumer struct {
	Name      string
	Filter    OutcomeFilter
	CreatedAt time.Time
	Position  int64   // outcomes up to this sequence have been leased, or passed over by the filter
	Leases    []Lease // in the order of the feed, none of which overlap; Position is the last one's end, or after it
	Version   int64   // 0 before the first save; the store raises it
}

// Lease is a part of the feed that belongs to one worker until it is acked or its
// time has run out.
type Lease struct {
	ID      string    `json:"id"`
	After   int64     `json:"after"`   // the sequence before its first outcome
	Through int64     `json:"through"` // the sequence of its last outcome
	Until   time.Time `json:"until"`
	Tries   int       `json:"tries"` // how often it was given, from 1
}

// NewConsumer returns a consumer of what comes after a sequence.
func NewConsumer(name string, f OutcomeFilter, after int64, now time.Time) (Consumer, error) {
	var v violations
	v.required("name", name, maxConsumerName)
	if name != "" && !consumerName.MatchString(name) {
		v.addf("name", "must have only the characters a to z, 0 to 9, dot, hyphen and underscore, and begin with a letter or a digit")
	}
	return Consumer{Name: name, Filter: f, CreatedAt: Time(now), Position: after}, v.err()
}

// Acked is the sequence up to which every outcome has been acked.
func (c Consumer) Acked() int64 {
	if len(c.Leases) > 0 {
		return c.Leases[0].After
	}
	return c.Position
}

// Lag is how many outcomes come after what has been acked, at most, where last is
// the sequence of the last one that there is.
func (c Consumer) Lag(last int64) int64 { return max(0, last-c.Acked()) }

// Lapsed returns the first lease that has run out, if there is one.
func (c Consumer) Lapsed(now time.Time) (Lease, bool) {
	for _, l := range c.Leases {
		if !now.Before(l.Until) {
			return l, true
		}
	}
	return Lease{}, false
}

// NextLapse is when the next lease runs out; zero without leases.
func (c Consumer) NextLapse() time.Time {
	var next time.Time
	for _, l := range c.Leases {
		if next.IsZero() || l.Until.Before(next) {
			next = l.Until
		}
	}
	return next
}

// Lease gives what comes after Position, through a sequence, for d. ErrManyLeases.
func (c Consumer) Lease(through int64, d time.Duration, now time.Time) (Consumer, Lease, error) {
	if len(c.Leases) >= MaxLeases {
		return c, Lease{}, ErrManyLeases
	}
	l := newLease(c.Position, through, 1, d, now)
	c.Leases = append(slices.Clone(c.Leases), l)
	c.Position = through
	return c, l, nil
}

// LeaseAgain gives the first part of a lapsed lease, through a sequence, for d. The
// rest of it stays lapsed.
func (c Consumer) LeaseAgain(lapsed Lease, through int64, d time.Duration, now time.Time) (Consumer, Lease) {
	again := newLease(lapsed.After, min(through, lapsed.Through), lapsed.Tries+1, d, now)
	parts := []Lease{again}
	if again.Through < lapsed.Through {
		lapsed.After = again.Through
		parts = append(parts, lapsed)
	}
	n := slices.IndexFunc(c.Leases, func(l Lease) bool { return l.After == again.After })
	c.Leases = slices.Replace(slices.Clone(c.Leases), n, n+1, parts...)
	return c, again
}

// newLease names the lease by its part of the feed, so that an ack that is repeated
// can be told from one that comes too late.
func newLease(after, through int64, tries int, d time.Duration, now time.Time) Lease {
	return Lease{ID: fmt.Sprintf("%d-%d-%s", after, through, NewID(now)), After: after, Through: through, Until: Time(now.Add(d)), Tries: tries}
}

// Ack takes what a lease has up to a sequence, 0 for all of it, as dealt with. It
// may be repeated. ErrLeaseLost when the lease ran out and somebody else has what
// it had.
func (c Consumer) Ack(id string, through int64) (Consumer, error) {
	var after, end int64
	if _, err := fmt.Sscanf(id, "%d-%d-", &after, &end); err != nil {
		return c, Invalid(Violation{"leaseId", "must be one that a pull gave"})
	}
	if through == 0 {
		through = end
	}
	if through <= after || through > end {
		return c, Invalid(Violation{"through", fmt.Sprintf("must be 0 or a sequence after %d, up to %d, which is what the lease has", after, end)})
	}
	others := slices.ContainsFunc(c.Leases, func(l Lease) bool { return l.ID != id && l.After < through && l.Through > after })
	if others || end > c.Position {
		return c, ErrLeaseLost
	}
	n := slices.IndexFunc(c.Leases, func(l Lease) bool { return l.ID == id })
	if n < 0 {
		return c, nil // it was acked before
	}
	c.Leases = slices.Clone(c.Leases)
	if c.Leases[n].After = max(c.Leases[n].After, through); c.Leases[n].After >= c.Leases[n].Through {
		c.Leases = slices.Delete(c.Leases, n, n+1)
	}
	return c, nil
}

// CheckPull completes what a pull asks for by the defaults and checks it.
func CheckPull(outcomes int, lease time.Duration) (int, time.Duration, error) {
	var v violations
	if outcomes == 0 {
		outcomes = DefaultPull
	}
	if lease == 0 {
		lease = DefaultLease
	}
	if outcomes < 1 || outcomes > MaxPull {
		v.addf("maxOutcomes", "must be 1 to %d, is %d", MaxPull, outcomes)
	}
	if lease < MinLease || lease > MaxLease {
		v.addf("lease", "must be %s to %s, is %s", MinLease, MaxLease, lease)
	}
	return outcomes, lease, v.err()
}
