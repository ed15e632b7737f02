package console

import (
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// keyForm is a key or a client to be made, as it was typed in. An empty field stands for
// its default.
type keyForm struct {
	Name      string
	Role      string
	ExpiresIn string // from now on
	RateLimit string
	Problems  map[string]string // of its fields, by their names in the API
}

// Fields of the form, by their names in the API.
const (
	expiresAtField = "expiresAt"
	rateLimitField = "rateLimit"
)

type roleChoice struct{ Name, Text string }

var roleChoices = []roleChoice{
	{"viewer", "Viewer: reads everything but keys, clients and the audit log"},
	{"sender", "Sender: creates instances, and reads and acts on its own"},
	{"admin", "Admin: does everything"},
}

// newKeyForm is the form as it is at first.
func newKeyForm() keyForm { return keyForm{Role: roleChoices[0].Name} }

func readKeyForm(r *http.Request) keyForm {
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return keyForm{Name: get("name"), Role: get("role"), ExpiresIn: get(expiresAtField), RateLimit: get(rateLimitField)}
}

// Roles are those that can be chosen.
func (f keyForm) Roles() []roleChoice { return roleChoices }

// keyLimits are a keyForm's fields as the API takes them.
type keyLimits struct {
	Role      ripostev1.Role
	ExpiresAt *timestamppb.Timestamp // nil for never
	RateLimit int32
}

// parse returns false where what is typed can't be read, and says at the fields why. What
// has a rule in the API is left to that.
func (f *keyForm) parse(now time.Time) (l keyLimits, ok bool) {
	f.Problems = map[string]string{}
	l.Role = ripostev1.Role(ripostev1.Role_value["ROLE_"+strings.ToUpper(f.Role)])
	if f.ExpiresIn != "" {
		d, err := parsePatience(f.ExpiresIn)
		if err != nil {
			f.Problems[expiresAtField] = "must be a span of time such as 90 days, or 1 day 12 hours"
		}
		l.ExpiresAt = timestamppb.New(now.Add(d))
	}
	if n := wholeNumber(rateLimitField, f.RateLimit, f.Problems); n != nil {
		l.RateLimit = *n
	}
	return l, len(f.Problems) == 0
}

// expired reports whether a key's or client's time is over.
func expired(at *timestamppb.Timestamp, now time.Time) bool {
	return at != nil && !at.AsTime().After(now)
}
