package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/riposte-dev/riposte/vault"
)

const masterKeyFile = "master.key"

// masterKeys are where the server has its master keys from: RIPOSTE_MASTER_KEY, or the
// file that --master-key-file names, and beside those the master.key in its own data
// directory, which it makes itself where nothing else is given.
type masterKeys struct {
	config Config
	own    string // the path of master.key; "" on a database that nodes share
}

var errNeedsMasterKey = errors.New("a server on PostgreSQL needs a master key, which encrypts its secrets there, the same at all nodes: " +
	"make one with riposte keys generate-master, and give it by RIPOSTE_MASTER_KEY or --master-key-file")

func newMasterKeys(c Config) masterKeys {
	m := masterKeys{config: c}
	if c.DatabaseURL == "" {
		m.own = filepath.Join(c.Data, masterKeyFile)
	}
	return m
}

// load reads them anew: files may have changed.
func (m masterKeys) load() (vault.Masters, error) {
	given, err := m.given()
	if err != nil {
		return nil, err
	}
	own, err := m.readOwn()
	return append(given, own...), err
}

func (m masterKeys) given() (vault.Masters, error) {
	from, text := "RIPOSTE_MASTER_KEY", m.config.MasterKey
	if m.config.MasterKeyFile != "" {
		from = m.config.MasterKeyFile
		b, err := os.ReadFile(from)
		if err != nil {
			return nil, fmt.Errorf("--master-key-file: %w", err)
		}
		text = string(b)
	}
	masters, err := vault.ParseMasters(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	if m.config.MasterKeyFile != "" && len(masters) == 0 {
		return nil, fmt.Errorf("--master-key-file: there is no master key in %s: riposte keys generate-master makes one", from)
	}
	return masters, nil
}

func (m masterKeys) readOwn() (vault.Masters, error) {
	if m.own == "" {
		return nil, nil
	}
	b, err := os.ReadFile(m.own)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the master key: %w", err)
	}
	masters, err := vault.ParseMasters(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.own, err)
	}
	return masters, nil
}

// Renew implements keyring.MasterFile.
func (m masterKeys) Renew() error {
	own, err := m.readOwn()
	if err != nil {
		return err
	}
	return m.write(vault.NewMaster() + "\n" + own.Text())
}

// Keep implements keyring.MasterFile.
func (m masterKeys) Keep(ids []string) error {
	own, err := m.readOwn()
	if err != nil {
		return err
	}
	left := own.Only(ids)
	if len(left) == 0 {
		return fmt.Errorf("none of the master keys in %s is in use", m.own)
	}
	return m.write(left.Text())
}

func (m masterKeys) write(text string) error {
	if err := writeSynced(m.own, text); err != nil {
		return fmt.Errorf("writing the master key: %w", err)
	}
	return nil
}

// openVault makes the master key first where this is the server's own directory and
// nothing else is given, so that no crash leaves a store that nobody can open; one that
// such a crash left is used. Where the store has data keys already, whatever is missing
// was lost or left out, and a new one would open nothing.
func (s *Server) openVault(ctx context.Context) (*vault.Vault, error) {
	masters, err := s.masters.load()
	if err != nil {
		return nil, err
	}
	if len(masters) == 0 {
		if s.masters.own == "" {
			return nil, errNeedsMasterKey
		}
		if err := s.firstMasterKey(ctx); err != nil {
			return nil, err
		}
	}
	v, err := vault.Open(ctx, s.store, s.masters.load, s.store.Now)
	if err != nil {
		return nil, s.masters.explain(err)
	}
	s.masters.check(v)
	return v, nil
}

func (s *Server) firstMasterKey(ctx context.Context) error {
	made, err := vault.Made(ctx, s.store)
	if err != nil {
		return err
	}
	if made {
		return fmt.Errorf("there is no master key in %s, and this store's secrets are sealed with one: put that file back, or give its content by RIPOSTE_MASTER_KEY or --master-key-file", s.masters.own)
	}
	if err := s.masters.Renew(); err != nil {
		return err
	}
	s.config.Logger.Warn("made a master key, which encrypts the secrets in the store beside it: whoever has a backup of this directory has both. "+
		"To keep them apart, give a master key by RIPOSTE_MASTER_KEY or --master-key-file", "file", s.masters.own)
	return nil
}

// explain says to an operator what to do about a master key that is not the right one.
func (m masterKeys) explain(err error) error {
	if !errors.Is(err, vault.ErrMaster) {
		return err
	}
	return fmt.Errorf("%w. Nothing was changed. Start with the master key that this store was used with, beside any new one (the first seals, all open)", err)
}

// check warns of what works and is not what somebody may think it is.
func (m masterKeys) check(v *vault.Vault) {
	masters, err := m.load()
	if err != nil || len(masters) == 0 {
		return
	}
	if ids := v.MasterIDs(); strings.Join(ids, " ") != masters[0].ID() {
		m.config.Logger.Warn("the first master key is not in use yet: riposte keys rotate-master takes it into use, and then the others can go",
			"first", masters[0].ID(), "inUse", ids)
	}
}
