package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/riposte-dev/riposte"
)

const adminKeyFile = "admin.key"

// adminKeys returns the key that the configuration gives. Without one, and
// without any in the embedded store, it makes the first and writes it to
// admin.key. Nodes that share a database have no directory for it. Where there are
// keys but none of an admin, as a server with RIPOSTE_API_KEY may leave them, it
// makes none: the secret in admin.key may be one that was revoked.
func (s *Server) adminKeys(ctx context.Context) ([]riposte.Key, error) {
	if s.config.APIKey != "" {
		k, err := riposte.NewKeyWithSecret("RIPOSTE_API_KEY", riposte.RoleAdmin, s.config.APIKey, s.store.Now())
		k.ID = "configured" // the same at every start, for logs and outcomes
		return []riposte.Key{k}, err
	}
	stored, err := s.store.ListKeys(ctx)
	now := s.store.Now()
	if err != nil || slices.ContainsFunc(stored, func(k riposte.Key) bool { return k.Role == riposte.RoleAdmin && !k.Caller().Expired(now) }) {
		return nil, err
	}
	switch {
	case s.config.DatabaseURL != "":
		s.config.Logger.Warn("there is no API key of an admin, so nobody can manage webhooks and keys: make one with riposte keys create --role admin --database-url URL")
	case len(stored) > 0:
		s.config.Logger.Warn("there is no API key of an admin, so nobody can manage webhooks and keys: stop the server and make one with riposte keys create --role admin --data DIR",
			"data", s.config.Data)
	default:
		err = s.firstKey(ctx)
	}
	return nil, err
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
		if err := writeSynced(path, secret+"\n"); err != nil {
			return fmt.Errorf("writing the first API key: %w", err)
		}
	default:
		return fmt.Errorf("reading the first API key: %w", err)
	}
	ctx = riposte.WithAudit(ctx, riposte.AuditEntry{Actor: riposte.ActorCommandLine, Operation: "KeysService.Create", Target: k.ID, Detail: k.Summary()})
	if err := s.store.CreateKey(ctx, k); err != nil {
		return fmt.Errorf("storing the first API key: %w", err)
	}
	s.config.Logger.Info("wrote the first API key, an admin's", "file", path)
	return nil
}

// writeSynced writes a file that only its owner may read, and returns when it
// and its name are on disk.
func writeSynced(path, text string) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
