package riposte

import (
	"slices"
	"strings"
)

// Bounds of the headers that a webhook's requests have beyond the contract.
const (
	MaxHeaders         = 32
	MaxHeaderValueSize = 8 << 10  // bytes
	MaxHeadersSize     = 16 << 10 // bytes of all names and values together
)

// Header is a header that is sent with each request.
type Header struct {
	Name  string `json:"name"`
	Value Sealed `json:"value"` // for Purpose
	Size  int    `json:"size"`  // of the value, in bytes, because what is sealed doesn't tell
}

// Purpose is what the value is sealed for.
func (h Header) Purpose(webhookID string) string {
	return webhookPurpose(webhookID, headerPurpose(h.Name))
}

func headerPurpose(name string) string { return "header/" + strings.ToLower(name) }

// HeaderChange is a header as it is to be. A nil Value stands for the one that is there
// under the name.
type HeaderChange struct {
	Name  string
	Value *string
}

// The names that a webhook's headers may not have (PROTOCOL.md section 7): those that
// the contract and HTTP itself set, those by which somebody who stands between tells
// who asks, and those that metadata services of clouds ask for. One that ends in * stands for all that
// begin so.
var reservedHeaders = []string{
	"authorization", "user-agent", "webhook-*", "svix-*",
	"host", "content-*", "accept-encoding", "expect", "cookie",
	"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "http2-settings", "proxy-*",
	"forwarded", "x-forwarded-*",
	"metadata*", "x-aws-ec2-metadata-*", "x-google-metadata-*", "x-aliyun-ecs-metadata-*",
	"idempotency-key", "x-idempotency-key", // Go's transport sends a POST with one again by itself
}

// ReservedHeader reports whether a webhook may not have a header of this name. An
// underscore counts as a hyphen, because many a receiver can't tell them apart
// (RFC 3875, section 4.1.18).
func ReservedHeader(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return slices.ContainsFunc(reservedHeaders, func(reserved string) bool {
		if prefix, ok := strings.CutSuffix(reserved, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == reserved
	})
}

// changeHeaders returns the headers that changes make of old.
func changeHeaders(v *violations, old []Header, changes []HeaderChange, seal Sealer) []Header {
	if n := len(changes); n > MaxHeaders {
		v.addf("headers.list", "must be at most %d, are %d", MaxHeaders, n)
		return old
	}
	var list []Header
	size, seen := 0, map[string]bool{}
	for n, c := range changes {
		folded := strings.ToLower(c.Name)
		checkHeaderName(v, element("headers.list", n, "name"), c.Name, seen[folded])
		seen[folded] = true
		h := changeHeader(v, element("headers.list", n, "value"), old, c, seal)
		size += len(h.Name) + h.Size
		list = append(list, h)
	}
	if size > MaxHeadersSize {
		v.addf("headers.list", "must have at most %d bytes of names and values together, has %d", MaxHeadersSize, size)
	}
	return list
}

func changeHeader(v *violations, field string, old []Header, c HeaderChange, seal Sealer) Header {
	if c.Value != nil {
		checkHeaderValue(v, field, *c.Value)
		return Header{Name: c.Name, Value: seal(headerPurpose(c.Name), []byte(*c.Value)), Size: len(*c.Value)}
	}
	n := slices.IndexFunc(old, func(h Header) bool { return strings.EqualFold(h.Name, c.Name) })
	if n < 0 {
		v.addf(field, "must be set: there is no header of this name whose value could stay")
		return Header{Name: c.Name}
	}
	return Header{Name: c.Name, Value: old[n].Value, Size: old[n].Size}
}

func checkHeaderName(v *violations, field, name string, twice bool) {
	switch {
	case !isToken(name):
		v.addf(field, "must be a token of RFC 9110: letters, digits and !#$%%&'*+-.^_`|~")
	case ReservedHeader(name):
		v.addf(field, "must not be %q, which is reserved", name)
	case twice:
		v.addf(field, "must be there once: names that differ in case alone are the same")
	}
}

// isToken is RFC 9110, section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		return !letter && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

// checkHeaderValue takes ASCII alone: whoever reads other bytes guesses what they mean.
func checkHeaderValue(v *violations, field, value string) {
	switch {
	case len(value) > MaxHeaderValueSize:
		v.addf(field, "must have at most %d bytes, has %d", MaxHeaderValueSize, len(value))
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }):
		v.addf(field, "must be of printable ASCII characters")
	case strings.Trim(value, " ") != value:
		v.addf(field, "must not begin or end with a blank")
	}
}
