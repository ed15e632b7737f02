package console_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

var secretShown = regexp.MustCompile(`<pre id="secret"[^>]*><code>([^<]+)</code>`)

func TestAKeysSecretIsShownOnce(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	created := r.post("/keys", url.Values{"name": {"ci <1>"}, "role": {"sender"}})
	created.wants(t, http.StatusOK, "never shown again", "<bdi>ci &lt;1&gt;</bdi>", `data-copy="secret"`)
	m := secretShown.FindStringSubmatch(created.text)
	if m == nil {
		t.Fatalf("no secret is shown:\n%s", created.text)
	}
	if control := created.header.Get("Cache-Control"); control != "no-store" {
		t.Errorf("Cache-Control is %q", control)
	}
	other := readerOf(t, r.server).with(m[1])
	other.get("/verify").wants(t, http.StatusOK, `class="role">sender`)

	again := r.get("/keys")
	again.wants(t, http.StatusOK, "<bdi>ci &lt;1&gt;</bdi>", `<span class="role">sender</span>`)
	again.lacks(t, m[1], "never shown again")

	again = r.post(revocation(t, again.text, "ci &lt;1&gt;"), nil)
	again.wants(t, http.StatusOK, "Revoked: the key is refused from now on.")
	again.lacks(t, "ci &lt;1&gt;")
	if p := other.get("/instances"); !strings.HasPrefix(p.path, "/sign-in") {
		t.Errorf("the revoked key still gets %s", p.path)
	}
}

// revocation is the action of the form that revokes the key of a name, as it is in
// the page.
func revocation(t *testing.T, page, name string) string {
	t.Helper()
	_, table, _ := strings.Cut(page, "<tbody>")
	_, row, _ := strings.Cut(table, "<bdi>"+name+"</bdi>")
	row, _, _ = strings.Cut(row, "</tr>")
	m := regexp.MustCompile(`action="(/keys/[^"]+/revoke)"`).FindStringSubmatch(row)
	if m == nil {
		t.Fatalf("there is no revoking %s:\n%s", name, page)
	}
	return m[1]
}

func TestRevokingOnesOwnKeySignsOut(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	page := r.get("/keys")
	page.wants(t, http.StatusOK, "you will be signed out", "you have signed in with it")
	if p := r.post(revocation(t, page.text, "reader"), nil); p.path != "/sign-in" {
		t.Errorf("revoking led to %s", p.path)
	}
	if p := r.get("/keys"); !strings.HasPrefix(p.path, "/sign-in") {
		t.Errorf("the session still gets %s", p.path)
	}
}

func TestTheConfiguredKeyIsMarked(t *testing.T) {
	r := newReader(t)
	page := r.with(r.server.APIKey).get("/keys")
	page.wants(t, http.StatusOK, "from the server's configuration", "<code>configured</code>", "you have signed in with it")
	page.lacks(t, "/keys/configured/revoke")
	r.post("/keys/configured/revoke", nil).wants(t, http.StatusUnprocessableEntity, "RIPOSTE_API_KEY")
	r.get("/keys").wants(t, http.StatusOK)
}

func TestBadKeysAreSaidAtTheirFields(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	long := strings.Repeat("x", 101)
	r.post("/keys", url.Values{"name": {long}, "role": {"viewer"}}).wants(t, http.StatusUnprocessableEntity, `id="name-about">Name must`, long)
	r.post("/keys", url.Values{"name": {"x"}, "role": {"emperor"}}).wants(t, http.StatusUnprocessableEntity, `id="role-about">Role must`)
	list, err := r.server.Keys.List(t.Context(), &ripostev1.KeysServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(list.GetList()); n != 2 {
		t.Errorf("there are %d keys, want the configured and the reader's", n)
	}
}

func TestKeysAreForAdmins(t *testing.T) {
	admin := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	action := revocation(t, admin.get("/keys").text, "reader")
	for _, role := range []ripostev1.Role{ripostev1.Role_ROLE_VIEWER, ripostev1.Role_ROLE_SENDER} {
		r := readerOf(t, admin.server).as(role)
		for _, path := range []string{"/keys", "/clients", "/server-keys", "/audit", "/audit?from=x"} {
			r.get(path).wants(t, http.StatusForbidden, "Not with this key")
		}
		r.post("/clients", url.Values{"name": {"mine"}, "role": {"admin"}}).wants(t, http.StatusForbidden, "Not with this key")
		r.post("/server-keys/signing/rotate", nil).wants(t, http.StatusForbidden, "Not with this key")
		r.post("/keys", url.Values{"name": {"mine"}, "role": {"admin"}}).wants(t, http.StatusForbidden, "Not with this key")
		r.post(action, nil).wants(t, http.StatusForbidden, "Not with this key")
		r.get("/verify").lacks(t, `href="/keys"`, `href="/clients"`, `href="/server-keys"`, `href="/audit"`)
	}
	page := admin.get("/keys")
	page.wants(t, http.StatusOK)
	page.lacks(t, "mine")
}

func TestAKeyMayHaveAnEndAndABound(t *testing.T) {
	clock := &ripostetest.Clock{}
	r := newReader(t, func(c *server.Config) { c.Now = clock.Now }).as(ripostev1.Role_ROLE_ADMIN)
	typed := url.Values{"name": {"nightly"}, "role": {"viewer"}, "expiresAt": {"90 days"}, "rateLimit": {"1200"}}
	for field, bad := range map[string][2]string{
		"expiresAt": {"some day", `id="expiresAt-about">Expires after must be a span of time`},
		"rateLimit": {"-1", `id="rateLimit-about">Calls a second must be 0`},
	} {
		form := maps.Clone(typed)
		form.Set(field, bad[0])
		p := r.post("/keys", form)
		p.wants(t, http.StatusUnprocessableEntity, bad[1], `value="`+bad[0]+`"`, `value="nightly"`)
		p.lacks(t, "never shown again")
	}
	r.post("/keys", url.Values{"name": {"x"}, "role": {"viewer"}, "expiresAt": {"0 s"}}).
		wants(t, http.StatusUnprocessableEntity, `id="expiresAt-about">Expires after must be later than now`)
	p := r.post("/keys", typed)
	p.wants(t, http.StatusOK, "never shown again")
	wantTexts(t, p.row(t, "nightly"), `data-label="Calls a second" class="n">1,200<`, `data-as="left"`, `data-label="Last used">never`)
	list, err := r.server.Keys.List(t.Context(), &ripostev1.KeysServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	k := list.GetList()[1]
	if left := time.Until(k.GetExpiresAt().AsTime()); k.GetName() != "nightly" || left < 89*24*time.Hour || left > 90*24*time.Hour || k.GetRateLimit() != 1200 {
		t.Errorf("the key is %v", k)
	}
	wantTexts(t, p.row(t, "<bdi>reader</bdi>"), `data-label="Calls a second" class="n">any`, `data-label="Expires">never`, `data-as="ago"`)

	// The server's clock is a day behind: for it this key still counts.
	clock.Advance(-24 * time.Hour)
	if _, err := r.server.Keys.Create(t.Context(), &ripostev1.KeysServiceCreateRequest{Name: "over", Role: ripostev1.Role_ROLE_VIEWER,
		ExpiresAt: timestamppb.New(time.Now().Add(-time.Hour))}); err != nil {
		t.Fatal(err)
	}
	wantTexts(t, r.get("/keys").row(t, "over"), ">Expired</span>")
}
