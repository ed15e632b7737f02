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

// AllowsAddr reports whether a connection to addr may be made: it is a public
// address, or the operator has allowed it. An IPv4 address counts as itself
// however it is wrapped, because that is how the kernel dials it.
func (d Destinations) AllowsAddr(addr netip.Addr) bool {
	// Prefix.Contains is false for zoned and for IPv4-mapped addresses, so both
	// are taken off first.
	addr = addr.WithZone("").Unmap()
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	switch {
	case slices.ContainsFunc(d.prefixes, contains):
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

// isOwn reports whether ap is one of the server's own listeners, which a request from
// inside must not reach: it may be trusted there, or call itself in circles.
func (d Destinations) isOwn(ap netip.AddrPort) bool {
	return slices.ContainsFunc(d.own, func(own netip.AddrPort) bool { return isListener(own, ap) })
}

// isListener reports whether who listens on own is found at ap.
func isListener(own, ap netip.AddrPort) bool {
	addr := ap.Addr().WithZone("").Unmap()
	switch own := netip.AddrPortFrom(own.Addr().Unmap(), own.Port()); {
	case ap.Port() != own.Port() || !own.IsValid():
		return false
	case !own.Addr().IsUnspecified():
		return addr == own.Addr()
	case addr.IsLoopback() || addr.IsUnspecified():
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
