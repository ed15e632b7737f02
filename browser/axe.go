package browser

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// axe reads axe-core, from the package's directory, where its tests run.
var axe = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("../third_party/axe-core/axe.min.js")
	return string(b), err
})

// violation is what axe-core found.
type violation struct {
	ID      string // the rule
	Impact  string // minor, moderate, serious or critical
	Help    string
	HelpURL string
	Nodes   []struct {
		Target         []any // selectors, one inside the other where there are shadow roots
		HTML           string
		FailureSummary string
	}
}

func (v violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s; %s", v.ID, v.Impact, v.Help, v.HelpURL)
	for _, n := range v.Nodes {
		fmt.Fprintf(&b, "\n  %v: %s\n    %s", n.Target, n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", "\n    "))
	}
	return b.String()
}

// CheckAccessible runs axe-core on the page as it is, light and dark, wide and on
// a phone, and fails the test where it finds something serious or critical. In the
// dark only colours are other ones, and only their rules are looked at. It leaves the
// tab light and wide.
func (t *Tab) CheckAccessible() {
	t.tb.Helper()
	for _, size := range []Size{Phone, Wide} {
		t.Resize(size)
		t.Prefer(Dark)
		t.checkRules(size, Dark, `{type: 'rule', values: ['color-contrast', 'link-in-text-block']}`)
		t.Prefer(Light)
		t.checkRules(size, Light, `undefined`)
	}
}

// checkRules looks at all rules that axe-core turns on by itself, or at those that
// only, its option runOnly, selects.
func (t *Tab) checkRules(size Size, colours, only string) {
	t.tb.Helper()
	found, err := t.violations(only)
	if err != nil {
		t.fail("checking accessibility: %v", err)
	}
	for _, v := range found {
		if v.Impact == "serious" || v.Impact == "critical" {
			t.tb.Errorf("%s, %s, %d wide: %v", t.Path(), colours, size.Width, v)
		}
	}
}

func (t *Tab) violations(only string) ([]violation, error) {
	source, err := axe()
	if err != nil {
		return nil, fmt.Errorf("reading axe-core: %w", err)
	}
	return inIsolation[[]violation](t, `(() => { if (!globalThis.axe) { `+source+` }
		return axe.run(document, {runOnly: `+only+`, resultTypes: ['violations'], preload: false}).then(r => r.violations) })()`)
}

// CheckFits fails the test where the page is wider than a phone or than a window.
func (t *Tab) CheckFits() {
	t.tb.Helper()
	for _, size := range []Size{Phone, Wide} {
		t.Resize(size)
		t.fits(size)
	}
}

// fits fails the test where the page is wider than its window, which has a size.
func (t *Tab) fits(size Size) {
	t.tb.Helper()
	if width := Eval[int64](t, `document.documentElement.scrollWidth`); width > size.Width {
		t.tb.Errorf("%s is %d wide in a window of %d: %s", t.Path(), width, size.Width, Eval[string](t, widest))
	}
}

// widest is the innermost of what reaches beyond the window.
const widest = `[...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 &&
	![...e.children].some(c => c.getBoundingClientRect().right > innerWidth + 0.5)).map(e => e.outerHTML.slice(0, 200)).slice(0, 5).join('\n')`
