package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/riposte-dev/riposte"
)

const adminKeyFile = "admin.key"

// adminKeys returns the key that the configuration gives. Without one, and
// without any in the store, it makes the first and writes it to admin.key.
func (s *Server) adminKeys(ctx context.Context) ([]riposte.Key, error) {
	if s.config.APIKey != "" {
		k, err := riposte.NewKeyWithSecret("RIPOSTE_API_KEY", riposte.RoleAdmin, s.config.APIKey, s.store.Now())
		k.ID = "configured" // the same at every start, for logs and outcomes
		return []riposte.Key{k}, err
	}
	n, err := s.store.CountKeys(ctx)
	if err != nil || n > 0 {
		return nil, err
	}
	return nil, s.firstKey(ctx)
}

// firstKey writes the file before the store, so that no crash leaves a key
// that nobody knows; a file that such a crash left is used.
func (s *Server) firstKey(ctx context.Context) error {
	path := filepath.Join(s.config.Data, adminKeyFile)
	k, secret, err := riposte.NewKey("first admin key", riposte.RoleAdmin, s.store.Now())
	if err != nil {
		return err
	}
	left, err := os.ReadFile(path)
	switch {
	case err == nil && len(strings.TrimSpace(string(left))) >= minAPIKeyLength:
		k.Hash = riposte.HashKey(strings.TrimSpace(string(left)))
	case err == nil || errors.Is(err, fs.ErrNotExist):
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			return fmt.Errorf("writing the first API key: %w", err)
		}
	default:
		return fmt.Errorf("reading the first API key: %w", err)
	}
	if err := s.store.CreateKey(ctx, k); err != nil {
		return fmt.Errorf("storing the first API key: %w", err)
	}
	s.config.Logger.Info("wrote the first API key, an admin's", "file", path)
	return nil
}
