package console

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// instanceFilter is what a list of instances is narrowed by, as it stands in the URL.
type instanceFilter struct {
	State   string
	Webhook string
	Source  string
	Ticket  string
	Labels  string // as parseLabels takes them
	Since   string // how long ago they were created at most, one of sinces
	From    string // created at or after, RFC 3339
	To      string // created before
}

// since is a choice for how old instances may be.
type since struct {
	Value, Text string
	span        time.Duration
}

var sinces = []since{
	{"15m", "Last 15 minutes", 15 * time.Minute},
	{"1h", "Last hour", time.Hour},
	{"24h", "Last day", 24 * time.Hour},
	{"168h", "Last week", 7 * 24 * time.Hour},
	{"720h", "Last 30 days", 30 * 24 * time.Hour},
}

// sinceValues are those of sinces, for people who write addresses.
func sinceValues() string {
	var values []string
	for _, s := range sinces {
		values = append(values, s.Value)
	}
	return strings.Join(values, ", ")
}

func readInstanceFilter(q url.Values) instanceFilter {
	get := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return instanceFilter{
		State: get("state"), Webhook: get("webhook"), Source: get("source"), Ticket: get("ticket"),
		Labels: get("labels"), Since: get("since"), From: get("from"), To: get("to"),
	}
}

// query is the filter as it stands in a URL.
func (f instanceFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "webhook": f.Webhook, "source": f.Source, "ticket": f.Ticket,
		"labels": f.Labels, "since": f.Since, "from": f.From, "to": f.To} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// Empty reports whether it selects everything.
func (f instanceFilter) Empty() bool { return f == instanceFilter{} }

// expression is a fixed filter as the API takes it, or what is wrong with a field, by its
// name. What has a rule of its own in the API is left to that.
func (f instanceFilter) expression(now time.Time) (string, map[string]string) {
	var parts []string
	add := func(field, operator, value string) {
		parts = append(parts, field+" "+operator+" "+quoted(value))
	}
	equal := func(field, value string) {
		if value != "" {
			add(field, "=", value)
		}
	}
	problems := map[string]string{}
	equal("state", f.State)
	equal("webhookId", f.Webhook)
	equal("source", f.Source)
	equal("ticketId", f.Ticket)
	labels, ok := parseLabels(f.Labels)
	if !ok {
		problems["labels"] = labelRule
	}
	for _, l := range labels {
		field, ok := l.field()
		if !ok {
			problems["labels"] = "must have no key with both kinds of quotes in it: no filter takes one"
		}
		add(field, "=", l.Value)
	}
	parts = append(parts, createdWithin(f.Since, f.From, f.To, now, problems)...)
	return strings.Join(parts, " AND "), problems
}

// createdWithin compares the time of creation as the API takes it, or says what is wrong
// with a field, by its name. A span that is left is none of the choices.
func createdWithin(since, from, to string, now time.Time, problems map[string]string) []string {
	var parts []string
	if since != "" {
		problems["since"] = "must be one of " + sinceValues()
	}
	for _, bound := range []struct{ name, operator, value string }{{"from", ">=", from}, {"to", "<", to}} {
		if bound.value == "" {
			continue
		}
		t, err := parseMoment(bound.value)
		if err != nil {
			problems[bound.name] = "must be a time such as " + now.UTC().Format("2006-01-02T15:04:05Z")
			continue
		}
		parts = append(parts, "createdAt "+bound.operator+" "+quoted(t.Format(time.RFC3339Nano)))
	}
	return parts
}

// filterWord is a part of a filter, for people.
type filterWord struct {
	Name, Text string
	At         momentView // in place of Text, for a time
}

// fixed is the filter with the beginning of its span as a time: what it matches must
// not change while it is worked on, nor may what the token is bound to. A span that is
// none of the choices stays, for expression to refuse it.
func (f instanceFilter) fixed(now time.Time) instanceFilter {
	f.Since, f.From = fixedSpan(f.Since, f.From, now)
	return f
}

// fixedSpan is a span as the time of its beginning, where that is later than from.
func fixedSpan(span, from string, now time.Time) (since, begin string) {
	for _, s := range sinces {
		if s.Value != span {
			continue
		}
		// To the minute, so that a list that is looked at again stays the same page.
		at := now.Add(-s.span).Truncate(time.Minute).UTC()
		if t, err := parseMoment(from); from == "" || err == nil && t.Before(at) {
			from = at.Format(time.RFC3339)
		}
		return "", from
	}
	return span, from
}

// before is the filter without what is created from now on.
func (f instanceFilter) before(now time.Time) instanceFilter {
	if t, err := parseMoment(f.To); f.To == "" || err == nil && t.After(now) {
		f.To = now.UTC().Format(time.RFC3339Nano)
	}
	return f
}

// words say in whole what the filter matches; webhook is the name of its webhook.
func (f instanceFilter) words(webhook string) []filterWord {
	var words []filterWord
	add := func(name, text string) {
		if text != "" {
			words = append(words, filterWord{Name: name, Text: text})
		}
	}
	moment := func(name, value string) {
		if t, err := parseMoment(value); err == nil {
			words = append(words, filterWord{Name: name, At: newMoment(timestamppb.New(t), "")})
		}
	}
	state, source := f.State, f.Source
	for _, s := range allStates {
		if s.Name == state {
			state = s.Text
		}
	}
	for _, s := range sourceKinds {
		if s.Kind == source {
			source = s.Text
		}
	}
	add("State", state)
	add("Source", source)
	if f.Webhook != "" {
		add("Webhook", cmp.Or(webhook, f.Webhook))
	}
	add("Ticket", f.Ticket)
	add("Labels", labelWords(f.Labels))
	moment("Asked from", f.From)
	moment("Asked before", f.To)
	return words
}

// parseMoment takes RFC 3339, and shorter forms of it as UTC.
func parseMoment(s string) (t time.Time, err error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err = time.Parse(layout, strings.TrimSuffix(s, " UTC")); err == nil {
			return t.UTC(), nil
		}
	}
	return t, err
}

// quoted is a value as AIP-160 takes it in quotes.
func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// pageSize is how many rows somebody wants, one of pageSizes.
func pageSize(q url.Values) int32 {
	n, _ := strconv.Atoi(q.Get("size"))
	for _, size := range pageSizes {
		if n == size {
			return int32(n) // #nosec G109 -- it is one of pageSizes
		}
	}
	return int32(pageSizes[0])
}

var pageSizes = []int{25, 50, 100}
