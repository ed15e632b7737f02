package groupcommit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/groupcommit"
)

// commits notes its batches; each takes a second.
type commits struct{ batches [][]string }

func (c *commits) commit(batch []*groupcommit.Op[string]) {
	var whats []string
	for _, o := range batch {
		whats = append(whats, o.What)
		if o.What == "bad" {
			o.Err = errBad
		}
	}
	c.batches = append(c.batches, whats)
	time.Sleep(time.Second)
}

var errBad = errors.New("bad")

func (c *commits) queue(maxWeight int, patience time.Duration) *groupcommit.Queue[string] {
	return groupcommit.New(groupcommit.Options[string]{Commit: c.commit, MaxWeight: maxWeight, Patience: patience})
}

// ask has each what done, one after the other, and returns where their answers
// come.
func ask(ctx context.Context, q *groupcommit.Queue[string], whats ...string) []chan error {
	var answers []chan error
	for _, what := range whats {
		answer := make(chan error, 1)
		answers = append(answers, answer)
		go func() { answer <- q.Do(ctx, 1, what) }()
		synctest.Wait()
	}
	return answers
}

func TestWhatComesMeanwhileSharesTheNextCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c commits
		q := c.queue(3, 0)
		answers := ask(t.Context(), q, "a", "b", "bad", "c", "d")
		for n, answer := range answers {
			if err := <-answer; (n == 2) != errors.Is(err, errBad) {
				t.Errorf("op %d was answered %v", n, err)
			}
		}
		q.Close()
		if want := [][]string{{"a"}, {"b", "bad", "c"}, {"d"}}; !slices.EqualFunc(c.batches, want, slices.Equal) {
			t.Errorf("the commits were %v, want %v", c.batches, want)
		}
		if err := q.Do(t.Context(), 1, "late"); !errors.Is(err, riposte.ErrUnavailable) || !q.Closed() {
			t.Errorf("a closed queue answers %v", err)
		}
	})
}

func TestWhoGaveUpIsNotCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c commits
		q := c.queue(9, 0)
		defer q.Close()
		ctx, cancel := context.WithCancel(t.Context())
		first := ask(ctx, q, "begun")[0]
		second := ask(ctx, q, "waiting")[0]
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) { // and is committed nonetheless
			t.Errorf("answered %v", err)
		}
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("answered %v", err)
		}
		if err := q.Do(t.Context(), 1, "last"); err != nil {
			t.Error(err)
		}
		if want := [][]string{{"begun"}, {"last"}}; !slices.EqualFunc(c.batches, want, slices.Equal) {
			t.Errorf("the commits were %v, want %v", c.batches, want)
		}
	})
}

func TestPatienceEndsOnlyForWhatHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c commits
		q := c.queue(9, time.Second/2)
		defer q.Close()
		answers := ask(t.Context(), q, "begun", "waiting")
		start := time.Now()
		if err := <-answers[1]; !errors.Is(err, riposte.ErrUnavailable) || time.Since(start) != time.Second/2 {
			t.Errorf("answered %v after %s", err, time.Since(start))
		}
		if err := <-answers[0]; err != nil || time.Since(start) != time.Second {
			t.Errorf("answered %v after %s", err, time.Since(start))
		}
	})
}
