package client

import (
	"maps"
	"slices"
	"strings"
)

// Filter selects outcomes by their instances: its parts combine with AND, and a zero
// part selects all.
type Filter struct {
	WebhookID string
	Source    SourceKind
	TicketID  string
	Labels    map[string]string
}

// String is the filter as the API takes it.
func (f Filter) String() string {
	var parts []string
	add := func(field, value string) {
		if value != "" {
			parts = append(parts, field+" = "+quote(value))
		}
	}
	add("webhookId", f.WebhookID)
	add("source", string(f.Source))
	add("ticketId", f.TicketID)
	for _, key := range slices.Sorted(maps.Keys(f.Labels)) {
		parts = append(parts, "labels."+quoteKey(key)+" = "+quote(f.Labels[key]))
	}
	return strings.Join(parts, " AND ")
}

var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func quote(value string) string { return `"` + quoted.Replace(value) + `"` }

// quoteKey quotes a label's key, which may have one kind of quotes in it.
func quoteKey(key string) string {
	key = strings.ReplaceAll(key, `\`, `\\`)
	if strings.Contains(key, `"`) {
		return "'" + key + "'"
	}
	return `"` + key + `"`
}
