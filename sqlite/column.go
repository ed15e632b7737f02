package sqlite

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/riposte-dev/riposte"
)

// micros is how a time is stored; NULL stands for the zero time.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// moment scans what micros stored.
type moment struct{ t *time.Time }

func (m moment) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*m.t = time.Time{}
	case int64:
		*m.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time is stored as %T", src)
	}
	return nil
}

// object is how a map is stored: JSON, and NULL for one without entries.
func object[M ~map[string]V, V any](m M) (any, error) {
	if len(m) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(m)
	return string(b), err
}

// members scans what object stored.
type members[M ~map[string]V, V any] struct{ m *M }

func (o members[M, V]) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*o.m = nil
		return nil
	case string:
		return json.Unmarshal([]byte(v), o.m)
	}
	return fmt.Errorf("a JSON object is stored as %T", src)
}

// pushColumn is how a push is stored: JSON, and NULL where there is none.
func pushColumn(p *riposte.Push) (any, error) {
	if p == nil {
		return nil, nil
	}
	b, err := json.Marshal(p)
	return string(b), err
}

// pushScan scans what pushColumn stored.
type pushScan struct{ p **riposte.Push }

func (s pushScan) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*s.p = nil
		return nil
	case string:
		return json.Unmarshal([]byte(v), s.p)
	}
	return fmt.Errorf("a push is stored as %T", src)
}

// requestColumn is how what a webhook's requests have beyond the contract is stored:
// JSON, and nothing for nothing.
func requestColumn(r riposte.RequestSettings) (string, error) {
	b, err := json.Marshal(r)
	if string(b) == "{}" {
		return "", err
	}
	return string(b), err
}

// requestScan scans what requestColumn stored.
type requestScan struct{ r *riposte.RequestSettings }

func (s requestScan) Scan(src any) error {
	*s.r = riposte.RequestSettings{}
	v, ok := src.(string)
	switch {
	case !ok:
		return fmt.Errorf("a webhook's request settings are stored as %T", src)
	case v == "":
		return nil
	}
	return json.Unmarshal([]byte(v), s.r)
}

// numbersJSON writes row numbers for json_each, which stands in for the list
// parameters that SQLite does not have.
func numbersJSON(numbers []int64) string {
	b := make([]byte, 0, 2+12*len(numbers))
	b = append(b, '[')
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(append(b, ']'))
}
