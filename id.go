package riposte

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"
)

const idLength = 24

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// NewID returns an id that is URL-safe, sorts by the microsecond of now and is
// unique by 64 random bits: 7 bytes of microseconds and 8 random ones in
// order-preserving base 32.
func NewID(now time.Time) string {
	var b [15]byte
	us := uint64(now.UnixMicro())
	for i := range 7 {
		b[i] = byte(us >> (8 * (6 - i)))
	}
	rand.Read(b[7:])
	return idEncoding.EncodeToString(b[:])
}

// IsID reports whether s has the shape of an id. An id of any other shape is
// simply not found.
func IsID(s string) bool {
	return len(s) == idLength && strings.Trim(s, "0123456789abcdefghijklmnopqrstuv") == ""
}
