package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// section is the part of the page with this heading.
func (p seen) section(t *testing.T, id string) string {
	t.Helper()
	_, text, found := strings.Cut(p.text, `<section aria-labelledby="`+id+`">`)
	if !found {
		t.Fatalf("%s has no section %s:\n%s", p.path, id, p.text)
	}
	text, _, _ = strings.Cut(text, "</section>")
	return text
}

func TestServerKeysAreShown(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	p := r.get("/server-keys")
	p.wants(t, http.StatusOK, r.server.URL()+"/auth/v1/jwks")
	keys, err := ripostetest.FetchKeys(r.server.BaseURL())
	if err != nil || len(keys.Keys) == 0 {
		t.Fatalf("%v: %d keys", err, len(keys.Keys))
	}
	wantTexts(t, p.section(t, "signing"), ">"+keys.Keys[0].KeyID+"</code>", ">EdDSA<", ">In use<", `data-label="Removed after">–<`, `<option>ES256`)
	for use, algorithm := range map[string]string{"callback": "A256GCM", "access-token": "EdDSA", "data": "A256GCM"} {
		wantTexts(t, p.section(t, use), ">"+algorithm+"<", ">In use<", `action="/server-keys/`+use+`/rotate"`)
	}
}

func TestEachUseIsRotated(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	for use, want := range map[string][]string{
		"signing": {">Next<", ">In use<", `data-label="Algorithm">ES256<`}, "callback": {">Next<", ">In use<"}, "access-token": {">Next<", ">In use<"}, "data": {">In use<", ">Old<", `data-label="Removed after"><time`},
	} {
		form := r.get("/server-keys").form(t, "/server-keys/"+use+"/rotate")
		if use == "signing" {
			form.Set("algorithm", "ES256")
		}
		p := r.post("/server-keys/"+use+"/rotate", form)
		p.wants(t, http.StatusOK, "The new key is made")
		wantTexts(t, p.section(t, use), want...)
	}
}

func TestRefusedRotationsAreSaidWhereTheyWereAskedFor(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	for wrong, want := range map[string]string{"soon": "Published for must be a span of time", "3 s": "Published for must be 0, at once, or from"} {
		p := r.post("/server-keys/signing/rotate", url.Values{"publishFor": {wrong}, "algorithm": {"RS256"}})
		p.wants(t, http.StatusUnprocessableEntity)
		wantTexts(t, p.section(t, "signing"), want, `id="rotate-signing" open`, `value="`+wrong+`"`, "<option selected>RS256", `data-home="/server-keys"`)
	}
	p := r.post("/server-keys/signing/rotate", url.Values{"algorithm": {"HS256"}})
	p.wants(t, http.StatusUnprocessableEntity)
	wantTexts(t, p.section(t, "signing"), "Algorithm must be one of EdDSA")

	r.post("/server-keys/callback/rotate", nil).wants(t, http.StatusOK, "The new key is made")
	p = r.post("/server-keys/callback/rotate", nil)
	p.wants(t, http.StatusUnprocessableEntity)
	wantTexts(t, p.section(t, "callback"), `role="alert"`, "rotate again when it is", `id="rotate-callback" open`)
	if strings.Contains(p.section(t, "signing"), `role="alert"`) {
		t.Error("it is said of another use, too")
	}
	r.post("/server-keys/none/rotate", nil).wants(t, http.StatusNotFound)
	if p := r.get("/server-keys/callback/rotate"); p.path != "/server-keys" {
		t.Errorf("a reload leads to %s", p.path)
	}
}
