package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// answers is a database that has one answer.
type answers time.Time

func (a answers) QueryRow(context.Context, string, ...any) pgx.Row { return a }

func (a answers) Scan(dest ...any) error {
	*dest[0].(*int64) = time.Time(a).UnixMicro()
	return nil
}

func TestClockFollowsTheDatabaseAndDoesNotGoBack(t *testing.T) {
	start := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	c := &clock{started: time.Now()}
	set := func(at time.Time) time.Time {
		t.Helper()
		if err := c.set(t.Context(), answers(at)); err != nil {
			t.Fatal(err)
		}
		return c.now()
	}
	near := func(got, want time.Time) {
		t.Helper()
		if d := got.Sub(want); d < 0 || d > 10*time.Second {
			t.Errorf("the clock shows %s, want %s", got, want)
		}
	}
	near(set(start), start)
	ahead := set(start.Add(time.Minute))
	near(ahead, start.Add(time.Minute))
	if now := set(start.Add(30 * time.Second)); now.Before(ahead) {
		t.Errorf("it went back from %s to %s", ahead, now)
	}
	near(set(start.Add(-time.Hour)), start.Add(-time.Hour)) // somebody has set it
}
