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

func TestCheckAccepts(t *testing.T) {
	for raw, want := range map[string]string{
		"https://example.com":                       "example.com",
		"https://examplechanged.com":                "examplechanged.com",
		"https://example.com:443/hook?a=b&c=%20":    "example.com",
		"https://example.com:/hook":                 "example.com",
		"HTTPS://EXAMPLE.Com/Hook":                  "example.com",
		"https://example.com./hook":                 "example.com",
		"https://bücher.example/ü":                  "xn--bcher-kva.example",
		"https://XN--BCHER-KVA.example/":            "xn--bcher-kva.example",
		"https://example。com/":                      "example.com",
		"https://%E4%BE%8B%E3%81%88.example":        "xn--r8jz45g.example",
		"https://my_hook.example.com/":              "my_hook.example.com",
		"https://r3---sn-ab.example.com/":           "r3---sn-ab.example.com",
		"https://1.example.com/":                    "1.example.com",
		"https://receiver/":                         "receiver",
		"https://localhost.example.com/":            "localhost.example.com",
		"https://0x7f.1.com/":                       "0x7f.1.com",
		"https://a.0xfg/":                           "a.0xfg",
		"https://8.8.8.8/":                          "8.8.8.8",
		"https://[2606:4700:4700::1111]/":           "2606:4700:4700::1111",
		"https://[2606:4700:4700:0:0:0:0:1111]:443": "2606:4700:4700::1111",
		"https://[::ffff:8.8.8.8]/":                 "8.8.8.8",
		"https://example.com/a@b:c":                 "example.com",
		"https://example.com/" + strings.Repeat("ü", riposte.MaxURLLength-20): "example.com",
	} {
		if got, err := (Destinations{}).Check(raw); err != nil || got != want {
			t.Errorf("%.60s: the host is %q and the error %v, want %q", raw, got, err, want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for raw, want := range map[string]urlRule{
		"":                                                   ruleParse,
		"example.com/hook":                                   ruleParse,
		"//example.com/hook":                                 ruleParse,
		"/hook":                                              ruleParse,
		"https:example.com":                                  ruleParse,
		"https://exa%mple.com/":                              ruleParse,
		"https://[::1/":                                      ruleParse,
		"https://example.com:44x/":                           ruleParse,
		"https://example.com/%zz":                            ruleParse,
		"https://":                                           ruleNoHost,
		"https:///hook":                                      ruleNoHost,
		"https://:443/":                                      ruleNoHost,
		"https://./":                                         ruleNoHost,
		"http://example.com/":                                ruleHTTPS,
		"ftp://example.com/":                                 ruleHTTPS,
		"javascript:alert(1)":                                ruleHTTPS,
		"https://example.com:80/":                            rulePort,
		"https://example.com:8443/":                          rulePort,
		"https://example.com:0443/":                          rulePort,
		"https://example.com:444443/":                        rulePort,
		"https://user@example.com/":                          ruleUserInfo,
		"https://user:pw@example.com/":                       ruleUserInfo,
		"https://@example.com/":                              ruleUserInfo,
		"https://:@example.com/":                             ruleUserInfo,
		"https://example.com/#":                              ruleFragment,
		"https://example.com#top":                            ruleFragment,
		"https://example.com/a b":                            ruleText,
		" https://example.com/":                              ruleText,
		"https://example.com/\n":                             ruleText,
		"https://example.com/\x00":                           ruleText,
		"https://example.com/\u2028":                         ruleText,
		"https://example.com/\u0085":                         ruleText,
		"https://example.com/\xff":                           ruleText,
		`https://example.com\@evil.example/`:                 ruleText,
		"https://example..com/":                              ruleHost,
		"https://.example.com/":                              ruleHost,
		"https://example.com../":                             ruleHost,
		"https://exam!ple.com/":                              ruleHost,
		"https://a%25b.example/":                             ruleHost,
		"https://℀.example/":                                 ruleHost,
		"https://xn--a.example/":                             ruleHost,
		"https://" + strings.Repeat("a", 64) + ".example/":   ruleHost,
		"https://" + strings.Repeat("abc.", 63) + "example/": ruleHost,
		"https://[8.8.8.8]/":                                 ruleParse,
		"https://[example.com]/":                             ruleParse,
		"https://[::g]/":                                     ruleParse,
		"https://[fe80::1%25eth0]/":                          ruleZone,
		"https://[2606:4700:4700::1111%25eth0]/":             ruleZone,
		"https://[::1%25]/":                                  ruleParse,
		"https://127.0.0.1/":                                 ruleAddress,
		"https://10.1.2.3/":                                  ruleAddress,
		"https://169.254.169.254/latest/meta-data/":          ruleAddress,
		"https://127.0.0.1./":                                ruleAddress,
		"https://[::1]/":                                     ruleAddress,
		"https://[::]/":                                      ruleAddress,
		"https://[::ffff:127.0.0.1]/":                        ruleAddress,
		"https://[::ffff:7f00:1]/":                           ruleAddress,
		"https://[64:ff9b::7f00:1]/":                         ruleAddress,
		"https://[fd00:ec2::254]/":                           ruleAddress,
		"https://①②⑦.⓪.⓪.①/":                                 ruleAddress,
		"https://127。0。0。1/":                                 ruleAddress,
		"https://１２７.０.０.１/":                                 ruleAddress,
		"https://2130706433/":                                ruleNumeric,
		"https://127.1/":                                     ruleNumeric,
		"https://0x7f.1/":                                    ruleNumeric,
		"https://0x7f000001/":                                ruleNumeric,
		"https://0X7F.0.0.0x1/":                              ruleNumeric,
		"https://0x/":                                        ruleNumeric,
		"https://0177.0.0.1/":                                ruleNumeric,
		"https://0177.0.0.01/":                               ruleNumeric,
		"https://8.8.8.08/":                                  ruleNumeric,
		"https://256.1.1.1/":                                 ruleNumeric,
		"https://1.2.3.4.5/":                                 ruleNumeric,
		"https://example.1/":                                 ruleNumeric,
		"https://localhost/":                                 ruleLocalhost,
		"https://LOCALHOST./":                                ruleLocalhost,
		"https://a.localhost/":                               ruleLocalhost,
		"https://loc\u00adalhost/":                           ruleLocalhost,
		"https://ｌｏｃａｌｈｏｓｔ/":                                 ruleLocalhost,
		"https://localhoſt/":                                 ruleLocalhost,
		"https://e.example/" + strings.Repeat("ü", riposte.MaxURLLength): ruleLength,
	} {
		host, err := Destinations{}.Check(raw)
		e, ok := errors.AsType[*riposte.Error](err)
		if !ok || host != "" {
			t.Errorf("%.60q is accepted with the host %q, want: %s", raw, host, want)
			continue
		}
		if v := e.Violations; len(v) != 1 || v[0].Field != "url" || v[0].Description != string(want) {
			t.Errorf("%.60q: the violations are %v, want: %s", raw, v, want)
		}
	}
}

func TestLoopbackAllowsHTTPAndPorts(t *testing.T) {
	for raw, want := range map[string]error{
		"http://127.0.0.1:8080/":       nil,
		"http://localhost:8080/":       nil,
		"https://[::1]:8443/":          nil,
		"http://receiver:65535/":       nil,
		"http://example.com:80/":       nil,
		"http://①②⑦.⓪.⓪.①:8080/":       nil,
		"http://127.0.0.1:0/":          rulePortRange,
		"http://127.0.0.1:65536/":      rulePortRange,
		"http://127.0.0.1:080/":        rulePortRange,
		"http://127.1:8080/":           ruleNumeric,
		"http://10.0.0.1:8080/":        ruleAddress,
		"http://0.0.0.0:8080/":         ruleAddress,
		"ftp://127.0.0.1/":             ruleHTTP,
		"http://user@127.0.0.1:8080/":  ruleUserInfo,
		"http://[::1%25lo]:8080/":      ruleZone,
		"http://169.254.169.254:8080/": ruleAddress,
	} {
		if _, err := loopback.target(raw); err != want {
			t.Errorf("%s: the error is %v, want %v", raw, err, want)
		}
	}
}

func TestAllowedNetworkStillNeedsHTTPS(t *testing.T) {
	d := must(ParseDestinations("10.0.0.0/8, fd00::/8"))
	for raw, want := range map[string]error{
		"https://10.1.2.3/":      nil,
		"https://[fd00::1]/":     nil,
		"https://[::ffff:a00:1]": nil,
		"http://10.1.2.3/":       ruleHTTPS,
		"https://10.1.2.3:8443/": rulePort,
		"https://127.0.0.1/":     ruleAddress,
		"https://192.168.0.1/":   ruleAddress,
	} {
		if _, err := d.target(raw); err != want {
			t.Errorf("%s: the error is %v, want %v", raw, err, want)
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
	for _, raw := range []string{
		"https://example.com/hook", "https://bücher.example./", "https://①②⑦.⓪.⓪.①/", "https://127。0。0。1",
		"https://loc\u00adalhost/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/",
		"https://[::1%25lo]/", "https://[::ffff:8.8.8.8]:443/?q", "https://8.8.8.8/", "https://user@h/", "https://h/#",
		`https://h\@evil/`, "https://%31.example/", "https://xn--bcher-kva.example/", "http://localhost:8080/", "https://h:0443",
		"https://ǅ.example/", "https://İ.example", "https://\u200d.example/", "https://[v1.a]/",
	} {
		f.Add(raw, true)
		f.Add(raw, false)
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
