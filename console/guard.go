package console

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// policy lets a page use what the console itself serves, and nothing inline.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxForm bounds a form, in bytes: a payload of 1 MiB, escaped, and a little more.
const maxForm = 4 << 20

// guarded keeps the rules that hold for every path of the console.
func (c *Console) guarded(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer: a browser then sends forms with the origin null, which
		// nobody can tell from another site's.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !isAsset(r.URL.Path) {
			h.Set("Cache-Control", "no-store")
		}
		if !c.hosts.answer(r.Host) {
			c.refuse(w, http.StatusMisdirectedRequest, "This server has another name",
				"The console is at "+c.PublicURL+". To reach it under "+hostname(r.Host)+", too, start the server with --console-hosts="+hostname(r.Host)+".")
			return
		}
		if err := origins.Check(r); err != nil {
			c.refuse(w, http.StatusForbidden, "This form came from another site",
				"The console takes only what its own pages send.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// hosts are the names that the console answers to. Any other may be one that somebody
// else's name server gives our address, so that a page of theirs is on the same
// origin as ours. A bare address is nobody's name.
type hosts struct {
	names      map[string]bool
	publicHost string // as httpsHost has it, of an https URL; "" otherwise
}

func newHosts(publicURL string, more []string) hosts {
	h := hosts{names: map[string]bool{"localhost": true}}
	if u, err := url.Parse(publicURL); err == nil {
		h.names[hostname(u.Host)] = true
		if u.Scheme == "https" {
			h.publicHost = httpsHost(u.Host)
		}
	}
	for _, host := range more {
		h.names[hostname(host)] = true
	}
	return h
}

func (h hosts) answer(host string) bool {
	name := hostname(host)
	_, err := netip.ParseAddr(name)
	return err == nil || h.names[name]
}

// secure reports whether the browser came by TLS, here or at a proxy. What a proxy says
// of it is believed although anybody can say so: it makes the cookie stricter alone.
func (h hosts) secure(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(first), "https") ||
		h.publicHost != "" && httpsHost(r.Host) == h.publicHost
}

// httpsHost is a host in lower case, with its port but for that of https, which
// browsers leave out.
func httpsHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ":443") }

// hostname is a Host header's name, in lower case, without port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
