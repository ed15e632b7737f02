package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

var clientIDShown = regexp.MustCompile(`<pre id="client-id"[^>]*><code>([^<]+)</code>`)

// token is the status of a client's request for one.
func (r *reader) token(id, secret string) int {
	r.t.Helper()
	res, err := r.http.PostForm(r.base+"/auth/v1/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	if err != nil {
		r.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestAClientsSecretIsShownOnce(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	r.get("/clients").wants(t, http.StatusOK, "None yet.")
	p := r.post("/clients", url.Values{"name": {"terraform"}, "role": {"sender"}, "expiresAt": {"1 day"}, "rateLimit": {"5"}})
	p.wants(t, http.StatusOK, "never shown again", r.server.URL()+"/auth/v1/token", `data-copy="secret"`)
	id, secret := clientIDShown.FindStringSubmatch(p.text), secretShown.FindStringSubmatch(p.text)
	if id == nil || secret == nil {
		t.Fatalf("no client is shown:\n%s", p.text)
	}
	if status := r.token(id[1], secret[1]); status != http.StatusOK {
		t.Errorf("it gets no token: %d", status)
	}
	p = r.get("/clients")
	wantTexts(t, p.row(t, id[1]), `class="role">sender`, `class="n">5<`, `data-as="left"`, `data-label="Last used">never`)
	p.lacks(t, secret[1], "never shown again")

	action := regexp.MustCompile(`action="(/clients/[^"]+/revoke)"`).FindStringSubmatch(p.text)
	if action == nil {
		t.Fatalf("there is no revoking it:\n%s", p.text)
	}
	r.post(action[1], nil).wants(t, http.StatusOK, "Revoked: the client and its access tokens are refused", "None yet.")
	if status := r.token(id[1], secret[1]); status != http.StatusUnauthorized {
		t.Errorf("revoked, it gets %d", status)
	}
}

func TestBadClientsAreSaidAtTheirFields(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	r.post("/clients", url.Values{"name": {"No Good"}, "role": {"emperor"}, "expiresAt": {"1 day"}, "rateLimit": {"100001"}}).wants(t, http.StatusUnprocessableEntity,
		`id="name-about">Name must have 1 to 63`, `id="role-about">Role must`, `id="rateLimit-about">Calls a second must be 0`, `value="No Good"`, `value="1 day"`)
	r.post("/clients", url.Values{"role": {"viewer"}, "rateLimit": {"many"}}).wants(t, http.StatusUnprocessableEntity, `id="rateLimit-about">Calls a second must be a whole number`)
	r.get("/clients").wants(t, http.StatusOK, "None yet.")
}
