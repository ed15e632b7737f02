package browser

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// policy is the strictest that the tests' pages work under, as the console's is.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'"

// serve serves pages, by their paths, under the policy. Scripts are paths that
// end in .js.
func serve(t *testing.T, pages map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok && r.URL.Path != "/favicon.ico" { // which browsers ask for whenever they feel like it
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch {
		case strings.HasSuffix(r.URL.Path, ".css"):
			w.Header().Set("Content-Type", "text/css")
		case strings.HasSuffix(r.URL.Path, ".js"):
			w.Header().Set("Content-Type", "text/javascript")
		}
		_, _ = io.WriteString(w, page)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func document(body string) string {
	return `<!doctype html><html lang="en"><head><title>A page</title></head><body><main><h1>A page</h1>` + body + `</main></body></html>`
}

// trial is a test inside a test: what fails it is kept and not passed on.
type trial struct {
	*testing.T
	failures []string
	cleanups []func()
}

// failed is what Fatalf of a trial panics with.
type failed struct{}

func (tr *trial) Errorf(format string, args ...any) {
	tr.failures = append(tr.failures, fmt.Sprintf(format, args...))
}

func (tr *trial) Fatalf(format string, args ...any) {
	tr.Errorf(format, args...)
	panic(failed{})
}

func (tr *trial) Cleanup(f func()) { tr.cleanups = append(tr.cleanups, f) }

// try runs a test to its end and returns what it failed by.
func try(t *testing.T, test func(*trial)) []string {
	t.Helper()
	tr := &trial{T: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(failed{}) {
				panic(p)
			}
		}()
		test(tr)
	}()
	for _, f := range slices.Backward(tr.cleanups) {
		f()
	}
	return tr.failures
}

// TestFaultsFailATest is the test of the test: whatever must not happen on a page
// of the console does so once here.
func TestFaultsFailATest(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, nil)
	for _, tt := range []struct {
		name, body, script string
		want               string // a part of a fault
	}{
		{name: "a page that is as it should be", body: `<p>Well.</p>`, script: `console.info('well')`},
		{name: "a dialog", script: `alert('<b>')`, want: `a dialog opened: alert "<b>"`},
		{name: "a question", script: `confirm('really?')`, want: `a dialog opened: confirm "really?"`},
		{name: "an inline script", body: `<script>alert(1)</script>`, want: "script-src-elem blocked inline"},
		{name: "an inline handler", body: `<img src="/" onerror="alert(1)">`, want: "script-src-attr"},
		{name: "an inline style", body: `<p style="color: red">Red.</p>`, want: "style-src-attr"},
		{name: "a style element", body: `<style>p { color: red }</style>`, want: "style-src-elem"},
		{name: "eval", script: `eval('1')`, want: "script-src"},
		{name: "a frame", body: `<iframe src="/"></iframe>`, want: "frame-src"},
		{name: "a script that throws", script: `null.x`, want: "a script threw: Uncaught TypeError"},
		{name: "a promise that nobody awaits", script: `Promise.reject(new Error('lost'))`, want: "a script threw: Uncaught (in promise) Error: lost"},
		{name: "an error on the console", script: `console.error('oh', new Error('no'))`, want: "the console shows an error"},
		{name: "a failed assertion", script: `console.assert(false, 'no')`, want: "the console shows an error"},
		{name: "an asset that is not there", body: `<img src="/gone.png" alt="">`, want: "a request was answered 404"},
		{name: "a call that fails", script: `fetch('/gone')`, want: "a request was answered 404"},
		{name: "a foreign image", body: fmt.Sprintf(`<img src="%s/x.png" alt="">`, elsewhere), want: "img-src"},
		{name: "a link to elsewhere, prefetched", body: fmt.Sprintf(`<link rel="prefetch" href="%s/x">`, elsewhere), want: "policy was violated"},
		{name: "a window", script: `open('/')`, want: "a window opened"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := serve(t, map[string]string{"/": document(tt.body + `<script src="/page.js"></script>`), "/page.js": tt.script})
			got := try(t, func(tr *trial) {
				tab := chromium.Open(tr, base)
				tab.Goto("/")
				tab.until("the fault", func() bool { return tt.want == "" || len(tab.Faults()) > 0 })
			})
			if tt.want == "" && len(got) > 0 {
				t.Errorf("failed by %q", got)
			}
			if tt.want != "" && !containing(got, tt.want) {
				t.Errorf("no failure says %q, but these: %q", tt.want, got)
			}
		})
	}
}

func containing(failures []string, part string) bool {
	return slices.ContainsFunc(failures, func(s string) bool { return strings.Contains(s, part) })
}

func TestForgivesWhatATestWants(t *testing.T) {
	t.Parallel()
	base := serve(t, map[string]string{"/": document(`<script src="/page.js"></script>`), "/page.js": `console.error('one'); console.error('two')`})
	got := try(t, func(tr *trial) {
		tab := chromium.Open(tr, base)
		tab.Goto("/")
		tab.Forgive("one")
	})
	if len(got) != 1 || !strings.Contains(got[0], "two") {
		t.Errorf("failed by %q, not by the second error", got)
	}
}

func TestTabsShareNoCookies(t *testing.T) {
	t.Parallel()
	base := serve(t, map[string]string{"/": document(`<p>Here.</p>`)})
	first, second := chromium.Open(t, base), chromium.Open(t, base)
	first.Goto("/")
	second.Goto("/")
	Eval[string](first, `document.cookie = 'who=ada'`)
	if got := Eval[string](second, `document.cookie`); got != "" {
		t.Errorf("the second tab has the first one's cookie %s", got)
	}
}

func TestCountsDocumentsAndNotChanges(t *testing.T) {
	t.Parallel()
	base := serve(t, map[string]string{
		"/":        document(`<a href="/next">Next</a><button id="live">Change</button><p id="p">old</p><script src="/page.js"></script>`),
		"/page.js": `document.getElementById('live').onclick = () => { history.pushState({}, '', '/?changed'); setTimeout(() => document.getElementById('p').textContent = 'new', 50) }`,
		"/next":    document(`<p>There.</p>`),
	})
	tab := chromium.Open(t, base)
	tab.Goto("/")
	loaded := tab.Navigations()
	tab.Click("button", "Change")
	tab.UntilText("new")
	tab.UntilNoText("old")
	if n := tab.Navigations(); n != loaded {
		t.Errorf("a change without a document counts: %d became %d", loaded, n)
	}
	if path := tab.Path(); path != "/?changed" {
		t.Errorf("the path is %s", path)
	}
	tab.Follow("link", "Next")
	tab.UntilText("There.")
	if n := tab.Navigations(); n != loaded+1 {
		t.Errorf("after one document more, %d became %d", loaded, n)
	}
}
