package main

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
)

// verifying is the transcripts' receiver at one URL. It trusts the server that
// the callback URL names, which no other receiver may do: a transcript does not
// know where riposte check will listen.
type verifying struct {
	url string

	mu        sync.Mutex
	verifiers map[string]*receiver.Verifier // by server
}

func (v *verifying) reply(d ripostetest.Delivery) ripostetest.Reply {
	server, _, _ := strings.Cut(d.Envelope.CallbackURL, "/api/v1/")
	verifier, err := v.verifier(server)
	if err != nil {
		return ripostetest.Reply{Status: http.StatusInternalServerError, Body: err.Error()}
	}
	checked, checks := verifier.Check(context.Background(), receiver.Request{Method: d.Method, Path: d.Target, Header: d.Header, Body: d.Body, At: d.At})
	if err := receiver.Verdict(checks); err != nil {
		return ripostetest.Reply{Status: http.StatusUnauthorized, Body: err.Error()}
	}
	switch checked.Source {
	case receiver.SourceApprovalStep:
		return replies["/approve"]
	case receiver.SourceWorkflowStep:
		return replies["/context"]
	case receiver.SourceProvisionStep:
		return ripostetest.Reply{Status: http.StatusAccepted, Callback: `{"version":"v1","complete":{}}`}
	}
	return ripostetest.Reply{}
}

func (v *verifying) verifier(server string) (*receiver.Verifier, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known := v.verifiers[server]; known != nil {
		return known, nil
	}
	verifier, err := receiver.NewVerifier(server, v.url, receiver.WithIssuer("127.0.0.1"))
	if err == nil {
		v.verifiers[server] = verifier
	}
	return verifier, err
}
