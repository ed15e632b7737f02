package outbound

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestAllowsAddr(t *testing.T) {
	for _, c := range []struct {
		want  bool
		addrs []string
	}{
		{true, []string{
			"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
			"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255",
			"192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
			"198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "::ffff:8.8.8.8",
			"2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1", "2003::1", "2606:4700:4700::1111",
			"2620:4f:7fff::1", "2620:4f:8001::1", "3ffe:ffff::1", "3fff:1000::1", "2606:4700:4700::1111%eth0",
		}},
		{false, []string{
			"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.255",
			"168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
			"192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1", "198.18.0.1", "198.19.255.255",
			"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
			"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1",
			"100::1", "1fff:ffff::1", "2001::1", "2001:0:1::1", "2001:10::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
			"2620:4f:8000::1", "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0",
			"fec0::1", "ff02::1", "::1%lo", "::ffff:127.0.0.1%lo",
		}},
	} {
		for _, s := range c.addrs {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				addr = netip.AddrFrom16(netip.MustParseAddr("::ffff:127.0.0.1").As16()).WithZone("lo")
			}
			if got := (Destinations{}).AllowsAddr(addr); got != c.want {
				t.Errorf("AllowsAddr(%s) is %v, want %v", s, got, c.want)
			}
		}
	}
	if (Destinations{}).AllowsAddr(netip.Addr{}) {
		t.Error("the zero address is allowed")
	}
}

func TestOperatorAllowsAddresses(t *testing.T) {
	d := must(ParseDestinations("loopback,10.1.0.0/16,fd00::/8,192.168.1.7"))
	for s, want := range map[string]bool{
		"127.0.0.1": true, "127.8.9.10": true, "::1": true, "::1%lo": true, "::ffff:127.0.0.1": true,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "fd00:1::1": true, "fd00::1%eth0": true, "192.168.1.7": true, "8.8.8.8": true,
		"10.2.0.1": false, "192.168.1.8": false, "fe80::1": false, "0.0.0.0": false, "::": false, "::127.0.0.1": false,
	} {
		if got := d.AllowsAddr(netip.MustParseAddr(s)); got != want {
			t.Errorf("AllowsAddr(%s) is %v, want %v", s, got, want)
		}
	}
}

func TestGuardFailsClosed(t *testing.T) {
	all := must(ParseDestinations("0.0.0.0/0,::/0"))
	for _, c := range []struct {
		d                Destinations
		network, address string
		blocked          bool
	}{
		{all, "tcp4", "10.0.0.1:443", false},
		{all, "tcp6", "[::1]:443", false},
		{all, "tcp6", "[fe80::1%eth0]:443", false},
		{all, "tcp", "10.0.0.1:443", true},
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443")), "tcp4", "127.0.0.1:443", true},
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443")), "tcp6", "[::ffff:127.0.0.1]:443", true},
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443")), "tcp4", "127.0.0.2:443", false},
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443")), "tcp4", "127.0.0.1:444", false},
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443"), netip.MustParseAddrPort("127.0.0.1:444")), "tcp4", "127.0.0.1:443", true},
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443"), netip.MustParseAddrPort("127.0.0.1:444")), "tcp4", "127.0.0.1:444", true},
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443")).Except(netip.MustParseAddrPort("[::]:444")), "tcp4", "127.0.0.1:443", true},
		{all.Except(netip.MustParseAddrPort("[::]:443")), "tcp4", "127.8.8.8:443", true},
		{all.Except(netip.MustParseAddrPort("[::]:443")), "tcp6", "[::1]:443", true},
		{all.Except(netip.MustParseAddrPort("[::]:443")), "tcp4", "0.0.0.0:443", true},
		{all.Except(netip.MustParseAddrPort("0.0.0.0:443")), "tcp4", "192.0.2.1:443", false},
		{all, "udp4", "10.0.0.1:443", true},
		{all, "unix", "/run/docker.sock", true},
		{all, "tcp4", "localhost:443", true},
		{all, "tcp4", "10.0.0.1", true},
		{all, "tcp4", "", true},
		{Destinations{}, "tcp4", "8.8.8.8:443", false},
		{Destinations{}, "tcp4", "127.0.0.1:443", true},
		{Destinations{}, "tcp6", "[::ffff:127.0.0.1]:443", true},
		{Destinations{}, "tcp6", "[fe80::1%eth0]:443", true},
		{Destinations{}, "tcp6", "[::]:443", true},
	} {
		err := c.d.guard(t.Context(), c.network, c.address, nil)
		if (err == errBlockedAddress) != c.blocked || err != nil && !c.blocked {
			t.Errorf("with %q allowed, the guard's answer to %s %s is %v", c.d, c.network, c.address, err)
		}
	}
}

// block is a network for the oracle: its leading bits, as numbers.
type block struct {
	hi, lo uint64 // the 128 bits; an IPv4 network sits in lo's lower half
	bits   int    // of the network, counted from the top of its family
}

// The oracle's own lists, in numbers, from RELIABILITY.md and IANA.
var (
	oracleIPv4 = []block{
		{0, 0x00000000, 8}, {0, 0x0a000000, 8}, {0, 0x64400000, 10}, {0, 0x7f000000, 8}, {0, 0xa83f8110, 32}, {0, 0xa9fe0000, 16},
		{0, 0xac100000, 12}, {0, 0xc0000000, 24}, {0, 0xc0000200, 24}, {0, 0xc01fc400, 24}, {0, 0xc034c100, 24}, {0, 0xc0586300, 24},
		{0, 0xc0a80000, 16}, {0, 0xc0af3000, 24}, {0, 0xc6120000, 15}, {0, 0xc6336400, 24}, {0, 0xcb007100, 24}, {0, 0xe0000000, 4}, {0, 0xf0000000, 4},
	}
	oracleIPv6 = []block{
		{0x2001_0000_0000_0000, 0, 23}, {0x2001_0db8_0000_0000, 0, 32}, {0x2002_0000_0000_0000, 0, 16}, {0x2620_004f_8000_0000, 0, 48}, {0x3fff_0000_0000_0000, 0, 20},
	}
)

// oracle says what AllowsAddr must say of an address without zone, by shifting
// bits alone.
func oracle(b [16]byte) bool {
	var hi, lo uint64
	for n := range 8 {
		hi, lo = hi<<8|uint64(b[n]), lo<<8|uint64(b[n+8])
	}
	if hi == 0 && lo>>32 == 0xffff {
		for _, each := range oracleIPv4 {
			if shift := 32 - each.bits; uint32(lo)>>shift == uint32(each.lo)>>shift {
				return false
			}
		}
		return true
	}
	for _, each := range oracleIPv6 {
		if shift := 64 - each.bits; hi>>shift == each.hi>>shift {
			return false
		}
	}
	return hi>>61 == 1
}

func checkAgainstOracle(t rapid.TB, b [16]byte) {
	wrapped := netip.AddrFrom16(b)
	want := oracle(b)
	for _, addr := range []netip.Addr{wrapped, wrapped.Unmap(), wrapped.WithZone("eth0")} {
		if got := (Destinations{}).AllowsAddr(addr); got != want {
			t.Errorf("AllowsAddr(%v) is %v, the oracle says %v", addr, got, want)
		}
	}
}

// TestAllowsAddrAgreesWithOracle draws addresses close to the edges of blocks,
// where a wrong prefix length shows.
func TestAllowsAddrAgreesWithOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b [16]byte
		if rapid.Bool().Draw(t, "IPv4") {
			each := rapid.SampledFrom(oracleIPv4).Draw(t, "block")
			v := uint32(each.lo) ^ 1<<rapid.IntRange(0, 31).Draw(t, "flipped bit")
			v += rapid.Uint32Range(0, 2).Draw(t, "step") - 1
			b[10], b[11] = 0xff, 0xff
			b[12], b[13], b[14], b[15] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
		} else {
			each := rapid.SampledFrom(append(oracleIPv6, block{0x2000_0000_0000_0000, 0, 3}, block{})).Draw(t, "block")
			v := each.hi ^ 1<<rapid.IntRange(0, 63).Draw(t, "flipped bit")
			v += rapid.Uint64Range(0, 2).Draw(t, "step") - 1
			for n := range 8 {
				b[n] = byte(v >> (8 * (7 - n)))
			}
		}
		checkAgainstOracle(t, b)
	})
}

func FuzzAllowsAddr(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "8.8.8.8", "::1", "2001:db8::1", "2606:4700::1", "64:ff9b::7f00:1"} {
		b := netip.MustParseAddr(s).As16()
		f.Add(b[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 16 {
			checkAgainstOracle(t, [16]byte(b))
		}
	})
}
