package outbound

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
)

// Check must keep being what the domain takes.
var _ riposte.DestinationCheck = Destinations{}.Check

// What URLs are refused for is in testdata/ssrf.txt; these are too long for it.
func TestLongURLs(t *testing.T) {
	for raw, want := range map[string]error{
		"https://example.com/" + strings.Repeat("ü", riposte.MaxURLLength-20): nil,
		"https://example.com/" + strings.Repeat("ü", riposte.MaxURLLength-19): ruleLength,
		"https://" + strings.Repeat("a", 63) + ".example/":                    nil,
		"https://" + strings.Repeat("a", 64) + ".example/":                    ruleHost,
		"https://" + strings.Repeat("abc.", 61) + "examples./":                nil,
		"https://" + strings.Repeat("abc.", 61) + "examples12./":              ruleHost,
		"https://" + strings.Repeat("ü.", 126) + "example/":                   ruleHost,
	} {
		if _, err := (Destinations{}).target(raw); err != want {
			t.Errorf("%.60s… of %d: the error is %v, want %v", raw, len(raw), err, want)
		}
	}
}

func TestParseDestinations(t *testing.T) {
	for s, want := range map[string]string{
		"":                             "",
		"  ":                           "",
		"loopback":                     "loopback",
		"10.0.0.0/8":                   "10.0.0.0/8",
		" 10.0.0.0/8 , 192.168.1.7 ":   "10.0.0.0/8,192.168.1.7/32",
		"loopback,fd00::/8,fe80::1%e0": "loopback,fd00::/8,fe80::1/128",
		"127.0.0.0/8":                  "127.0.0.0/8",
		"0.0.0.0/0,::/0":               "0.0.0.0/0,::/0",
	} {
		d, err := ParseDestinations(s)
		if err != nil || d.String() != want {
			t.Errorf("%q is read as %q with the error %v, want %q", s, d, err, want)
		}
		if again, err := ParseDestinations(d.String()); err != nil || again.String() != d.String() {
			t.Errorf("%q is read again as %q with the error %v", d, again, err)
		}
	}
	for _, s := range []string{"localhost", "Loopback", "10.0.0.0/33", "10.0.0.1/8", "10.0.0", "10.0.0.0/8,", ",", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "fd00::1/8", "10.0.0.0/8;fd00::/8", "0x7f.1"} {
		if d, err := ParseDestinations(s); err == nil || !strings.Contains(err.Error(), "allowed destination") {
			t.Errorf("%q is read as %q with the error %v, want an error that names it", s, d, err)
		}
	}
}

func TestParseDenied(t *testing.T) {
	for _, s := range []string{"localhost", "10.0.0.1/8", "10.0.0.0/8,", "::ffff:10.0.0.1", "all"} {
		if d, err := loopback.Deny(s); err == nil || !strings.Contains(err.Error(), "denied destination") {
			t.Errorf("%q is read as %v with the error %v, want an error that names it", s, d.denied, err)
		}
	}
	d := must(must(loopback.Deny("")).Deny(" 127.0.0.2, ::1 "))
	both := must(d.Deny("127.0.0.3"))
	for addr, want := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false, "127.0.0.3": true, "::1": false} {
		if got := d.AllowsAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("AllowsAddr(%s) is %v, want %v", addr, got, want)
		}
	}
	for _, addr := range []string{"127.0.0.2", "127.0.0.3", "::1"} {
		if both.AllowsAddr(netip.MustParseAddr(addr)) {
			t.Errorf("%s is allowed, and was denied first or later", addr)
		}
	}
}

// FuzzDestinationCheck checks of every URL that is accepted what makes it safe
// to send to: it means one host, and that host, if an address, is allowed.
func FuzzDestinationCheck(f *testing.F) {
	for n, c := range ssrfCases(f) {
		if !c.isAddress() && n%4 == 0 { // all of them would take their time before anything new is tried
			f.Add(c.input, c.allow != "")
		}
	}
	f.Fuzz(func(t *testing.T, raw string, dev bool) {
		d := Destinations{}
		if dev {
			d = loopback
		}
		host, err := d.Check(raw)
		if err != nil {
			if e, ok := errors.AsType[*riposte.Error](err); !ok || len(e.Violations) != 1 || host != "" {
				t.Fatalf("%q: the host is %q and the error %#v", raw, host, err)
			}
			return
		}
		bracketed := host
		if strings.Contains(host, ":") {
			bracketed = "[" + host + "]"
		}
		if again, err := d.Check("https://" + bracketed + "/"); err != nil || again != host {
			t.Errorf("%q has the host %q, which is read as %q with the error %v", raw, host, again, err)
		}
		if host != strings.ToLower(host) || strings.Trim(host, "0123456789abcdefghijklmnopqrstuvwxyz-_.:") != "" {
			t.Errorf("%q has the host %q, which is not normal", raw, host)
		}
		if addr, err := netip.ParseAddr(host); err == nil && (!d.AllowsAddr(addr) || addr.Zone() != "" || addr.Is4In6()) {
			t.Errorf("%q has the host %q, an address that is not allowed", raw, host)
		}
		sent, err := d.target(raw)
		if err != nil || sent.url.Hostname() != host || sent.url.User != nil || sent.url.Fragment != "" {
			t.Errorf("%q is sent to %v (%v), not to %q", raw, sent.url, err, host)
		}
	})
}
