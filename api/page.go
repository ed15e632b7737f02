package api

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/riposte-dev/riposte"
)

// Bounds of a page (PROTOCOL.md section 1, Rules).
const (
	minPageSize          = 10
	defaultPageSize      = 25
	maxPageSize          = 100
	maxInstancesPageSize = 1000
)

// page is where a list stands: keyset, newest first.
type page struct {
	size   int
	before string // the last id of the page before
	filter string // what the list is filtered by; a cursor works for no other
}

func newPage(size int32, token string, largest int, filter ...string) (page, error) {
	p := page{size: int(size), filter: strings.Join(filter, "\x00")}
	switch {
	case size < 0:
		return page{}, riposte.Invalid(riposte.Violation{Field: "pageSize", Description: "must not be negative"})
	case size == 0:
		p.size = defaultPageSize
	default:
		p.size = max(minPageSize, min(p.size, largest))
	}
	if token == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil && len(b) > len(p.tag()) && string(b[:len(p.tag())]) == p.tag() {
		p.before = string(b[len(p.tag()):])
	}
	if !riposte.IsID(p.before) {
		return page{}, riposte.Invalid(riposte.Violation{Field: "pageToken", Description: "must be one that a page of this very list gave"})
	}
	return p, nil
}

func (p page) tag() string {
	sum := sha256.Sum256([]byte(p.filter))
	return string(sum[:8])
}

// limit asks for one row more than the page has, to know whether it is the last.
func (p page) limit() int { return p.size + 1 }

func (p page) token(lastID string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.tag() + lastID))
}

// cut splits off the row too many and returns the next page's token.
func cut[T any](p page, rows []T, id func(T) string) ([]T, string) {
	if len(rows) <= p.size {
		return rows, ""
	}
	rows = rows[:p.size]
	return rows, p.token(id(rows[p.size-1]))
}
