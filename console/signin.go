package console

import (
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	signInPath  = "/sign-in"
	signOutPath = "/sign-out"
)

// signInData is what the page of this name shows.
type signInData struct {
	Next    string // where to go then
	Problem string
	Dev     bool // whether one click does
	Sent    *sentForm
}

// interrupted has somebody sign in who has not, or no longer: before the page that was
// asked for, or with the form that was sent, which then waits to be sent again.
func (c *Console) interrupted(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.ParseForm() == nil && len(r.PostForm) > 0 {
		d := c.newSignIn(r)
		d.Next, d.Sent = "", newSentForm(r)
		c.showSignIn(w, http.StatusUnauthorized, d)
		return
	}
	to := signInPath
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// sentForm is a form that came from somebody who was no longer signed in.
type sentForm struct {
	Path   string // of ours
	Form   string // as it was sent
	Fields []formField
}

func newSentForm(r *http.Request) *sentForm {
	return &sentForm{Path: localPath(r.URL.Path), Form: r.PostForm.Encode()}
}

// readSentForm is the one that the sign-in page has kept; nil where there is none.
func readSentForm(r *http.Request) *sentForm {
	form, err := url.ParseQuery(r.PostFormValue("sent-form"))
	if err != nil || len(form) == 0 {
		return nil
	}
	s := &sentForm{Path: localPath(r.PostFormValue("sent-path")), Form: form.Encode()}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			s.Fields = append(s.Fields, formField{name, value})
		}
	}
	return s
}

func (c *Console) signInForm(w http.ResponseWriter, r *http.Request) {
	c.showSignIn(w, http.StatusOK, c.newSignIn(r))
}

func (c *Console) newSignIn(r *http.Request) signInData {
	return signInData{Next: localPath(r.FormValue("next")), Sent: readSentForm(r), Dev: c.DevKey != "" && isLocal(r)}
}

// isLocal reports whether a browser on this machine asks for a page of this machine,
// and not somebody else by way of a tunnel that ends here.
func isLocal(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	name := hostname(r.Host)
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (c *Console) showSignIn(w http.ResponseWriter, status int, d signInData) {
	c.write(w, status, "signin", page{Title: "Sign in", Data: d})
}

func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	d := c.newSignIn(r)
	key := strings.TrimSpace(r.PostFormValue("key"))
	if r.PostFormValue("dev") != "" && d.Dev {
		key = c.DevKey
	}
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		d.Problem = "Paste an API key: the whole line of admin.key, or what riposte keys create printed."
		c.showSignIn(w, http.StatusUnprocessableEntity, d)
		return
	}
	res, err := c.api.keys.Current(as(r.Context(), key, r.RemoteAddr), &ripostev1.KeysServiceCurrentRequest{})
	if err != nil {
		status := http.StatusUnprocessableEntity
		if d.Problem = problem(err); connect.CodeOf(err) != connect.CodeUnauthenticated {
			status = http.StatusServiceUnavailable
		}
		c.showSignIn(w, status, d)
		return
	}
	k := res.GetKey()
	sealed, err := c.sessions.seal(session{Key: key, KeyID: k.GetId(), Name: k.GetName(), Role: k.GetRole(), Expires: time.Now().Add(sessionLife)})
	if err != nil {
		d.Problem = problem(err)
		c.showSignIn(w, http.StatusInternalServerError, d)
		return
	}
	http.SetCookie(w, c.cookie(r, sealed))
	if d.Sent != nil {
		c.write(w, http.StatusOK, "resume", page{Title: "Signed in", Data: d.Sent})
		return
	}
	http.Redirect(w, r, d.Next, http.StatusSeeOther)
}

func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, c.cookie(r, ""))
	http.Redirect(w, r, signInPath, http.StatusSeeOther)
}

// localPath is a path of ours, or the overview's: nobody may be sent elsewhere by a
// link to the sign-in page.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") ||
		strings.ContainsAny(next, "\\\t\r\n") {
		return "/"
	}
	return u.RequestURI()
}
