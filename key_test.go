package riposte_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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

func TestLimitsOfAKey(t *testing.T) {
	for _, tt := range []struct {
		name   string
		until  time.Time
		rate   int
		fields []string
	}{
		{"none", time.Time{}, 0, nil},
		{"the narrowest", start.Add(time.Microsecond), 1, nil},
		{"the highest bound", time.Time{}, riposte.MaxRateLimit, nil},
		{"an end that is now", start, 0, []string{"expiresAt"}},
		{"an end that is over", start.Add(-time.Hour), 0, []string{"expiresAt"}},
		{"too high a bound", time.Time{}, riposte.MaxRateLimit + 1, []string{"rateLimit"}},
		{"all wrong", time.Unix(0, 0), -1, []string{"expiresAt", "rateLimit"}},
	} {
		k, _, err := riposte.NewLimitedKey("ci", riposte.RoleSender, tt.until, tt.rate, start)
		if got := violatedFields(t, err); !slices.Equal(got, tt.fields) {
			t.Errorf("%s: errors about %q, want %q", tt.name, got, tt.fields)
		}
		if err == nil && (!k.ExpiresAt.Equal(tt.until) || k.RateLimit != tt.rate) {
			t.Errorf("%s: the key is %+v", tt.name, k)
		}
	}
	k, _, _ := riposte.NewLimitedKey("ci", riposte.RoleSender, start.Add(time.Hour), 0, start)
	for after, want := range map[time.Duration]bool{0: false, time.Hour - 1: false, time.Hour: true, 2 * time.Hour: true} {
		if got := k.Caller().Expired(start.Add(after)); got != want {
			t.Errorf("expired after %s: %t", after, got)
		}
	}
	if (riposte.Caller{}).Expired(start.Add(1000 * time.Hour)) {
		t.Error("a key without an end has expired")
	}
}

func TestSenderSeesItsOwn(t *testing.T) {
	named, nameless := riposte.Caller{KeyID: "id", KeyName: "red"}, riposte.Caller{KeyID: "id"}
	for _, tt := range []struct {
		who   riposte.Caller
		role  riposte.Role
		owner string
		want  bool
	}{
		{named, riposte.RoleSender, "red", true}, {named, riposte.RoleSender, "blue", false}, {named, riposte.RoleSender, "id", false}, {named, riposte.RoleSender, "", false},
		{nameless, riposte.RoleSender, "id", true}, {nameless, riposte.RoleSender, "red", false}, {nameless, riposte.RoleSender, "", false},
		{named, riposte.RoleViewer, "blue", true}, {named, riposte.RoleViewer, "", true}, {nameless, riposte.RoleAdmin, "red", true},
	} {
		tt.who.Role = tt.role
		if got := tt.who.Sees(tt.owner); got != tt.want {
			t.Errorf("%s %q sees what %q created: %t", tt.role, tt.who.Owner(), tt.owner, got)
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
