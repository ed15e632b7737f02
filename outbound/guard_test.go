package outbound

import (
	"net/netip"
	"testing"
)

func TestNoAddressIsNotAllowed(t *testing.T) {
	for _, d := range []Destinations{{}, must(ParseDestinations("0.0.0.0/0,::/0"))} {
		if d.AllowsAddr(netip.Addr{}) {
			t.Errorf("with %q allowed, the zero address is", d)
		}
	}
}

func TestGuardFailsClosed(t *testing.T) {
	all := must(ParseDestinations("0.0.0.0/0,::/0"))
	own := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("192.0.2.7:8081")} // API and callbacks
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
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443")), "tcp4", "0.0.0.0:443", true},
		{all.Except(netip.MustParseAddrPort("127.0.0.1:443")), "tcp6", "[::]:443", true},
		{all.Except(netip.MustParseAddrPort("[fe80::1%eth0]:443")), "tcp6", "[fe80::1%eth0]:443", true},
		{all.Except(own...), "tcp4", "127.0.0.1:8080", true},
		{all.Except(own...), "tcp4", "192.0.2.7:8081", true},
		{all.Except(own...), "tcp6", "[::ffff:192.0.2.7]:8081", true},
		{all.Except(own...), "tcp4", "127.0.0.1:8081", false},
		{all.Except(own...), "tcp4", "192.0.2.7:8080", false},
		{all.Except(own[:1]...).Except(own[1:]...), "tcp4", "127.0.0.1:8080", true},
		{all.Except(), "tcp4", "127.0.0.1:8080", false},
		{all.Except(netip.AddrPort{}), "tcp4", "0.0.0.0:0", false},
		{all, "udp4", "10.0.0.1:443", true},
		{all, "unix", "/run/docker.sock", true},
		{all, "tcp4", "localhost:443", true},
		{all, "tcp4", "10.0.0.1", true},
		{all, "tcp4", "", true},
		{all, "tcp6", "[::ffff:8.8.8.8%eth0]:443", false},
		{all, "tcp4", "8.8.8.8%eth0:443", true},
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
