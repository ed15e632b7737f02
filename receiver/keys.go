package receiver

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	keysFetchTimeout = 5 * time.Second
	// keysFetchPause is how long after a fetch the next one may be: unknown
	// kids are free to whoever makes them up.
	keysFetchPause = 5 * time.Second
	// keysAge is after how long the keys are fetched anew, so that one that the
	// server has given up is given up here, too.
	keysAge      = 10 * time.Minute
	maxKeySet    = 1 << 20 // bytes
	minRSAKeyLen = 2048    // bits
)

var errNoSuchKey = errors.New("there is none of that name")

// keysUnavailableError is why the keys can't be had, which is not the token's
// fault.
type keysUnavailableError struct{ err error }

func (e *keysUnavailableError) Error() string { return e.err.Error() }

// fixedKeys are keys that were given.
type fixedKeys struct{ set jose.JSONWebKeySet }

func (k fixedKeys) String() string { return "the keys given" }

func (k fixedKeys) find(_ context.Context, kid string) (jose.JSONWebKey, error) {
	return findKey(k.set, kid)
}

// fetchedKeys are a server's, from its JWKS.
type fetchedKeys struct {
	url  string
	http *http.Client

	fetching sync.Mutex // held by the one who fetches, before mu

	mu    sync.RWMutex
	set   jose.JSONWebKeySet
	have  bool
	tried time.Time // when the last fetch ended
	err   error     // of the last fetch
}

func (k *fetchedKeys) String() string { return k.url }

// find fetches the keys where those it has are old or don't have the kid. A
// key that is there is never waited for: where the server is away, the keys
// that it had still count.
func (k *fetchedKeys) find(ctx context.Context, kid string) (jose.JSONWebKey, error) {
	key, err, due := k.known(kid)
	switch {
	case err == nil && !due:
		return key, nil
	case err == nil:
		if !k.fetching.TryLock() {
			return key, nil
		}
	default:
		k.fetching.Lock()
	}
	defer k.fetching.Unlock()
	if key, err, due = k.known(kid); due {
		k.fetch(ctx)
		key, err, _ = k.known(kid)
	}
	return key, err
}

// known looks among the keys that there are, and says whether a fetch is due.
func (k *fetchedKeys) known(kid string) (key jose.JSONWebKey, err error, due bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	since := time.Since(k.tried)
	key, err = findKey(k.set, kid)
	if err == nil {
		return key, nil, since > keysAge
	}
	if k.err != nil || !k.have {
		err = &keysUnavailableError{k.err}
	}
	return key, err, since > keysFetchPause
}

// fetch is not cut short by whose request came first: others wait for it, too.
func (k *fetchedKeys) fetch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysFetchTimeout)
	defer cancel()
	set, err := k.get(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.err = time.Now(), err
	if err == nil {
		k.set, k.have = set, true
	}
}

func (k *fetchedKeys) get(ctx context.Context) (set jose.JSONWebKeySet, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return set, fmt.Errorf("fetching the keys: %w", err)
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return set, fmt.Errorf("fetching the keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return set, fmt.Errorf("fetching the keys: %s answered %s", k.url, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet))
	if err == nil {
		err = json.Unmarshal(b, &set)
	}
	if err != nil {
		return set, fmt.Errorf("reading the keys of %s: %w", k.url, err)
	}
	return set, nil
}

// findKey returns the key of that name if it is one for signatures by an
// algorithm that it is right for.
func findKey(set jose.JSONWebKeySet, kid string) (jose.JSONWebKey, error) {
	err := errNoSuchKey
	for _, key := range set.Key(kid) {
		if err = checkKey(key); err == nil {
			return key, nil
		}
	}
	return jose.JSONWebKey{}, err
}

func checkKey(key jose.JSONWebKey) error {
	fits := false
	switch public := key.Key.(type) {
	case ed25519.PublicKey:
		fits = key.Algorithm == string(jose.EdDSA)
	case *ecdsa.PublicKey:
		fits = key.Algorithm == string(jose.ES256) && public.Curve == elliptic.P256()
	case *rsa.PublicKey:
		fits = key.Algorithm == string(jose.RS256) && public.N.BitLen() >= minRSAKeyLen
	}
	switch {
	case !fits:
		return fmt.Errorf("it is not a public key for its alg %q", key.Algorithm)
	case key.Use != "sig":
		return fmt.Errorf("its use is %q, not \"sig\"", key.Use)
	}
	return nil
}
