package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed template
var templateFiles embed.FS

// page is what layout.html shows around a screen's own template.
type page struct {
	Title string
	Nav   string        // the path of the part of the console that it belongs to
	Live  time.Duration // how often it is worth looking again; 0 for never
	Data  any

	// Those that show fills in.
	Session *session
	Notice  string
}

// LiveMillis is for console.js.
func (p page) LiveMillis() int64 { return p.Live.Milliseconds() }

// pages are the templates, by the screen's name.
type pages map[string]*template.Template

// parsePages panics on a template that can't be parsed: they are compiled in.
func parsePages() pages {
	shared := template.Must(template.New("").Funcs(functions).ParseFS(templateFiles, "template/layout.html", "template/part_*.html"))
	files, err := templateFiles.ReadDir("template")
	if err != nil {
		panic(err)
	}
	all := pages{}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".html")
		if name == "layout" || strings.HasPrefix(name, "part_") {
			continue
		}
		all[name] = template.Must(template.Must(shared.Clone()).ParseFS(templateFiles, path.Join("template", f.Name())))
	}
	return all
}

// notices are what a page says when it is shown after something was done, by the
// word for it in a cookie that counts once: an address with the word would say so again,
// and to anybody.
var notices = map[string]string{
	"canceled":  "Canceled: its outcome is final, and its callback URL is closed.",
	"retried":   "The next attempt is due now.",
	"pushed":    "The next push of its outcome is due now.",
	"recreated": "Asked again: this is the new instance.",
	"answered":  "Your answer is the outcome.",
	"created":   "Created.",
	"saved":     "Saved.",
	"tested":    "Asked: this is the test, and here its answer shows.",
	"deleted":   "Deleted. What it still owed an attempt closes; what is awaited may still come.",
	"revoked":   "Revoked: the key is refused from now on.",
	"removed":   "Removed.",
	"rotated":   "The new key is made; what happens next is in the list.",

	"client-revoked": "Revoked: the client and its access tokens are refused from now on.",
}

const noticeCookie = "riposte_done"

// notice is what is to be said of what was just done, "" for nothing.
func (v *visit) notice() string {
	cookie, err := v.r.Cookie(noticeCookie)
	if err != nil {
		return ""
	}
	http.SetCookie(v.w, v.noticeOn(v.r.URL.Path, ""))
	return notices[cookie.Value]
}

// noticeOn has a page say what was done, or no longer when that is "".
func (v *visit) noticeOn(path, done string) *http.Cookie {
	c := &http.Cookie{Name: noticeCookie, Value: done, Path: path, MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: v.hosts.secure(v.r)}
	if done == "" {
		c.MaxAge = -1
	}
	return c
}

// show answers with a page.
func (v *visit) show(status int, name string, p page) error {
	p.Session = &v.session
	p.Notice = v.notice()
	b, err := v.pages.render(name, p)
	if err != nil {
		return err
	}
	if status == http.StatusOK && p.Live > 0 {
		// Most looks of console.js find nothing new.
		sum := sha256.Sum256(b)
		tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
		v.w.Header().Set("ETag", tag)
		if v.r.Header.Get("If-None-Match") == tag {
			v.w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	writeHTML(v.w, status, b)
	return nil
}

// write answers with a page for somebody who has not signed in.
func (c *Console) write(w http.ResponseWriter, status int, name string, p page) {
	b, err := c.pages.render(name, p)
	if err != nil {
		c.Logger.Error("showing a page", "page", name, "error", err)
		http.Error(w, "The server's log says more.", http.StatusInternalServerError)
		return
	}
	writeHTML(w, status, b)
}

// refuse answers what the safety rules don't let through.
func (c *Console) refuse(w http.ResponseWriter, status int, title, text string) {
	c.write(w, status, "error", page{Title: title, Data: text})
}

func (ps pages) render(name string, p page) ([]byte, error) {
	t, ok := ps[name]
	if !ok {
		return nil, fmt.Errorf("there is no page %s", name)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", p); err != nil {
		return nil, fmt.Errorf("rendering the page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

func writeHTML(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
