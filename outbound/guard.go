package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// errBlockedAddress is the guard's refusal. It does not say which address.
var errBlockedAddress = errors.New("the address is not one that this server may connect to")

// specialIPv4 is every block of IANA's IPv4 Special-Purpose Address Registry,
// multicast, and the address under which Azure serves its instances' secrets.
// The registry calls some of the blocks globally reachable; none of them has a
// webhook's receiver in it.
var specialIPv4 = prefixes(
	"0.0.0.0/8",          // this network (RFC 791)
	"10.0.0.0/8",         // private (RFC 1918)
	"100.64.0.0/10",      // shared by carriers (RFC 6598)
	"127.0.0.0/8",        // loopback (RFC 1122)
	"168.63.129.16/32",   // Azure's wire server; not in the registry
	"169.254.0.0/16",     // link local (RFC 3927), with the clouds' metadata
	"172.16.0.0/12",      // private (RFC 1918)
	"192.0.0.0/24",       // protocol assignments (RFC 6890)
	"192.0.2.0/24",       // documentation (RFC 5737)
	"192.31.196.0/24",    // AS112 (RFC 7535)
	"192.52.193.0/24",    // AMT (RFC 7450)
	"192.88.99.0/24",     // 6to4 relays (RFC 7526)
	"192.168.0.0/16",     // private (RFC 1918)
	"192.175.48.0/24",    // AS112 (RFC 7534)
	"198.18.0.0/15",      // benchmarks (RFC 2544)
	"198.51.100.0/24",    // documentation (RFC 5737)
	"203.0.113.0/24",     // documentation (RFC 5737)
	"224.0.0.0/4",        // multicast (RFC 1112)
	"240.0.0.0/4",        // reserved (RFC 1112)
	"255.255.255.255/32", // broadcast (RFC 919)
)

// globalIPv6 is all that IANA has given out as global unicast; whatever is not
// inside, mapped addresses, NAT64 and unique local ones included, is refused.
var globalIPv6 = netip.MustParsePrefix("2000::/3")

// specialIPv6 is what of globalIPv6 is not for receivers.
var specialIPv6 = prefixes(
	"2001::/23",         // protocol assignments (RFC 2928), with Teredo and ORCHID
	"2001:db8::/32",     // documentation (RFC 3849)
	"2002::/16",         // 6to4 (RFC 3056), which carries an IPv4 address
	"2620:4f:8000::/48", // AS112 (RFC 7534)
	"3fff::/20",         // documentation (RFC 9637)
)

func prefixes(list ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(list))
	for i, s := range list {
		ps[i] = netip.MustParsePrefix(s)
	}
	return ps
}

// carriers are the IPv6 networks whose addresses have an IPv4 address inside that a
// translator or relay on the way may send packets on to, and the first of its bytes.
// None of them is public, but an operator may have allowed one.
var carriers = []struct {
	prefix netip.Prefix
	first  int
}{
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible (RFC 4291)
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated (RFC 2765)
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64 (RFC 6052)
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4 (RFC 3056)
}

// carried returns the IPv4 address that addr carries, and the network that makes it carry
// one; the zero values where it carries none.
func carried(addr netip.Addr) (inside netip.Addr, by netip.Prefix) {
	for _, c := range carriers {
		if c.prefix.Contains(addr) {
			b := addr.As16()
			return netip.AddrFrom4([4]byte(b[c.first:])), c.prefix
		}
	}
	return netip.Addr{}, netip.Prefix{}
}

// denies reports whether the operator has denied addr, or the IPv4 address that it
// carries. The argument must be without zone and unmapped.
func (d Destinations) denies(addr netip.Addr) bool {
	if slices.ContainsFunc(d.denied, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return true
	}
	inside, _ := carried(addr)
	return inside.IsValid() && d.denies(inside)
}

// allows reports whether the operator has allowed addr. Whoever allows all of a network
// that carries IPv4 addresses, as is needed behind NAT64, has not allowed what is private
// behind it. The argument must be without zone and unmapped.
func (d Destinations) allows(addr netip.Addr) bool {
	inside, by := carried(addr)
	return slices.ContainsFunc(d.prefixes, func(p netip.Prefix) bool {
		return p.Contains(addr) && (!inside.IsValid() || p.Bits() > by.Bits() || d.AllowsAddr(inside))
	})
}

// AllowsAddr reports whether a connection to addr may be made: it is a public
// address or the operator has allowed it, and they have not denied it. An IPv4
// address counts as itself however it is wrapped, because that is how the kernel
// dials it.
func (d Destinations) AllowsAddr(addr netip.Addr) bool {
	// Prefix.Contains is false for zoned and for IPv4-mapped addresses, so both
	// are taken off first.
	addr = addr.WithZone("").Unmap()
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	switch {
	case d.denies(addr):
		return false
	case d.allows(addr):
		return true
	case addr.Is4():
		return !slices.ContainsFunc(specialIPv4, contains)
	default:
		return globalIPv6.Contains(addr) && !slices.ContainsFunc(specialIPv6, contains)
	}
}

// guard is a net.Dialer's ControlContext. It runs between the making of a
// socket and its connect, once for every address that is tried.
func (d Destinations) guard(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return errBlockedAddress
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !d.AllowsAddr(ap.Addr()) || d.isOwn(ap) {
		return errBlockedAddress
	}
	return nil
}

// isOwn reports whether ap is one of the server's own listeners, which a request
// from inside must not reach: it may be trusted there, or call itself in circles.
func (d Destinations) isOwn(ap netip.AddrPort) bool {
	return slices.ContainsFunc(d.own, func(own netip.AddrPort) bool {
		return own.IsValid() && own.Port() == ap.Port() && meansSame(own.Addr(), ap.Addr())
	})
}

// meansSame reports whether a connection to addr may arrive at what listens on own.
func meansSame(own, addr netip.Addr) bool {
	own, addr = own.WithZone("").Unmap(), addr.WithZone("").Unmap()
	switch {
	case addr.IsUnspecified(): // dialled, it is this machine
		return true
	case !own.IsUnspecified():
		return addr == own
	case addr.IsLoopback():
		return true
	}
	all, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(all, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(addr.AsSlice())
	})
}

// dialer returns a dialer behind the guard. Its resolver is Go's own, because
// the C library's reads numbers such as 0x7f.1 as addresses. The timeout bounds
// dials that http.Transport goes on with after their attempt has ended.
func (d Destinations) dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:        timeout,
		Resolver:       &net.Resolver{PreferGo: true},
		ControlContext: d.guard,
	}
}
