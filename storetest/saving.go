package storetest

import (
	"errors"
	"time"

	"github.com/riposte-dev/riposte"
)

var saving = []behaviour{
	{"a saved instance loads as it was returned", func(h *house) {
		i := h.running(h.webhook())
		h.clock.Advance(time.Second)
		for _, e := range []riposte.Event{attempted(500), riposte.RetryRequested{}, answered(riposte.ViaOperator)} {
			before := i.Version
			i = h.change(i, e)
			h.wantEqual(h.load(i.ID), i)
			if i.Version <= before || len(i.Steps()) != 1 {
				h.Errorf("version went from %d to %d, steps %v", before, i.Version, i.Steps())
			}
		}
	}},
	{"an answer keeps its bytes", func(h *house) {
		i := h.change(h.running(h.webhook()), answered(riposte.ViaCallback))
		h.wantEqual(h.load(i.ID).Outcome.Document, approvalDocument)
		h.wantEqual(h.load(i.ID).Outcome.Comment, "yes!")
	}},
	{"an outcome without a document has none", func(h *house) {
		i := h.change(h.running(h.webhook()), riposte.Canceled{Message: "no need"})
		o := h.load(i.ID).Outcome
		if o.Document != nil {
			h.Errorf("document is %q, want nil", o.Document)
		}
		h.wantEqual(o.Failure, &riposte.Failure{Reason: riposte.FailureCanceled, Message: "no need"})
	}},
	{"a save over another version conflicts and adds no attempt", func(h *house) {
		stale := h.running(h.webhook())
		fresh := h.change(stale, attempted(202))
		a := attempt(1, h.now())
		_, err := h.store.SaveInstance(h.Context(), h.apply(stale, attempted(500)), &a)
		h.wantError(err, riposte.ErrConflict)
		h.wantEqual(h.load(stale.ID), fresh)
		h.wantEqual(h.attempts(stale.ID), []riposte.Attempt(nil))
	}},
	{"a save of what is not there is not found", func(h *house) {
		i := h.running(h.webhook())
		i.ID = riposte.NewID(h.now())
		a := attempt(1, h.now())
		_, err := h.store.SaveInstance(h.Context(), h.apply(i, attempted(500)), &a)
		h.wantError(err, riposte.ErrInstanceNotFound)
	}},
	{"one of simultaneous answers wins and all see it", func(h *house) {
		i := h.running(h.webhook())
		saved := make([]riposte.Instance, 16)
		for k := range saved {
			e := answered(riposte.ViaCallback)
			e.Answer.Comment = string(rune('a' + k))
			saved[k] = h.apply(i, e)
		}
		won := -1
		for k, err := range concurrently(len(saved), func(k int) (err error) {
			saved[k], err = h.store.SaveInstance(h.Context(), saved[k], nil)
			return err
		}) {
			switch {
			case err == nil && won >= 0:
				h.Errorf("%d and %d won", won, k)
			case err == nil:
				won = k
			case !errors.Is(err, riposte.ErrConflict):
				h.Errorf("the loser got %v", err)
			}
		}
		if won < 0 {
			h.Fatalf("nobody won")
		}
		h.wantEqual(h.load(i.ID), saved[won])
	}},
	{"there is one outcome even if the version is right", func(h *house) {
		first := h.decided(h.running(h.webhook()))
		second := first
		second.Outcome = &riposte.Outcome{Kind: riposte.OutcomeDenied, Via: riposte.ViaOperator, DecidedAt: h.now()}
		a := attempt(1, h.now())
		_, err := h.store.SaveInstance(h.Context(), h.apply(second, riposte.HandedOver{}), &a)
		h.wantError(err, riposte.ErrConflict)
		h.wantEqual(h.load(first.ID), first)
		h.wantEqual(h.attempts(first.ID), []riposte.Attempt(nil))
	}},
	{"a closed instance never changes", func(h *house) {
		closed := h.change(h.running(h.webhook()), attempted(410))
		reopened := closed
		reopened.State, reopened.DueAt, reopened.CompletedAt, reopened.Outcome = riposte.StateError, h.now(), time.Time{}, nil
		if _, err := h.store.SaveInstance(h.Context(), reopened, nil); err == nil {
			h.Errorf("it was reopened")
		}
		renamed := closed
		renamed.State = riposte.StateSuccess
		if _, err := h.store.SaveInstance(h.Context(), renamed, nil); err == nil {
			h.Errorf("it was turned into a success")
		}
		h.wantEqual(h.load(closed.ID), closed)
	}},
	{"outcomes are numbered in the order of their commits", func(h *house) {
		w := h.webhook()
		h.createMany(w, 5)
		last := int64(0)
		for _, c := range h.claim(riposte.ClaimRequest{Limit: 5}).Attempts {
			i := h.decided(c.Instance)
			if i.Outcome.Sequence <= last {
				h.Errorf("sequence %d comes after %d", i.Outcome.Sequence, last)
			}
			last = i.Outcome.Sequence
			closed := h.change(i, riposte.HandedOver{})
			if closed.Outcome.Sequence != last {
				h.Errorf("the hand-over changed the sequence from %d to %d", last, closed.Outcome.Sequence)
			}
		}
	}},
	{"saving leaves the caller's outcome alone", func(h *house) {
		next := h.apply(h.running(h.webhook()), answered(riposte.ViaCallback))
		h.save(next, nil)
		if next.Outcome.Sequence != 0 {
			h.Errorf("its sequence became %d", next.Outcome.Sequence)
		}
	}},
}

// decided saves an answer whose hand-over is under way.
func (h *house) decided(i riposte.Instance) riposte.Instance {
	h.Helper()
	next, err := i.Apply(answered(riposte.ViaCallback), h.now())
	h.must(err)
	return h.save(next, nil)
}

var attempts = []behaviour{
	{"an attempt loads as it was saved", func(h *house) {
		i := h.running(h.webhook())
		whole := attempt(1, h.now())
		h.save(h.apply(i, attempted(202)), &whole)
		least := riposte.Attempt{Number: 2, StartedAt: h.now(), StatusCode: 200}
		h.must(h.store.RecordAttempt(h.Context(), i.ID, least))
		h.wantEqual(h.attempts(i.ID), []riposte.Attempt{whole, least})
	}},
	{"attempts load in their order", func(h *house) {
		i := h.running(h.webhook())
		for _, n := range []int{3, 1, 10, 2} {
			h.must(h.store.RecordAttempt(h.Context(), i.ID, attempt(n, h.now())))
		}
		got := h.attempts(i.ID)
		for k, want := range []int{1, 2, 3, 10} {
			if len(got) != 4 || got[k].Number != want {
				h.Fatalf("got %+v", got)
			}
		}
	}},
	{"a real record replaces the one of a lost lease", func(h *house) {
		i := h.running(h.webhook())
		h.clock.Advance(riposte.LeaseDuration)
		h.claimOne()
		if a := h.attempts(i.ID)[0]; a.Error == nil || a.Error.Phase != riposte.PhaseUnknown {
			h.Fatalf("the lost attempt is recorded as %+v", a)
		}
		late := attempt(1, i.LastAttemptedAt)
		h.must(h.store.RecordAttempt(h.Context(), i.ID, late))
		h.wantEqual(h.attempts(i.ID), []riposte.Attempt{late})
	}},
	{"a real record is never replaced", func(h *house) {
		i := h.running(h.webhook())
		first := attempt(1, h.now())
		h.save(h.apply(i, attempted(202)), &first)
		other := first
		other.StatusCode, other.Error = 200, nil
		h.must(h.store.RecordAttempt(h.Context(), i.ID, other))
		other.Error = &riposte.AttemptError{Phase: riposte.PhaseUnknown}
		h.must(h.store.RecordAttempt(h.Context(), i.ID, other))
		h.wantEqual(h.attempts(i.ID), []riposte.Attempt{first})
	}},
	{"recording an attempt changes nothing else", func(h *house) {
		i := h.running(h.webhook())
		h.must(h.store.RecordAttempt(h.Context(), i.ID, attempt(1, h.now())))
		h.wantEqual(h.load(i.ID), i)
	}},
	{"an attempt of an instance that is gone is no error", func(h *house) {
		h.must(h.store.RecordAttempt(h.Context(), riposte.NewID(h.now()), attempt(1, h.now())))
	}},
	{"a save after the lease ran out loses and its attempt is kept", func(h *house) {
		late := h.running(h.webhook())
		h.clock.Advance(riposte.LeaseDuration)
		second := h.claimOne()
		a := attempt(1, late.LastAttemptedAt)
		_, err := h.store.SaveInstance(h.Context(), h.apply(late, attempted(200)), &a)
		h.wantError(err, riposte.ErrConflict)
		h.must(h.store.RecordAttempt(h.Context(), late.ID, a))
		h.wantEqual(h.load(late.ID), second)
		h.wantEqual(h.attempts(late.ID), []riposte.Attempt{a})
	}},
	{"a callback overtakes the attempt, whose record is kept", func(h *house) {
		i := h.running(h.webhook())
		closed := h.change(h.load(i.ID), answered(riposte.ViaCallback))
		a := attempt(1, i.LastAttemptedAt)
		_, err := h.store.SaveInstance(h.Context(), h.apply(i, attempted(202)), &a)
		h.wantError(err, riposte.ErrConflict)
		h.must(h.store.RecordAttempt(h.Context(), i.ID, a))
		h.wantEqual(h.load(i.ID), closed)
		h.wantEqual(h.attempts(i.ID), []riposte.Attempt{a})
	}},
}
