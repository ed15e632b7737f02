package browser

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// isolatedWorld is where the package runs its own scripts: they see the page's
// elements and events, and the page sees nothing of them.
const isolatedWorld = "riposte-browser"

// A blocked inline script is an event on the document; the binding tells us.
const reportViolations = `document.addEventListener('securitypolicyviolation', e =>
	riposteViolation(e.effectiveDirective + ' blocked ' + (e.blockedURI || 'inline') + (e.sample ? ': ' + e.sample : '')))`

// watch notes what happens in a tab. Its methods are called by the goroutine that
// reads the browser's messages, in their order, and by the tab's own.
type watch struct {
	base string // the URL of the server that the tab may ask

	mu          sync.Mutex
	faults      []string
	navigations int
	urls        map[network.RequestID]string
	held        []fetch.RequestID // what waits by Hold, oldest first

	dismiss func() // closes the dialog that is open; must not block
}

func newWatch(base string) *watch {
	return &watch{base: base, urls: map[network.RequestID]string{}, dismiss: func() {}}
}

// start makes the browser tell of what is watched for.
func (w *watch) start(ctx context.Context, t *chromedp.Target) error {
	if _, err := cdp.Call(ctx, t, audits.Enable, cdp.Empty{}); err != nil {
		return err
	}
	if _, err := cdp.Call(ctx, t, runtime.AddBinding, runtime.AddBindingParams{Name: "riposteViolation", ExecutionContextName: isolatedWorld}); err != nil {
		return err
	}
	_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: reportViolations, WorldName: isolatedWorld})
	return err
}

func (w *watch) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

func (w *watch) saw(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *page.EventFrameNavigated:
		if e.Frame.ParentID == "" {
			w.navigations++
		}
	case *page.EventJavascriptDialogOpening:
		w.fault("a dialog opened: %s %q", e.Type, e.Message)
		w.dismiss()
	case *page.EventWindowOpen:
		w.fault("a window opened: %s", e.URL)
	case *runtime.EventExceptionThrown:
		w.fault("a script threw: %s", describeException(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			w.fault("the console shows an error: %s", describeObjects(e.Args))
		}
	case *log.EventEntryAdded:
		// What the network has to say is judged request by request.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			w.fault("the console shows an error: %s: %s", e.Entry.Source, e.Entry.Text)
		}
	case *audits.EventIssueAdded:
		if d := e.Issue.Details.ContentSecurityPolicyIssueDetails; d != nil {
			w.fault("the content security policy was violated: %s %s", d.ViolatedDirective, d.BlockedURL)
		}
	case *fetch.EventRequestPaused:
		w.held = append(w.held, e.RequestID)
	case *runtime.EventBindingCalled:
		w.fault("the content security policy was violated: %s", e.Payload)
	default:
		w.sawRequest(event)
	}
}

// sawRequest judges requests. A page may answer that something is not there; what
// the page then loads may not, and no page may ask another server.
func (w *watch) sawRequest(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		w.urls[e.RequestID] = e.Request.URL
		if e.Request.URL != w.base && !strings.HasPrefix(e.Request.URL, w.base+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
			w.fault("a request goes to another server: %s", e.Request.URL)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 500 || e.Response.Status >= 400 && e.Type != network.ResourceTypeDocument {
			w.fault("a request was answered %d: %s", e.Response.Status, e.Response.URL)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled { // as by a click on a link while it ran
			w.fault("a request failed: %s %s: %s", w.urls[e.RequestID], e.ErrorText, e.BlockedReason)
		}
	}
}

// forgive drops the faults that contain text, and says how many.
func (w *watch) forgive(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.faults)
	w.faults = slices.DeleteFunc(w.faults, func(f string) bool { return strings.Contains(f, text) })
	return before - len(w.faults)
}

func (w *watch) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.faults)
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.navigations
}

func describeException(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Text + " " + d.Exception.Description
	}
	return d.Text
}

func describeObjects(objects []*runtime.RemoteObject) string {
	var words []string
	for _, o := range objects {
		if o.Description != "" {
			words = append(words, o.Description)
		} else {
			words = append(words, string(o.Value))
		}
	}
	return strings.Join(words, " ")
}
