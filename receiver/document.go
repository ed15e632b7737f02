package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"
)

// Bounds of a response document (PROTOCOL.md section 4).
const (
	MaxDocumentSize  = 256_000 // bytes
	MaxCommentLength = 1024    // characters
	MaxReassignees   = 32
)

// Document is an answer: a response document in JSON, or why what was to be
// said can't be one. The server checks it once more against the source that
// asked.
type Document struct {
	json []byte
	err  error
}

// JSON returns the document, or the error of the function that made it.
func (d Document) JSON() ([]byte, error) {
	if d.json == nil && d.err == nil {
		return nil, errors.New("making the document: there is none")
	}
	return d.json, d.err
}

// Approve answers an approvalStep. An empty comment is left out, here and below.
func Approve(comment string) Document { return choice("approve", comment, nil) }

// Deny answers an approvalStep.
func Deny(comment string) Document { return choice("deny", comment, nil) }

// Reassign answers an approvalStep: 1 to 32 others are to decide.
func Reassign(comment string, userIDs ...string) Document {
	if len(userIDs) < 1 || len(userIDs) > MaxReassignees {
		return badDocument("reassign needs 1 to %d user ids, not %d", MaxReassignees, len(userIDs))
	}
	for n, id := range userIDs {
		if id == "" || !utf8.ValidString(id) {
			return badDocument("reassign's user id %d is empty or not UTF-8", n+1)
		}
	}
	return choice("reassign", comment, map[string]any{"newStepUserIds": userIDs})
}

// ReplacePolicy answers an approvalStep: other steps take the policy's place.
// Each must be marshalled into a JSON object.
func ReplacePolicy(comment string, steps ...any) Document {
	if len(steps) == 0 {
		return badDocument("replacePolicy needs at least one step")
	}
	raw := make([]json.RawMessage, len(steps))
	for n, step := range steps {
		b, err := object(step)
		if err != nil {
			return badDocument("replacePolicy's step %d %w", n+1, err)
		}
		raw[n] = b
	}
	return choice("replacePolicy", comment, map[string]any{"policySteps": raw})
}

// Complete answers a provisionStep: it is done.
func Complete(comment string) Document { return choice("complete", comment, nil) }

// Errored answers a provisionStep: it can't be done.
func Errored(comment string) Document { return choice("errored", comment, nil) }

// Context answers a workflowStep with what the workflow goes on with, which
// must be marshalled into a JSON object.
func Context(context any) Document {
	b, err := object(context)
	if err != nil {
		return badDocument("the context %w", err)
	}
	return document(map[string]any{"context": json.RawMessage(b)})
}

// VersionAlone answers a test or a policyPostAction, which need no more.
func VersionAlone() Document { return document(nil) }

// Raw is a document that was written elsewhere. It goes out byte for byte, once
// it is known to be a JSON object of the version v1 that isn't too large.
func Raw(b []byte) Document {
	var top struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(b, &top); err != nil {
		return badDocument("it is no JSON object: %w", err)
	}
	if top.Version != "v1" {
		return badDocument(`its version must be "v1"`)
	}
	return bounded(b)
}

func choice(name, comment string, members map[string]any) Document {
	switch n := utf8.RuneCountInString(comment); {
	case n > MaxCommentLength:
		return badDocument("the comment must have at most %d characters, has %d", MaxCommentLength, n)
	case !utf8.ValidString(comment):
		return badDocument("the comment is not UTF-8")
	}
	body := map[string]any{}
	for k, v := range members {
		body[k] = v
	}
	if comment != "" {
		body["comment"] = comment
	}
	return document(map[string]any{name: body})
}

// document puts the version first, for those who read it.
func document(members map[string]any) Document {
	b := []byte(`{"version":"v1"}`)
	if len(members) > 0 {
		rest, err := marshal(members)
		if err != nil {
			return badDocument("%w", err)
		}
		b = append(append(b[:len(b)-1], ','), rest[1:]...)
	}
	return bounded(b)
}

func bounded(b []byte) Document {
	if len(b) > MaxDocumentSize {
		return badDocument("it must have at most %d bytes, has %d", MaxDocumentSize, len(b))
	}
	return Document{json: b}
}

func badDocument(format string, args ...any) Document {
	return Document{err: fmt.Errorf("making the document: "+format, args...)}
}

// object marshals what must come out as an object.
func object(v any) ([]byte, error) {
	b, err := marshal(v)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || b[0] != '{' {
		return nil, errors.New("must be a JSON object")
	}
	return b, nil
}

// marshal leaves &, < and > as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("can't be marshalled: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// Respond answers a delivery with a document, at once. Where that can't be
// made, it answers 500, so that the sender asks again, and returns the error.
func Respond(w http.ResponseWriter, d Document) error {
	b, err := d.JSON()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(b)
	return err
}

// Later answers a delivery with 202: the answer comes by CallBack.
func Later(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) }
