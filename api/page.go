package api

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
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
	tag    string // of the list and its filter: a cursor works for no other
}

// newPage takes the list's name and what it is filtered by as filter.
func newPage(size int32, token string, largest int, filter ...string) (page, error) {
	p := page{size: int(size), tag: pageTag(filter)}
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
	b, ok := decodeToken(token)
	before, tagged := strings.CutPrefix(string(b), p.tag)
	if !ok || !tagged || !riposte.IsID(before) {
		return page{}, riposte.Invalid(riposte.Violation{Field: "pageToken", Description: "must be one that a page of this very list gave"})
	}
	p.before = before
	return p, nil
}

// pageTag is a short hash. Every part carries its length, so that no two
// filters share a preimage.
func pageTag(filter []string) string {
	h := sha256.New()
	for _, part := range filter {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return string(h.Sum(nil)[:8])
}

// limit asks for one row more than the page has, to know whether it is the last.
func (p page) limit() int { return p.size + 1 }

func (p page) token(lastID string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.tag + lastID))
}

// next is the token of the page that begins before an id; "" where there is none.
func (p page) next(before string) string {
	if before == "" {
		return ""
	}
	return p.token(before)
}

// cut splits off the row too many and returns the next page's token.
func cut[T any](p page, rows []T, id func(T) string) ([]T, string) {
	if len(rows) <= p.size {
		return rows, ""
	}
	rows = rows[:p.size]
	return rows, p.token(id(rows[p.size-1]))
}
