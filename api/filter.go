package api

import (
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
var restriction = regexp.MustCompile(`^\s*([A-Za-z_][\w.]*(?:\.(?:"[^"]*"|'[^']*'|[\w./-]+))?)\s*(<=|>=|!=|=|<|>|:)\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'()]+)`)

var conjunction = regexp.MustCompile(`^\s+AND(?:\s+|$)`)

const maxFilterLength = 2048 // bytes

func parseFilter(s string) (riposte.InstanceFilter, error) {
	p := filterParser{rest: s}
	if len(s) > maxFilterLength {
		p.failf("must have at most %d bytes", maxFilterLength)
	}
	for first := true; p.err == nil && strings.TrimSpace(p.rest) != ""; first = false {
		if !first {
			p.and()
		}
		p.restriction()
	}
	return p.filter, p.err
}

type filterParser struct {
	rest   string
	filter riposte.InstanceFilter
	seen   []string
	err    error
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
	if label, ok := strings.CutPrefix(field, "labels."); ok {
		p.label(unquote(label), operator, value)
		return
	}
	switch field {
	case "createdAt", "created_at":
		p.time(&p.filter.Created, field, operator, value)
	case "expiresAt", "expires_at":
		p.time(&p.filter.Expires, field, operator, value)
	default:
		p.equal(field, operator, value)
	}
}

func (p *filterParser) equal(field, operator, value string) {
	if !p.once(field, operator) {
		return
	}
	switch field {
	case "webhookId", "webhook_id":
		p.filter.WebhookID = value
	case "ticketId", "ticket_id":
		p.filter.TicketID = value
	case "state":
		p.filter.State = riposte.State(strings.TrimPrefix(value, "WEBHOOK_STATE_"))
		if !slices.Contains(riposte.States, p.filter.State) {
			p.failf("has no state %q; the states are %v", value, riposte.States)
		}
	case "source":
		p.filter.SourceKind = riposte.SourceKind(value)
		if !slices.Contains(riposte.SourceKinds, p.filter.SourceKind) {
			p.failf("has no source %q; the sources are %v", value, riposte.SourceKinds)
		}
	default:
		p.failf("can't compare %q; it takes webhookId, state, source, ticketId, labels.KEY, createdAt and expiresAt", field)
	}
	if value == "" {
		p.failf("must not compare %s with nothing", field)
	}
}

func (p *filterParser) label(key, operator, value string) {
	if !p.once("labels."+key, operator) {
		return
	}
	if p.filter.Labels == nil {
		p.filter.Labels = map[string]string{}
	}
	p.filter.Labels[key] = value
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

// time narrows a range; times are whole microseconds.
func (p *filterParser) time(r *riposte.TimeRange, field, operator, value string) {
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		p.failf("must compare %s with an RFC 3339 time, not %q", field, value)
		return
	}
	t = riposte.Time(t)
	next := t.Add(time.Microsecond)
	switch operator {
	case "=":
		from(r, t)
		to(r, next)
	case ">=":
		from(r, t)
	case ">":
		from(r, next)
	case "<":
		to(r, t)
	case "<=":
		to(r, next)
	default:
		p.failf("takes only =, <, <=, > and >= for %s, not %s", field, operator)
	}
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

var escaped = regexp.MustCompile(`\\(.)`)

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' && s[0] != '\'' {
		return s
	}
	return escaped.ReplaceAllString(s[1:len(s)-1], "$1")
}
