package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/riposte-dev/riposte"
)

// Destinations says what an operator allows beyond the public internet, and what
// they deny. The zero value allows nothing beyond it and denies nothing of it.
type Destinations struct {
	prefixes []netip.Prefix
	denied   []netip.Prefix
	loopback bool // the word was given: plain http and every port, too
	own      []netip.AddrPort
}

// Except returns d without the addresses on which the server itself listens, in
// addition to those excepted before; an unspecified one stands for all of the
// machine's.
func (d Destinations) Except(own ...netip.AddrPort) Destinations {
	d.own = slices.Concat(d.own, own)
	return d
}

// loopbackPrefixes is what the word loopback stands for.
var loopbackPrefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// ParseDestinations reads a comma-separated list of CIDRs, single addresses and
// the word loopback, which allows 127.0.0.0/8 and ::1 and, for development,
// plain http and every port. The empty string allows nothing beyond the public
// internet.
func ParseDestinations(s string) (d Destinations, err error) {
	d.prefixes, d.loopback, err = parsePrefixes(s)
	if err != nil {
		return Destinations{}, fmt.Errorf("parsing allowed destination %w", err)
	}
	return d, nil
}

// Deny returns d without the networks in s, in addition to those denied before:
// they are refused even where they are public or allowed. It is a list like that of
// ParseDestinations; the word loopback stands for 127.0.0.0/8 and ::1 alone.
func (d Destinations) Deny(s string) (Destinations, error) {
	denied, _, err := parsePrefixes(s)
	if err != nil {
		return Destinations{}, fmt.Errorf("parsing denied destination %w", err)
	}
	d.denied = slices.Concat(d.denied, denied)
	return d, nil
}

// parsePrefixes reads a list, and says whether the word loopback is in it. Its error
// begins with the item that is wrong.
func parsePrefixes(s string) (all []netip.Prefix, loopback bool, err error) {
	if strings.TrimSpace(s) == "" {
		return nil, false, nil
	}
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "loopback" {
			loopback = true
			all = append(all, loopbackPrefixes...)
			continue
		}
		p, err := parsePrefix(item)
		if err != nil {
			return nil, false, fmt.Errorf("%q: %w", item, err)
		}
		all = append(all, p)
	}
	return all, loopback, nil
}

// parsePrefix is strict because a typing error here opens a network, or leaves one open: host bits
// must be zero, and an IPv4 network must be written as one.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, errors.New(`it must be a CIDR, an address or the word "loopback"`)
		}
		p = netip.PrefixFrom(addr.WithZone(""), addr.BitLen())
	}
	switch {
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("an IPv4 network must be written as IPv4")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("it has bits set beyond its length: %s is meant, or the length is wrong", p.Masked())
	}
	return p, nil
}

// String returns what d allows, as ParseDestinations reads it.
func (d Destinations) String() string {
	var items []string
	if d.loopback {
		items = append(items, "loopback")
	}
	for _, p := range d.prefixes {
		if !d.loopback || p != loopbackPrefixes[0] && p != loopbackPrefixes[1] {
			items = append(items, p.String())
		}
	}
	return strings.Join(items, ",")
}

// urlRule is a rule of PROTOCOL.md section 1 that a URL breaks, in words that
// follow the field's name.
type urlRule string

func (r urlRule) Error() string { return string(r) }

const (
	ruleText      urlRule = "must be valid UTF-8 without spaces, control characters and backslashes"
	ruleFragment  urlRule = "must not have a fragment (#…): it would never reach the receiver"
	ruleParse     urlRule = "must be an absolute URL such as https://example.com/hook"
	ruleHTTPS     urlRule = "must begin with https://"
	ruleHTTP      urlRule = "must begin with https:// or http://"
	ruleUserInfo  urlRule = "must not have a user name or password before the host"
	rulePort      urlRule = "must have no port, or 443"
	rulePortRange urlRule = "must have a port from 1 to 65535"
	ruleNoHost    urlRule = "must have a host"
	ruleHost      urlRule = "must have a host that is a valid domain name or IP address"
	ruleZone      urlRule = "must not have an IPv6 zone in its host"
	ruleNumeric   urlRule = "must have an IPv4 address in its usual form: four decimal numbers without leading zeros"
	ruleLocalhost urlRule = "must not have localhost as its host: this server does not allow it"
	ruleAddress   urlRule = "must not have a private, local or reserved address as its host: this server does not allow it"
)

var ruleLength = urlRule(fmt.Sprintf("must have at most %d characters", riposte.MaxURLLength))

// target is a destination that keeps the rules.
type target struct {
	url  *url.URL // as it is requested: with the host as it is dialled, and no default port
	host string   // without port and brackets; the JWT's audience
	htu  string   // the destination as it was written, up to its query
}

// Check is a riposte.DestinationCheck: it applies the rules of PROTOCOL.md
// section 1 and returns the host as it is dialled, in lower case and ASCII,
// without port, brackets and trailing dot. Names are not resolved: what they
// resolve to is the guard's business at every connect. The error is a
// riposte.Error that names the rule broken.
func (d Destinations) Check(rawURL string) (host string, err error) {
	t, err := d.target(rawURL)
	if err != nil {
		return "", riposte.Invalid(riposte.Violation{Field: "url", Description: err.Error()})
	}
	return t.host, nil
}

// target reads a destination. Its error is the urlRule that it breaks.
func (d Destinations) target(raw string) (target, error) {
	switch {
	case utf8.RuneCountInString(raw) > riposte.MaxURLLength:
		return target{}, ruleLength
	case !utf8.ValidString(raw) || strings.ContainsFunc(raw, notInURL):
		return target{}, ruleText
	case strings.Contains(raw, "#"):
		return target{}, ruleFragment // url.Parse forgets an empty one
	}
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, ruleParse
	}
	if err := d.checkScheme(u); err != nil {
		return target{}, err
	}
	switch {
	case u.Opaque != "":
		return target{}, ruleParse
	case u.User != nil:
		return target{}, ruleUserInfo
	}
	host, err := d.host(u)
	if err != nil {
		return target{}, err
	}
	if err := d.setHost(u, host); err != nil {
		return target{}, err
	}
	htu, _, _ := strings.Cut(raw, "?")
	return target{url: u, host: host, htu: htu}, nil
}

func notInURL(r rune) bool { return r == '\\' || unicode.IsSpace(r) || unicode.IsControl(r) }

func (d Destinations) checkScheme(u *url.URL) error {
	switch {
	case u.Scheme == "https" || u.Scheme == "http" && d.loopback:
		return nil
	case u.Scheme == "":
		return ruleParse
	case d.loopback:
		return ruleHTTP
	}
	return ruleHTTPS
}

// host returns u's host as it is dialled.
func (d Destinations) host(u *url.URL) (string, error) {
	name := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		return d.literal(name)
	}
	name, err := domain(name)
	if err != nil {
		return "", err
	}
	if endsInNumber(name) {
		return d.literal(name)
	}
	if !d.loopback && (name == "localhost" || strings.HasSuffix(name, ".localhost")) {
		return "", ruleLocalhost
	}
	return name, nil
}

// literal applies the address rule to a host that is an address.
func (d Destinations) literal(host string) (string, error) {
	if strings.Contains(host, "%") {
		return "", ruleZone
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil && strings.Contains(host, ":"):
		return "", ruleHost
	case err != nil:
		return "", ruleNumeric
	case !d.AllowsAddr(addr):
		return "", ruleAddress
	}
	return addr.Unmap().String(), nil
}

// domain maps a name to what DNS is asked for. Names that are ASCII already are
// not put through IDNA, as in net/http, because it refuses names in common use
// such as r3---sn-ab.example.com and my_hook.example.com.
func domain(name string) (string, error) {
	name = strings.Map(lowerASCII, name) // other letters are IDNA's: it maps İ to two
	if strings.ContainsFunc(name, notASCII) || strings.Contains(name, "xn--") {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", ruleHost
		}
		name = ascii
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return "", ruleNoHost
	}
	if len(name) > 253 { // RFC 1035, without the root's length byte and the first label's
		return "", ruleHost
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 || strings.ContainsFunc(label, notInLabel) {
			return "", ruleHost
		}
	}
	return name, nil
}

func lowerASCII(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

func notASCII(r rune) bool { return r >= utf8.RuneSelf }

func notInLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// endsInNumber reports whether a host's last label is a number, decimal, octal
// or hexadecimal. Such a host is an IPv4 address or nothing: some resolvers
// read 2130706433, 0x7f.1 and 127.1 as 127.0.0.1. The rule is that of the
// WHATWG URL standard, section 3.5 ("ends in a number checker").
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// setHost makes u the URL that is requested.
func (d Destinations) setHost(u *url.URL, host string) error {
	port := u.Port()
	defaultPort := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || port == defaultPort {
		u.Host = host
		return nil
	}
	if !d.loopback {
		return rulePort
	}
	// A leading zero is no number of a port, though some parsers take it.
	if addr, err := netip.ParseAddrPort("0.0.0.0:" + port); err != nil || addr.Port() == 0 || port[0] == '0' {
		return rulePortRange
	}
	u.Host = host + ":" + port
	return nil
}
