package riposte

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a response document's parts (PROTOCOL.md section 4).
const (
	MaxCommentLength = 1024 // characters
	MaxReassignees   = 32
)

// Answer is a response document that has passed the rules for its source.
type Answer struct {
	Kind     OutcomeKind
	Comment  string
	Document []byte // exactly as it came
}

// ErrBadDocument is what every error of ParseAnswer matches.
var ErrBadDocument = &Error{Code: CodeInvalidArgument, Reason: "BAD_DOCUMENT", Message: "the response document is not one that the source takes"}

// choice is one of the members of which a source takes exactly one.
type choice struct {
	member string
	kind   OutcomeKind
	check  func(jsonObject) error // of what the member needs besides comment
}

var choices = map[SourceKind][]choice{
	SourceApprovalStep: {
		{"approve", OutcomeApproved, nil},
		{"deny", OutcomeDenied, nil},
		{"reassign", OutcomeReassigned, checkReassign},
		{"replacePolicy", OutcomePolicyReplaced, checkReplacePolicy},
	},
	SourceProvisionStep: {
		{"complete", OutcomeCompleted, nil},
		{"errored", OutcomeErrored, nil},
	},
}

// ParseAnswer reads a response document for a source by the rules of
// PROTOCOL.md section 4. Names may be camelCase or snake_case, and null counts
// as absent, as in all proto3 JSON. Its error is an ErrBadDocument that says
// what is wrong and where.
func ParseAnswer(source SourceKind, document []byte) (Answer, error) {
	a := Answer{Document: document}
	var err error
	if a.Kind, a.Comment, err = parseAnswer(source, document); err != nil {
		return Answer{}, &Error{Code: ErrBadDocument.Code, Reason: ErrBadDocument.Reason,
			Message: "bad response document: " + err.Error(), Violations: []Violation{{Field: "document", Description: err.Error()}}}
	}
	return a, nil
}

func parseAnswer(source SourceKind, document []byte) (OutcomeKind, string, error) {
	switch {
	case len(bytes.TrimSpace(document)) == 0:
		return "", "", errors.New("it is empty")
	case len(document) > MaxDocumentSize:
		return "", "", fmt.Errorf("it is larger than %d bytes", MaxDocumentSize)
	}
	if err := CheckJSON(document); err != nil {
		return "", "", err
	}
	top, err := members(document, "the document")
	if err != nil {
		return "", "", err
	}
	if version, err := stringMember(top, "version", "version"); err != nil {
		return "", "", err
	} else if version != "v1" {
		return "", "", errors.New(`version must be "v1"`)
	}

	switch source {
	case SourceTest, SourcePolicyPostAction:
		return OutcomeDelivered, "", nil
	case SourceWorkflowStep:
		raw := top.get("context")
		if raw == nil {
			return "", "", errors.New("context must be set to an object")
		}
		_, err := members(raw, "context")
		return OutcomeContext, "", err
	}
	return parseChoice(choices[source], top)
}

// parseChoice checks the one member that was chosen.
func parseChoice(of []choice, top jsonObject) (OutcomeKind, string, error) {
	c, raw, err := findChoice(of, top)
	if err != nil {
		return "", "", err
	}
	body, err := members(raw, c.member)
	if err != nil {
		return "", "", err
	}
	comment, err := stringMember(body, "comment", c.member+".comment")
	if err != nil {
		return "", "", err
	}
	if n := utf8.RuneCountInString(comment); n > MaxCommentLength {
		return "", "", fmt.Errorf("%s.comment must have at most %d characters, has %d", c.member, MaxCommentLength, n)
	}
	if c.check != nil {
		err = c.check(body)
	}
	return c.kind, comment, err
}

// findChoice finds the one member that is present.
func findChoice(of []choice, top jsonObject) (chosen choice, raw []byte, err error) {
	present := 0
	for _, c := range of {
		value, err := member(top, c.member, "the document")
		if err != nil {
			return choice{}, nil, err
		}
		if value != nil {
			chosen, raw = c, value
			present++
		}
	}
	if present != 1 {
		var names []string
		for _, c := range of {
			names = append(names, c.member)
		}
		return choice{}, nil, fmt.Errorf("it must have exactly one of %s, has %d", strings.Join(names, ", "), present)
	}
	return chosen, raw, nil
}

func checkReassign(body jsonObject) error {
	raw, err := member(body, "newStepUserIds", "reassign")
	if err != nil {
		return err
	}
	var ids []string
	if raw != nil && json.Unmarshal(raw, &ids) != nil {
		return errors.New("reassign.newStepUserIds must be an array of strings")
	}
	if len(ids) < 1 || len(ids) > MaxReassignees {
		return fmt.Errorf("reassign.newStepUserIds must have 1 to %d ids, has %d", MaxReassignees, len(ids))
	}
	for i, id := range ids {
		if id == "" {
			return fmt.Errorf("reassign.newStepUserIds[%d] must not be empty", i)
		}
	}
	return nil
}

func checkReplacePolicy(body jsonObject) error {
	raw, err := member(body, "policySteps", "replacePolicy")
	if err != nil {
		return err
	}
	var steps []json.RawMessage
	if raw != nil && json.Unmarshal(raw, &steps) != nil {
		return errors.New("replacePolicy.policySteps must be an array")
	}
	if len(steps) == 0 {
		return errors.New("replacePolicy.policySteps must have at least one step")
	}
	for i, step := range steps {
		if _, err := members(step, fmt.Sprintf("replacePolicy.policySteps[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

// jsonObject is an object's members without those that are null.
type jsonObject []jsonMember

// get returns nil for a member that is absent. Names are exact: STATE is not
// state.
func (o jsonObject) get(name string) []byte {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func members(raw []byte, where string) (jsonObject, error) {
	all, isObject := jsonMembers(raw)
	if !isObject {
		return nil, fmt.Errorf("%s must be an object", where)
	}
	return slices.DeleteFunc(all, func(m jsonMember) bool { return string(m.value) == "null" }), nil
}

// snakeNames are the snake_case names that differ from the camelCase ones.
var snakeNames = map[string]string{
	"replacePolicy":  "replace_policy",
	"policySteps":    "policy_steps",
	"newStepUserIds": "new_step_user_ids",
}

// member returns the member with the camelCase name or its snake_case one, nil
// when neither is there. It is asked for the names that a place knows and no
// others: what an unknown field is called is its owner's business.
func member(m jsonObject, name, where string) ([]byte, error) {
	snake, differs := snakeNames[name]
	camelValue, snakeValue := m.get(name), m.get(snake)
	switch {
	case !differs || snakeValue == nil:
		return camelValue, nil
	case camelValue != nil:
		return nil, fmt.Errorf("%s has both %s and %s", where, name, snake)
	}
	return snakeValue, nil
}

// stringMember returns "" for a member that is absent.
func stringMember(m jsonObject, name, where string) (string, error) {
	raw := m.get(name)
	switch {
	case raw == nil:
		return "", nil
	case raw[0] != '"':
		return "", fmt.Errorf("%s must be a string", where)
	}
	return unquoted(raw, bytes.IndexByte(raw, '\\') >= 0), nil
}
