package e2e

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
)

const (
	// takeover is when an attempt of a node that is gone is made again at the
	// latest: its lease, and 5 s to find that.
	takeover = riposte.LeaseDuration + 5*time.Second
	// settled is when all that was asked has come to its end at the latest, once
	// nobody asks any more and nothing is broken.
	settled = takeover + slowest + 12*time.Second
)

// clusterBooks is a load's end: what is in the database against what everybody was told.
type clusterBooks struct {
	*clusterLoad
	store *postgres.Store
}

// open lets the test read the database as a node does.
func (l *clusterLoad) open() *postgres.Store {
	l.t.Helper()
	store, err := postgres.Open(l.t.Context(), l.url, postgres.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	return store
}

// remember keeps all that is closed as it is now; it must stay so.
func (l *clusterLoad) remember() {
	l.t.Helper()
	store := l.open()
	defer store.Close()
	b := clusterBooks{l, store}
	n := 0
	for i := range b.all() {
		if _, known := l.before[i.ID]; i.State.Closed() && !known {
			l.before[i.ID] = b.load(i.ID)
			n++
		}
	}
	l.logf("%d instances are closed for good", n)
}

// balance waits until everything is closed, and compares.
func (l *clusterLoad) balance() {
	l.t.Helper()
	store := l.open()
	defer store.Close()
	b := clusterBooks{l, store}
	b.waitUntilClosed()
	b.checkList()
	for id, i := range l.before {
		if now := b.load(id); !reflect.DeepEqual(i, now) {
			l.errorf("instance %s was closed as\n%+v\nand is\n%+v", id, i, now)
		}
	}
	sequences := map[int64]string{}
	for _, q := range l.questions {
		if q.id == "" {
			continue
		}
		i := b.load(q.id)
		b.checkOutcome(q, i)
		b.checkAttempts(i)
		if i.Outcome == nil {
			continue
		}
		if other, taken := sequences[i.Outcome.Sequence]; taken {
			l.errorf("instances %s and %s have the same outcome, number %d", q.id, other, i.Outcome.Sequence)
		}
		sequences[i.Outcome.Sequence] = q.id
	}
}

func (b clusterBooks) waitUntilClosed() {
	b.t.Helper()
	for deadline := time.Now().Add(settled); ; time.Sleep(50 * time.Millisecond) {
		open := b.firstOpen()
		if open == nil {
			return
		}
		if time.Now().After(deadline) {
			b.errorf("instance %s is still in %s after %s, due at %s: %+v", open.ID, open.State, settled, open.DueAt, *open)
			return
		}
	}
}

func (b clusterBooks) firstOpen() *riposte.Instance {
	b.t.Helper()
	for _, s := range riposte.States {
		found, err := b.store.ListInstances(b.t.Context(), riposte.InstanceFilter{State: s, Limit: 1})
		if err != nil {
			b.t.Fatalf("listing what is in %s: %v", s, err)
		}
		if !s.Closed() && len(found.Instances) > 0 {
			return &found.Instances[0]
		}
	}
	return nil
}

// all goes through the instances, which come without their documents.
func (b clusterBooks) all() iter.Seq[riposte.Instance] {
	return func(yield func(riposte.Instance) bool) {
		f := riposte.InstanceFilter{Limit: 1000}
		for {
			page, err := b.store.ListInstances(b.t.Context(), f)
			if err != nil {
				b.t.Fatalf("listing instances: %v", err)
			}
			for _, i := range page.Instances {
				if !yield(i) {
					return
				}
			}
			switch {
			case len(page.Instances) == f.Limit:
				f.Before = page.Instances[f.Limit-1].ID
			case page.Searched != "":
				f.Before = page.Searched
			default:
				return
			}
		}
	}
}

func (b clusterBooks) load(id string) riposte.Instance {
	b.t.Helper()
	i, err := b.store.LoadInstance(b.t.Context(), id)
	if err != nil {
		b.errorf("loading instance %s: %v", id, err)
	}
	return i
}

// checkList: each accepted question is there, nothing is there that nobody
// asked or that is there twice, and the store's own count is right.
func (b clusterBooks) checkList() {
	b.t.Helper()
	byRequest, counted, total := map[string]string{}, map[riposte.State]int{}, 0
	for i := range b.all() {
		counted[i.State]++
		total++
		if other, twice := byRequest[i.RequestID]; twice {
			b.errorf("request %s made the instances %s and %s", i.RequestID, i.ID, other)
		}
		byRequest[i.RequestID] = i.ID
		if b.questions[i.RequestID] == nil {
			b.errorf("nobody asked for instance %s, of the request %q", i.ID, i.RequestID)
		}
	}
	for _, q := range b.questions {
		if q.id != "" && byRequest[q.requestID] != q.id {
			b.errorf("request %s was accepted as %s and is %q", q.requestID, q.id, byRequest[q.requestID])
		}
	}
	counts, err := b.store.CountInstances(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range riposte.States {
		if counts[s] != counted[s] {
			b.errorf("the store counts %d instances in %s, there are %d", counts[s], s, counted[s])
		}
	}
	b.logf("%d instances are there", total)
}

// checkOutcome: the outcome is what somebody said, and who was told that his
// word counted was told the truth.
func (b clusterBooks) checkOutcome(q *question, i riposte.Instance) {
	b.t.Helper()
	o := i.Outcome
	if o == nil || !i.State.Closed() {
		b.errorf("%s: instance %s is in %s with the outcome %s", q.kind.name, q.id, i.State, inWords(o))
		return
	}
	isCanceled := o.Failure != nil && o.Failure.Reason == riposte.FailureCanceled
	document := string(o.Document)
	c := b.callbacks[document]
	switch {
	case isCanceled && q.kind.cancel && i.State == riposte.StateFatalError:
	case o.Failure != nil || o.Kind != riposte.OutcomeApproved || i.State != riposte.StateSuccess:
		b.errorf("%s: instance %s is in %s with the outcome %s", q.kind.name, q.id, i.State, inWords(o))
	case o.Via == riposte.ViaCallback && (c.id != q.id || !c.taken):
		b.errorf("%s: instance %s has the document %s, whose sender was told %+v", q.kind.name, q.id, document, c)
	case o.Via == riposte.ViaSync && !slices.ContainsFunc(b.received(q.id), func(r request) bool { return r.document == document }):
		b.errorf("%s: instance %s has the document %s, which its receiver has not given", q.kind.name, q.id, document)
	}
	if q.canceled && !isCanceled {
		b.errorf("%s: instance %s was canceled and came to %s", q.kind.name, q.id, inWords(o))
	}
	for said, c := range b.callbacks {
		if c.id == q.id && c.taken && said != document {
			b.errorf("%s: instance %s took the callback %s and came to %s", q.kind.name, q.id, said, inWords(o))
		}
	}
	for _, seen := range q.outcomes {
		decided, err := time.Parse(time.RFC3339Nano, seen.DecidedAt)
		if err != nil || !decided.Equal(o.DecidedAt) || seen.DocumentJSON != document || seen.Sequence != strconv.FormatInt(o.Sequence, 10) ||
			seen.Kind != "OUTCOME_KIND_"+string(o.Kind) || seen.Via != "OUTCOME_VIA_"+string(o.Via) {
			b.errorf("%s: who waited for instance %s was told %+v, and it came to %s", q.kind.name, q.id, seen, inWords(o))
		}
	}
}

func inWords(o *riposte.Outcome) string {
	if o == nil {
		return "none"
	}
	return fmt.Sprintf("%s via %s at %s: %s%+v", o.Kind, o.Via, o.DecidedAt.Format(time.StampMicro), o.Document, o.Failure)
}

// checkAttempts compares the history with what the receiver got. The last
// attempt's result may be on its way still.
func (b clusterBooks) checkAttempts(i riposte.Instance) {
	b.t.Helper()
	var wrong []string
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		recorded, err := b.store.LoadAttempts(b.t.Context(), i.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		if wrong = b.compareAttempts(i, recorded); len(wrong) == 0 {
			return
		}
		if time.Now().After(deadline) || b.wrong.Load() > 20 {
			b.errorf("instance %s: %s\nrecorded: %+v\nits receiver got: %v", i.ID, strings.Join(wrong, "\n"), recorded, b.received(i.ID))
			return
		}
	}
}

// received lists what an instance's receiver got.
func (b clusterBooks) received(id string) (all []request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests[id] {
		all = append(all, *r)
	}
	return all
}

func (r request) String() string {
	return fmt.Sprintf("\n%d from %s at %s, %d at %s", r.number, r.node, r.at.Format(time.StampMicro), r.status, r.replied.Format(time.StampMicro))
}

// compareAttempts says what is wrong. Each claim has a number of its own, the
// instance's attempts as of then, so a request that began after the outcome
// would have one above those of the closed instance.
func (b clusterBooks) compareAttempts(i riposte.Instance, recorded []riposte.Attempt) (wrong []string) {
	for n, a := range recorded {
		if a.Number != n+1 {
			wrong = append(wrong, fmt.Sprintf("the %d. attempt has the number %d", n+1, a.Number))
		}
	}
	if len(recorded) != i.Attempts {
		wrong = append(wrong, fmt.Sprintf("%d attempts were begun, %d are recorded", i.Attempts, len(recorded)))
		return wrong
	}
	byNumber := map[int]*request{}
	for _, r := range b.received(i.ID) {
		switch {
		case r.number < 1 || r.number > i.Attempts:
			wrong = append(wrong, fmt.Sprintf("the receiver got attempt %d of %d", r.number, i.Attempts))
			continue
		case byNumber[r.number] != nil:
			wrong = append(wrong, fmt.Sprintf("the receiver got attempt %d twice", r.number))
		}
		byNumber[r.number] = &r
		if a := recorded[r.number-1]; a.StatusCode != r.status && (a.StatusCode != 0 || !b.excused(r.node, r.at.Add(-time.Second), r.replied.Add(takeover))) {
			wrong = append(wrong, fmt.Sprintf("attempt %d got %d, %d is recorded", r.number, r.status, a.StatusCode))
		}
	}
	for _, a := range recorded {
		if a.StatusCode != 0 && byNumber[a.Number] == nil {
			wrong = append(wrong, fmt.Sprintf("attempt %d is recorded with %d, its receiver knows nothing of it", a.Number, a.StatusCode))
		}
	}
	return append(wrong, b.compareTimes(i, recorded, byNumber)...)
}

// compareTimes: two attempts overlap only where the first one's node was away,
// and what such a node began is begun again in time.
func (b clusterBooks) compareTimes(i riposte.Instance, recorded []riposte.Attempt, byNumber map[int]*request) (wrong []string) {
	for n, next := range recorded[min(1, len(recorded)):] {
		last, began := recorded[n], next.StartedAt
		r := byNumber[last.Number]
		if byNumber[next.Number] != nil {
			began = byNumber[next.Number].at
		}
		if r != nil && began.Before(r.replied) && !b.excused(r.node, r.at.Add(-time.Second), began) {
			wrong = append(wrong, fmt.Sprintf("attempt %d began while attempt %d was under way", next.Number, last.Number))
		}
		if last.Error == nil || last.Error.Reason != "LEASE_RAN_OUT" {
			continue
		}
		if gap := began.Sub(last.StartedAt); gap > takeover && !b.databaseExcused(last.StartedAt, began) {
			wrong = append(wrong, fmt.Sprintf("attempt %d was lost, and made again after %s", last.Number, gap))
		}
		if !b.excused(nodeOf(r), last.StartedAt.Add(-time.Second), began) {
			wrong = append(wrong, fmt.Sprintf("attempt %d was lost without a fault", last.Number))
		}
	}
	return wrong
}

func nodeOf(r *request) string {
	if r == nil {
		return "" // no receiver knows
	}
	return r.node
}
