package console

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// instanceFilter is what a list of instances is narrowed by, as it stands in the URL.
type instanceFilter struct {
	State   string
	Webhook string
	Source  string
	Ticket  string
	Labels  string // key=value, any number of them with blanks between
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

// expression is the filter as the API takes it, or what is wrong with a field, by its
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
	for _, pair := range strings.Fields(f.Labels) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || strings.ContainsAny(key, `"'`) {
			problems["labels"] = "must be key=value, any number of them with blanks between"
			continue
		}
		add(`labels."`+key+`"`, "=", value)
	}
	for _, s := range sinces {
		if s.Value == f.Since {
			add("createdAt", ">=", now.Add(-s.span).UTC().Format(time.RFC3339))
		}
	}
	for name, bound := range map[string]struct{ operator, value string }{"from": {">=", f.From}, "to": {"<", f.To}} {
		if bound.value == "" {
			continue
		}
		t, err := parseMoment(bound.value)
		if err != nil {
			problems[name] = "must be a time such as " + now.UTC().Format("2006-01-02T15:04:05Z")
			continue
		}
		add("createdAt", bound.operator, t.Format(time.RFC3339Nano))
	}
	return strings.Join(parts, " AND "), problems
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
			return int32(n)
		}
	}
	return int32(pageSizes[0])
}

var pageSizes = []int{25, 50, 100}
