package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
	"github.com/riposte-dev/riposte/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(ctx context.Context, place string, now func() time.Time) (riposte.Store, error) {
	s, err := sqlite.Open(ctx, place, sqlite.Options{Now: now})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func TestStore(t *testing.T) { storetest.Run(t, open) }
