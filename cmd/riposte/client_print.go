package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte/apijson"
)

// print writes what a call came to: the API's own JSON, or what text writes
// for people. It is one write, so that a full disk is an error and not a file
// cut short.
func (f *clientFlags) print(cmd *cobra.Command, m proto.Message, text func(*bytes.Buffer)) error {
	var out bytes.Buffer
	if f.json {
		b, err := apijson.Marshal(m)
		if err != nil {
			return err
		}
		out.Write(b)
		out.WriteByte('\n')
	} else {
		text(&out)
	}
	if _, err := cmd.OutOrStdout().Write(out.Bytes()); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

// table aligns cells for people. Every cell is made visible.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer, header ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)}
	t.row(header...)
	return t
}

func (t table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = visible(c)
		if c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) flush() { _ = t.w.Flush() } // into a buffer, which never fails

// facts are lines of a name and a value. A fact without a value is left out.
type facts struct{ w *tabwriter.Writer }

func newFacts(out io.Writer) facts { return facts{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)} }

func (f facts) add(name, value string) {
	if value != "" {
		fmt.Fprintf(f.w, "%s:\t%s\n", name, visible(value))
	}
}

func (f facts) flush() { _ = f.w.Flush() }

// visible shows what came from outside without letting it act on a terminal:
// control characters, escape sequences, characters that reorder or hide text
// and bytes that are not UTF-8 appear as Go would write them in a string.
func visible(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// visibleLines is visible for text of several lines.
func visibleLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = visible(strings.ReplaceAll(l, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// writeBlock writes text of several lines below a title.
func writeBlock(out *bytes.Buffer, title, text string) {
	fmt.Fprintf(out, "\n%s:\n", title)
	for line := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		out.WriteString(strings.TrimRight("  "+visibleLines(line), " ") + "\n")
	}
}

// pretty indents a JSON document and leaves any other text as it is. Numbers
// and the order of names stay what they are.
func pretty(document string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(strings.TrimSpace(document)), "", "  "); err != nil {
		return document
	}
	return b.String()
}

// short cuts a table's cell to n characters.
func short(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// enumName takes an enum's value without its type's prefix; "" for unset.
func enumName(value fmt.Stringer, prefix string) string {
	name := strings.TrimPrefix(value.String(), prefix)
	if name == "UNSPECIFIED" {
		return ""
	}
	return name
}

// age is how long ago t was, or how long until it is; "" for unset.
func age(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return ""
	}
	return roughly(now.Sub(t.AsTime()).Abs())
}

// roughly gives a duration in the one unit that people would use.
func roughly(d time.Duration) string {
	for _, unit := range []struct {
		name  string
		size  time.Duration
		until time.Duration
	}{{"s", time.Second, 2 * time.Minute}, {"m", time.Minute, 2 * time.Hour}, {"h", time.Hour, 2 * day}} {
		if rounded := d.Round(unit.size); rounded < unit.until {
			return fmt.Sprintf("%d%s", rounded/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%dd", d.Round(day)/day)
}

// moment is a time as people read it, with its distance from now; "" for unset.
func moment(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return ""
	}
	at := t.AsTime()
	distance := roughly(now.Sub(at).Abs()) + " ago"
	if at.After(now) {
		distance = "in " + roughly(at.Sub(now))
	}
	return fmt.Sprintf("%s (%s)", at.Local().Format("2006-01-02 15:04:05 MST"), distance)
}

// elapsed is a measured duration to three digits or so; "" for unset.
func elapsed(d *durationpb.Duration) string {
	if d == nil {
		return ""
	}
	v := d.AsDuration()
	switch {
	case v >= time.Second:
		v = v.Round(10 * time.Millisecond)
	case v >= time.Millisecond:
		v = v.Round(100 * time.Microsecond)
	default:
		v = v.Round(time.Microsecond)
	}
	return v.String()
}
