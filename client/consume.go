package client

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	defaultLease = time.Minute
	// firstPull is how many outcomes are pulled before it is known how long each takes.
	firstPull   = 10
	longestPull = 100
	// ackPause is the shortest time between two acks within a pull: what a crash
	// repeats was done in it, or in one call.
	ackPause = time.Second
	// lastAck bounds the ack that is made when the caller's context has ended.
	lastAck = 5 * time.Second
	// ackTimeout is short, because meanwhile the lease runs on.
	ackTimeout = 10 * time.Second
)

// ConsumeOption is one of Consume's.
type ConsumeOption func(*consuming)

// WithFilter gives the function only the outcomes that f selects. A consumer has one
// filter for its whole life: another is refused (CONSUMER_EXISTS).
func WithFilter(f Filter) ConsumeOption {
	return func(c *consuming) { c.filter = f }
}

// WithAfter says where a new consumer begins: after a cursor, or with the oldest
// outcome that is kept, "0". It is of no account for a consumer that is there.
// Without this option a new one begins with what is decided from then on.
func WithAfter(cursor string) ConsumeOption {
	return func(c *consuming) { c.after = cursor }
}

// WithLease says for how long outcomes are this worker's alone, 1 s to 1 hour, 1
// minute by default. The function has at least half of it for an outcome, after which
// its context ends; and what a worker had that died is given to others once all of it
// has passed.
func WithLease(d time.Duration) ConsumeOption {
	return func(c *consuming) { c.lease = d }
}

// Consume calls do with each outcome, one at a time and in the order of the outcomes,
// until ctx ends; its error is then ctx's. The server keeps under the name which
// outcomes were dealt with: those for which do returned nil. All workers that consume
// under one name share the outcomes, and what is given again comes later than its
// place. A name has 1 to 63 characters: a to z, 0 to 9, dot, hyphen and underscore,
// the first one a letter or a digit.
//
// The consumer is created when it isn't there. It then begins with what is decided
// from now on, and not with history, unless WithAfter says otherwise.
//
// Each outcome is given at least once: again after an error of do, and after a crash.
// [Outcome.InstanceID] is the same each time, so do can see whether it has dealt with
// it. An error of do is not reported to anybody: do is called again with the same
// outcome, after a pause that grows to 5 s, and those that follow wait. An outcome
// that do can never deal with must end in nil.
//
// When ctx ends, the context of do ends as well, and what was done is acked in up to
// 5 s.
func (c *Client) Consume(ctx context.Context, name string, do func(context.Context, Outcome) error, options ...ConsumeOption) error {
	w := &consuming{client: c, name: name, do: do, lease: defaultLease, limit: firstPull}
	for _, option := range options {
		option(w)
	}
	r := &ripostev1.ConsumersServiceCreateRequest{Name: name, Filter: w.filter.String(), After: w.after}
	if _, err := retry(ctx, "creating the consumer "+name, callTimeout, c.consumers.Create, r); err != nil {
		return err
	}
	for {
		b, err := w.pull(ctx)
		if err != nil {
			return err
		}
		if err := b.work(ctx); err != nil {
			return err
		}
	}
}

// consuming is one worker.
type consuming struct {
	client *Client
	name   string
	do     func(context.Context, Outcome) error
	filter Filter
	after  string
	lease  time.Duration

	limit    int     // how many to pull
	failures backoff // of do, in a row
}

// batch is what a pull gave.
type batch struct {
	*consuming
	leaseID   string
	instances []*ripostev1.Instance
	began     time.Time // the lease, or a little later
	done      int       // instances that were dealt with
	acked     int       // of those
	ackedAt   time.Time
}

// pull returns when there are outcomes.
func (w *consuming) pull(ctx context.Context) (*batch, error) {
	var b backoff
	doing := "pulling outcomes for the consumer " + w.name
	r := &ripostev1.ConsumersServicePullRequest{Name: w.name, MaxOutcomes: int32(w.limit),
		Lease: durationpb.New(w.lease), Wait: durationpb.New(longestWait)}
	for {
		began := time.Now()
		res, err := retry(ctx, doing, longestWait+waitMargin, w.client.consumers.Pull, r)
		now := time.Now()
		switch {
		case isReason(err, "MANY_LEASES"): // until other workers have acked theirs
		case err != nil:
			return nil, err
		case len(res.GetInstances()) > 0:
			return &batch{consuming: w, leaseID: res.GetLeaseId(), instances: res.GetInstances(), began: now, ackedAt: now}, nil
		case now.Sub(began) >= longestWait:
			b.reset()
			continue
		}
		// A server that is stopping answers early.
		if pause(ctx, b.next(0)) != nil {
			return nil, ended(ctx, doing, err)
		}
	}
}

// work deals with a batch. What it could not deal with while the lease was young is
// given again once the lease has run out, before anything else.
func (b *batch) work(ctx context.Context) error {
	for b.done < len(b.instances) && time.Since(b.began) < b.lease/2 && ctx.Err() == nil {
		pausing := b.next(ctx)
		if ctx.Err() != nil || pausing == 0 && time.Since(b.ackedAt) < ackPause {
			continue
		}
		if lost, err := b.ack(ctx); lost || err != nil {
			return err
		}
		_ = pause(ctx, min(pausing, time.Until(b.began.Add(b.lease/2)))) // the loop looks at ctx
	}
	if ctx.Err() != nil {
		b.ackLast(ctx)
		return ended(ctx, "consuming as "+b.name, nil)
	}
	b.adapt()
	if lost, err := b.ack(ctx); lost || err != nil || b.done == len(b.instances) {
		return err
	}
	if pause(ctx, time.Until(b.began.Add(b.lease))) != nil {
		return ended(ctx, "consuming as "+b.name, nil)
	}
	return nil
}

// next calls do with the next outcome and says how long to wait if that failed.
func (b *batch) next(ctx context.Context) time.Duration {
	ctx, cancel := context.WithDeadline(ctx, b.began.Add(b.lease))
	defer cancel()
	if err := b.do(ctx, readOutcome(b.instances[b.done])); err != nil {
		return max(b.failures.next(0), 1)
	}
	b.failures.reset()
	b.done++
	return 0
}

// adapt pulls as many the next time as take a quarter of a lease.
func (b *batch) adapt() {
	perOutcome := time.Since(b.began) / time.Duration(max(b.done, 1))
	b.limit = int(min(max(b.lease/4/max(perOutcome, 1), 1), longestPull))
}

// ack takes what is done as dealt with. The rest is lost when the lease ran out and
// another worker has it.
func (b *batch) ack(ctx context.Context) (lost bool, err error) {
	if b.done == b.acked {
		return false, nil
	}
	_, err = retry(ctx, "acking outcomes of the consumer "+b.name, ackTimeout, b.client.consumers.Ack, b.ackRequest())
	switch {
	case err == nil:
		b.acked, b.ackedAt = b.done, time.Now()
		return false, nil
	case isReason(err, "LEASE_LOST"):
		return true, nil
	case ctx.Err() != nil:
		b.ackLast(ctx)
	}
	return false, err
}

func (b *batch) ackRequest() *ripostev1.ConsumersServiceAckRequest {
	return &ripostev1.ConsumersServiceAckRequest{Name: b.name, LeaseId: b.leaseID,
		Through: b.instances[b.done-1].GetOutcome().GetSequence()}
}

// ackLast does what it can for a caller who is leaving. What it can't ack is given
// again.
func (b *batch) ackLast(ctx context.Context) {
	if b.done == b.acked {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAck)
	defer cancel()
	_, _ = retry(ctx, "acking", lastAck, b.client.consumers.Ack, b.ackRequest())
}
