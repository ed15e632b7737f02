// Command screenshots takes a picture of every screen of the console, light and dark,
// wide and on a phone. Run it by "make screenshots".
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/riposte-dev/riposte/browser"
)

// aDay is the past of what the pictures show, in quarters of an hour, and a little
// more, so that something has expired.
const aDay = 104

// inReadme are the names of README.md's pictures, by their screens.
var inReadme = map[string]string{"overview": "overview", "instance-answered-late": "instance", "webhooks": "webhooks"}

func main() {
	log.SetFlags(0)
	out := flag.String("out", "screenshots/out", "`directory` for the pictures")
	only := flag.String("only", "", "take those screens alone whose name contains this `text`")
	readme := flag.Bool("readme", false, "take those of README.md alone, light and wide, into docs/screenshots")
	flag.Parse()
	s := studio{out: *out, sizes: sizes, themes: themes}
	s.wants = func(screen string) bool { return strings.Contains(screen, *only) }
	s.name = func(screen, theme, size string) string { return screen + "-" + theme + "-" + size }
	if *readme {
		s = studio{out: "../docs/screenshots", window: true, sizes: readmeSizes, themes: themes[:1]}
		s.wants = func(screen string) bool { return inReadme[screen] != "" }
		s.name = func(screen, _, _ string) string { return inReadme[screen] }
	}
	if err := run(s); err != nil {
		log.Fatal(err)
	}
}

var (
	sizes = []size{{"wide", browser.Wide}, {"phone", browser.Phone}}
	// readmeSizes have room for what is worth a look.
	readmeSizes = []size{{"wide", browser.Size{Width: browser.Wide.Width, Height: 1150, Scale: 1}}}
)

var themes = []string{browser.Light, browser.Dark}

type size struct {
	name string
	browser.Size
}

// studio is what pictures are taken of, how, and where to.
type studio struct {
	out    string
	wants  func(screen string) bool
	name   func(screen, theme, size string) string // of a picture, without its end
	window bool                                    // no more of a page than a window has
	sizes  []size
	themes []string
}

func run(s studio) (err error) {
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return fmt.Errorf("making a directory for the pictures: %w", err)
	}
	b, err := browser.Start()
	if err != nil {
		return err
	}
	defer b.Close()
	b.ExitOnInterrupt()
	p := &program{}
	defer func() { err = errors.Join(err, p.end(recover())) }()
	scene := browser.NewScene(p, aDay)
	tabs := map[browser.Visitor]*browser.Tab{}
	for _, screen := range scene.Screens() {
		if !s.wants(screen.Name) {
			continue
		}
		if tabs[screen.Visitor] == nil {
			tabs[screen.Visitor] = screen.Visitor.Arrive(p, b)
		}
		if err := s.take(tabs[screen.Visitor], screen); err != nil {
			return err
		}
	}
	return nil
}

// take takes a screen's pictures, each of the page as it is when it was loaded so.
func (s studio) take(tab *browser.Tab, screen browser.Screen) error {
	for _, size := range s.sizes {
		for _, theme := range s.themes {
			tab.Resize(size.Size)
			tab.Prefer(theme)
			screen.Visit(tab)
			name := filepath.Join(s.out, s.name(screen.Name, theme, size.name)+".png")
			picture := tab.Screenshot
			if s.window {
				picture = tab.Window
			}
			if err := os.WriteFile(name, picture(), 0o644); err != nil {
				return fmt.Errorf("writing a picture: %w", err)
			}
			screen.Leave(tab)
			fmt.Println(name)
		}
	}
	return nil
}

// program is a ripostetest.TB outside of a test: what fails ends it.
type program struct {
	cleanups []func()
	failures []error
}

// failed is what Fatalf panics with; end takes it back.
type failed struct{}

func (p *program) Helper() {}

func (p *program) Errorf(format string, args ...any) {
	p.failures = append(p.failures, fmt.Errorf(format, args...))
}

func (p *program) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	panic(failed{})
}

func (p *program) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "riposte-screenshots-")
	if err != nil {
		p.Fatalf("making a directory: %v", err)
	}
	p.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			p.Errorf("removing a directory: %v", err)
		}
	})
	return dir
}

// end cleans up, and returns all that failed. panicked is what was recovered.
func (p *program) end(panicked any) error {
	for _, f := range slices.Backward(p.cleanups) {
		f()
	}
	if panicked != nil && panicked != any(failed{}) {
		panic(panicked)
	}
	return errors.Join(p.failures...)
}
