package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	"github.com/riposte-dev/riposte/keyring"
	"github.com/riposte-dev/riposte/sqlite"
	"github.com/riposte-dev/riposte/vault"
)

const adminKey = "riposte-api-test-key"

// newAPI is the API alone, over a store of its own: nothing is delivered.
func newAPI(t testing.TB) (*api.Server, riposte.Store) {
	t.Helper()
	store := newStore(t)
	return newAPIOf(t, store), store
}

func newStore(t testing.TB) riposte.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func newAPIOf(t testing.TB, store riposte.Store) *api.Server {
	t.Helper()
	key, err := riposte.NewKeyWithSecret("test", riposte.RoleAdmin, adminKey, store.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := api.New(api.Options{
		Store:        store,
		PublicURL:    "https://riposte.example",
		Issuer:       "riposte.example",
		Check:        func(string) (string, error) { return "receiver.example", nil },
		JWKS:         func() []byte { return []byte(`{"keys":[]}`) },
		Keys:         []riposte.Key{key},
		Tokens:       newTokens(t),
		ServerKeys:   newServerKeys(t, store),
		AccessTokens: newAccessTokens(t, store),
		Logger:       slog.New(slog.DiscardHandler),
	})
	t.Cleanup(s.Close)
	return s
}

// newServerKeys has a data key and no rings.
func newServerKeys(t testing.TB, store riposte.Store) *keyring.Keeper {
	t.Helper()
	masters, err := vault.ParseMasters(vault.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), store, func() (vault.Masters, error) { return masters, nil }, store.Now)
	if err != nil {
		t.Fatal(err)
	}
	k, err := keyring.Open(t.Context(), keyring.Options{Store: store, Vault: v, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newAccessTokens(t testing.TB, store riposte.Store) *api.AccessTokens {
	t.Helper()
	key, err := api.NewAccessTokenKey()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := api.NewAccessTokens(key, "riposte.example", store.Now)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func newTokens(t testing.TB) *api.CallbackTokens {
	t.Helper()
	key, err := api.NewCallbackKey()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := api.NewCallbackTokens(key)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// newRequest is one as a server gets it; rest has method and target.
func newRequest(ctx context.Context, rest, body string) *http.Request {
	method, target, _ := strings.Cut(rest, " ")
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// serveOK returns the answer's body.
func serveOK(t testing.TB, h http.Handler, r *http.Request) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s %s: HTTP %d, %s", r.Method, r.URL, w.Code, w.Body)
	}
	return w.Body.Bytes()
}
