package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/riposte-dev/riposte"
)

var errInvalidCallback = &riposte.Error{Code: riposte.CodeInvalidArgument, Reason: "INVALID_CALLBACK", Message: "this is not a callback URL of an instance"}

// noInstance has the shape of an id and is nobody's: a token that doesn't open
// costs the same look-up as one whose instance has been purged.
const noInstance = "000000000000000000000000"

// callback is the receiver's door (PROTOCOL.md section 5). Its token is its
// credential.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) {
	id, err := s.openToken(r.Context(), r.PathValue("token"))
	if err != nil {
		writeError(w, s.mapError("callback", err))
		return
	}
	var document []byte
	if id != noInstance { // whoever has no token has nothing to say
		document, err = readDocument(w, r)
	}
	if err != nil {
		refuseDocument(w, err)
		return
	}
	_, err = s.giveAnswer(r.Context(), id, riposte.ViaCallback, document)
	if errors.Is(err, riposte.ErrInstanceNotFound) {
		err = errInvalidCallback
	}
	if err != nil {
		writeError(w, s.mapError("callback", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}"))
}

// openToken returns the instance's id, and noInstance for a token that doesn't open.
// Another node may have made it with a key that this one has not seen yet, so the keys are
// read again: for any token, whatever is wrong with it, and at most once a second, so that
// neither the answer nor its time says what it was. An error says that nobody can tell.
func (s *Server) openToken(ctx context.Context, token string) (string, error) {
	id, ok := s.Tokens.Open(token)
	if ok {
		return id, nil
	}
	if err := s.ServerKeys.Reread(ctx, riposte.ServerKeyCallback); err != nil {
		return "", fmt.Errorf("%w: %w", riposte.ErrUnavailable, err)
	}
	if id, ok = s.Tokens.Open(token); ok {
		return id, nil
	}
	return noInstance, nil
}

// documentTimeout bounds how long a document of 250 KiB may take: everybody who was
// ever asked may send one, and each takes a place.
const documentTimeout = 15 * time.Second

func readDocument(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return readWithin(w, r, documentTimeout, riposte.MaxDocumentSize)
}

// readWithin reads a body of at most limit bytes that has come when d is over. After an
// error that holds for what net/http reads of it to answer on the same connection, too.
func readWithin(w http.ResponseWriter, r *http.Request, d time.Duration, limit int64) ([]byte, error) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(d)) // not there in process
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		// It would end the request's context in the middle of a commit.
		_ = c.SetReadDeadline(time.Time{})
	}
	return b, err
}

// brokeOff says what became of a body that must come within d.
func brokeOff(err error, d time.Duration) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("must come within %d s", int(d.Seconds()))
	}
	return "broke off"
}

func refuseDocument(w http.ResponseWriter, err error) {
	if e, ok := errors.AsType[*connect.Error](err); ok {
		writeError(w, e)
		return
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); !ok {
		writeError(w, connectError(riposte.Invalid(riposte.Violation{Field: "document", Description: brokeOff(err, documentTimeout)})))
		return
	}
	e := connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the response document must have at most %d bytes", riposte.MaxDocumentSize))
	addDetail(e, &errdetails.ErrorInfo{Reason: "DOCUMENT_TOO_LARGE", Domain: errorDomain})
	writeErrorAs(w, http.StatusRequestEntityTooLarge, e)
}

// giveAnswer takes an answer that did not come with an attempt, by callback or
// by an operator, by one set of rules. Of many at once the first save wins; the
// others see it on their next turn and are told.
func (s *Server) giveAnswer(ctx context.Context, id string, via riposte.Via, document []byte) (riposte.Instance, error) {
	for {
		i, err := s.Store.LoadInstance(ctx, id)
		if err != nil {
			return i, err
		}
		// A closed instance is told so even if the document is bad, too.
		answer, bad := riposte.ParseAnswer(i.Source.Kind, document)
		next, err := i.Advance(riposte.Answered{Via: via, Answer: answer}, s.Store.Now())
		if err != nil {
			return i, sameDocument(err, i, document)
		}
		if bad != nil {
			return i, bad
		}
		if next, err = s.Store.SaveInstance(auditing(ctx, id, string(answer.Kind)), next, i.InFlight(next)); !errors.Is(err, riposte.ErrConflict) {
			return next, err
		}
	}
}

// sameDocument tells who repeats the accepted document that it counted: their
// first reply may have been lost.
func sameDocument(err error, i riposte.Instance, document []byte) error {
	if errors.Is(err, riposte.ErrAlreadyAnswered) && i.Outcome != nil && len(document) > 0 && bytes.Equal(i.Outcome.Document, document) {
		return riposte.ErrAlreadyAnswered.With("sameDocument", "true")
	}
	return err
}
