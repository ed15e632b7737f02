package browser

import (
	"context"
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Hold makes the requests that the page's scripts send to a path wait on their way
// out, so that what is there in the meantime can be looked at for as long as it takes.
// It ends with Release.
func (t *Tab) Hold(path string) {
	t.tb.Helper()
	t.do("holding "+path, func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		return callVoid(ctx, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{
			{URLPattern: t.base + path, ResourceType: network.ResourceTypeXHR},
		}})
	})
}

// UntilHeld waits until a request waits.
func (t *Tab) UntilHeld() {
	t.tb.Helper()
	t.until("a request that waits", func() bool { return t.watch.nextHeld() != "" })
}

// Pass waits until a request waits, and lets it go on.
func (t *Tab) Pass() {
	t.tb.Helper()
	callHeld(t, "letting a request go on", fetch.ContinueRequest, func(id fetch.RequestID) fetch.ContinueRequestParams {
		return fetch.ContinueRequestParams{RequestID: id}
	})
}

// Lose waits until a request waits, and makes it fail as if nobody were there to take
// it. That is a fault to be forgiven.
func (t *Tab) Lose() {
	t.tb.Helper()
	callHeld(t, "losing a request", fetch.FailRequest, func(id fetch.RequestID) fetch.FailRequestParams {
		return fetch.FailRequestParams{RequestID: id, ErrorReason: network.ErrorReasonConnectionRefused}
	})
}

// Release lets go on all that waits, and makes nothing wait any more.
func (t *Tab) Release() {
	t.tb.Helper()
	t.do("releasing what waits", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		return callVoid(ctx, fetch.Disable, cdp.Empty{})
	})
	t.watch.forgetHeld()
}

func callHeld[P any](t *Tab, what string, command cdp.Command[P, cdp.Empty], params func(fetch.RequestID) P) {
	t.tb.Helper()
	t.UntilHeld()
	id := t.watch.takeHeld()
	if _, err := chromedp.Call(t.ctx, command, params(id)); err != nil {
		t.fail("%s: %v", what, fmt.Errorf("%s: %w", id, err))
	}
}

// nextHeld returns "" where nothing waits.
func (w *watch) nextHeld() fetch.RequestID {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return ""
	}
	return w.held[0]
}

// takeHeld is nextHeld, of which there is one, and forgets it.
func (w *watch) takeHeld() fetch.RequestID {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.held[0]
	w.held = w.held[1:]
	return id
}

func (w *watch) forgetHeld() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = nil
}
