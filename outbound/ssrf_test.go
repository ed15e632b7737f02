package outbound

import (
	"context"
	_ "embed"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

//go:embed testdata/ssrf.txt
var ssrfText string

// ssrfCase is a line of testdata/ssrf.txt.
type ssrfCase struct {
	line                 int
	allow, deny          string
	verdict, input, host string
}

func (c ssrfCase) destinations() Destinations {
	return must(must(ParseDestinations(c.allow)).Deny(c.deny))
}

// isAddress tells a line about an address from one about a URL.
func (c ssrfCase) isAddress() bool {
	_, err := netip.ParseAddr(c.input)
	return err == nil
}

// ruleNames are the verdicts on URLs.
var ruleNames = map[string]urlRule{
	"text": ruleText, "fragment": ruleFragment, "form": ruleParse, "https": ruleHTTPS, "http": ruleHTTP, "userinfo": ruleUserInfo,
	"port": rulePort, "port-range": rulePortRange, "no-host": ruleNoHost, "host": ruleHost, "zone": ruleZone, "numeric": ruleNumeric,
	"localhost": ruleLocalhost, "address": ruleAddress,
}

func ssrfCases(t testing.TB) (all []ssrfCase) {
	t.Helper()
	var allow, deny string
	n := 0
	for line := range strings.Lines(ssrfText) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "# ") || line == "#":
			continue
		case strings.HasPrefix(line, "=="):
			fields := strings.Fields(line)
			allow, deny = strings.TrimPrefix(fields[1], "allow="), strings.TrimPrefix(fields[2], "deny=")
			continue
		}
		verdict, rest, _ := strings.Cut(line, " ")
		input, host, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if quoted, err := strconv.QuotedPrefix(strings.TrimSpace(rest)); err == nil {
			input, host = must(strconv.Unquote(quoted)), strings.TrimSpace(rest)[len(quoted):]
		}
		all = append(all, ssrfCase{n, allow, deny, verdict, input, strings.TrimSpace(host)})
	}
	if len(all) < 400 {
		t.Fatalf("testdata/ssrf.txt has %d cases", len(all))
	}
	return all
}

func TestURLsAreJudgedAsInTheCases(t *testing.T) {
	for _, c := range ssrfCases(t) {
		if c.isAddress() {
			continue
		}
		host, err := c.destinations().Check(c.input)
		if c.verdict == "ok" {
			if err != nil || host != c.host {
				t.Errorf("ssrf.txt:%d: %q has the host %q and the error %v, want %q", c.line, c.input, host, err, c.host)
			}
			continue
		}
		rule, known := ruleNames[c.verdict]
		e, ok := errors.AsType[*riposte.Error](err)
		if !known || !ok || host != "" || c.host != "" || len(e.Violations) != 1 || e.Violations[0].Description != string(rule) {
			t.Errorf("ssrf.txt:%d: %q has the host %q and the error %v, want %s: %s", c.line, c.input, host, err, c.verdict, rule)
		}
	}
}

func TestAddressesAreJudgedAsInTheCases(t *testing.T) {
	o := iana()
	for _, c := range ssrfCases(t) {
		if !c.isAddress() {
			continue
		}
		addr := netip.MustParseAddr(c.input)
		if got, want := c.destinations().AllowsAddr(addr), c.dialled(); got != want {
			t.Errorf("ssrf.txt:%d: AllowsAddr(%s) is %v, want %v: %s", c.line, c.input, got, want, c.verdict)
		}
		b := addr.As16()
		if name := o.name(&b); name != c.verdict && c.verdict != "allowed" && c.verdict != "denied" {
			t.Errorf("ssrf.txt:%d: %s is %s, not %s", c.line, c.input, name, c.verdict)
		}
	}
}

// dialled reports whether the verdict on an address lets it be dialled.
func (c ssrfCase) dialled() bool { return c.verdict == public || c.verdict == "allowed" }

// errGuardPassed takes the place of a connect, so that nothing is sent to whoever
// has the public addresses.
var errGuardPassed = errors.New("the guard let it pass")

// TestGuardStandsBeforeTheDialer dials each address of the cases as the client does:
// the guard sees what the kernel would be given.
func TestGuardStandsBeforeTheDialer(t *testing.T) {
	six, err := net.Listen("tcp6", "[::1]:0")
	if err == nil {
		six.Close()
	}
	for _, c := range ssrfCases(t) {
		if !c.isAddress() || six == nil && netip.MustParseAddr(c.input).Unmap().Is6() {
			continue
		}
		dialer := c.destinations().dialer(time.Second)
		guard := dialer.ControlContext
		dialer.ControlContext = func(ctx context.Context, network, address string, raw syscall.RawConn) error {
			if err := guard(ctx, network, address, raw); err != nil {
				return err
			}
			return errGuardPassed
		}
		want := errBlockedAddress
		if c.dialled() {
			want = errGuardPassed
		}
		conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(c.input, "443"))
		if conn != nil {
			conn.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("ssrf.txt:%d: dialling %s gives %v, want: %v", c.line, c.input, err, want)
		}
	}
}
