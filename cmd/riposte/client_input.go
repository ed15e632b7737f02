package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
)

const day = 24 * time.Hour

// span is a flag for a duration that may be given in days: 8d, 1d12h, 192h or
// 691200s.
type span time.Duration

func (s *span) Set(value string) error {
	rest := value
	var days float64
	if n, after, found := strings.Cut(value, "d"); found {
		var err error
		if days, err = strconv.ParseFloat(n, 64); err != nil || !(math.Abs(days) <= 1e4) { // nor NaN
			return fmt.Errorf("a duration is 8d, 192h or 691200s, not %q", value)
		}
		rest = after
	}
	var d time.Duration
	if rest != "" || value == "" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			return fmt.Errorf("a duration is 8d, 192h or 691200s, not %q", value)
		}
	}
	*s = span(d + time.Duration(days*float64(day)))
	return nil
}

func (s *span) String() string {
	if *s == 0 {
		return "" // so that --help names no default
	}
	return s.text()
}

// text is 5m where time.Duration says 5m0s.
func (s span) text() string {
	text := time.Duration(s).String()
	if whole, ok := strings.CutSuffix(text, "m0s"); ok {
		text = whole + "m"
	}
	if whole, ok := strings.CutSuffix(text, "h0m"); ok {
		text = whole + "h"
	}
	return text
}

func (*span) Type() string { return "duration" }

func (s *span) mustNotBeNegative(flag string) error {
	if *s < 0 {
		return usagef("--%s must not be negative", flag)
	}
	return nil
}

// given returns the duration when the flag was given, else nil.
func (s *span) given(cmd *cobra.Command, flag string) *durationpb.Duration {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return durationpb.New(time.Duration(*s))
}

// maxInput bounds what is read from a file or standard input, in bytes: the
// server takes no larger body.
const maxInput = 2 << 20

// readJSON reads a flag's JSON: the value itself, @file, or - for standard
// input. It must be JSON here, not only for the server: it is spliced into the
// request as it is.
func readJSON(cmd *cobra.Command, flag, value string) ([]byte, error) {
	b, err := readInput(cmd, value)
	if err != nil {
		return nil, usagef("reading --%s: %w", flag, err)
	}
	if len(b) > maxInput {
		return nil, usagef("--%s is larger than %d bytes, more than the server takes", flag, maxInput)
	}
	if !json.Valid(b) {
		var v any
		return nil, usagef("--%s is not JSON: %w", flag, json.Unmarshal(b, &v))
	}
	return b, nil
}

func readInput(cmd *cobra.Command, value string) ([]byte, error) {
	if value == "-" {
		return io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxInput+1))
	}
	name, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		return []byte(value), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxInput+1))
}

// readPairs reads key=value flags.
func readPairs(flag string, pairs []string) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range pairs {
		key, value, found := strings.Cut(p, "=")
		if !found || key == "" {
			return nil, usagef("--%s must be key=value, not %q", flag, p)
		}
		if _, twice := m[key]; twice {
			return nil, usagef("--%s gives %q twice", flag, key)
		}
		m[key] = value
	}
	return m, nil
}

// onlyOne checks that exactly one of the flags was given and returns its name.
// A script's --approve=false is not given.
func onlyOne(cmd *cobra.Command, flags ...string) (string, error) {
	var given []string
	for _, name := range flags {
		f := cmd.Flags().Lookup(name)
		if off := f.Value.Type() == "bool" && f.Value.String() == "false"; f.Changed && !off {
			given = append(given, name)
		}
	}
	if len(given) != 1 {
		return "", usagef("give exactly one of --%s, not %d; %s --help says more", strings.Join(flags, ", --"), len(given), cmd.CommandPath())
	}
	return given[0], nil
}

// defaultLimit is how many rows a list shows unless it is told otherwise.
const defaultLimit = 50

const limitUsage = "show at most `N`; 0 for all"

// collect follows a list's pages up to limit rows, 0 for all, and says whether
// there are more.
func collect[T any](limit, largestPage int, page func(size int32, token string) ([]T, string, error)) (list []T, more bool, err error) {
	if limit < 0 {
		return nil, false, usagef("--limit must be 0 for all, or more")
	}
	size := largestPage
	if limit > 0 {
		size = min(limit, largestPage)
	}
	for token := ""; ; {
		rows, next, err := page(int32(size), token)
		if err != nil {
			return nil, false, err
		}
		list = append(list, rows...)
		if limit > 0 && len(list) >= limit {
			return list[:limit], next != "" || len(list) > limit, nil
		}
		if next == "" {
			return list, false, nil
		}
		token = next
	}
}

// tellMore says on standard error that a list was cut.
func tellMore(cmd *cobra.Command, more bool, limit int) {
	if more {
		fmt.Fprintf(cmd.ErrOrStderr(), "These are the newest %d; there are more: raise --limit.\n", limit)
	}
}
