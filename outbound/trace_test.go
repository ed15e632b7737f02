package outbound

import (
	"net"
	"net/http/httptrace"
	"testing"

	"github.com/riposte-dev/riposte"
)

// connection returns one end of a connection on loopback.
func connection(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", listener(t, untilClosed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestPhasesOfADialThatWasNotWaitedForDoNotCount(t *testing.T) {
	var p progress
	hooks := p.trace()
	hooks.GetConn("receiver.example:443")
	hooks.DNSStart(httptrace.DNSStartInfo{})
	hooks.ConnectStart("tcp", "192.0.2.1:443")
	hooks.GotConn(httptrace.GotConnInfo{Conn: connection(t), Reused: true})
	hooks.TLSHandshakeStart() // the dial goes on in the background
	phase, phases, remote := p.end()
	if phase != riposte.PhaseRequest || phases != (riposte.Phases{}) || remote == "" {
		t.Errorf("the phase is %s, the phases are %+v, the remote address is %q", phase, phases, remote)
	}
}

func TestPhasesBeginAnewWhenAKeptConnectionWasClosed(t *testing.T) {
	var p progress
	hooks := p.trace()
	hooks.GetConn("receiver.example:443")
	hooks.GotConn(httptrace.GotConnInfo{Conn: connection(t), Reused: true})
	hooks.GetConn("receiver.example:443")
	hooks.ConnectStart("tcp", "192.0.2.1:443")
	phase, phases, remote := p.end()
	if phase != riposte.PhaseConnect || phases.Connect <= 0 || remote != "" {
		t.Errorf("the phase is %s, the phases are %+v, the remote address is %q", phase, phases, remote)
	}
}
