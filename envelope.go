package riposte

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxPayloadSize bounds a caller's payload, in bytes.
const MaxPayloadSize = 1 << 20

// Envelope is the body that a receiver gets, built once per instance and sent
// as it is on every attempt (PROTOCOL.md section 2). The caller's members come
// last in the payload, byte for byte as they were written.
type Envelope struct {
	Body []byte
	// payloadAt is where the caller's members begin in Body; they end before
	// the two closing braces.
	payloadAt int
}

// NewEnvelope builds the body. payload is an object or empty; see CheckPayload.
func NewEnvelope(instanceID, callbackURL string, source Source, payload []byte) Envelope {
	event := source.Kind.EventType()
	inner := payloadMembers(payload)
	b := make([]byte, 0, 320+len(callbackURL)+len(inner))
	b = append(b, `{"version":"v1","webhookId":`...)
	b = appendJSONString(b, instanceID)
	b = append(b, `,"callbackUrl":`...)
	b = appendJSONString(b, callbackURL)
	b = append(b, `,"event":`...)
	b = appendJSONString(b, event)
	b = append(b, `,"payload":{"@type":`...)
	b = appendJSONString(b, "type.googleapis.com/"+event)
	if source.Kind == SourceWorkflowStep {
		b = append(b, `,"workflowExecutionId":"`...)
		b = strconv.AppendInt(b, source.WorkflowExecutionID, 10)
		b = append(b, `","workflowExecutionStepId":`...)
		b = appendJSONString(b, source.WorkflowStepID)
	}
	if len(bytes.TrimSpace(inner)) > 0 {
		b = append(b, ',')
	}
	at := len(b)
	b = append(b, inner...)
	b = append(b, "}}"...)
	return Envelope{Body: b, payloadAt: at}
}

// LoadEnvelope is for stores: it puts together what Body and PayloadAt gave.
func LoadEnvelope(body []byte, payloadAt int) Envelope {
	return Envelope{Body: body, payloadAt: payloadAt}
}

// PayloadAt is for stores: where the caller's members begin in Body.
func (e Envelope) PayloadAt() int { return e.payloadAt }

// Payload returns the caller's payload as it was written, up to white space
// around it; "{}" where there was none.
func (e Envelope) Payload() []byte {
	inner := e.Body[e.payloadAt : len(e.Body)-2]
	p := make([]byte, 0, len(inner)+2)
	p = append(p, '{')
	p = append(p, inner...)
	return append(p, '}')
}

// CallbackURL returns the callback URL that the body carries. It stops reading
// there: a payload may be large, and each attempt asks.
func (e Envelope) CallbackURL() string {
	const member = `,"callbackUrl":`
	head := e.Body[:e.payloadAt]
	quoted := head[bytes.Index(head, []byte(member))+len(member):]
	quoted = quoted[:stringEnd(quoted, 0)]
	return unquoted(quoted, bytes.IndexByte(quoted, '\\') >= 0)
}

func payloadMembers(payload []byte) []byte {
	p := bytes.TrimSpace(payload)
	if len(p) == 0 {
		return nil
	}
	return p[1 : len(p)-1]
}

// CheckPayload checks that payload is absent or a JSON object that can reach
// the receiver unchanged, and that it brings no name of the server's own.
func CheckPayload(kind SourceKind, payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	bad := func(format string, args ...any) error {
		return Invalid(Violation{Field: "payload", Description: fmt.Sprintf(format, args...)})
	}
	if len(payload) > MaxPayloadSize {
		return bad("must have at most %d bytes, has %d", MaxPayloadSize, len(payload))
	}
	if err := CheckJSON(payload); err != nil {
		return bad("must be JSON that any reader reads alike: %v", err)
	}
	members, isObject := jsonMembers(payload)
	if !isObject {
		return bad("must be a JSON object")
	}
	reserved := []string{"@type"}
	switch kind {
	case SourceTest:
		if len(members) > 0 {
			return bad("must be empty for the source test")
		}
	case SourceWorkflowStep:
		reserved = append(reserved, "workflowExecutionId", "workflowExecutionStepId")
	}
	for _, name := range reserved {
		if slices.ContainsFunc(members, func(m jsonMember) bool { return m.name == name }) {
			return bad("must not have the member %s: the server sets it", name)
		}
	}
	return nil
}

// appendJSONString leaves &, < and > as they are, which json.Marshal does not:
// the body is no HTML, and a URL in it should read as a URL.
func appendJSONString(b []byte, s string) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return append(append(append(b, '"'), s...), '"')
	}
	var q bytes.Buffer
	enc := json.NewEncoder(&q)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string never fails
	return append(b, bytes.TrimSuffix(q.Bytes(), []byte("\n"))...)
}
