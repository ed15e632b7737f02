package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/keyring"
	"github.com/riposte-dev/riposte/sqlite"
	"github.com/riposte-dev/riposte/vault"
)

var quiet = slog.New(slog.DiscardHandler)

// node is a server's part that has keys, over a store that it shares with others.
type node struct {
	*keyring.Keeper
	vault *vault.Vault

	mu   sync.Mutex
	keys []keyring.Key // as they were applied last
}

const signing, signingSecret = riposte.ServerKeySigning, "signing-key"

func newStore(t testing.TB) riposte.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Logger: quiet})
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

var master = vault.NewMaster()

func masters() (vault.Masters, error) { return vault.ParseMasters(master) }

func newNode(t testing.TB, store riposte.Store) *node {
	t.Helper()
	v, err := vault.Open(t.Context(), store, masters, store.Now)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{vault: v}
	n.Keeper, err = keyring.Open(t.Context(), keyring.Options{Store: store, Vault: v, Logger: quiet, Secrets: []string{"session"}, Uses: []keyring.Use{{
		Name: signing, Secret: signingSecret, Rules: rules, Algorithms: []string{"one", "two"},
		New: func(algorithm string, others []keyring.Key) (keyring.Key, error) {
			return keyring.Key{ID: strconv.Itoa(len(others)) + algorithm, Algorithm: algorithm, Secret: []byte("new secret")}, nil
		},
		Adopt: func(clear []byte) (keyring.Key, error) {
			return keyring.Key{ID: "adopted", Algorithm: "one", Secret: clear}, nil
		},
		Apply: func(keys []keyring.Key) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.keys = keys
			return nil
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) ids() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ids []string
	for _, k := range n.keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func (n *node) has(t testing.TB, ids ...string) {
	t.Helper()
	if got := n.ids(); !slices.Equal(got, ids) {
		t.Errorf("the keys are %v, want %v", got, ids)
	}
}

// run looks after the keys until the returned function is called.
func (n *node) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func TestNodesThatStartAtOnceHaveOneKey(t *testing.T) {
	store := newStore(t)
	nodes := make([]*node, 8)
	var starting sync.WaitGroup
	for k := range nodes {
		starting.Go(func() { nodes[k] = newNode(t, store) })
	}
	starting.Wait()
	for _, n := range nodes {
		n.has(t, "0one")
		if n.keys[0].UsedFrom.IsZero() || !n.keys[0].UsedFrom.Equal(nodes[0].keys[0].UsedFrom) {
			t.Errorf("one was made at %s, another at %s", n.keys[0].UsedFrom, nodes[0].keys[0].UsedFrom)
		}
	}
}

// TestKeyOfAnOlderVersionIsSealedInItsPlace and goes on.
func TestKeyOfAnOlderVersionIsSealedInItsPlace(t *testing.T) {
	store := newStore(t)
	if err := store.SaveSecret(t.Context(), signingSecret, []byte("kept in the clear"), 0); err != nil {
		t.Fatal(err)
	}
	nodes := make([]*node, 8)
	var starting sync.WaitGroup
	for k := range nodes {
		starting.Go(func() { nodes[k] = newNode(t, store) })
	}
	starting.Wait()
	for _, n := range nodes {
		n.has(t, "adopted")
		if got := string(n.keys[0].Secret); got != "kept in the clear" {
			t.Errorf("the key is %q", got)
		}
	}
	secret, err := store.LoadSecret(t.Context(), signingSecret)
	if err != nil || !vault.IsSealed(secret.Value) || secret.Version != 2 {
		t.Errorf("the store has %q, version %d, %v", secret.Value, secret.Version, err)
	}
}

func TestOtherNodesSeeARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		one, asked, idle := newNode(t, store), newNode(t, store), newNode(t, store)
		defer idle.run(t.Context())()
		at := time.Now()
		next, err := one.Rotate(t.Context(), signing, "two", nil)
		if err != nil || next.ID != "1two" || next.State != riposte.ServerKeyNext || next.UsedFrom.Before(at.Add(rules.PublishFor)) {
			t.Fatalf("the next key is %+v, %v", next, err)
		}
		one.has(t, "0one", "1two")
		if _, err := one.Rotate(t.Context(), signing, "", nil); !errors.Is(err, keyring.ErrNextWaiting) {
			t.Errorf("another rotation while the next key waits: %v", err)
		}
		if err := asked.Reread(t.Context(), signing); err != nil {
			t.Fatal(err)
		}
		asked.has(t, "0one") // it has just looked
		time.Sleep(time.Second)
		if err := asked.Reread(t.Context(), signing); err != nil {
			t.Fatal(err)
		}
		asked.has(t, "0one", "1two")
		idle.has(t, "0one")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		idle.has(t, "0one", "1two")

		time.Sleep(rules.PublishFor + rules.Keep)
		synctest.Wait()
		idle.has(t, "1two")
		secret, err := store.LoadSecret(t.Context(), signingSecret)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := idle.vault.Open("secret/"+signingSecret, secret.Value); err != nil || bytes.Contains(b, []byte("0one")) {
			t.Errorf("the store still has the old key: %s, %v", b, err)
		}
		list, err := one.List(t.Context())
		if err != nil || len(list) != 2 || list[0].ID != "1two" || list[0].State != riposte.ServerKeyCurrent || list[1].Use != riposte.ServerKeyData {
			t.Errorf("the list is %+v, %v", list, err)
		}
	})
}

// hanging is a store that answers nobody who asks for a secret, once it hangs.
type hanging struct {
	riposte.Store
	hangs atomic.Bool
}

func (h *hanging) LoadSecret(ctx context.Context, name string) (riposte.Secret, error) {
	if h.hangs.Load() {
		<-ctx.Done()
		return riposte.Secret{}, ctx.Err()
	}
	return h.Store.LoadSecret(ctx, name)
}

// TestStoreThatHangsHoldsNobodyUpForLong: anybody can name keys that are not there, and
// everybody asks for the key set.
func TestStoreThatHangsHoldsNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{Store: newStore(t)}
		n := newNode(t, store)
		time.Sleep(time.Minute)
		store.hangs.Store(true)
		began := time.Now()
		var asking sync.WaitGroup
		for range 100 {
			asking.Go(func() {
				if err := n.Reread(t.Context(), signing); err == nil {
					t.Error("the keys were read")
				}
			})
		}
		asking.Wait()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("the last one waited for %s", took)
		}
		store.hangs.Store(false)
		time.Sleep(time.Second)
		if err := n.Reread(t.Context(), signing); err != nil {
			t.Error(err)
		}
	})
}

func TestRotationRefusesWhatIsWrong(t *testing.T) {
	n := newNode(t, newStore(t))
	negative := -time.Second
	for _, r := range []struct {
		use        riposte.ServerKeyUse
		algorithm  string
		publishFor *time.Duration
		field      string
	}{
		{"", "", nil, "use"}, {riposte.ServerKeyCallback, "", nil, "use"}, {signing, "three", nil, "algorithm"}, {signing, "", &negative, "publishFor"},
		{riposte.ServerKeyData, "one", nil, "algorithm"}, {riposte.ServerKeyData, "", &negative, "publishFor"},
	} {
		_, err := n.Rotate(t.Context(), r.use, r.algorithm, r.publishFor)
		if e, ok := errors.AsType[*riposte.Error](err); !ok || len(e.Violations) != 1 || e.Violations[0].Field != r.field {
			t.Errorf("%+v: %v", r, err)
		}
	}
	n.has(t, "0one")
}

// TestRotationOfTheDataKeySealsAllAnew, while others still seal with the old one.
func TestRotationOfTheDataKeySealsAllAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		one, other := newNode(t, store), newNode(t, store)
		keeper := keyring.Sealer{Store: store, Vault: one.vault}
		if _, err := keeper.Secret(t.Context(), "session", func() ([]byte, error) { return []byte("session"), nil }); err != nil {
			t.Fatal(err)
		}
		first := saveWebhook(t, store, one.vault, riposte.Webhook{})
		defer one.run(t.Context())()
		if _, err := one.Rotate(t.Context(), riposte.ServerKeyData, "", nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantFresh(t, store, one.vault, first.ID)
		late := saveWebhook(t, store, other.vault, riposte.Webhook{}) // it has not looked yet
		if !one.vault.Stale(late.Settings.Request.Headers[0].Value) {
			t.Fatal("the other node has looked already, so this shows nothing")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantFresh(t, store, one.vault, late.ID)
		wantFresh(t, store, one.vault, first.ID)
		for _, name := range []string{signingSecret, "session"} {
			secret, err := store.LoadSecret(t.Context(), name)
			if err != nil || one.vault.Stale(secret.Value) {
				t.Errorf("%s is sealed with an old key: %v", name, err)
			}
		}
		if keys := one.vault.Keys(); len(keys) != 2 || !keys[1].Empty {
			t.Errorf("the data keys are %+v", keys)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if keys := one.vault.Keys(); len(keys) != 1 {
			t.Errorf("a day later they are %+v", keys)
		}
		again := newNode(t, store)
		wantFresh(t, store, again.vault, late.ID)
		again.has(t, "0one")
	})
}

// saveWebhook gives a webhook every kind of secret; the values are their purposes.
func saveWebhook(t *testing.T, store riposte.Store, v *vault.Vault, w riposte.Webhook) riposte.Webhook {
	t.Helper()
	w, err := riposte.NewWebhook("w", "", "https://receiver.example/", 0, func(string) (string, error) { return "receiver.example", nil }, store.Now())
	if err != nil {
		t.Fatal(err)
	}
	of := "webhook/" + w.ID + "/"
	seal := func(purpose string) riposte.Sealed { return v.Seal(of+purpose, []byte(purpose)) }
	w.Settings.Request = riposte.RequestSettings{
		Headers:           []riposte.Header{{Name: "X-Team", Value: seal("header/x-team")}, {Name: "b", Value: seal("header/b")}},
		Secrets:           []riposte.WebhookSecret{{ID: "s1", Scheme: riposte.SchemeV1, Secret: seal("secret/s1")}},
		ClientCertificate: &riposte.ClientCertificate{Certificate: "c", PrivateKey: seal("client-key")},
	}
	if w, err = store.SaveWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

func wantFresh(t *testing.T, store riposte.Store, v *vault.Vault, id string) {
	t.Helper()
	w, err := store.LoadWebhook(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r := w.Settings.Request
	for purpose, sealed := range map[string]riposte.Sealed{"header/x-team": r.Headers[0].Value, "header/b": r.Headers[1].Value, "secret/s1": r.Secrets[0].Secret, "client-key": r.ClientCertificate.PrivateKey} {
		got, err := v.Open("webhook/"+id+"/"+purpose, sealed)
		if err != nil || string(got) != purpose || v.Stale(sealed) {
			t.Errorf("%s is %q, stale %t, %v", purpose, got, v.Stale(sealed), err)
		}
	}
}
