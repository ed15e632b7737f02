package riposte

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"
)

// An id has 15 bytes: the milliseconds since 1970, a count of the ids that this
// process made, and random bits.
const (
	idTimeBits  = 44 // until the year 2527
	idCountBits = 19 // more than a process can make in a millisecond
	idLength    = 24
)

const idDigits = "0123456789abcdefghijklmnopqrstuv"

var idEncoding = base32.NewEncoding(idDigits).WithPadding(base32.NoPadding)

// idCount begins anywhere in its lower half, so that the ids of several processes
// differ in more than their random bits, and a process makes many before it
// begins anew.
var idCount atomic.Uint64

func init() {
	var b [8]byte
	rand.Read(b[:])
	idCount.Store(binary.BigEndian.Uint64(b[:]) % (1 << (idCountBits - 1)))
}

// NewID returns an id that is URL-safe and sorts by the millisecond of now, and
// within it by the order in which a process made them, except where the count
// begins anew. It is unique by that count and by 57 random bits.
func NewID(now time.Time) string {
	var b [15]byte
	rand.Read(b[7:])
	count := idCount.Add(1) % (1 << idCountBits)
	number := uint64(LeastIDNumber(now)) | count
	binary.BigEndian.PutUint64(b[:], number<<1|uint64(b[7]&1))
	return idEncoding.EncodeToString(b[:])
}

// IDNumber returns the first 63 bits of an id, its time and its count. They sort
// as the ids do and no two ids of one process share them, so that a store that
// has only one can use them as the key of a row. 0 for what is no id.
func IDNumber(id string) int64 {
	if !IsID(id) {
		return 0
	}
	n := int64(0)
	for i := range 12 {
		n = n<<5 | idDigit(id[i])
	}
	return n<<3 | idDigit(id[12])>>2 // 60 bits and the first 3 of the next 5
}

// LeastID is the id whose IDNumber is LeastIDNumber and whose random bits are 0.
func LeastID(t time.Time) string {
	var b [15]byte
	binary.BigEndian.PutUint64(b[:], uint64(LeastIDNumber(t))<<1)
	return idEncoding.EncodeToString(b[:])
}

func idDigit(c byte) int64 { return int64(strings.IndexByte(idDigits, c)) }

// LeastIDNumber is not above the IDNumber of any id made at t or later, and above
// that of every id made a millisecond before.
func LeastIDNumber(t time.Time) int64 {
	return min(max(t.UnixMilli(), 0), 1<<idTimeBits-1) << idCountBits
}

// IsID reports whether s has the shape of an id. An id of any other shape is
// simply not found.
func IsID(s string) bool {
	return len(s) == idLength && strings.Trim(s, idDigits) == ""
}
