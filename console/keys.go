package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// configuredKey is the id of the key that the server's configuration gives.
const configuredKey = "configured"

// keySetPath is where the API has the signing keys.
const keySetPath = "/auth/v1/jwks"

// keysData is what the page of this name shows.
type keysData struct {
	Created *ripostev1.KeysServiceCreateResponse // with the secret, which nobody can see again
	Rows    []keyRow
	Form    keyForm
	Roles   []roleChoice
	Signing []signingKey
	KeySet  string // its URL
}

// keyRow is an API key, and what may be done about it.
type keyRow struct {
	*ripostev1.Key
	Configured bool // by the server's configuration, which alone can end it
	Own        bool // the one that the reader has signed in with
}

// Question is what to think of before the key is revoked.
func (r keyRow) Question() string {
	if r.Own {
		return "You have signed in with this key: you will be signed out, and whatever else uses it is refused from then on."
	}
	return "Whoever uses it is refused from then on."
}

// keyForm is a key to be made, as it was typed in.
type keyForm struct {
	Name     string
	Role     string
	Problems map[string]string
}

type roleChoice struct{ Name, Text string }

var roleChoices = []roleChoice{
	{"viewer", "Viewer: reads everything but keys"},
	{"sender", "Sender: creates instances, and reads and acts on its own"},
	{"admin", "Admin: does everything"},
}

// signingKey is what the key set says of a key that signs deliveries (RFC 7517).
type signingKey struct {
	ID        string `json:"kid"`
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	Algorithm string `json:"alg"`
}

func (v *visit) keys() error {
	return v.showKeys(http.StatusOK, keyForm{Role: roleChoices[0].Name}, nil)
}

func (v *visit) showKeys(status int, form keyForm, created *ripostev1.KeysServiceCreateResponse) error {
	list, err := v.api.keys.List(v.call(), &ripostev1.KeysServiceListRequest{})
	if err != nil {
		return err
	}
	d := keysData{Created: created, Form: form, Roles: roleChoices, KeySet: v.PublicURL + keySetPath}
	for _, k := range list.GetList() {
		d.Rows = append(d.Rows, keyRow{k, k.GetId() == configuredKey, k.GetId() == v.session.KeyID})
	}
	if d.Signing, err = v.signingKeys(); err != nil {
		return err
	}
	return v.show(status, "keys", page{Title: "Keys", Nav: "/keys", Data: d})
}

// signingKeys are read as receivers read them.
func (v *visit) signingKeys() ([]signingKey, error) {
	r, err := http.NewRequestWithContext(v.r.Context(), http.MethodGet, inProcess+keySetPath, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	resp, err := v.api.plain.Do(r)
	if err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	defer resp.Body.Close()
	var set struct{ Keys []signingKey }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	return set.Keys, nil
}

// createKey answers with the page itself, because the secret is in this one answer
// and must be nowhere else.
func (v *visit) createKey() error {
	form := keyForm{Name: strings.TrimSpace(v.r.PostFormValue("name")), Role: v.r.PostFormValue("role")}
	role := ripostev1.Role(ripostev1.Role_value["ROLE_"+strings.ToUpper(form.Role)])
	res, err := v.api.keys.Create(v.call(), &ripostev1.KeysServiceCreateRequest{Name: form.Name, Role: role})
	if form.Problems = violations(err); form.Problems != nil {
		return v.showKeys(http.StatusUnprocessableEntity, form, nil)
	}
	if err != nil {
		return err
	}
	return v.showKeys(http.StatusOK, keyForm{Role: roleChoices[0].Name}, res)
}

// revokeKey ends the session, too, when it is that of the key.
func (v *visit) revokeKey() error {
	if _, err := v.api.keys.Revoke(v.call(), &ripostev1.KeysServiceRevokeRequest{Id: v.id()}); err != nil {
		return err
	}
	if v.id() == v.session.KeyID {
		v.signOut(v.w, v.r)
		return nil
	}
	return v.redirect("/keys", "revoked")
}
