package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/riposte-dev/riposte/client"
)

// application runs requests through their policies. All that it knows is in its
// store, so it may die at any point and go on from there.
type application struct {
	store    *Store
	client   *client.Client
	webhooks map[string]string // id by the system that it asks
	say      func(ticket, format string, args ...any)
	// triggered wakes ask; what another process put into the outbox it sees anyway.
	triggered   chan struct{}
	untilClosed bool
}

const outboxPause = 200 * time.Millisecond

// errAllClosed ends a run that was to go on until then.
var errAllClosed = errors.New("all requests are closed")

// ask asks what is in the outbox, until ctx ends.
func (a *application) ask(ctx context.Context) error {
	for {
		questions, err := a.store.outbox(ctx)
		if err != nil {
			return fmt.Errorf("reading the outbox: %w", err)
		}
		for _, q := range questions {
			if err := a.askOne(ctx, q); err != nil {
				return err
			}
		}
		if a.untilClosed {
			if err := a.store.errIfAllClosed(ctx); err != nil {
				return err
			}
		}
		select {
		case <-a.triggered:
		case <-time.After(outboxPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// askOne may be repeated: the request id names the question, so that Riposte finds
// the instance that is there already.
func (a *application) askOne(ctx context.Context, q question) error {
	ticket := Request{ID: q.RequestID}.ticket()
	system := q.Step.system()
	a.say(ticket, "asks for %s", q.Step)
	halt(system + ": not yet asked")
	id, err := a.client.Create(ctx, a.webhooks[system], q.Step.source(ticket), json.RawMessage(q.Payload),
		client.WithRequestID(fmt.Sprintf("%s/%d", ticket, q.Number)),
		client.WithLabels(map[string]string{"request": strconv.FormatInt(q.RequestID, 10), "number": strconv.Itoa(q.Number)}))
	if err != nil {
		return fmt.Errorf("asking for the %s of %s: %w", q.Step, ticket, err)
	}
	halt(system + ": asked, not noted")
	if err := a.store.asked(ctx, q, id); err != nil {
		return fmt.Errorf("noting instance %s: %w", id, err)
	}
	return nil
}

// take takes outcomes, from the cursor in the store on, until ctx ends.
func (a *application) take(ctx context.Context) error {
	cursor, err := a.store.cursor(ctx)
	if err != nil {
		return fmt.Errorf("reading the cursor: %w", err)
	}
	for o, err := range a.client.Watch(ctx, cursor, client.Filter{}) {
		if err != nil {
			return fmt.Errorf("watching outcomes: %w", err)
		}
		if err := a.takeOne(ctx, o); err != nil {
			return fmt.Errorf("taking the outcome of instance %s: %w", o.InstanceID, err)
		}
	}
	return nil
}

// takeOne does all that an outcome means, and moves the cursor past it, in one
// transaction: both or neither, so each outcome counts once.
func (a *application) takeOne(ctx context.Context, o client.Outcome) error {
	ours, err := a.isOurs(ctx, o)
	if err != nil {
		return err
	}
	if !ours {
		return a.store.tx(ctx, func(tx *sql.Tx) error { return moveCursor(tx, o.Cursor) })
	}
	attempts, err := a.client.Attempts(ctx, o.InstanceID)
	if err != nil {
		return err
	}
	var before, after Request
	var step Step
	err = a.store.tx(ctx, func(tx *sql.Tx) error {
		if before, err = askedBy(tx, o); err != nil {
			return err
		}
		step, after = before.Steps[0], before.after(o)
		if err := noteOutcome(tx, before.ID, before.Asked, o, attempts); err != nil {
			return err
		}
		if err := advance(tx, after); err != nil {
			return err
		}
		if err := moveCursor(tx, o.Cursor); err != nil {
			return err
		}
		halt(step.system() + ": outcome before its commit")
		return nil
	})
	if err != nil {
		return err
	}
	halt(step.system() + ": outcome committed")
	a.say(after.ticket(), "%s: %s", step, describeOutcome(o))
	if after.closed() {
		a.say(after.ticket(), "closed: %s", after.Result)
	}
	select {
	case a.triggered <- struct{}{}:
	default: // it knows
	}
	return nil
}

// isOurs tells the outcomes of this store's questions from those of others who use the
// same server, and of an operator who tests a webhook or recreates an instance. The
// labels name the question, because its instance may not be noted yet.
func (a *application) isOurs(ctx context.Context, o client.Outcome) (bool, error) {
	if !slices.Contains(slices.Collect(maps.Values(a.webhooks)), o.WebhookID) {
		return false, nil
	}
	var ours bool
	err := a.store.db.QueryRowContext(ctx, `SELECT count(*) FROM question WHERE request_id = ? AND number = ? AND coalesce(instance_id, ?3) = ?3`,
		o.Labels["request"], o.Labels["number"], o.InstanceID).Scan(&ours)
	return ours, err
}

// errOutOfTurn can't happen, which the crash test relies on.
var errOutOfTurn = errors.New("its question isn't open")

// askedBy closes the question that an outcome answers and returns its request as it
// stands.
func askedBy(tx *sql.Tx, o client.Outcome) (Request, error) {
	r, err := scanRequest(tx.QueryRow(requestColumns+` WHERE id = ?`, o.Labels["request"]))
	if err != nil {
		return r, fmt.Errorf("reading request %s: %w", o.Labels["request"], err)
	}
	if r.closed() || o.Labels["number"] != strconv.Itoa(r.Asked) {
		return r, errOutOfTurn
	}
	_, err = tx.Exec(`UPDATE question SET instance_id = ?, outcome = ? WHERE request_id = ? AND number = ?`, o.InstanceID, o.Kind, r.ID, r.Asked)
	return r, err
}

// advance saves where a request has got to, and triggers what comes next.
func advance(tx *sql.Tx, r Request) error {
	if err := saveRequest(tx, r); err != nil {
		return err
	}
	if r.closed() {
		return note(tx, r.ID, 0, time.Now(), Closed, closing(r))
	}
	return trigger(tx, r)
}

func closing(r Request) string {
	if r.Why == "" {
		return string(r.Result)
	}
	return fmt.Sprintf("%s: %s", r.Result, r.Why)
}
