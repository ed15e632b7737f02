package e2e

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // the database of who takes outcomes

	"github.com/riposte-dev/riposte/client"
)

// effects is the database of an application that takes outcomes. Nothing in it is
// unique, so that what is done twice is there twice.
type effects struct{ db *sql.DB }

// effect is what one outcome was good for.
type effect struct {
	outcome  string // its id, where it was pushed
	instance string
	sequence int64
	said     string
}

// said is all of an outcome that may differ.
func said(kind client.Kind, document string, reason client.FailureReason) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", kind, reason, document))
}

const effectsSchema = `
CREATE TABLE IF NOT EXISTS effects (place INTEGER PRIMARY KEY AUTOINCREMENT, outcome TEXT NOT NULL, instance TEXT NOT NULL, sequence INTEGER NOT NULL, said TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY CHECK (one = 1), after TEXT NOT NULL);
INSERT INTO cursor VALUES (1, '0') ON CONFLICT DO NOTHING;`

// openEffects opens the database, and makes it the first time. No fsync: the
// process dies, the machine doesn't.
func openEffects(ctx context.Context, path string) (effects, error) {
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(path)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate")
	if err != nil {
		return effects{}, err
	}
	if _, err := db.ExecContext(ctx, effectsSchema); err != nil {
		return effects{}, errors.Join(err, db.Close())
	}
	return effects{db}, nil
}

func (e effects) cursor(ctx context.Context) (after string, err error) {
	return after, e.db.QueryRowContext(ctx, "SELECT after FROM cursor").Scan(&after)
}

// store makes an outcome's effect, and with it moves the cursor where there is
// one. A kill may come at any of its steps.
func (e effects) store(ctx context.Context, made effect, cursor string) error {
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	step()
	if _, err := tx.ExecContext(ctx, "INSERT INTO effects (outcome, instance, sequence, said) VALUES (?, ?, ?, ?)",
		made.outcome, made.instance, made.sequence, made.said); err != nil {
		return err
	}
	step()
	if cursor != "" {
		if _, err := tx.ExecContext(ctx, "UPDATE cursor SET after = ?", cursor); err != nil {
			return err
		}
		step()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	step()
	return nil
}

// all lists the effects in the order in which they were made.
func (e effects) all(ctx context.Context) (all []effect, err error) {
	rows, err := e.db.QueryContext(ctx, "SELECT outcome, instance, sequence, said FROM effects ORDER BY place")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var made effect
		if err := rows.Scan(&made.outcome, &made.instance, &made.sequence, &made.said); err != nil {
			return nil, err
		}
		all = append(all, made)
	}
	return all, rows.Err()
}

// wrongOnce says what is wrong with effects that each outcome must have once, in
// the outcomes' order.
func wrongOnce(made, want []effect) (wrong []string) {
	wrong = wrongAtLeastOnce(made, want)
	for n := 1; n < len(made); n++ {
		if before, after := made[n-1], made[n]; after.sequence <= before.sequence {
			wrong = append(wrong, fmt.Sprintf("outcome %d of instance %s comes after %d", after.sequence, after.instance, before.sequence))
		}
	}
	if len(made) != len(want) {
		wrong = append(wrong, fmt.Sprintf("there are %d effects of %d outcomes", len(made), len(want)))
	}
	return wrong
}

// wrongAtLeastOnce says what is wrong with effects of which none may be missing,
// and whose repetitions must be the same.
func wrongAtLeastOnce(made, want []effect) (wrong []string) {
	missing := map[string]effect{}
	for _, e := range want {
		missing[e.instance] = e
	}
	known := len(missing)
	first := map[string]effect{}
	for _, e := range made {
		switch before, again := first[e.instance]; {
		case again && before != e:
			wrong = append(wrong, fmt.Sprintf("instance %s came as %+v, and then as %+v", e.instance, before, e))
		case !again && missing[e.instance].instance == "":
			wrong = append(wrong, fmt.Sprintf("nobody created instance %s, which came as %+v", e.instance, e))
		case !again && (e.said != missing[e.instance].said || e.sequence != missing[e.instance].sequence):
			wrong = append(wrong, fmt.Sprintf("instance %s came as %+v, want %+v", e.instance, e, missing[e.instance]))
		}
		first[e.instance] = e
		delete(missing, e.instance)
	}
	for _, e := range missing {
		wrong = append(wrong, fmt.Sprintf("outcome %d of instance %s is missing: %s", e.sequence, e.instance, e.said))
	}
	if known != len(want) {
		wrong = append(wrong, fmt.Sprintf("%d outcomes belong to %d instances", len(want), known))
	}
	return wrong
}

// inOrder sorts effects by their outcomes.
func inOrder(all []effect) []effect {
	return slices.SortedFunc(slices.Values(all), func(a, b effect) int { return cmp.Compare(a.sequence, b.sequence) })
}
