package vault_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
	"github.com/riposte-dev/riposte/vault"
)

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

// open returns a vault with these master keys, as they are when they are asked for.
func open(t testing.TB, store riposte.Store, masters *string) *vault.Vault {
	t.Helper()
	v, err := tryOpen(t, store, masters)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func tryOpen(t testing.TB, store riposte.Store, masters *string) (*vault.Vault, error) {
	t.Helper()
	return vault.Open(t.Context(), store, func() (vault.Masters, error) { return vault.ParseMasters(*masters) }, store.Now)
}

func newMaster() *string {
	master := vault.NewMaster()
	return &master
}

func wantOpens(t testing.TB, v *vault.Vault, sealed riposte.Sealed, want string) {
	t.Helper()
	if got, err := v.Open("p", sealed); err != nil || string(got) != want {
		t.Errorf("Open gave %q, %v, want %q", got, err, want)
	}
}

func TestSealedOpensForItsPurposeAlone(t *testing.T) {
	v := open(t, newStore(t), newMaster())
	sealed := v.Seal("p", []byte("secret"))
	wantOpens(t, v, sealed, "secret")
	if bytes.Contains(sealed, []byte("secret")) || bytes.Equal(sealed, v.Seal("p", []byte("secret"))) || !vault.IsSealed(sealed) {
		t.Errorf("%q is not sealed afresh", []byte(sealed))
	}
	refuse := func(what, purpose string, sealed riposte.Sealed) {
		t.Helper()
		if got, err := v.Open(purpose, sealed); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	for _, purpose := range []string{"", "q", "pp"} {
		refuse("purpose "+purpose, purpose, sealed)
	}
	for bit := range len(sealed) * 8 {
		changed := slices.Clone(sealed)
		changed[bit/8] ^= 1 << (bit % 8)
		refuse("a bit flipped", "p", changed)
	}
	for n := range len(sealed) {
		refuse("cut", "p", sealed[:n])
	}
	refuse("of another store", "p", open(t, newStore(t), newMaster()).Seal("p", []byte("secret")))
	if got := fmt.Sprintf("%v %s %#v", sealed, sealed, sealed); got != "[sealed] [sealed] [sealed]" {
		t.Errorf("it prints as %s", got)
	}
}

func TestWhatOlderVersionsKeptIsNotSealed(t *testing.T) {
	for _, clear := range [][]byte{nil, make([]byte, 32), []byte(`{"kty":"OKP"}`), []byte("Rv1"), []byte("Rv112345678")} {
		if vault.IsSealed(clear) {
			t.Errorf("%q passes for sealed", clear)
		}
	}
}

func TestAnotherMasterKeyIsRefusedAndChangesNothing(t *testing.T) {
	store, right := newStore(t), newMaster()
	sealed := open(t, store, right).Seal("p", []byte("secret"))
	before, err := store.LoadSecret(t.Context(), "data-keys")
	if err != nil {
		t.Fatal(err)
	}
	none := ""
	for what, masters := range map[string]*string{"another": newMaster(), "none": &none} {
		if _, err := tryOpen(t, store, masters); !errors.Is(err, vault.ErrMaster) {
			t.Errorf("%s: %v", what, err)
		}
	}
	after, err := store.LoadSecret(t.Context(), "data-keys")
	if err != nil || !bytes.Equal(before.Value, after.Value) || before.Version != after.Version {
		t.Errorf("the data keys are %s (%v), were %s", after.Value, err, before.Value)
	}
	both := *newMaster() + "\n" + *right
	wantOpens(t, open(t, store, &both), sealed, "secret")
}

func TestNoMasterKeyMakesNoDataKey(t *testing.T) {
	store, none := newStore(t), ""
	if _, err := tryOpen(t, store, &none); !errors.Is(err, vault.ErrMaster) {
		t.Errorf("without a master key: %v", err)
	}
	if made, err := vault.Made(t.Context(), store); made || err != nil {
		t.Errorf("there are data keys: %t, %v", made, err)
	}
}

// TestRotationReachesWhoeverElseOpens by the data key's name alone, and leaves what was
// sealed before.
func TestRotationReachesWhoeverElseOpens(t *testing.T) {
	store, masters := newStore(t), newMaster()
	one, other := open(t, store, masters), open(t, store, masters)
	old := other.Seal("p", []byte("old"))
	first := *masters
	*masters = vault.NewMaster() + ", " + first
	key, err := one.Rotate(t.Context())
	if err != nil || key.ID != one.Keys()[0].ID || len(one.Keys()) != 2 || one.Keys()[1].RetiredAt.IsZero() {
		t.Fatalf("%+v, %v, %+v", key, err, one.Keys())
	}
	wantOpens(t, other, one.Seal("p", []byte("new")), "new")
	wantOpens(t, one, old, "old")
	wantOpens(t, other, old, "old")
	if !one.Stale(old) || !other.Stale(old) || one.Stale(other.Seal("p", nil)) {
		t.Error("what is stale and what is not is wrong")
	}
	if ids := one.MasterIDs(); len(ids) != 1 {
		t.Errorf("data keys are wrapped by %v", ids)
	}
	if _, err := tryOpen(t, store, &first); !errors.Is(err, vault.ErrMaster) {
		t.Errorf("with the old master key alone: %v", err)
	}
	*masters, _, _ = strings.Cut(*masters, ",")
	again := open(t, store, masters)
	wantOpens(t, again, old, "old")
	if err := again.Remove(t.Context(), []string{again.Keys()[0].ID, again.Keys()[1].ID}); err != nil || len(again.Keys()) != 1 || again.Keys()[0].ID != key.ID {
		t.Errorf("after all are removed that may be: %v, %+v", err, again.Keys())
	}
	if _, err := again.Open("p", old); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("what a removed data key has sealed: %v", err)
	}
}

// TestWhoHasNotTheMasterKeySealsNothing: the data key that it has will be removed, and
// nobody could open that any more.
func TestWhoHasNotTheMasterKeySealsNothing(t *testing.T) {
	store, old := newStore(t), newMaster()
	behind := open(t, store, old)
	if _, err := behind.Sealer(t.Context()); err != nil {
		t.Fatal(err)
	}
	both := vault.NewMaster() + "\n" + *old
	ahead := open(t, store, &both)
	if _, err := ahead.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := behind.Sealer(t.Context())
		if e, ok := errors.AsType[*riposte.Error](err); !ok || e.Code != riposte.CodeUnavailable || !errors.Is(err, vault.ErrMaster) {
			t.Errorf("it seals: %v", err)
		}
	}
	*old = both
	seal, err := behind.Sealer(t.Context())
	if err != nil || ahead.Stale(seal("p", nil)) {
		t.Errorf("with the new key: %v", err)
	}
}

// TestOthersDoNotRewrap: only a rotation takes a new master key into use, because other
// nodes may not have it yet.
func TestOthersDoNotRewrap(t *testing.T) {
	store, masters := newStore(t), newMaster()
	v := open(t, store, masters)
	if _, err := v.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := *masters
	*masters = vault.NewMaster() + "\n" + first
	old := v.Keys()[1].ID
	if err := errors.Join(v.SetEmpty(t.Context(), []string{old}), v.Remove(t.Context(), []string{old})); err != nil {
		t.Fatal(err)
	}
	open(t, store, &first)
}

func TestMastersAreReadAsPeopleWriteThem(t *testing.T) {
	a, b := vault.NewMaster(), vault.NewMaster()
	for _, text := range []string{a + "," + b, a + "\n" + b + "\n", " " + a + " ,\r\n" + b} {
		masters, err := vault.ParseMasters(text)
		if err != nil || masters.Text() != a+"\n"+b+"\n" {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"short", base64.StdEncoding.EncodeToString(make([]byte, 31)), a[:43], a + "=", a + "," + strings.Repeat("!", 44)} {
		masters, err := vault.ParseMasters(text)
		if err == nil || strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "generate-master") {
			t.Errorf("%q: %v, %v", text, masters, err)
		}
	}
	masters, _ := vault.ParseMasters(a)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, masters[0]); got != "master key "+masters[0].ID() || strings.Contains(a, masters[0].ID()) {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
