package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/riposte-dev/riposte/lane"
)

// loadLanesSQL finds each lane's first row with one step into the index.
const loadLanesSQL = `SELECT w.number,
	(SELECT min(due_at) FROM instances WHERE webhook = w.number AND due_at IS NOT NULL), ` + webhookColumns + `
	FROM webhooks w`

func loadLanes(ctx context.Context, conn *sql.Conn) (*lane.Lanes, error) {
	ls := lane.New()
	rows, err := conn.QueryContext(ctx, loadLanesSQL)
	if err != nil {
		return nil, fmt.Errorf("loading webhooks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var due sql.NullInt64
		w, err := scanWebhook(rows, &number, &due)
		if err != nil {
			return nil, fmt.Errorf("loading webhooks: %w", err)
		}
		l := ls.Add(number, w)
		if due.Valid {
			ls.Lower(l, due.Int64)
		}
	}
	return ls, rows.Err()
}
