package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/riposte-dev/riposte"
)

var errNotBuilt = errors.New("not built yet")

func (s *Store) LoadSecret(context.Context, string) (riposte.Secret, error) {
	return riposte.Secret{}, errNotBuilt
}
func (s *Store) SaveSecret(context.Context, string, []byte, int64) error { return errNotBuilt }
func (s *Store) CreateClient(context.Context, riposte.Client) error      { return errNotBuilt }
func (s *Store) LoadClient(context.Context, string) (riposte.Client, error) {
	return riposte.Client{}, errNotBuilt
}
func (s *Store) ListClients(context.Context) ([]riposte.Client, error)    { return nil, errNotBuilt }
func (s *Store) DeleteClient(context.Context, string) error               { return errNotBuilt }
func (s *Store) UseAssertion(context.Context, string, time.Time) error    { return errNotBuilt }
func (s *Store) SaveLastUses(context.Context, map[string]time.Time) error { return errNotBuilt }
func (s *Store) ListAudit(context.Context, riposte.AuditFilter) ([]riposte.AuditEntry, error) {
	return nil, errNotBuilt
}
