package riposte_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
)

func TestNewKeyKeepsTheHashAlone(t *testing.T) {
	k, secret, err := riposte.NewKey("ci", riposte.RoleSender, start.Add(999))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^riposte_[a-z2-7]{52}$`).MatchString(secret) {
		t.Errorf("the secret has the shape of %q", secret)
	}
	if !bytes.Equal(k.Hash, riposte.HashKey(secret)) || len(k.Hash) != 32 {
		t.Errorf("the hash is %x", k.Hash)
	}
	if k.Name != "ci" || k.Role != riposte.RoleSender || !riposte.IsID(k.ID) || !k.CreatedAt.Equal(start) {
		t.Errorf("the key is %+v", k)
	}
	if _, other, _ := riposte.NewKey("ci", riposte.RoleSender, start); other == secret {
		t.Error("two keys have one secret")
	}
}

func TestKeyRefused(t *testing.T) {
	for _, tt := range []struct {
		name, keyName string
		role          riposte.Role
		secret        string
		fields        []string
	}{
		{"unknown role", "ci", "owner", "s", []string{"role"}},
		{"no role", "ci", "", "s", []string{"role"}},
		{"name of 101 characters", strings.Repeat("ä", 101), riposte.RoleAdmin, "s", []string{"name"}},
		{"an empty secret, which no secret at all would match", "ci", riposte.RoleAdmin, "", []string{"secret"}},
		{"name of 100 characters", strings.Repeat("ä", 100), riposte.RoleAdmin, "s", nil},
	} {
		_, err := riposte.NewKeyWithSecret(tt.keyName, tt.role, tt.secret, start)
		if got := violatedFields(t, err); !slices.Equal(got, tt.fields) {
			t.Errorf("%s: errors about %q, want %q", tt.name, got, tt.fields)
		}
	}
}

func TestRoleCoversTheWeakerOnes(t *testing.T) {
	strength := map[riposte.Role]int{riposte.RoleViewer: 1, riposte.RoleSender: 2, riposte.RoleAdmin: 3}
	for role, has := range strength {
		for needed, needs := range strength {
			if got := role.Covers(needed); got != (has >= needs) {
				t.Errorf("%s covers %s: %t", role, needed, got)
			}
		}
	}
	for _, unknown := range []riposte.Role{"", "ADMIN", "root"} {
		for role := range strength {
			if unknown.Covers(role) || role.Covers(unknown) {
				t.Errorf("the unknown role %q covers %s or is covered by it", unknown, role)
			}
		}
		if unknown.Covers(unknown) {
			t.Errorf("the unknown role %q covers itself", unknown)
		}
	}
}
