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

// inReadme are the pictures of README.md, by their screens.
var inReadme = []string{"overview", "instance-replaced", "webhook"}

func main() {
	log.SetFlags(0)
	out := flag.String("out", "screenshots/out", "`directory` for the pictures")
	only := flag.String("only", "", "take those screens alone whose name contains this `text`")
	readme := flag.Bool("readme", false, "take those of README.md alone, light and wide, into docs/screenshots")
	flag.Parse()
	s := studio{out: *out, wants: func(name string) bool { return strings.Contains(name, *only) }, sizes: sizes, themes: themes}
	if *readme {
		s.out, s.sizes, s.themes = "../docs/screenshots", sizes[:1], themes[:1]
		s.wants = func(name string) bool { return slices.Contains(inReadme, name) }
	}
	if err := run(s); err != nil {
		log.Fatal(err)
	}
}

var sizes = []struct {
	name string
	size browser.Size
}{{"wide", browser.Wide}, {"phone", browser.Phone}}

var themes = []string{browser.Light, browser.Dark}

// studio is what pictures are taken of, how and where to.
type studio struct {
	out   string
	wants func(screen string) bool
	sizes []struct {
		name string
		size browser.Size
	}
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
	p := &program{}
	defer func() { err = errors.Join(err, p.end(recover())) }()
	scene := browser.NewScene(p, aDay)
	signedOut, signedIn := b.Open(p, scene.BaseURL()), b.Open(p, scene.BaseURL())
	signedIn.SignIn(scene.APIKey)
	for _, screen := range scene.Screens() {
		if !s.wants(screen.Name) {
			continue
		}
		tab := signedIn
		if screen.SignedOut {
			tab = signedOut
		}
		if err := s.take(tab, screen); err != nil {
			return err
		}
	}
	return nil
}

// take takes a screen's pictures, each of the page as it is when it was loaded so.
func (s studio) take(tab *browser.Tab, screen browser.Screen) error {
	for _, size := range s.sizes {
		for _, theme := range s.themes {
			tab.Resize(size.size)
			tab.Prefer(theme)
			screen.Visit(tab)
			name := filepath.Join(s.out, screen.Name+"-"+theme+"-"+size.name+".png")
			if err := os.WriteFile(name, tab.Screenshot(), 0o644); err != nil {
				return fmt.Errorf("writing a picture: %w", err)
			}
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
