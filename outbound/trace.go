package outbound

import (
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

// progress follows an attempt through its phases. The hooks run on several
// goroutines: addresses are dialled side by side, and a dial goes on in the
// background when its attempt has ended or was given another connection. So
// everything is behind mu, and what is read is a copy.
type progress struct {
	mu     sync.Mutex
	phase  riposte.Phase // under way; "" before the first
	began  time.Time     // when phase began
	phases riposte.Phases
	remote string // set once the attempt has a connection

	kept    *watchedConn // the connection, if others used it before
	unasked bool         // the response was there before the request
}

func (p *progress) trace() *httptrace.ClientTrace {
	// There is no Got1xxResponse on purpose: with it, net/http would no longer
	// count 1xx responses against MaxResponseHeaderBytes.
	return &httptrace.ClientTrace{
		GetConn:              func(string) { p.restart() },
		DNSStart:             func(httptrace.DNSStartInfo) { p.dial(riposte.PhaseDNS) },
		ConnectStart:         func(string, string) { p.dial(riposte.PhaseConnect) },
		TLSHandshakeStart:    func() { p.dial(riposte.PhaseTLS) },
		GotConn:              p.gotConn,
		WroteRequest:         p.wroteRequest,
		GotFirstResponseByte: p.gotFirstByte,
	}
}

// restart forgets a kept connection that turned out to be closed: net/http then
// begins again, for nothing has been sent.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.phases, p.remote, p.kept = "", riposte.Phases{}, "", nil
}

// dial enters a phase on the way to a connection. A second address in the same
// phase prolongs it.
func (p *progress) dial(phase riposte.Phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.remote == "" && p.phase != phase {
		p.leave()
		p.phase, p.began = phase, time.Now()
	}
}

func (p *progress) gotConn(info httptrace.GotConnInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave()
	if info.Reused {
		p.phases = riposte.Phases{} // of a dial that was not waited for
		if p.kept = watchedIn(info.Conn); p.kept != nil {
			p.kept.begin()
		}
	}
	p.phase, p.began = riposte.PhaseRequest, time.Now()
	p.remote = info.Conn.RemoteAddr().String()
}

func (p *progress) wroteRequest(info httptrace.WroteRequestInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if info.Err == nil {
		p.phase = riposte.PhaseResponse
	}
}

// gotFirstByte ends FirstByte, which counts from the connection on: the request
// is written meanwhile, and a receiver may answer before it has all of it.
func (p *progress) gotFirstByte() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase = riposte.PhaseResponse
	p.phases.FirstByte = time.Since(p.began)
	if p.kept != nil && p.kept.unasked() {
		p.unasked = true
		p.kept.Close() // the response to this request would be the next one's
	}
}

// answersAnother reports whether the response that came is none to the request.
func (p *progress) answersAnother() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unasked
}

// leave takes down how long the phase under way took. mu must be held.
func (p *progress) leave() {
	d := time.Since(p.began)
	switch p.phase {
	case riposte.PhaseDNS:
		p.phases.DNS = d
	case riposte.PhaseConnect:
		p.phases.Connect = d
	case riposte.PhaseTLS:
		p.phases.TLS = d
	}
}

// end returns the phase that the attempt had reached, what is known of the
// times, and the receiver's address. A phase that was broken off counts up to
// now.
func (p *progress) end() (riposte.Phase, riposte.Phases, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave()
	if p.phase == "" {
		return riposte.PhaseConnect, p.phases, p.remote
	}
	return p.phase, p.phases, p.remote
}
