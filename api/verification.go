package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/receiver"
)

// maxVerifiedHeaders bounds the headers of a delivery that is verified.
const maxVerifiedHeaders = 100

// verificationService is riposte.v1's VerificationService.
type verificationService struct{ s *Server }

func (h verificationService) VerifyDelivery(ctx context.Context, r *ripostev1.VerificationServiceVerifyDeliveryRequest) (*ripostev1.VerificationServiceVerifyDeliveryResponse, error) {
	return call(ctx, h.s, "VerificationService.VerifyDelivery", r, h.verifyDelivery)
}

func (h verificationService) VerifyDocument(ctx context.Context, r *ripostev1.VerificationServiceVerifyDocumentRequest) (*ripostev1.VerificationServiceVerifyDocumentResponse, error) {
	return call(ctx, h.s, "VerificationService.VerifyDocument", r, h.verifyDocument)
}

// verifyDelivery makes the checks that a receiver in Go makes, but for the one of
// replays: what is looked into is a copy.
func (h verificationService) verifyDelivery(ctx context.Context, _ riposte.Caller, r *ripostev1.VerificationServiceVerifyDeliveryRequest) (*ripostev1.VerificationServiceVerifyDeliveryResponse, error) {
	var wrong []riposte.Violation
	from, err := h.s.verifies(r.GetKeySet())
	if err != nil {
		wrong = append(wrong, riposte.Violation{Field: "keySet", Description: err.Error()})
	}
	verifier, err := receiver.NewVerifier("", r.GetUrl(), append(from, receiver.AllowReplays())...)
	if err != nil {
		// The options are right, so it is the URL, and the field's name says whose.
		wrong = append(wrong, riposte.Violation{Field: "url", Description: strings.TrimPrefix(err.Error(), "the receiver's URL ")})
	}
	req, violations := h.s.recorded(r)
	if wrong = append(wrong, violations...); len(wrong) > 0 {
		return nil, riposte.Invalid(wrong...)
	}
	_, checks := verifier.Check(ctx, req)
	res := &ripostev1.VerificationServiceVerifyDeliveryResponse{Authentic: receiver.Verdict(checks) == nil}
	for _, c := range checks {
		res.Checks = append(res.Checks, &ripostev1.Check{Name: c.Name, Ok: c.OK, Detail: c.Detail})
	}
	return res, nil
}

// verifies says whose deliveries are authentic: those of whoever has the key set, or
// else this server's own. Either way the keys are at hand, so that nothing is fetched.
func (s *Server) verifies(keySet string) ([]receiver.Option, error) {
	if strings.TrimSpace(keySet) == "" {
		keys, err := parseKeySet(s.JWKS())
		return []receiver.Option{receiver.WithKeys(keys), receiver.WithIssuer(s.Issuer)}, err
	}
	keys, err := parseKeySet([]byte(keySet))
	if err == nil && len(keys.Keys) == 0 {
		err = errors.New(`must be a JSON Web Key Set, {"keys":[…]}, with a key in it`)
	}
	return []receiver.Option{receiver.WithKeys(keys)}, err
}

func parseKeySet(b []byte) (keys jose.JSONWebKeySet, err error) {
	if err = json.Unmarshal(b, &keys); err != nil {
		err = fmt.Errorf("must be a JSON Web Key Set: %w", err)
	}
	return keys, err
}

// recorded is the delivery as a receiver would have it, and what is wrong with it.
func (s *Server) recorded(r *ripostev1.VerificationServiceVerifyDeliveryRequest) (receiver.Request, []riposte.Violation) {
	var wrong []riposte.Violation
	// The path counts for a receiver's URL without one alone.
	req := receiver.Request{Method: r.GetMethod(), Path: "/", Header: http.Header{}, Body: []byte(r.GetBody()), At: s.Store.Now()}
	if req.Method == "" {
		req.Method = http.MethodPost
	}
	if at := r.GetReceivedAt(); at != nil {
		if err := at.CheckValid(); err != nil {
			wrong = append(wrong, riposte.Violation{Field: "receivedAt", Description: "must be a time from the year 1 to 9999"})
		}
		req.At = at.AsTime()
	}
	if n := len(r.GetHeaders()); n > maxVerifiedHeaders {
		return req, append(wrong, riposte.Violation{Field: "headers", Description: fmt.Sprintf("must be at most %d, are %d", maxVerifiedHeaders, n)})
	}
	for n, h := range r.GetHeaders() {
		if h.GetName() == "" {
			wrong = append(wrong, riposte.Violation{Field: fmt.Sprintf("headers[%d].name", n), Description: "must be set"})
		}
		req.Header.Add(h.GetName(), h.GetValue())
	}
	return req, wrong
}

func (h verificationService) verifyDocument(_ context.Context, _ riposte.Caller, r *ripostev1.VerificationServiceVerifyDocumentRequest) (*ripostev1.VerificationServiceVerifyDocumentResponse, error) {
	source := riposte.SourceKind(r.GetSource())
	if !slices.Contains(riposte.SourceKinds, source) {
		return nil, riposte.Invalid(riposte.Violation{Field: "source", Description: "must be test, policyPostAction, approvalStep, provisionStep or workflowStep"})
	}
	answer, err := riposte.ParseAnswer(source, []byte(r.GetDocument()))
	if err != nil {
		return &ripostev1.VerificationServiceVerifyDocumentResponse{Problem: err.Error()}, nil
	}
	return &ripostev1.VerificationServiceVerifyDocumentResponse{Accepted: true, Kind: outcomeKind(answer.Kind), Comment: answer.Comment}, nil
}
