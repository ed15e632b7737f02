package server

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	"github.com/riposte-dev/riposte/console"
	"github.com/riposte-dev/riposte/keyring"
	"github.com/riposte-dev/riposte/outbound"
)

// The names under which the store keeps the server's own secrets. Older versions kept one
// key in the clear under the same names; sealed rings take their places, so that one
// compare-and-swap adopts a key.
const (
	signingKeySecret  = "signing-key"
	callbackKeySecret = "callback-key"
	accessKeySecret   = "access-token-key"
	sessionKeySecret  = "console-session-key"
)

// The times of rotation. A node learns of a key within 30 s, and at once of one that it is
// asked for.
const (
	// publishSigning is longer than a receiver, or what caches between, may keep the key
	// set: 300 s, as it says itself, and the receiver package looks again after ten
	// minutes or at a key that it doesn't know.
	publishSigning = 10 * time.Minute
	// keepSigning is twice the life of a delivery's token.
	keepSigning = 2 * 120 * time.Second
	// publishCallback is twice what other nodes take.
	publishCallback = time.Minute
	// publishAccess is the same for access tokens, which come to any node, too, and
	// keepAccess twice their life.
	publishAccess = time.Minute
	keepAccess    = 2 * api.AccessTokenLife
	// keepCallback is a day longer than an answer may take.
	keepCallback = riposte.MaxCallbackTimeout + 24*time.Hour
)

const (
	callbackAlgorithm = "A256GCM"
	accessAlgorithm   = "EdDSA"
)

// openKeys reads the server's own keys, or makes those that are not there yet.
func (s *Server) openKeys(ctx context.Context) (err error) {
	s.signing, s.tokens = &outbound.Signer{}, api.NewCallbackTokenRing(s.store.Now)
	s.access = api.NewAccessTokenRing(s.config.Issuer, s.store.Now)
	o := keyring.Options{
		Store:   s.store,
		Vault:   s.vault,
		Logger:  s.config.Logger,
		Uses:    []keyring.Use{s.signingKeys(), s.callbackKeys(), s.accessKeys()},
		Secrets: []string{sessionKeySecret},
	}
	if len(s.masters.config.MasterKey)+len(s.masters.config.MasterKeyFile) == 0 {
		o.Master = s.masters
	}
	s.keys, err = keyring.Open(ctx, o)
	return err
}

func (s *Server) signingKeys() keyring.Use {
	return keyring.Use{
		Name:       riposte.ServerKeySigning,
		Secret:     signingKeySecret,
		Rules:      keyring.Rules{PublishFor: publishSigning, Keep: keepSigning},
		Algorithms: outbound.SigningAlgorithms,
		New: func(algorithm string, _ []keyring.Key) (keyring.Key, error) {
			key, err := outbound.NewSigningKeyOf(algorithm)
			if err != nil {
				return keyring.Key{}, err
			}
			b, err := key.Marshal()
			return keyring.Key{ID: key.ID(), Algorithm: algorithm, Secret: b}, err
		},
		Adopt: func(clear []byte) (keyring.Key, error) {
			key, err := outbound.ParseSigningKey(clear)
			return keyring.Key{ID: key.ID(), Algorithm: key.Algorithm(), Secret: clear}, err
		},
		Apply: func(keys []keyring.Key) error {
			var used []outbound.UsedKey
			for _, k := range keys {
				key, err := outbound.ParseSigningKey(k.Secret)
				if err != nil {
					return err
				}
				used = append(used, outbound.UsedKey{SigningKey: key, From: k.UsedFrom})
			}
			return s.signing.Use(used)
		},
	}
}

// callbackKeys have a number for a name, from 1 to 255, because it leads every token.
func (s *Server) callbackKeys() keyring.Use {
	return keyring.Use{
		Name:       riposte.ServerKeyCallback,
		Secret:     callbackKeySecret,
		Rules:      keyring.Rules{PublishFor: publishCallback, Keep: keepCallback},
		Algorithms: []string{callbackAlgorithm},
		New: func(algorithm string, others []keyring.Key) (keyring.Key, error) {
			id, err := nextCallbackID(others)
			if err != nil {
				return keyring.Key{}, err
			}
			b, err := api.NewCallbackKey()
			return keyring.Key{ID: id, Algorithm: algorithm, Secret: b}, err
		},
		// Tokens that were made before a version that rotates have a 1 in front.
		Adopt: func(clear []byte) (keyring.Key, error) {
			return keyring.Key{ID: "1", Algorithm: callbackAlgorithm, Secret: clear}, nil
		},
		Apply: func(keys []keyring.Key) error {
			var ring []api.CallbackKey
			for _, k := range keys {
				id, err := strconv.ParseUint(k.ID, 10, 8)
				if err != nil {
					return fmt.Errorf("reading the callback keys: %w", err)
				}
				ring = append(ring, api.CallbackKey{ID: byte(id), Key: k.Secret, From: k.UsedFrom})
			}
			return s.tokens.Use(ring)
		},
	}
}

var errTooManyCallbackKeys = &riposte.Error{Code: riposte.CodeResourceExhausted, Reason: "TOO_MANY_KEYS",
	Message: "there are 255 callback keys, of which the tokens may still come: rotate again when the oldest is gone"}

// nextCallbackID is the number after the last one's that no key has; 1 comes after 255.
func nextCallbackID(others []keyring.Key) (string, error) {
	taken, last := map[uint64]bool{}, uint64(0)
	for _, k := range others {
		id, err := strconv.ParseUint(k.ID, 10, 8)
		if err != nil {
			return "", fmt.Errorf("reading the callback keys: %w", err)
		}
		taken[id], last = true, id
	}
	for n := range uint64(api.MaxCallbackKeys) {
		if id := (last+n)%api.MaxCallbackKeys + 1; !taken[id] {
			return strconv.FormatUint(id, 10), nil
		}
	}
	return "", errTooManyCallbackKeys
}

func (s *Server) accessKeys() keyring.Use {
	named := func(seed []byte) (keyring.Key, error) {
		id, err := api.AccessTokenKeyID(seed)
		return keyring.Key{ID: id, Algorithm: accessAlgorithm, Secret: seed}, err
	}
	return keyring.Use{
		Name:       riposte.ServerKeyAccessToken,
		Secret:     accessKeySecret,
		Rules:      keyring.Rules{PublishFor: publishAccess, Keep: keepAccess},
		Algorithms: []string{accessAlgorithm},
		New: func(string, []keyring.Key) (keyring.Key, error) {
			seed, err := api.NewAccessTokenKey()
			if err != nil {
				return keyring.Key{}, err
			}
			return named(seed)
		},
		Adopt: named,
		Apply: func(keys []keyring.Key) error {
			var ring []api.AccessTokenKey
			for _, k := range keys {
				ring = append(ring, api.AccessTokenKey{Seed: k.Secret, From: k.UsedFrom})
			}
			return s.access.Use(ring)
		},
	}
}

// sessionKey seals the console's cookies. It has no ring: a session lasts half a day.
func (s *Server) sessionKey(ctx context.Context) ([]byte, error) {
	key, err := keyring.Sealer{Store: s.store, Vault: s.vault}.Secret(ctx, sessionKeySecret, console.NewSessionKey)
	if err != nil {
		return nil, fmt.Errorf("loading the console's session key: %w", err)
	}
	return key, nil
}
