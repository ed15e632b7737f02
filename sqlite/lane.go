package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// loadLanesSQL finds each lane's first row with one step into the index.
const loadLanesSQL = `SELECT w.number,
	(SELECT min(due_at) FROM instances WHERE webhook = w.number AND push_lane IS NULL AND due_at IS NOT NULL), ` + webhookColumns + `
	FROM webhooks w`

const (
	loadPushLanesSQL = `SELECT l.number, (SELECT min(push_due_at) FROM instances WHERE push_lane = l.number AND push_due_at IS NOT NULL), l.id
		FROM push_lanes l`
	insertPushLaneSQL = `INSERT INTO push_lanes (id) VALUES (?)`
)

func loadLanes(ctx context.Context, conn *sql.Conn) (*lane.Lanes, error) {
	ls := lane.New()
	if err := loadWebhookLanes(ctx, conn, ls); err != nil {
		return nil, fmt.Errorf("loading webhooks: %w", err)
	}
	if err := loadPushLanes(ctx, conn, ls); err != nil {
		return nil, fmt.Errorf("loading where outcomes are pushed: %w", err)
	}
	return ls, nil
}

func loadPushLanes(ctx context.Context, conn *sql.Conn, ls *lane.Lanes) error {
	rows, err := conn.QueryContext(ctx, loadPushLanesSQL)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var due sql.NullInt64
		var id string
		if err := rows.Scan(&number, &due, &id); err != nil {
			return err
		}
		w, _ := riposte.PushLane(id)
		l := ls.Add(-number, w)
		if due.Valid {
			ls.Lower(l, due.Int64)
		}
	}
	return rows.Err()
}

// lane returns the one that an instance is in. A lane of pushes is made with the
// first outcome that is pushed there; its number here is negative.
func (t *tx) lane(i riposte.Instance) (*lane.Lane, error) {
	id := i.Lane()
	if l, ok := t.Lanes.ByID[id]; ok {
		return l, nil
	}
	w, ok := riposte.PushLane(id)
	if !ok {
		return nil, riposte.ErrWebhookNotFound
	}
	r, err := t.exec(t.insertPushLane, id)
	if err != nil {
		return nil, err
	}
	number, err := r.LastInsertId()
	if err != nil {
		return nil, err
	}
	l := t.Lanes.Add(-number, w)
	t.Undo(func() { t.Lanes.Remove(l) })
	return l, nil
}

func loadWebhookLanes(ctx context.Context, conn *sql.Conn, ls *lane.Lanes) error {
	rows, err := conn.QueryContext(ctx, loadLanesSQL)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var due sql.NullInt64
		w, err := scanWebhook(rows, &number, &due)
		if err != nil {
			return err
		}
		l := ls.Add(number, w)
		if due.Valid {
			ls.Lower(l, due.Int64)
		}
	}
	return rows.Err()
}
