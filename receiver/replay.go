package receiver

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSeen bounds the tokens that are remembered: 360 a second over a life of
// three minutes, in 6 MB or so. Only verified ones get here, so that nobody
// else can fill it.
const maxSeen = 1 << 16

// seenTokens remembers which tokens were taken, for as long as they live.
type seenTokens struct {
	limit int

	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
	order [][sha256.Size]byte // as they came, which is nearly as they end
}

func newSeenTokens(limit int) *seenTokens {
	return &seenTokens{limit: limit, until: map[[sha256.Size]byte]time.Time{}}
}

// add reports whether the token was not there yet.
func (s *seenTokens) add(token string, until, now time.Time) bool {
	sum := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 && (len(s.order) >= s.limit || s.until[s.order[0]].Before(now)) {
		delete(s.until, s.order[0])
		s.order = s.order[1:]
	}
	if _, seen := s.until[sum]; seen {
		return false
	}
	s.until[sum] = until
	s.order = append(s.order, sum)
	return true
}
