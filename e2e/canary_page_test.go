package e2e

import (
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var canaryLink = regexp.MustCompile(`(?:href|src)="(/[^"]*)"`)

// maxCanaryPages bounds what is looked at of the console, for each who has signed in.
const maxCanaryPages = 400

// walkPages follows each link of the console, as somebody of each role.
func (s *canaryServer) walkPages() {
	s.t.Helper()
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for _, key := range []string{s.malformed, s.secret, s.apiKey + "x"} {
		s.answered(http.MethodPost, "/sign-in", url.Values{"key": {key}, "next": {"/keys"}}.Encode(), form)
	}
	for _, role := range []string{"admin", "sender", "viewer"} {
		name := "the session of " + role
		r := s.answered(http.MethodPost, "/sign-in", url.Values{"key": {s.keys[role]}}.Encode(), form, name)
		session, _, _ := strings.Cut(strings.TrimPrefix(r.header.Get("Set-Cookie"), "riposte_session="), ";")
		if r.status != http.StatusSeeOther || session == "" {
			s.t.Fatalf("signing in as %s: HTTP %d: %s", role, r.status, r.body)
		}
		s.text(name, session)
		header := http.Header{"Cookie": {"riposte_session=" + session}}
		s.followLinks(role, header)
		header.Set("Content-Type", form.Get("Content-Type"))
		s.submitForms(role, header)
	}
}

func (s *canaryServer) followLinks(role string, header http.Header) {
	s.t.Helper()
	todo, seen := []string{"/"}, map[string]bool{"/": true}
	for len(todo) > 0 && len(seen) < maxCanaryPages {
		at := todo[0]
		todo = todo[1:]
		page := s.answered(http.MethodGet, at, "", header)
		if strings.HasSuffix(at, "/delivery") && role != "viewer" {
			s.lastMay("a callback's token")
		}
		for _, link := range canaryLink.FindAllStringSubmatch(string(page.body), -1) {
			to, _, _ := strings.Cut(html.UnescapeString(link[1]), "#")
			if !seen[to] && !strings.HasPrefix(to, "//") {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	for _, want := range []string{"/webhooks/" + s.webhook, "/instances", "/verify"} {
		if !seen[want] {
			s.t.Errorf("the console shows a %s no link to %s", role, want)
		}
	}
}

// lastMay lets the place that was seen last have some of the secrets.
func (c *canaries) lastMay(may ...string) {
	last := &c.places[len(c.places)-1]
	last.may = append(last.may, may...)
}

// submitForms sends what is refused: a secret in each of a form's fields.
func (s *canaryServer) submitForms(role string, header http.Header) {
	s.t.Helper()
	signedOut := http.Header{"Content-Type": header["Content-Type"]}
	for _, path := range []string{"/keys", "/clients", "/webhooks", "/webhooks/" + s.webhook, "/verify/delivery", "/verify/document", "/instances/none/answer", "/server-keys", "/audit"} {
		v := url.Values{}
		for _, field := range []string{"name", "role", "display-name", "url", "description", "callback-timeout", "document", "request", "headers", "body", "source"} {
			v.Set(field, s.misplaced)
		}
		v.Set("secret", s.malformed)
		v.Set("private-key", s.malformed)
		s.answered(http.MethodPost, path, v.Encode(), header)
		s.answered(http.MethodPost, path, s.malformed, header)
		s.answered(http.MethodPost, path, url.Values{"name": {s.misplaced}}.Encode(), signedOut)
	}
}

// walkOperators reads what operators read.
func (s *canaryServer) walkOperators() {
	s.t.Helper()
	for _, key := range []string{s.apiKey, s.keys["admin"], s.keys["sender"], s.keys["viewer"], s.token} {
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs",
			"/debug/pprof/threadcreate?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/trace?seconds=0.1"} {
			r := s.answered(http.MethodGet, path, "", bearer(key))
			s.saw(path, r.body) // not even what is misplaced
		}
	}
}

// walkCommands runs the commands that read, and some that can't do what they are asked.
func (s *canaryServer) walkCommands() {
	s.t.Helper()
	env := func(key string) []string {
		return []string{"RIPOSTE_SERVER=http://" + s.listen, "RIPOSTE_API_KEY=" + key}
	}
	wrong := filepath.Join(s.t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte(s.malformed+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"webhooks", "list"}, {"webhooks", "get", s.webhook}, {"webhooks", "settings", s.webhook}, {"webhooks", "search", "crash"}, {"instances", "list"},
		{"keys", "list"}, {"keys", "server"}, {"clients", "list"}, {"audit", "--limit", "0"}, {"consumers", "list"}, {"instances", "get", "none"},
		{"webhooks", "rotate-secret", s.webhook, "--secret", "@" + wrong}, {"webhooks", "settings", s.webhook, "--client-cert", wrong, "--client-key", wrong},
		{"webhooks", "settings", s.webhook, "--ca", wrong}, {"webhooks", "settings", s.webhook, "--header", "X-Canary: @" + wrong, "--header", "Host: @" + wrong},
		{"clients", "create", "--name", "A", "--role", "viewer"}, {"watch", "--after", "junk"},
	} {
		for _, key := range []string{s.apiKey, s.keys["viewer"], s.apiKey + "x"} {
			s.command(env(key), args...)
			if key == s.apiKey && args[0] != "audit" {
				s.command(env(key), append(args, "--json")...)
			}
		}
	}
	s.command([]string{"RIPOSTE_SERVER=http://127.0.0.1:1", "RIPOSTE_API_KEY=" + s.apiKey}, "webhooks", "list")
	s.command([]string{"RIPOSTE_SERVER=http://" + s.listen + "/?key=" + url.QueryEscape(s.apiKey), "RIPOSTE_API_KEY=" + s.apiKey + "\n"}, "webhooks", "list")
}

// sawCommands runs, on a store that no server holds, what makes secrets and what can't
// begin.
func (s *canaryServer) sawCommands(store ...string) {
	s.t.Helper()
	env := append(s.env[:len(s.env):len(s.env)], "RIPOSTE_SERVER=http://127.0.0.1:1")
	s.command(append(env, "RIPOSTE_MASTER_KEY="+s.malformed), append([]string{"serve", "--listen", "127.0.0.1:0"}, store...)...)
	s.command(append(env, "RIPOSTE_MASTER_KEY="+s.malformed), append([]string{"keys", "create", "--role", "boss"}, store...)...)
	s.command(append(env, "RIPOSTE_PUBLIC_URL=https://user:"+s.malformed+"@riposte.example"), append([]string{"serve"}, store...)...)
	s.command(append(env, "RIPOSTE_OUTCOME_URL=https://user:"+s.malformed+"@riposte.example"), append([]string{"serve", "--listen", "127.0.0.1:0"}, store...)...)
	s.command(env, "serve", "--database-url", "postgres://user:"+s.malformed+"@127.0.0.1:1/none")
	s.command(env, "serve", "--database-url", "postgres://user:"+url.QueryEscape(s.malformed)+"@127.0.0.1:1/none")
	s.command(env, "keys", "create", "--role", "viewer", "--database-url", "postgres://user:"+url.QueryEscape(s.malformed)+"@127.0.0.1:1/none")
}

func (s *canaryServer) command(env []string, args ...string) {
	s.t.Helper()
	stdout, stderr, code := crashRun(s.t, env, args...)
	what := "riposte " + strings.Join(args[:min(len(args), 2)], " ")
	s.saw("what "+what+" prints", []byte(stdout), "what is misplaced")
	s.saw("what "+what+" complains", []byte(stderr), "what is misplaced")
	if strings.Contains(stderr, "panic:") || code == 2 && strings.Contains(stderr, "goroutine") {
		s.t.Errorf("%s panicked: %s", what, stderr)
	}
}
