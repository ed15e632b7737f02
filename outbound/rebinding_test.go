package outbound

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/riposte-dev/riposte"
)

// The receiver is at an address that the client may call; at another, under the same
// port, something listens that nobody may reach.
const (
	outside = "127.0.0.1"
	inside  = "127.0.0.2"
)

// rebinding returns a client, and the URL of a receiver under the name
// rebinding.example, which is up to the test's DNS.
func rebinding(t *testing.T, keepAlive bool) (*Client, string) {
	t.Helper()
	destination := must(url.Parse(receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if !keepAlive {
			w.Header().Set("Connection", "close")
		}
	})))
	trap, err := net.Listen("tcp", net.JoinHostPort(inside, destination.Port()))
	if err != nil {
		t.Skipf("this machine has no %s: %v", inside, err)
	}
	t.Cleanup(func() { trap.Close() })
	go func() {
		for {
			conn, err := trap.Accept()
			if err != nil {
				return
			}
			t.Errorf("there was a connection to %s", inside)
			conn.Close()
		}
	}()
	client := newClient(t, func(o *Options) {
		o.Destinations = must(loopback.Deny(inside + ",::1"))
		o.Timeout = 5 * time.Second
	})
	destination.Host = "rebinding.example:" + destination.Port()
	return client, destination.String()
}

// reply builds an answer to query of which change makes something else.
func reply(query []byte, change func(m *dnsmessage.Message, q dnsmessage.Question)) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	change(&m, m.Questions[0])
	b, _ := m.Pack()
	return b
}

// records are the addresses of a name, IPv4 for those who ask for A, and so on.
func records(q dnsmessage.Question, ttl uint32, addrs ...string) []dnsmessage.Resource {
	all := dnsRecords(q.Name, q.Type, map[string][]string{strings.TrimSuffix(q.Name.String(), "."): addrs})
	for n := range all {
		all[n].Header.TTL = ttl
	}
	return all
}

// TestNameIsResolvedAnewForEveryConnection has names that mean something else from
// one attempt to the next.
func TestNameIsResolvedAnewForEveryConnection(t *testing.T) {
	both := []string{outside, inside}
	for name, c := range map[string]struct {
		answers [][]string // to one attempt after the other
		blocked []bool
	}{
		"rebinding":           {[][]string{{outside}, {inside}, {inside}}, []bool{false, true, true}},
		"rebinding and back":  {[][]string{{inside}, {outside}, {inside}}, []bool{true, false, true}},
		"flapping":            {[][]string{{outside}, {inside}, {outside}, {inside}, {outside}, {inside}}, []bool{false, true, false, true, false, true}},
		"mixed":               {[][]string{both, {inside, outside}, both}, []bool{false, false, false}},
		"mixed, then inside":  {[][]string{both, {inside, inside}}, []bool{false, true}},
		"the other family":    {[][]string{{outside}, {"::1"}, {"::1", outside}, {"::1", inside}}, []bool{false, true, false, true}},
		"mapped":              {[][]string{{"::ffff:" + inside}, {"::ffff:" + inside, inside}}, []bool{true, true}},
		"unspecified":         {[][]string{{"0.0.0.0"}, {"::"}, {"0.0.0.0", "::", inside}}, []bool{true, true, true}},
		"all that is private": {[][]string{{"10.0.0.1"}, {"169.254.169.254"}, {"fd00:ec2::254"}, {"fe80::1"}, {"64:ff9b::7f00:2"}}, []bool{true, true, true, true, true}},
	} {
		for _, ttl := range []uint32{0, 86_400} {
			t.Run(fmt.Sprintf("%s, kept %d s", name, ttl), func(t *testing.T) {
				client, destination := rebinding(t, false)
				var attempt atomic.Int64
				asked := resolveBy(t, client, func(query []byte, _ string) []byte {
					return reply(query, func(m *dnsmessage.Message, q dnsmessage.Question) {
						m.Answers = records(q, ttl, c.answers[attempt.Load()]...)
					})
				})
				for n, blocked := range c.blocked {
					attempt.Store(int64(n))
					before := asked.Load()
					wantBlocked(t, send(t, client, destination), blocked)
					if asked.Load() == before {
						t.Errorf("attempt %d went by what DNS had said before", n)
					}
				}
			})
		}
	}
}

func wantBlocked(t *testing.T, r riposte.Result, blocked bool) {
	t.Helper()
	if blocked {
		wantError(t, r, riposte.PhaseConnect, ReasonBlockedAddress)
		if r.Attempt.RemoteAddress != "" {
			t.Errorf("there was a connection to %s", r.Attempt.RemoteAddress)
		}
		return
	}
	wantStatus(t, r, 200)
	if host, _, _ := net.SplitHostPort(r.Attempt.RemoteAddress); host != outside {
		t.Errorf("the receiver was reached at %s", r.Attempt.RemoteAddress)
	}
}

// TestKeptConnectionStaysWhereItWasChecked: a connection that was made to an allowed
// address leads there still, whatever its name has come to mean.
func TestKeptConnectionStaysWhereItWasChecked(t *testing.T) {
	client, destination := rebinding(t, true)
	var now atomic.Value
	now.Store(outside)
	resolveBy(t, client, func(query []byte, _ string) []byte {
		return reply(query, func(m *dnsmessage.Message, q dnsmessage.Question) { m.Answers = records(q, 0, now.Load().(string)) })
	})
	wantBlocked(t, send(t, client, destination), false)
	now.Store(inside)
	wantBlocked(t, send(t, client, destination), false)
	client.Close()
	wantBlocked(t, send(t, client, destination), true)
}

// changer makes of a reply over "udp" or "tcp" something else.
type changer = func(m *dnsmessage.Message, q dnsmessage.Question, network string)

// alias answers that a name is another, which has addrs.
func alias(to string, addrs ...string) changer {
	return func(m *dnsmessage.Message, q dnsmessage.Question, _ string) {
		target := dnsmessage.Question{Name: dnsmessage.MustNewName(to), Type: q.Type}
		m.Answers = append([]dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.CNAMEResource{CNAME: target.Name},
		}}, records(target, 0, addrs...)...)
	}
}

// What comes of an attempt whose DNS says oddAnswers.
const blocked, fine, failed = "blocked", "fine", "failed"

var oddAnswers = map[string]struct {
	change changer
	want   string
}{
	"alias to localhost":           {alias("localhost.", inside, "::1"), blocked},
	"alias to localhost, no more":  {alias("localhost."), failed},
	"alias to itself":              {alias("rebinding.example."), failed},
	"alias to an address's digits": {alias("127.0.0.2."), failed},
	"alias outside":                {alias("receiver.example.", outside), fine},
	"a long chain of aliases": {func(m *dnsmessage.Message, q dnsmessage.Question, network string) {
		alias("n0.example.", inside)(m, q, network)
		for n := range 30 {
			var next dnsmessage.Message
			from := dnsmessage.Question{Name: dnsmessage.MustNewName(fmt.Sprintf("n%d.example.", n)), Type: q.Type}
			alias(fmt.Sprintf("n%d.example.", n+1))(&next, from, network)
			m.Answers = append(next.Answers, m.Answers...)
		}
	}, blocked},
	"truncated, and inside over TCP": {func(m *dnsmessage.Message, q dnsmessage.Question, network string) {
		m.Truncated = network == "udp"
		m.Answers = records(q, 0, map[string]string{"udp": outside, "tcp": inside}[network])
	}, blocked},
	"truncated, and outside over TCP": {func(m *dnsmessage.Message, q dnsmessage.Question, network string) {
		m.Truncated = network == "udp"
		m.Answers = records(q, 0, map[string]string{"udp": inside, "tcp": outside}[network])
	}, fine},
	"truncated over TCP, too": {func(m *dnsmessage.Message, q dnsmessage.Question, _ string) {
		m.Truncated, m.Answers = true, records(q, 0, inside)
	}, blocked},
	"two thousand addresses": {func(m *dnsmessage.Message, q dnsmessage.Question, network string) {
		m.Truncated = network == "udp"
		if network == "tcp" {
			m.Answers = records(q, 0, slices.Repeat([]string{inside, "169.254.169.254", "::1", "fd00:ec2::254"}, 500)...)
		}
	}, blocked},
	"two thousand, and one of them outside": {func(m *dnsmessage.Message, q dnsmessage.Question, network string) {
		m.Truncated = network == "udp"
		if network == "tcp" {
			m.Answers = records(q, 0, append(slices.Repeat([]string{inside, "::1"}, 1000), outside)...)
		}
	}, fine},
	"more than fits a packet": {func(m *dnsmessage.Message, q dnsmessage.Question, _ string) {
		m.Answers = records(q, 0, slices.Repeat([]string{inside, "::1"}, 100)...)
	}, blocked},
	"the answer to another name": {func(m *dnsmessage.Message, q dnsmessage.Question, _ string) {
		m.Answers = records(dnsmessage.Question{Name: dnsmessage.MustNewName("other.example."), Type: q.Type}, 0, inside)
	}, blocked},
	"another section": {func(m *dnsmessage.Message, q dnsmessage.Question, _ string) {
		m.Additionals, m.Authorities = records(q, 0, inside), records(q, 0, inside)
	}, failed},
	"the other type": {func(m *dnsmessage.Message, q dnsmessage.Question, _ string) {
		q.Type = map[dnsmessage.Type]dnsmessage.Type{dnsmessage.TypeA: dnsmessage.TypeAAAA, dnsmessage.TypeAAAA: dnsmessage.TypeA}[q.Type]
		m.Answers = records(q, 0, inside, "::1")
	}, failed},
	"a refusal with an answer": {func(m *dnsmessage.Message, q dnsmessage.Question, _ string) {
		m.RCode, m.Answers = dnsmessage.RCodeNameError, records(q, 0, inside)
	}, failed},
	"no answer at all": {func(m *dnsmessage.Message, _ dnsmessage.Question, _ string) { m.Answers = nil }, failed},
}

// TestOddAnswersOfDNS has servers that say strange things; none leads inside.
func TestOddAnswersOfDNS(t *testing.T) {
	for name, c := range oddAnswers {
		t.Run(name, func(t *testing.T) {
			client, destination := rebinding(t, false)
			resolveBy(t, client, func(query []byte, network string) []byte {
				return reply(query, func(m *dnsmessage.Message, q dnsmessage.Question) { c.change(m, q, network) })
			})
			r := send(t, client, destination)
			if r.Attempt.Duration > client.timeout/2 {
				t.Errorf("the attempt took %v", r.Attempt.Duration)
			}
			if c.want == failed {
				if r.Attempt.Error == nil || r.Attempt.Error.Phase != riposte.PhaseDNS {
					t.Errorf("the attempt is %+v with the error %+v", r.Attempt, r.Attempt.Error)
				}
				return
			}
			wantBlocked(t, r, c.want == blocked)
		})
	}
}

// TestForgedAnswersOfDNS has answers that are none to the query; the resolver waits for
// the true one until the attempt's time is up.
func TestForgedAnswersOfDNS(t *testing.T) {
	forge := map[string]func(query []byte) []byte{
		"another id": func(query []byte) []byte {
			return reply(query, func(m *dnsmessage.Message, q dnsmessage.Question) { m.ID++; m.Answers = records(q, 0, inside) })
		},
		"another question": func(query []byte) []byte {
			return reply(query, func(m *dnsmessage.Message, q dnsmessage.Question) {
				m.Questions[0].Name = dnsmessage.MustNewName("other.example.")
				m.Answers = records(q, 0, inside)
			})
		},
		"a query":        func(query []byte) []byte { return query },
		"half a header":  func(query []byte) []byte { return query[:6] },
		"a few bytes":    func([]byte) []byte { return []byte("hello, world") },
		"64 KiB of them": func([]byte) []byte { return make([]byte, 60_000) },
	}
	for name, answer := range forge {
		t.Run(name, func(t *testing.T) {
			client, destination := rebinding(t, false)
			client.timeout = soon
			resolveBy(t, client, func(query []byte, _ string) []byte { return answer(query) })
			r := send(t, client, destination)
			if e := r.Attempt.Error; e == nil || e.Phase != riposte.PhaseDNS || r.Attempt.Duration > 5*later {
				t.Errorf("the attempt is %+v with the error %+v", r.Attempt, e)
			}
		})
	}
}

// TestEveryOwnListenerIsRefused has several listeners on this machine, reached by its
// every address.
func TestEveryOwnListenerIsRefused(t *testing.T) {
	var own []netip.AddrPort
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		own = append(own, l.Addr().(*net.TCPAddr).AddrPort())
	}
	one, all := own[0].Port(), own[1].Port()
	interfaces := must(net.InterfaceAddrs())
	d := must(ParseDestinations("loopback,0.0.0.0/0,::/0")).Except(own...)
	places := []string{fmt.Sprintf("127.0.0.1:%d", one), fmt.Sprintf("0.0.0.0:%d", one), fmt.Sprintf("[::]:%d", one), fmt.Sprintf("[::ffff:127.0.0.1]:%d", one)}
	for _, a := range interfaces {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			places = append(places, net.JoinHostPort(n.IP.String(), fmt.Sprint(all)))
		}
	}
	client := newClient(t, func(o *Options) { o.Destinations, o.Timeout = d, soon })
	for _, place := range places {
		wantError(t, send(t, client, "http://"+place+"/"), riposte.PhaseConnect, ReasonBlockedAddress)
	}
}
