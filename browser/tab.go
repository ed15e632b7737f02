package browser

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/riposte-dev/riposte/ripostetest"
)

const (
	lookAgain   = 20 * time.Millisecond
	tabLifetime = 15 * time.Minute // so that nothing waits for ever
)

// Tab is a page with cookies of its own, in a window of the size Wide. What its
// methods cannot do fails the test.
type Tab struct {
	tb       ripostetest.TB
	base     string
	ctx      context.Context
	watch    *watch
	patience time.Duration // with what a page is to come to
}

// Open opens an empty tab for the server at base. When the test ends, the tab is
// closed, and fails the test if it has faults.
func (b *Browser) Open(tb ripostetest.TB, base string) *Tab {
	tb.Helper()
	w := newWatch(base)
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(w.saw))
	ctx, stop := context.WithTimeout(ctx, tabLifetime)
	closeTab := func() { stop(); cancel() }
	w.dismiss = func() {
		go func() { _, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{}) }()
	}
	if err := chromedp.Do(ctx, chromedp.Func(w.start)); err != nil {
		closeTab()
		tb.Fatalf("opening a tab: %v", err)
	}
	t := &Tab{tb: tb, base: base, ctx: ctx, watch: w, patience: 20 * time.Second}
	tb.Cleanup(func() {
		t.reportFaults()
		closeTab()
	})
	t.Resize(Wide)
	t.Prefer(Light)
	t.focus()
	return t
}

// focus makes the tab behave as the one in front, whatever other tabs there are.
func (t *Tab) focus() {
	t.tb.Helper()
	t.do("focusing a tab", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		return callVoid(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	})
}

func (t *Tab) reportFaults() {
	t.tb.Helper()
	// What happened before this has been told of when it is answered.
	if _, err := chromedp.Run(t.ctx, chromedp.Evaluate[int]("1")); err != nil {
		t.tb.Errorf("asking a tab whether it is there: %v", err)
	}
	for _, fault := range t.watch.list() {
		t.tb.Errorf("%s", fault)
	}
}

// Faults returns what must not happen and did, oldest first.
func (t *Tab) Faults() []string { return t.watch.list() }

// Forgive takes the faults that contain text for what the test wants; there must
// be one.
func (t *Tab) Forgive(text string) {
	t.tb.Helper()
	t.until(fmt.Sprintf("a fault with %q", text), func() bool { return t.watch.forgive(text) > 0 })
}

// Navigations returns how many documents the tab has loaded. What changes while
// it does not came live.
func (t *Tab) Navigations() int { return t.watch.count() }

// Goto loads a path of the server's.
func (t *Tab) Goto(path string) {
	t.tb.Helper()
	t.do("loading "+path, chromedp.Navigate(t.base+path))
}

// Reload loads the page again.
func (t *Tab) Reload() {
	t.tb.Helper()
	t.do("reloading", chromedp.Reload())
}

// SignIn signs in with an API key.
func (t *Tab) SignIn(apiKey string) {
	t.tb.Helper()
	t.Goto("/sign-in?next=/instances")
	t.Fill("API key", apiKey)
	t.Follow("button", "Sign in")
	t.Until("the page behind sign-in", `location.pathname !== '/sign-in'`)
}

// Path returns the path and the query of the page.
func (t *Tab) Path() string {
	t.tb.Helper()
	return Eval[string](t, `location.pathname + location.search`)
}

// Title returns the title of the page.
func (t *Tab) Title() string {
	t.tb.Helper()
	return Eval[string](t, `document.title`)
}

// Text returns what the page shows a reader, as it is laid out.
func (t *Tab) Text() string {
	t.tb.Helper()
	return Eval[string](t, `document.body.innerText`)
}

// Eval returns the value of a JavaScript expression on the page.
func Eval[T any](t *Tab, expression string) T {
	t.tb.Helper()
	v, err := chromedp.Run(t.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.fail("evaluating %s: %v", expression, err)
	}
	return v
}

// Until waits until a JavaScript expression is true; what says what it is about.
func (t *Tab) Until(what, expression string) {
	t.tb.Helper()
	t.until(what, func() bool {
		ok, err := chromedp.Run(t.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && ok // an error between two documents is none
	})
}

// UntilText waits until the page shows text; blanks and line ends are alike.
func (t *Tab) UntilText(text string) {
	t.tb.Helper()
	t.Until("the text "+strconv.Quote(text), containsText(text))
}

// UntilNoText waits until the page doesn't show text any more.
func (t *Tab) UntilNoText(text string) {
	t.tb.Helper()
	t.Until("the text "+strconv.Quote(text)+" to go", "!("+containsText(text)+")")
}

func containsText(text string) string {
	return fmt.Sprintf(`document.body.innerText.replace(/\s+/g, ' ').includes(%s)`, quote(strings.Join(strings.Fields(text), " ")))
}

func (t *Tab) until(what string, done func() bool) {
	t.tb.Helper()
	deadline := time.NewTimer(t.patience)
	defer deadline.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.fail("%s did not come within %v", what, t.patience)
		case <-t.ctx.Done():
			t.fail("%s did not come: %v", what, t.ctx.Err())
		}
	}
}

// Size is that of a window, in CSS pixels.
type Size struct {
	Width, Height int64
	Scale         float64 // device pixels to each
	Phone         bool    // touch, and a phone's way of fitting pages
}

// The sizes that every screen is looked at in.
var (
	Wide  = Size{Width: 1280, Height: 900, Scale: 1}
	Phone = Size{Width: 390, Height: 844, Scale: 2, Phone: true}
)

// Resize gives the tab another size.
func (t *Tab) Resize(s Size) {
	t.tb.Helper()
	t.do("resizing", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		return callVoid(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: s.Width, Height: s.Height, DeviceScaleFactor: s.Scale, Mobile: s.Phone,
		})
	})
}

// The colours that a person can prefer.
const (
	Light = "light"
	Dark  = "dark"
)

// Prefer sets the colours that the person prefers, and that nothing moves.
func (t *Tab) Prefer(colours string) {
	t.tb.Helper()
	t.do("setting colours", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		return callVoid(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: colours},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		}})
	})
}

// Screenshot returns the whole page, also what is below the window, as a PNG.
func (t *Tab) Screenshot() []byte {
	t.tb.Helper()
	b, err := chromedp.Run(t.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.fail("taking a screenshot: %v", err)
	}
	return b
}

// Window returns what of the page is in the window, as a PNG.
func (t *Tab) Window() []byte {
	t.tb.Helper()
	b, err := chromedp.Run(t.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.fail("taking a screenshot: %v", err)
	}
	return b
}

func (t *Tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, t.patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.fail("%s: %v", what, err)
	}
}

// fail ends the test with what the page looked like.
func (t *Tab) fail(format string, args ...any) {
	t.tb.Helper()
	const most = 4000
	seen, err := chromedp.Run(t.ctx, chromedp.Evaluate[string](`location.href + '\n' + document.body.innerText`))
	if err != nil {
		seen = err.Error()
	}
	if len(seen) > most {
		seen = seen[:most] + "…"
	}
	t.tb.Fatalf("%s\nThe page was %s", fmt.Sprintf(format, args...), seen)
}

// inIsolation evaluates an expression, or a promise's value, beside the page's
// own scripts. The page's policy does not hold there, and stays in force for them.
func inIsolation[T any](t *Tab, expression string) (T, error) {
	var zero T
	tree, err := chromedp.Call(t.ctx, page.GetFrameTree, struct{}{})
	if err != nil {
		return zero, err
	}
	world, err := chromedp.Call(t.ctx, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: tree.FrameTree.Frame.ID, WorldName: isolatedWorld})
	if err != nil {
		return zero, err
	}
	return chromedp.Run(t.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise, func(p *runtime.EvaluateParams) {
		p.ContextID = world.ExecutionContextID
	}))
}
