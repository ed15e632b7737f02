package outbound

import (
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/riposte-dev/riposte"
)

var silent = log.New(io.Discard, "", 0)

// resolveWith gives c a DNS server that knows the names in zone (their
// addresses, or "CNAME other.name."). The name servfail.example fails, and
// silent.example is never answered.
func resolveWith(t *testing.T, c *Client, zone map[string][]string) *atomic.Int64 {
	t.Helper()
	return resolveBy(t, c, func(query []byte, _ string) []byte { return dnsAnswer(query, zone) })
}

// resolveBy gives c a DNS server that answers with what answer returns of a query over
// "udp" or "tcp"; where that is nil, it does not. It returns how many queries came.
func resolveBy(t *testing.T, c *Client, answer func(query []byte, network string) []byte) *atomic.Int64 {
	t.Helper()
	var asked atomic.Int64
	count := func(query []byte, network string) []byte {
		asked.Add(1)
		return answer(query, network)
	}
	udp, tcp := serveUDP(t, count), serveTCP(t, count)
	d := c.destinations.dialer(c.timeout)
	d.Resolver.Dial = func(_ context.Context, network, _ string) (net.Conn, error) {
		address := udp
		if network == "tcp" {
			address = tcp
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), network, address)
		if err == nil {
			// The resolver waits for its own 5 s, however short the attempt.
			context.AfterFunc(t.Context(), func() { conn.Close() })
		}
		return conn, err
	}
	c.transport.DialContext = watched(d.DialContext)
	return &asked
}

func serveUDP(t *testing.T, answer func(query []byte, network string) []byte) string {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		for b := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			if reply := answer(b[:n], "udp"); reply != nil {
				server.WriteTo(reply, from)
			}
		}
	}()
	return server.LocalAddr().String()
}

// serveTCP has a length before each message (RFC 1035, section 4.2.2).
func serveTCP(t *testing.T, answer func(query []byte, network string) []byte) string {
	t.Helper()
	return listener(t, func(conn *net.TCPConn) {
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		for b := make([]byte, 512); ; {
			if _, err := io.ReadFull(conn, b[:2]); err != nil {
				return
			}
			query := b[:binary.BigEndian.Uint16(b)%512]
			if _, err := io.ReadFull(conn, query); err != nil {
				return
			}
			if reply := answer(query, "tcp"); reply != nil {
				conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			}
		}
	})
}

func dnsAnswer(query []byte, zone map[string][]string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	switch name {
	case "silent.example":
		return nil
	case "servfail.example":
		m.RCode = dnsmessage.RCodeServerFailure
	}
	if zone[name] == nil && m.RCode == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	m.Answers = dnsRecords(q.Name, q.Type, zone)
	b, _ := m.Pack()
	return b
}

func dnsRecords(name dnsmessage.Name, kind dnsmessage.Type, zone map[string][]string) (all []dnsmessage.Resource) {
	add := func(kind dnsmessage.Type, body dnsmessage.ResourceBody) {
		all = append(all, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Type: kind, Class: dnsmessage.ClassINET}, Body: body})
	}
	for _, record := range zone[strings.TrimSuffix(name.String(), ".")] {
		if other, ok := strings.CutPrefix(record, "CNAME "); ok {
			alias := dnsmessage.MustNewName(other)
			add(dnsmessage.TypeCNAME, &dnsmessage.CNAMEResource{CNAME: alias})
			all = append(all, dnsRecords(alias, kind, zone)...)
			continue
		}
		switch addr := netip.MustParseAddr(record); {
		case addr.Is4() && kind == dnsmessage.TypeA:
			add(kind, &dnsmessage.AResource{A: addr.As4()})
		case addr.Is6() && kind == dnsmessage.TypeAAAA:
			add(kind, &dnsmessage.AAAAResource{AAAA: addr.As16()})
		}
	}
	return all
}

func TestNameThatFailsInDNS(t *testing.T) {
	for name, reason := range map[string]string{"nowhere.example": ReasonNotFound, "silent.example": ReasonTimeout, "servfail.example": ReasonTimeout, "empty.example": ReasonNotFound} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, impatient)
			resolveWith(t, c, map[string][]string{"empty.example": {}})
			r := send(t, c, "https://"+name+"/")
			if name == "servfail.example" && r.Attempt.Error != nil {
				reason = r.Attempt.Error.Reason // Go calls a failing server a timeout or a failure, by version
			}
			wantError(t, r, riposte.PhaseDNS, reason)
			if r.Attempt.Phases.DNS <= 0 || r.Attempt.Phases.Connect != 0 {
				t.Errorf("the phases are %+v", r.Attempt.Phases)
			}
		})
	}
}

// TestGuardSeesWhatNamesResolveTo has names that only the guard can judge. They
// resolve to loopback, where nothing listens on 443, and to addresses that are
// nobody's, so that a guard that is broken does no harm here.
func TestGuardSeesWhatNamesResolveTo(t *testing.T) {
	zone := map[string][]string{
		"loopback.example": {"127.0.0.1"},
		"reserved.example": {"192.0.2.1"},
		"mapped.example":   {"::ffff:127.0.0.1"},
		"six.example":      {"::1", "2001:db8::1"},
		"both.example":     {"192.0.2.1", "::1", "127.0.0.1"},
		"zero.example":     {"0.0.0.0", "::"},
		"alias.example":    {"CNAME second.example."},
		"second.example":   {"CNAME localhost."},
		"localhost":        {"127.0.0.1", "::1"},
		"nat64.example":    {"64:ff9b::7f00:1"},
	}
	for name := range zone {
		if name == "localhost" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := newClient(t, func(o *Options) { o.Destinations = Destinations{} })
			resolveWith(t, c, zone)
			r := send(t, c, "https://"+name+"/")
			wantError(t, r, riposte.PhaseConnect, ReasonBlockedAddress)
			if r.Attempt.RemoteAddress != "" {
				t.Errorf("there was a connection to %s", r.Attempt.RemoteAddress)
			}
		})
	}
}

func TestGuardTakesTheAllowedOneOfMixedAddresses(t *testing.T) {
	destination := receiver(t, func(http.ResponseWriter, *http.Request) {})
	c := newClient(t, nil)
	resolveWith(t, c, map[string][]string{"mixed.example": {"192.0.2.1", "127.0.0.1", "198.51.100.1"}})
	r := send(t, c, strings.Replace(destination, "127.0.0.1", "mixed.example", 1))
	wantStatus(t, r, 200)
	if r.Attempt.Phases.DNS <= 0 || !strings.HasPrefix(r.Attempt.RemoteAddress, "127.0.0.1:") {
		t.Errorf("the attempt is %+v", r.Attempt)
	}
}

func TestInternationalNameIsDialledAsItIsNormalised(t *testing.T) {
	var host string
	destination := receiver(t, func(_ http.ResponseWriter, r *http.Request) { host = r.Host })
	c := newClient(t, nil)
	asked := resolveWith(t, c, map[string][]string{"xn--bcher-kva.example": {"127.0.0.1"}})
	wantStatus(t, send(t, c, strings.Replace(destination, "127.0.0.1", "BÜCHER.example.", 1)), 200)
	if !strings.HasPrefix(host, "xn--bcher-kva.example:") || asked.Load() == 0 {
		t.Errorf("the receiver was called %q", host)
	}
}
