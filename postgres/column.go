package postgres

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// micros is how a time is stored; NULL stands for the zero time.
func micros(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

// moment is what micros stored.
func moment(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return time.UnixMicro(*us).UTC()
}

// orNever is how a due time is stored that may be none.
func orNever(t time.Time) int64 {
	if t.IsZero() {
		return lane.Never
	}
	return t.UnixMicro()
}

// pushColumn is how a push is stored: JSON, and NULL where there is none. Nothing
// in it can fail to be marshalled.
func pushColumn(p *riposte.Push) *string {
	if p == nil {
		return nil
	}
	b, _ := json.Marshal(p)
	s := string(b)
	return &s
}

// scanPush reads what pushColumn stored.
func scanPush(stored *string, p **riposte.Push) error {
	if stored == nil {
		return nil
	}
	return json.Unmarshal([]byte(*stored), p)
}

// object is how a map is stored: JSON, and NULL for one without entries.
func object[M ~map[string]V, V any](m M) (*string, error) {
	if len(m) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(m)
	s := string(b)
	return &s, err
}

// members reads what object stored.
func members[M ~map[string]V, V any](stored *string, m *M) error {
	if stored == nil {
		return nil
	}
	return json.Unmarshal([]byte(*stored), m)
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

// scanRequest reads what requestColumn stored.
func scanRequest(stored string, r *riposte.RequestSettings) error {
	if stored == "" {
		return nil
	}
	return json.Unmarshal([]byte(stored), r)
}

// texts are those of ids that PostgreSQL takes for a text; a row can have no others.
func texts(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return strings.Contains(id, "\x00") || !utf8.ValidString(id) })
}
