package receiver

import (
	"fmt"
	"testing"
	"time"
)

func TestSeenTokensAreBounded(t *testing.T) {
	s := newSeenTokens(3)
	now := time.Now()
	life := now.Add(time.Minute)
	for n := range 5 {
		if !s.add(fmt.Sprint(n), life, now) {
			t.Errorf("%d was seen", n)
		}
	}
	if len(s.until) != 3 || len(s.order) != 3 {
		t.Errorf("it keeps %d and %d, want 3", len(s.until), len(s.order))
	}
	for n := 3; n < 5; n++ {
		if s := s; s.add(fmt.Sprint(n), life, now.Add(time.Second)) {
			t.Errorf("%d was forgotten within its life", n)
		}
	}
	if !s.add("late", life.Add(time.Hour), now.Add(2*time.Minute)) || len(s.until) != 1 || len(s.order) != 1 {
		t.Errorf("it keeps %d and %d after their life, want 1", len(s.until), len(s.order))
	}
}
