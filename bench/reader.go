package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// reader is somebody who has signed in to a node's console.
type reader struct {
	node   *node
	cookie *http.Cookie
}

func (n *node) signIn(ctx context.Context) (*reader, error) {
	form := url.Values{"key": {apiKey}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url+"/sign-in", strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// Not the client's Do, which would go where it is sent then.
	resp, err := n.client.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if cookies := resp.Cookies(); resp.StatusCode == http.StatusSeeOther && len(cookies) == 1 {
		return &reader{n, cookies[0]}, nil
	}
	return nil, fmt.Errorf("signing in: %s: %s", resp.Status, said)
}

// shown is a page as a reader got it.
type shown struct {
	status int
	html   []byte
	tag    string
}

// look asks for a page, or where tag isn't empty for one of another tag.
func (r *reader) look(ctx context.Context, path, tag string) (shown, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.node.url+path, nil)
	if err != nil {
		return shown{}, err
	}
	req.AddCookie(r.cookie)
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := r.node.client.Transport.RoundTrip(req)
	if err != nil {
		return shown{}, err
	}
	defer resp.Body.Close()
	s := shown{status: resp.StatusCode, tag: resp.Header.Get("ETag")}
	if s.html, err = io.ReadAll(resp.Body); err != nil {
		return s, err
	}
	if s.status != http.StatusOK && (s.status != http.StatusNotModified || tag == "") {
		return s, fmt.Errorf("looking at %s: %s: %s", path, resp.Status, s.html)
	}
	return s, nil
}

var (
	rowsLink = []byte(`<td data-label="Question"><a href="/instances/`)
	nextLink = regexp.MustCompile(`href="([^"]*)" rel="next"`)
)

// rows is how many instances a list shows.
func (s shown) rows() int { return bytes.Count(s.html, rowsLink) }

// first is the path of the first instance of a list, "" in one without.
func (s shown) first() string {
	_, rest, _ := bytes.Cut(s.html, rowsLink)
	id, _, found := bytes.Cut(rest, []byte(`"`))
	if !found {
		return ""
	}
	return "/instances/" + string(id)
}

// next is the path of a list's next page, "" on the last one.
func (s shown) next() string {
	if link := nextLink.FindSubmatch(s.html); link != nil {
		return html.UnescapeString(string(link[1]))
	}
	return ""
}

// measure looks at all screens in turn, so many times, and returns each one's times.
// Each was looked at before, and shows what it should: where there are no instances,
// none.
func (r *reader) measure(ctx context.Context, screens []screen, times int, instances bool) ([]*hdrhistogram.Histogram, error) {
	took := make([]*hdrhistogram.Histogram, len(screens))
	for n, s := range screens {
		took[n] = newHistogram()
		at, err := r.look(ctx, s.path, "")
		if err != nil {
			return nil, err
		}
		if want := s.finds && instances; (at.rows() > 0) != want && !s.noList {
			return nil, fmt.Errorf("the list %q (%s) shows %d instances, and it should be %t that there are some", s.name, s.path, at.rows(), want)
		}
	}
	for range times {
		for n, s := range screens {
			began := time.Now()
			if _, err := r.look(ctx, s.path, ""); err != nil {
				return nil, err
			}
			if err := took[n].RecordValue(time.Since(began).Microseconds()); err != nil {
				return nil, err
			}
		}
	}
	return took, nil
}

const (
	clickEvery = time.Second
	liveEvery  = 2 * time.Second // as console.js looks at a list again
)

// lookWhile has so many people look at the console while do runs, and returns how long
// what they clicked on took. Each looks at a random one of some screens every second,
// and has a list open beside it.
func (r *reader) lookWhile(ctx context.Context, people int, screens []screen, do func() error) (*hdrhistogram.Histogram, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	took := make([]*hdrhistogram.Histogram, people)
	var failed firstError
	var looking sync.WaitGroup
	for n := range took {
		took[n] = newHistogram()
		looking.Go(func() { failed.set(r.click(ctx, screens, took[n])) })
		looking.Go(func() { failed.set(r.watch(ctx)) })
	}
	err := do()
	end()
	looking.Wait()
	all := newHistogram()
	for _, each := range took {
		all.Merge(each)
	}
	return all, errors.Join(err, failed.get())
}

// click looks at a random screen every so often until ctx ends.
func (r *reader) click(ctx context.Context, screens []screen, took *hdrhistogram.Histogram) error {
	return repeat(ctx, clickEvery, func() error {
		began := time.Now()
		if _, err := r.look(context.WithoutCancel(ctx), screens[rand.IntN(len(screens))].path, ""); err != nil {
			return err
		}
		return took.RecordValue(time.Since(began).Microseconds())
	})
}

// watch has the list open that looks for what is new, until ctx ends.
func (r *reader) watch(ctx context.Context) error {
	tag := ""
	return repeat(ctx, liveEvery, func() error {
		at, err := r.look(context.WithoutCancel(ctx), "/instances", tag)
		tag = at.tag
		return err
	})
}

// repeat does something at once and then every so often, until ctx ends.
func repeat(ctx context.Context, every time.Duration, do func() error) error {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}
