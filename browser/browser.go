package browser

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/chromedp/chromedp"
)

// Browser is a Chromium process without a window.
type Browser struct {
	ctx   context.Context
	close func()
}

// Start starts Chromium, with a new profile in the directory for temporary files.
// The process ends with this one at the latest, however this one ends.
func Start() (*Browser, error) {
	allocator, freeAll := chromedp.NewExecAllocator(context.Background(), flags()...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &Browser{ctx: ctx, close: sync.OnceFunc(func() {
		cancel()
		freeAll() // the process is gone, and its profile
	})}
	if err := chromedp.Do(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("starting Chromium: %w", err)
	}
	return b, nil
}

// Close ends the process and removes its profile. Tabs that are open fail what
// they are at. It may be called twice.
func (b *Browser) Close() { b.close() }

// ExitOnInterrupt makes SIGINT and SIGTERM close the browser before they end this
// process, so that no profile is left behind.
func (b *Browser) ExitOnInterrupt() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		b.Close()
		os.Exit(1)
	}()
}

func flags() []chromedp.ExecAllocatorOption {
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("chromium"),
		chromedp.Headless,
		chromedp.NoFirstRun,
		chromedp.NoSandbox, // which root cannot have, and nothing but our own pages is opened
		chromedp.DisableGPU,
		// No name is looked up and no address is called but this machine's.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("lang", "en-US"),
	}
	for _, name := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-default-apps", "disable-extensions", "disable-breakpad", "disable-dev-shm-usage",
		"disable-renderer-backgrounding", "disable-background-timer-throttling", "disable-backgrounding-occluded-windows",
		"metrics-recording-only", "no-default-browser-check",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	return options
}
