package sqlite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// maxSettled is how many instances one claim may move on without an attempt
// (expired ones, lost leases, those of deleted webhooks), so that it doesn't
// hold up the others that wait for its commit.
const maxSettled = 200

const (
	expiredSQL   = `SELECT number FROM instances WHERE completed_at IS NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?`
	dueInLaneSQL = `SELECT number FROM instances WHERE webhook = ? AND due_at <= ? ORDER BY due_at LIMIT ?`

	loadNumberedSQL = `SELECT ` + instanceColumns + `, ` + outcomeColumns + ` FROM json_each(?) n
		CROSS JOIN instances i ON i.number = n.value` + instanceJoins
	loadEnvelopesSQL = `SELECT e.instance, e.body, e.payload_at FROM json_each(?) n CROSS JOIN envelopes e ON e.instance = n.value`
)

// Claim implements riposte.InstanceStore. A lease that ran out is looked at
// when its webhook has room.
func (s *Store) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	var taken riposte.Claim
	err := s.writer.do(ctx, max(r.Limit, 1), func(t *tx) error {
		c := claiming{tx: t, now: s.Now(), inFlight: r.InFlight, bounds: r.Bounds, limit: r.Limit, settling: maxSettled, begun: make(map[string]int)}
		err := c.run()
		taken = c.taken
		return err
	})
	if err != nil {
		return riposte.Claim{}, fmt.Errorf("claiming instances: %w", err)
	}
	return taken, nil
}

// claiming is one Claim at work.
type claiming struct {
	*tx
	now      time.Time
	inFlight map[string]int
	bounds   map[string]int // of webhooks that may have less than their MaxInFlight
	limit    int            // attempts that may still begin
	settling int            // instances that may still move on without one
	begun    map[string]int // attempts begun here, by webhook
	taken    riposte.Claim
}

func (c *claiming) run() error {
	if err := c.expire(); err != nil {
		return err
	}
	if err := c.visitLanes(); err != nil {
		return err
	}
	if err := c.loadBodies(); err != nil {
		return err
	}
	var err error
	c.taken.Next, err = c.next()
	c.taken.Oldest = c.oldest()
	c.taken.Held = len(c.lanes.due(c.now.UnixMicro())) > 0
	return err
}

// expire closes what has expired, wherever it is.
func (c *claiming) expire() error {
	if c.lanes.expiry.at > c.now.UnixMicro() {
		return nil
	}
	numbers, err := c.numbers(c.expired, c.now.UnixMicro(), c.settling)
	if err != nil {
		return err
	}
	return c.advance(numbers)
}

// visitLanes takes from the lanes that are due, oldest first, in rounds: each
// lane may take its share of the limit before any takes more.
func (c *claiming) visitLanes() error {
	due := c.lanes.due(c.now.UnixMicro())
	for {
		due = slices.DeleteFunc(due, func(l *lane) bool { return c.allowance(l, c.limit, c.settling) == 0 })
		if len(due) == 0 {
			return nil
		}
		var err error
		if due, err = c.round(due); err != nil {
			return err
		}
	}
}

// round goes once over the lanes and returns those that may have more.
func (c *claiming) round(due []*lane) ([]*lane, error) {
	var picked []int64
	share, limit, settling := max(1, c.limit/len(due)), c.limit, c.settling
	left := due[:0:0]
	for _, l := range due {
		take := c.allowance(l, min(share, limit), settling)
		if take == 0 {
			continue
		}
		numbers, err := c.numbers(c.dueInLane, l.number, c.now.UnixMicro(), take)
		if err != nil {
			return nil, err
		}
		if len(numbers) == take {
			left = append(left, l)
		}
		if l.webhook.Deleted() {
			settling -= len(numbers)
		} else {
			limit -= len(numbers)
		}
		picked = append(picked, numbers...)
	}
	return left, c.advance(picked)
}

// allowance is how many rows of a lane may be looked at, if limit attempts may
// begin and settling instances move on without one. A deleted webhook's need
// no room.
func (c *claiming) allowance(l *lane, limit, settling int) int {
	switch {
	case settling <= 0:
		return 0
	case l.webhook.Deleted():
		return settling
	}
	return max(0, min(c.room(l), limit))
}

func (c *claiming) room(l *lane) int {
	id, bound := l.webhook.ID, l.webhook.Settings.MaxInFlight
	if lower, ok := c.bounds[id]; ok {
		bound = min(bound, lower)
	}
	return bound - c.inFlight[id] - c.begun[id]
}

// advance applies to each row what is due, the oldest first.
func (c *claiming) advance(numbers []int64) error {
	if len(numbers) == 0 {
		return nil
	}
	rows, err := c.loadNumbered.QueryContext(context.Background(), numbersJSON(numbers))
	if err != nil {
		return err
	}
	instances, err := collect(rows, scanInstance)
	if err != nil {
		return err
	}
	slices.SortStableFunc(instances, func(a, b riposte.Instance) int { return a.DueAt.Compare(b.DueAt) })
	for _, i := range instances {
		if err := c.advanceOne(i); err != nil {
			return fmt.Errorf("instance %s: %w", i.ID, err)
		}
	}
	return nil
}

func (c *claiming) advanceOne(i riposte.Instance) error {
	w := c.lanes.byID[i.WebhookID].webhook
	next, lost, err := i.Due(w, c.now)
	if err != nil {
		return err
	}
	attempt, err := attemptValues(lost)
	if err != nil {
		return err
	}
	saved, err := c.save(next, attempt)
	if err != nil {
		return err
	}
	if saved.State != riposte.StateRunning {
		c.settling--
		return nil
	}
	c.limit--
	c.begun[w.ID]++
	c.taken.Attempts = append(c.taken.Attempts, riposte.ClaimedInstance{Instance: saved, Webhook: w})
	return nil
}

// loadBodies gives what was claimed the bodies that are sent.
func (c *claiming) loadBodies() error {
	if len(c.taken.Attempts) == 0 {
		return nil
	}
	at := make(map[int64]*riposte.Envelope, len(c.taken.Attempts))
	numbers := make([]int64, 0, len(c.taken.Attempts))
	for n := range c.taken.Attempts {
		a := &c.taken.Attempts[n]
		number := riposte.IDNumber(a.Instance.ID)
		at[number] = &a.Envelope
		numbers = append(numbers, number)
	}
	rows, err := c.loadEnvelopes.QueryContext(context.Background(), numbersJSON(numbers))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var body []byte
		var payloadAt int
		if err := rows.Scan(&number, &body, &payloadAt); err != nil {
			return err
		}
		*at[number] = riposte.LoadEnvelope(body, payloadAt)
	}
	return rows.Err()
}

// next is when there is something to do that neither a bound nor the limit
// holds back.
func (c *claiming) next() (time.Time, error) {
	due, err := c.nextDue()
	if err != nil {
		return time.Time{}, err
	}
	// A lane that is not held back is due no later than its first expiry, so
	// this matters for those that are.
	if c.lanes.expiry.at < due && !c.lanes.expiry.exact {
		if err := c.settleExpiry(); err != nil {
			return time.Time{}, err
		}
	}
	switch due = min(due, c.lanes.expiry.at); {
	case due == never:
		return time.Time{}, nil
	case due < c.now.UnixMicro():
		return c.now, nil
	}
	return time.UnixMicro(due).UTC(), nil
}

func (c *claiming) nextDue() (int64, error) {
	now := c.now.UnixMicro()
	for {
		l := c.firstNotHeld(now)
		if l == nil {
			return never, nil
		}
		if l.due.exact {
			return l.due.at, nil
		}
		if err := c.settle(l); err != nil {
			return 0, err
		}
	}
}

// oldest is the first due time of what no webhook's bound holds back. It comes
// after nextDue, which has made exact what is looked at here.
func (c *claiming) oldest() time.Time {
	l := c.lanes.first(func(l *lane) bool { return l.webhook.Deleted() || c.room(l) > 0 })
	if l == nil || l.due.at == never {
		return time.Time{}
	}
	return time.UnixMicro(l.due.at).UTC()
}

// firstNotHeld returns the lane that is due first of those that nothing holds
// back, or nil.
func (c *claiming) firstNotHeld(now int64) *lane {
	return c.lanes.first(func(l *lane) bool {
		switch {
		case l.webhook.Deleted():
			return true
		case c.room(l) <= 0:
			return false
		}
		return c.limit > 0 || l.due.at > now || !l.due.exact
	})
}
