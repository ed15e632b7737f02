package postgres

import (
	"encoding/json"
	"time"
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
