package lane

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// elsewherePause is when to look again for room that other nodes have taken.
const elsewherePause = 100 * time.Millisecond

// maxSettled is how many instances one claim may move on without an attempt
// (expired ones, lost leases, those of deleted webhooks), so that it doesn't
// hold up the others that wait for its commit.
const maxSettled = 200

// Rows are a store's open instances, in the transaction of one claim.
type Rows interface {
	// Expired returns at most limit instances that expire at now or before,
	// the earliest first.
	Expired(now int64, limit int) ([]riposte.Instance, error)
	// Due returns of each lane at most so many instances that are due by now,
	// the earliest first.
	Due(now int64, takes []Take) ([]riposte.Instance, error)
	// FirstDue is the earliest due time in a lane, or Never.
	FirstDue(l *Lane) (int64, error)
	// FirstExpiry is the earliest expiry, or Never.
	FirstExpiry() (int64, error)
	// InFlight is how many attempts on the lane's webhook have a lease, at all
	// nodes. Nobody else begins one until the transaction ends.
	InFlight(l *Lane, now int64) (int, error)
	// Save saves each change, as SaveInstance does, and tells Lanes.
	Save(changes []Change) ([]riposte.Instance, error)
	// Envelopes returns those of the instances, in their order.
	Envelopes(claimed []riposte.Instance) ([]riposte.Envelope, error)
}

// Take is how much a claim wants of a lane.
type Take struct {
	Lane  *Lane
	Limit int
}

// Change is an instance as it will be, with the record of an attempt that its
// lost lease leaves, or nil.
type Change struct {
	Instance riposte.Instance
	Lost     *riposte.Attempt
}

// Claim looks after what is due, as riposte.InstanceStore says. A lease that ran
// out is looked at when its webhook has room.
func (ls *Lanes) Claim(rows Rows, r riposte.ClaimRequest, now time.Time) (riposte.Claim, error) {
	c := claim{Lanes: ls, rows: rows, at: now, now: now.UnixMicro(), inFlight: r.InFlight, bounds: r.Bounds,
		limit: r.Limit, pushes: r.Limit - r.Deliveries, settling: maxSettled, begun: make(map[string]int), leased: make(map[string]int)}
	err := c.run()
	return c.taken, err
}

// claim is one at work.
type claim struct {
	*Lanes
	rows     Rows
	at       time.Time
	now      int64 // the same
	inFlight map[string]int
	bounds   map[string]int // of webhooks that may have less than their MaxInFlight
	limit    int            // attempts that may still begin
	pushes   int            // of these, how many may be pushes
	settling int            // instances that may still move on without one
	begun    map[string]int // attempts begun here, by webhook
	leased   map[string]int // attempts in flight at all nodes before, where that is bounded
	taken    riposte.Claim
}

func (c *claim) run() error {
	if err := c.expire(); err != nil {
		return err
	}
	if err := c.visitLanes(); err != nil {
		return err
	}
	if err := c.loadEnvelopes(); err != nil {
		return err
	}
	var err error
	c.taken.Next, err = c.next()
	c.taken.Oldest = c.oldest()
	c.taken.Held = len(c.due(c.now)) > 0
	return err
}

// expire closes what has expired, wherever it is.
func (c *claim) expire() error {
	if c.Expiry.At > c.now {
		return nil
	}
	expired, err := c.rows.Expired(c.now, c.settling)
	if err != nil {
		return err
	}
	return c.advance(expired)
}

// visitLanes takes from the lanes that are due, oldest first, in rounds: each
// lane may take its share of the limit before any takes more.
func (c *claim) visitLanes() error {
	due := c.due(c.now)
	if err := c.countLeased(due); err != nil {
		return err
	}
	for {
		due = slices.DeleteFunc(due, func(l *Lane) bool { return c.allowance(l, c.limit, c.settling) == 0 })
		if len(due) == 0 {
			return nil
		}
		var err error
		if due, err = c.round(due); err != nil {
			return err
		}
	}
}

// countLeased asks about the webhooks that all nodes bound together, always in
// the same order, as asking may take a lock.
func (c *claim) countLeased(due []*Lane) error {
	bounded := slices.DeleteFunc(slices.Clone(due), func(l *Lane) bool {
		return l.Webhook.Deleted() || l.Webhook.Settings.MaxInFlightTotal == 0 || c.room(l) <= 0
	})
	slices.SortFunc(bounded, func(a, b *Lane) int { return cmp.Compare(a.Webhook.ID, b.Webhook.ID) })
	for _, l := range bounded {
		n, err := c.rows.InFlight(l, c.now)
		if err != nil {
			return err
		}
		c.leased[l.Webhook.ID] = n
	}
	return nil
}

// round goes once over the lanes and returns those that may have more.
func (c *claim) round(due []*Lane) ([]*Lane, error) {
	var takes []Take
	share, limit, pushes, settling := max(1, c.limit/len(due)), c.limit, c.pushes, c.settling
	for _, l := range due {
		most := min(share, limit)
		if l.Pushes() {
			most = min(most, pushes)
		}
		take := c.allowance(l, most, settling)
		switch {
		case l.Webhook.Deleted():
			settling -= take
		case l.Pushes():
			pushes -= take
			limit -= take
		default:
			limit -= take
		}
		takes = append(takes, Take{l, take})
	}
	picked, err := c.rows.Due(c.now, takes)
	if err != nil {
		return nil, err
	}
	of, last := make(map[string]int), make(map[string]int64)
	for _, t := range takes {
		last[t.Lane.Webhook.ID] = Unknown
	}
	for _, i := range picked {
		of[i.Lane()]++
		last[i.Lane()] = i.DueAt.UnixMicro()
	}
	left := due[:0:0]
	for _, t := range takes {
		id := t.Lane.Webhook.ID
		c.looked(t.Lane, c.now, last[id], 0 < of[id] && of[id] < t.Limit)
		// Also those whose turn did not come.
		if of[id] == t.Limit {
			left = append(left, t.Lane)
		}
	}
	return left, c.advance(picked)
}

// allowance is how many rows of a lane may be looked at, if limit attempts may
// begin and settling instances move on without one. A deleted webhook's need
// no room.
func (c *claim) allowance(l *Lane, limit, settling int) int {
	switch {
	case settling <= 0:
		return 0
	case l.Webhook.Deleted():
		return settling
	}
	return max(0, min(c.room(l), limit))
}

// room is how many attempts may begin in a lane, whatever the limit.
func (c *claim) room(l *Lane) int {
	id, bound := l.Webhook.ID, l.Webhook.Settings.MaxInFlight
	if lower, ok := c.bounds[id]; ok {
		bound = min(bound, lower)
	}
	room := bound - c.inFlight[id] - c.begun[id]
	if l.Pushes() {
		room = min(room, c.pushes)
	}
	if leased, ok := c.leased[id]; ok {
		room = min(room, l.Webhook.Settings.MaxInFlightTotal-leased-c.begun[id])
	}
	return room
}

// crowded reports whether attempts of other nodes may hold back what is due here.
func (c *claim) crowded() bool {
	for id, leased := range c.leased {
		if leased > c.inFlight[id] && leased+c.begun[id] >= c.ByID[id].Webhook.Settings.MaxInFlightTotal {
			return true
		}
	}
	return false
}

// advance applies to each instance what is due, the oldest first.
func (c *claim) advance(instances []riposte.Instance) error {
	if len(instances) == 0 {
		return nil
	}
	slices.SortStableFunc(instances, func(a, b riposte.Instance) int { return a.DueAt.Compare(b.DueAt) })
	changes := make([]Change, len(instances))
	for n, i := range instances {
		next, lost, err := i.Due(c.ByID[i.Lane()].Webhook, c.at)
		if err != nil {
			return fmt.Errorf("instance %s: %w", i.ID, err)
		}
		changes[n] = Change{next, lost}
	}
	saved, err := c.rows.Save(changes)
	if err != nil {
		return err
	}
	for _, i := range saved {
		if i.LeasedUntil.IsZero() {
			c.settling--
			continue
		}
		c.limit--
		if i.OwesPush() {
			c.pushes--
		}
		c.begun[i.Lane()]++
		c.taken.Attempts = append(c.taken.Attempts, riposte.ClaimedInstance{Instance: i, Webhook: c.ByID[i.Lane()].Webhook})
	}
	return nil
}

// loadEnvelopes gives what was claimed the bodies that are sent. An outcome has
// its own.
func (c *claim) loadEnvelopes() error {
	var claimed []riposte.Instance
	var of []*riposte.ClaimedInstance
	for n := range c.taken.Attempts {
		if each := &c.taken.Attempts[n]; !each.Instance.OwesPush() {
			claimed, of = append(claimed, each.Instance), append(of, each)
		}
	}
	if len(claimed) == 0 {
		return nil
	}
	envelopes, err := c.rows.Envelopes(claimed)
	if err != nil {
		return err
	}
	for n, e := range envelopes {
		of[n].Envelope = e
	}
	return nil
}

// next is when there is something to do that neither a bound nor the limit
// holds back.
func (c *claim) next() (time.Time, error) {
	due, err := c.nextDue()
	if err != nil {
		return time.Time{}, err
	}
	// A lane that is not held back is due no later than its first expiry, so
	// this matters for those that are.
	if c.Expiry.At < due && c.doubtful(c.Expiry) {
		at, err := c.rows.FirstExpiry()
		if err != nil {
			return time.Time{}, err
		}
		c.Expiry = Bound{at, true}
	}
	if c.crowded() {
		due = min(due, c.now+elsewherePause.Microseconds())
	}
	switch due = min(due, c.Expiry.At); {
	case due == Never:
		return time.Time{}, nil
	case due < c.now:
		return c.at, nil
	}
	return time.UnixMicro(due).UTC(), nil
}

// doubtful reports whether rows must be asked when to look again. Where there is
// work, looking once too often later costs less than asking each time: an index
// may be full of what is gone.
func (c *claim) doubtful(b Bound) bool {
	return !b.Exact && (b.At <= c.now || len(c.taken.Attempts) == 0)
}

func (c *claim) nextDue() (int64, error) {
	for {
		l := c.firstNotHeld()
		if l == nil {
			return Never, nil
		}
		if !c.doubtful(l.Due) {
			return l.Due.At, nil
		}
		at, err := c.rows.FirstDue(l)
		if err != nil {
			return 0, err
		}
		c.Set(l, Bound{at, true})
	}
}

// oldest is the first due time of what no webhook's bound holds back. It comes
// after nextDue, which has left no doubt about what is due.
func (c *claim) oldest() time.Time {
	l := c.first(func(l *Lane) bool { return l.Webhook.Deleted() || c.room(l) > 0 })
	if l == nil || l.Due.At == Never {
		return time.Time{}
	}
	return time.UnixMicro(l.Due.At).UTC()
}

// firstNotHeld returns the lane that is due first of those that nothing holds
// back, or nil.
func (c *claim) firstNotHeld() *Lane {
	return c.first(func(l *Lane) bool {
		switch {
		case l.Webhook.Deleted():
			return true
		case c.room(l) <= 0:
			return false
		}
		return c.limit > 0 || l.Due.At > c.now || !l.Due.Exact
	})
}
