package console_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/html"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reader is somebody with a browser that has no JavaScript.
type reader struct {
	t      *testing.T
	server *ripostetest.Server
	base   string // of the console's URLs
	http   *http.Client
}

// newReader returns a reader of a new server who has not signed in.
func newReader(t *testing.T, changes ...func(*server.Config)) *reader {
	t.Helper()
	return readerOf(t, ripostetest.Start(t, changes...))
}

func readerOf(t *testing.T, s *ripostetest.Server) *reader {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &reader{t: t, server: s, base: s.BaseURL(), http: &http.Client{Jar: jar, Transport: transport}}
}

// owner is whose the instances are that tests ask for.
const owner = "RIPOSTE_API_KEY"

// as signs in with a new key of a role: as a sender with one that sees what tests ask.
func (r *reader) as(role ripostev1.Role) *reader {
	r.t.Helper()
	name := "reader"
	if role == ripostev1.Role_ROLE_SENDER {
		name = owner
	}
	return r.named(name, role)
}

// named signs in with a new key of this name.
func (r *reader) named(name string, role ripostev1.Role) *reader {
	r.t.Helper()
	res, err := r.server.Keys.Create(r.t.Context(), &ripostev1.KeysServiceCreateRequest{Name: name, Role: role})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.with(res.GetSecret())
}

// with signs in with a key.
func (r *reader) with(key string) *reader {
	r.t.Helper()
	if p := r.post("/sign-in", url.Values{"key": {key}}); p.path != "/" {
		r.t.Fatalf("signing in led to %s: %s", p.path, p.text)
	}
	return r
}

// seen is a page as the reader gets it, after redirects.
type seen struct {
	status int
	path   string // with the query
	text   string
	header http.Header
}

func (r *reader) get(path string) seen {
	r.t.Helper()
	return r.do(http.MethodGet, path, nil, nil)
}

func (r *reader) post(path string, form url.Values) seen {
	r.t.Helper()
	return r.do(http.MethodPost, path, form, nil)
}

func (r *reader) do(method, path string, form url.Values, header map[string]string) seen {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range header {
		if req.Header.Set(name, value); name == "Host" {
			req.Host = value
		}
	}
	res, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return seen{res.StatusCode, res.Request.URL.RequestURI(), string(body), res.Header}
}

// form is what a browser sends of the page's form with this action when nothing in it is
// touched. It fails the test where there is none.
func (p seen) form(t *testing.T, action string) url.Values {
	t.Helper()
	root, err := html.Parse(strings.NewReader(p.text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Data == "form" && attribute(n, "action") == action {
			return fields(n)
		}
	}
	t.Fatalf("%s has no form for %s:\n%s", p.path, action, p.text)
	return nil
}

func fields(form *html.Node) url.Values {
	values := url.Values{}
	for n := range form.Descendants() {
		name, kind := attribute(n, "name"), attribute(n, "type")
		switch {
		case n.Data == "textarea":
			text := ""
			if n.FirstChild != nil {
				text = n.FirstChild.Data
			}
			values.Add(name, strings.ReplaceAll(text, "\n", "\r\n"))
		case n.Data == "input" && (kind != "radio" || has(n, "checked")), n.Data == "option" && has(n, "selected"):
			if n.Data == "option" {
				name = attribute(n.Parent, "name")
			}
			values.Add(name, attribute(n, "value"))
		}
	}
	return values
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

// wants fails the test unless the page has all of these, and the status.
func (p seen) wants(t *testing.T, status int, texts ...string) {
	t.Helper()
	if p.status != status {
		t.Errorf("%s answers %d, want %d", p.path, p.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(p.text, text) {
			t.Errorf("%s lacks %q:\n%s", p.path, text, p.text)
		}
	}
}

// lacks fails the test when the page has any of these.
func (p seen) lacks(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(p.text, text) {
			t.Errorf("%s has %q", p.path, text)
		}
	}
}

// row is the first of the page's rows that has the text. It fails the test where there is
// none.
func (p seen) row(t *testing.T, text string) string {
	t.Helper()
	for _, part := range strings.Split(p.text, "<tr>")[1:] {
		if row, _, _ := strings.Cut(part, "</tr>"); strings.Contains(row, text) {
			return row
		}
	}
	t.Fatalf("%s has no row with %q:\n%s", p.path, text, p.text)
	return ""
}

func wantTexts(t *testing.T, in string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(in, text) {
			t.Errorf("%q is not in %s", text, in)
		}
	}
}
