package console

import (
	"net/http"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// configuredKey is the id of the key that the server's configuration gives.
const configuredKey = "configured"

// keysData is what the page of this name shows.
type keysData struct {
	Created *ripostev1.KeysServiceCreateResponse // with the secret, which nobody can see again
	Rows    []keyRow
	Form    keyForm
}

// keyRow is an API key, and what may be done about it.
type keyRow struct {
	*ripostev1.Key
	Expired    bool
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

func (v *visit) keys() error { return v.showKeys(http.StatusOK, newKeyForm(), nil) }

func (v *visit) showKeys(status int, form keyForm, created *ripostev1.KeysServiceCreateResponse) error {
	list, err := v.api.keys.List(v.call(), &ripostev1.KeysServiceListRequest{})
	if err != nil {
		return err
	}
	d := keysData{Created: created, Form: form}
	for _, k := range list.GetList() {
		d.Rows = append(d.Rows, keyRow{k, expired(k.GetExpiresAt(), time.Now()), k.GetId() == configuredKey, k.GetId() == v.session.KeyID})
	}
	return v.show(status, "keys", page{Title: "Keys", Nav: "/keys", Data: d})
}

// createKey answers with the page itself, because the secret is in this one answer
// and must be nowhere else.
func (v *visit) createKey() error {
	form := readKeyForm(v.r)
	limits, ok := form.parse(time.Now())
	if !ok {
		return v.showKeys(http.StatusUnprocessableEntity, form, nil)
	}
	res, err := v.api.keys.Create(v.call(), &ripostev1.KeysServiceCreateRequest{
		Name: form.Name, Role: limits.Role, ExpiresAt: limits.ExpiresAt, RateLimit: limits.RateLimit})
	if form.Problems = violations(err); form.Problems != nil {
		return v.showKeys(http.StatusUnprocessableEntity, form, nil)
	}
	if err != nil {
		return err
	}
	return v.showKeys(http.StatusOK, newKeyForm(), res)
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
