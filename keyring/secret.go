package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/vault"
)

// Sealer keeps secrets in a store, sealed.
type Sealer struct {
	Store riposte.SecretStore
	Vault *vault.Vault
}

func purpose(name string) string { return "secret/" + name }

// Secret returns the secret of this name, and makes it where there is none: of several
// nodes that do so at once one is heard. What an older version kept in the clear is
// sealed in its place, so that a node of that version which starts later finds something
// that is no key, and refuses, rather than making a key that nobody else knows.
func (s Sealer) Secret(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	value, _, err := s.secret(ctx, name, create, func(clear []byte) ([]byte, error) { return clear, nil })
	return value, err
}

// secret is Secret where adopt turns what was kept in the clear into what is kept now.
// It returns the version, too.
func (s Sealer) secret(ctx context.Context, name string, create func() ([]byte, error), adopt func([]byte) ([]byte, error)) ([]byte, int64, error) {
	for {
		value, version, err := s.load(ctx, name)
		switch {
		case errors.Is(err, riposte.ErrSecretNotFound):
			value, err = create()
		case errors.Is(err, errClear):
			value, err = adopt(value)
		default:
			return value, version, err
		}
		if err != nil {
			return nil, 0, fmt.Errorf("making the secret %s: %w", name, err)
		}
		if err = s.save(ctx, name, value, version); !errors.Is(err, riposte.ErrConflict) {
			return value, version + 1, err
		}
	}
}

// errClear is load's error for a secret that is not sealed. It comes with it.
var errClear = errors.New("the secret is kept in the clear")

func (s Sealer) load(ctx context.Context, name string) ([]byte, int64, error) {
	secret, err := s.Store.LoadSecret(ctx, name)
	if err != nil {
		return nil, 0, fmt.Errorf("loading the secret %s: %w", name, err)
	}
	if !vault.IsSealed(secret.Value) {
		return secret.Value, secret.Version, errClear
	}
	value, err := s.Vault.Open(purpose(name), secret.Value)
	if err != nil {
		return nil, 0, fmt.Errorf("opening the secret %s: %w", name, err)
	}
	return value, secret.Version, nil
}

func (s Sealer) save(ctx context.Context, name string, value []byte, version int64) error {
	if err := s.Store.SaveSecret(ctx, name, s.Vault.Seal(purpose(name), value), version); err != nil {
		return fmt.Errorf("storing the secret %s: %w", name, err)
	}
	return nil
}

// reseal seals a secret with the current data key, if it is not yet, and reports whether
// it had to.
func (s Sealer) reseal(ctx context.Context, name string) (bool, error) {
	for {
		secret, err := s.Store.LoadSecret(ctx, name)
		if errors.Is(err, riposte.ErrSecretNotFound) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("loading the secret %s: %w", name, err)
		}
		if !s.Vault.Stale(secret.Value) {
			return false, nil
		}
		value, err := s.Vault.Open(purpose(name), secret.Value)
		if err != nil {
			return false, fmt.Errorf("opening the secret %s: %w", name, err)
		}
		if err = s.save(ctx, name, value, secret.Version); !errors.Is(err, riposte.ErrConflict) {
			return true, err
		}
	}
}
