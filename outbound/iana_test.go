package outbound

import (
	_ "embed"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed testdata/iana.txt
var ianaText string

// space is IANA's view of one family's addresses: a tree in which each bit of an
// address is a step to the left or to the right. The name on the way that is
// farthest down is the address's. It is no list of prefixes on purpose: what it is
// compared with is one.
type space struct {
	name string
	next [2]*space
}

func (s *space) add(p netip.Prefix, name string) {
	for b, n := p.Addr().AsSlice(), 0; n < p.Bits(); n++ {
		side := &s.next[b[n/8]>>(7-n%8)&1]
		if *side == nil {
			*side = &space{}
		}
		s = *side
	}
	s.name = name
}

func (s *space) of(b []byte) string {
	name := s.name
	for n := range 8 * len(b) {
		if s = s.next[b[n/8]>>(7-n%8)&1]; s == nil {
			break
		}
		if s.name != "" {
			name = s.name
		}
	}
	return name
}

// iana is the oracle.
var iana = sync.OnceValue(func() (o oracle) {
	for line := range strings.Lines(ianaText) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		p := netip.MustParsePrefix(fields[0])
		o.blocks = append(o.blocks, p)
		if p.Addr().Is4() {
			o.four.add(p, fields[1])
		} else {
			o.six.add(p, fields[1])
		}
	}
	return o
})

type oracle struct {
	four, six space
	blocks    []netip.Prefix
}

const public = "public"

// name says of an IPv6 address's 16 bytes what they are; an IPv4 address is mapped
// into them (RFC 4291, section 2.5.5.2).
func (o *oracle) name(b *[16]byte) string {
	if binary.BigEndian.Uint64(b[:]) == 0 && binary.BigEndian.Uint32(b[8:]) == 0xffff {
		return o.four.of(b[12:])
	}
	return o.six.of(b[:])
}

// checkAgainstOracle checks an address as it came, unmapped and in a zone.
func checkAgainstOracle(t testing.TB, o *oracle, b *[16]byte) {
	want := o.name(b)
	wrapped := netip.AddrFrom16(*b)
	for _, addr := range [...]netip.Addr{wrapped, wrapped.Unmap(), wrapped.WithZone("eth0")} {
		checkAddr(t, addr, want)
	}
}

func checkAddr(t testing.TB, addr netip.Addr, want string) {
	if got := (Destinations{}).AllowsAddr(addr); got != (want == public) {
		t.Errorf("AllowsAddr(%v) is %v, and the address is %s", addr, got, want)
	}
}

// randomAddress returns an address that is close to the edge of a block more often
// than not, where a wrong prefix length shows, and wrapped as addresses are.
func randomAddress(r *rand.Rand, o *oracle) (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	kind := r.IntN(16)
	if kind == 0 {
		return b // any IPv6 address
	}
	var four [4]byte
	copy(four[:], b[:])
	p := o.blocks[r.IntN(len(o.blocks))]
	switch {
	case kind == 1: // any IPv4 address
	case p.Addr().Is4():
		four = p.Addr().As4()
		edge(four[:], p.Bits(), r)
	default:
		b = p.Addr().As16()
		edge(b[:], p.Bits(), r)
		return b
	}
	carrier := [][]byte{nil, {10: 0xff, 11: 0xff}, {10: 0xff, 11: 0xff}, {10: 0xff, 11: 0xff}, {11: 0}, {8: 0xff, 9: 0xff, 11: 0}, {0, 0x64, 0xff, 0x9b, 11: 0}, {0x20, 0x02}, {0x20, 0x01, 11: 0}}
	head := carrier[1+r.IntN(len(carrier)-1)]
	clear(b[:])
	copy(b[:], head)
	copy(b[len(head):], four[:])
	return b
}

// edge makes of a block's first address the last one, one of the two beyond, one
// somewhere inside, or one with a single other bit.
func edge(b []byte, bits int, r *rand.Rand) {
	flip := func(n int) { b[n/8] ^= 0x80 >> (n % 8) }
	switch r.IntN(6) {
	case 0: // the first
	case 1:
		step(b, -1)
	case 2, 3:
		for n := bits; n < 8*len(b); n++ {
			flip(n)
		}
		if r.IntN(2) == 0 {
			step(b, 1)
		}
	case 4:
		for n := bits; n < 8*len(b); n++ {
			if r.IntN(2) == 0 {
				flip(n)
			}
		}
	case 5:
		flip(r.IntN(8 * len(b)))
	}
}

// step adds 1 or -1 to a number of many bytes, and goes round at its ends.
func step(b []byte, by int) {
	for n := len(b) - 1; n >= 0; n-- {
		b[n] += byte(by)
		if by > 0 && b[n] != 0 || by < 0 && b[n] != 0xff {
			return
		}
	}
}

// TestAllowsAddrAgreesWithIANA tries ten million addresses with RIPOSTE_TEST_LONG, which
// takes 6 s, and 70 s under the race detector; a fiftieth of that otherwise.
func TestAllowsAddrAgreesWithIANA(t *testing.T) {
	count := 200_000
	if os.Getenv("RIPOSTE_TEST_LONG") != "" {
		count = 10_000_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d addresses, seed %d", count, seed)
	o, r := iana(), rand.New(rand.NewPCG(seed, 0))
	publics := 0
	for n := 0; n < count && !t.Failed(); n++ {
		b := randomAddress(r, &o)
		want := o.name(&b)
		if want == public {
			publics++
		}
		addr := netip.AddrFrom16(b)
		switch n % 16 {
		case 0:
			addr = addr.WithZone("eth0") // costs more than all the rest
		case 1, 2, 3, 4, 5, 6, 7:
			addr = addr.Unmap()
		}
		checkAddr(t, addr, want)
	}
	// Otherwise the addresses would be no test.
	if publics < count/10 || publics > count*9/10 {
		t.Errorf("%d of %d addresses are public", publics, count)
	}
}

// TestBlocksEndWhereIANASays goes over the ends of each block, and over what lies
// before and behind them.
func TestBlocksEndWhereIANASays(t *testing.T) {
	o := iana()
	for _, p := range o.blocks {
		first := p.Addr().AsSlice()
		last := p.Addr().AsSlice()
		for n := p.Bits(); n < 8*len(last); n++ {
			last[n/8] |= 0x80 >> (n % 8)
		}
		before, beyond := append([]byte(nil), first...), append([]byte(nil), last...)
		step(before, -1)
		step(beyond, 1)
		for _, s := range [][]byte{before, first, last, beyond} {
			addr, _ := netip.AddrFromSlice(s)
			b := addr.As16()
			checkAgainstOracle(t, &o, &b)
		}
	}
}

func FuzzAllowsAddr(f *testing.F) {
	o := iana()
	for _, p := range o.blocks {
		b := p.Addr().As16()
		f.Add(b[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 16 {
			checkAgainstOracle(t, &o, (*[16]byte)(b))
		}
	})
}
