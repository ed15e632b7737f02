package api

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
)

// restriction is one comparison of a filter: AIP-160's, of which we take AND
// and =, <, <=, >, >= alone (PROTOCOL.md section 7). A value is bare or in
// double or single quotes.
var restriction = regexp.MustCompile(`^\s*([A-Za-z_][\w.]*(?:\.(?:"[^"]*"|'[^']*'|[\w./-]+))?)\s*(<=|>=|!=|=|<|>|:)\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'()<>=!][^\s"'()]*)`)

var conjunction = regexp.MustCompile(`^\s+AND(?:\s+|$)`)

const maxFilterLength = 2048 // bytes

func parseFilter(s string) (riposte.InstanceFilter, error) {
	var f riposte.InstanceFilter
	p := filterParser{
		takes: "webhookId, state, source, ticketId, createdBy, labels.KEY, createdAt and expiresAt",
		times: map[string]*riposte.TimeRange{"createdAt": &f.Created, "expiresAt": &f.Expires},
		texts: map[string]*string{"webhookId": &f.WebhookID, "ticketId": &f.TicketID, "createdBy": &f.CreatedBy,
			"state": (*string)(&f.State), "source": (*string)(&f.SourceKind)},
		labels: &f.Labels,
	}
	if p.parse(s) != nil {
		return f, p.err
	}
	if f.State != "" {
		f.State = riposte.State(strings.TrimPrefix(string(f.State), "WEBHOOK_STATE_"))
		if !slices.Contains(riposte.States, f.State) {
			p.failf("has no state %q; the states are %v", f.State, riposte.States)
		}
	}
	if f.SourceKind != "" && !slices.Contains(riposte.SourceKinds, f.SourceKind) {
		p.failf("has no source %q; the sources are %v", f.SourceKind, riposte.SourceKinds)
	}
	return f, p.err
}

func parseAuditFilter(s string) (riposte.AuditFilter, error) {
	var f riposte.AuditFilter
	p := filterParser{
		takes: "actor, operation, target and createdAt",
		times: map[string]*riposte.TimeRange{"createdAt": &f.Created},
		texts: map[string]*string{"actor": &f.Actor, "operation": &f.Operation, "target": &f.Target},
	}
	return f, p.parse(s)
}

// instanceFilter is parseFilter for a list that caller asks for: it selects nothing
// that caller may not see. Who compares createdBy with another name than its own is
// told so, because an empty list would say that there is nothing.
func instanceFilter(caller riposte.Caller, s string) (riposte.InstanceFilter, error) {
	f, err := parseFilter(s)
	only := caller.Only()
	if err == nil && only != "" && f.CreatedBy != "" && f.CreatedBy != only {
		err = riposte.Invalid(riposte.Violation{Field: "filter",
			Description: fmt.Sprintf("must not compare createdBy with anything but %q: a sender sees its own instances alone", only)})
	}
	f.CreatedBy = cmp.Or(only, f.CreatedBy)
	return f, err
}

// filterParser reads a filter into what its fields point to.
type filterParser struct {
	takes  string // the names of the fields, for people
	texts  map[string]*string
	times  map[string]*riposte.TimeRange
	labels *map[string]string // nil where there are none

	rest string
	seen []string
	err  error
}

func (p *filterParser) parse(s string) error {
	p.rest = s
	if len(s) > maxFilterLength {
		p.failf("must have at most %d bytes", maxFilterLength)
	}
	for first := true; p.err == nil && strings.TrimSpace(p.rest) != ""; first = false {
		if !first {
			p.and()
		}
		p.restriction()
	}
	return p.err
}

func (p *filterParser) failf(format string, args ...any) {
	if p.err == nil {
		p.err = riposte.Invalid(riposte.Violation{Field: "filter", Description: fmt.Sprintf(format, args...)})
	}
}

func (p *filterParser) and() {
	m := conjunction.FindString(p.rest)
	if m == "" {
		p.failf("must join its comparisons with AND; OR, NOT and parentheses are not taken: at %q", p.rest)
	}
	p.rest = p.rest[len(m):]
}

func (p *filterParser) restriction() {
	m := restriction.FindStringSubmatch(p.rest)
	if m == nil {
		p.failf(`must be comparisons such as state = ERROR or createdAt >= "2026-01-02T15:04:05Z": at %q`, p.rest)
		return
	}
	p.rest = p.rest[len(m[0]):]
	field, operator, value := m[1], m[2], unquote(m[3])
	label, isLabel := strings.CutPrefix(field, "labels.")
	field = jsonName(field)
	text, isText := p.texts[field]
	times, isTime := p.times[field]
	switch {
	case isLabel && p.labels != nil:
		p.label(unquote(label), operator, value)
	case isTime:
		p.time(times, field, operator, value)
	case isText:
		p.equal(text, field, operator, value)
	default:
		p.failf("can't compare %q; it takes %s", field, p.takes)
	}
}

// jsonName lets a filter name fields in snake_case, too.
func jsonName(field string) string {
	switch field {
	case "webhook_id":
		return "webhookId"
	case "ticket_id":
		return "ticketId"
	case "created_by":
		return "createdBy"
	case "created_at":
		return "createdAt"
	case "expires_at":
		return "expiresAt"
	}
	return field
}

func (p *filterParser) equal(to *string, field, operator, value string) {
	if value == "" {
		p.failf("must not compare %s with nothing", field)
	}
	if p.once(field, operator) {
		*to = value
	}
}

func (p *filterParser) label(key, operator, value string) {
	if !p.once("labels."+key, operator) {
		return
	}
	if *p.labels == nil {
		*p.labels = map[string]string{}
	}
	(*p.labels)[key] = value
}

// once checks what all but the times have in common.
func (p *filterParser) once(field, operator string) bool {
	if operator != "=" {
		p.failf("takes only = for %s, not %s", field, operator)
	}
	if slices.Contains(p.seen, field) {
		p.failf("must name %s once", field)
	}
	p.seen = append(p.seen, field)
	return p.err == nil
}

// time narrows a range. What is kept has whole microseconds, so a bound is the
// first one that counts.
func (p *filterParser) time(r *riposte.TimeRange, field, operator, value string) {
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		p.failf("must compare %s with an RFC 3339 time, not %q", field, value)
		return
	}
	if epoch := time.Unix(0, 0); t.Before(epoch) {
		t = epoch // nothing is older, and the zero time would mean no bound
	}
	at, after := firstMicrosecond(t), firstMicrosecond(t.Add(time.Nanosecond))
	switch operator {
	case "=":
		from(r, at)
		to(r, after)
	case ">=":
		from(r, at)
	case ">":
		from(r, after)
	case "<":
		to(r, at)
	case "<=":
		to(r, after)
	default:
		p.failf("takes only =, <, <=, > and >= for %s, not %s", field, operator)
	}
}

// firstMicrosecond rounds up.
func firstMicrosecond(t time.Time) time.Time {
	return riposte.Time(t.Add(time.Microsecond - time.Nanosecond))
}

func from(r *riposte.TimeRange, t time.Time) {
	if t.After(r.From) {
		r.From = t
	}
}

func to(r *riposte.TimeRange, t time.Time) {
	if r.To.IsZero() || t.Before(r.To) {
		r.To = t
	}
}

var escaped = regexp.MustCompile(`(?s)\\(.)`)

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' && s[0] != '\'' {
		return s
	}
	return escaped.ReplaceAllString(s[1:len(s)-1], "$1")
}
