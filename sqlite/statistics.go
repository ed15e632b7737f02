package sqlite

import (
	"context"
	"errors"

	"github.com/riposte-dev/riposte"
)

var errNotYet = errors.New("not built yet")

// SaveStatistics implements riposte.StatisticsStore.
func (s *Store) SaveStatistics(ctx context.Context, rows []riposte.StatisticsRow) error {
	return errNotYet
}

// LoadStatistics implements riposte.StatisticsStore.
func (s *Store) LoadStatistics(ctx context.Context, f riposte.StatisticsFilter) ([]riposte.StatisticsRow, error) {
	return nil, errNotYet
}

// LastAttempts implements riposte.StatisticsStore.
func (s *Store) LastAttempts(ctx context.Context, webhookIDs []string) (map[string]riposte.LastAttempt, error) {
	return nil, errNotYet
}

// CountMatching implements riposte.InstanceStore.
func (s *Store) CountMatching(ctx context.Context, f riposte.InstanceFilter, atMost int) (n int, more bool, err error) {
	return 0, false, errNotYet
}

// OldestDue implements riposte.InstanceStore.
func (s *Store) OldestDue(ctx context.Context, limit int) ([]riposte.Instance, error) {
	return nil, errNotYet
}

// SoonestToExpire implements riposte.InstanceStore.
func (s *Store) SoonestToExpire(ctx context.Context, limit int) ([]riposte.Instance, error) {
	return nil, errNotYet
}

// ListKeys implements riposte.SecretStore.
func (s *Store) ListKeys(ctx context.Context) ([]riposte.Key, error) { return nil, errNotYet }

// DeleteKey implements riposte.SecretStore.
func (s *Store) DeleteKey(ctx context.Context, id string) error { return errNotYet }
