package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/riposte-dev/riposte/receiver"
)

// scriptHelp is the part of the help that documents a script.
const scriptHelp = `A script is a JSON array of rules. The first that fits a delivery decides, and
auto where none does:

  [
    {"source": "approvalStep", "attempt": 1, "status": 503},
    {"source": "approvalStep", "answer": "approve fine by me", "later": "10s"},
    {"path": "/slow", "delay": "5s"},
    {"source": "provisionStep", "document": {"version": "v1", "errored": {}}}
  ]

source, attempt and path say what a rule is for; what is left out fits anything.
answer has the words above. In place of it there may be a status and a document,
200 and none where they are left out; a rule without any of the three is auto.
delay is how long the response takes, later how long after a 202 the document is
called back.`

// plan is how a delivery is to be answered.
type plan struct {
	answer answer
	status int           // in place of the answer's, unless it is 0
	delay  time.Duration // before the response
	later  time.Duration // between a 202 and the callback; 0 for an answer at once
}

// rule is one of a script.
type rule struct {
	source  receiver.SourceKind
	attempt int
	path    string
	plan    plan
}

func (r rule) fits(d receiver.Delivery, path string) bool {
	return (r.source == "" || r.source == d.Source) && (r.attempt == 0 || r.attempt == d.Attempt) && (r.path == "" || r.path == path)
}

// script is the rules in their order.
type script []rule

func (s script) plan(d receiver.Delivery, path string) plan {
	for _, r := range s {
		if r.fits(d, path) {
			return r.plan
		}
	}
	return plan{}
}

const maxScript = 1 << 20 // bytes

func readScript(name string) (script, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usagef("reading --script: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxScript))
	if err != nil {
		return nil, usagef("reading --script: %w", err)
	}
	s, line, err := parseScript(b)
	if err != nil {
		return nil, usagef("--script %s, line %d: %w", name, line, err)
	}
	return s, nil
}

// parseScript returns the line, from 1, at which an error is.
func parseScript(b []byte) (script, int, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return nil, lineOf(b, dec.InputOffset()), errors.New("a script is a JSON array of rules: it begins with [")
	}
	var s script
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, syntaxLine(b, dec, err), fmt.Errorf("rule %d: %w", len(s)+1, err)
		}
		begins := dec.InputOffset() - int64(len(raw))
		r, at, err := parseRule(raw)
		if err != nil {
			return nil, lineOf(b, begins+at), fmt.Errorf("rule %d: %w", len(s)+1, err)
		}
		s = append(s, r)
	}
	if _, err := dec.Token(); err != nil {
		return nil, syntaxLine(b, dec, err), errors.New("the array has no end")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, lineOf(b, dec.InputOffset()), errors.New("there is more after the array's end")
	}
	return s, 0, nil
}

func syntaxLine(b []byte, dec *json.Decoder, err error) int {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return lineOf(b, syntax.Offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return lineOf(b, int64(len(b)))
	}
	return lineOf(b, dec.InputOffset())
}

func lineOf(b []byte, offset int64) int {
	return 1 + bytes.Count(b[:min(offset, int64(len(b)))], []byte("\n"))
}

// parseRule returns where in raw an error is.
func parseRule(raw []byte) (rule, int64, error) {
	var r rule
	fields := json.NewDecoder(bytes.NewReader(raw))
	if open, err := fields.Token(); err != nil || open != json.Delim('{') {
		return r, 0, errors.New("a rule is a JSON object")
	}
	given := map[string]bool{}
	for fields.More() {
		name, err := fields.Token()
		if err != nil {
			return r, fields.InputOffset(), err
		}
		field, _ := name.(string) // as all names are, in JSON
		at := fields.InputOffset()
		var value json.RawMessage
		if err := fields.Decode(&value); err != nil {
			return r, at, err
		}
		if given[field] {
			return r, at, fmt.Errorf("%s is given twice", visible(field))
		}
		given[field] = true
		if err := r.set(field, value); err != nil {
			return r, at, fmt.Errorf("%s: %w", visible(short(field, 60)), err)
		}
	}
	return r, 0, r.check(given)
}

// set reads one field.
func (r *rule) set(field string, value []byte) error {
	var err error
	switch field {
	case "source":
		err = read(value, &r.source, "a string")
		if _, known := autoWords[r.source]; err == nil && !known && r.source != receiver.SourceTest && r.source != receiver.SourcePolicyPostAction {
			err = fmt.Errorf("%q is no source: there are test, policyPostAction, approvalStep, provisionStep and workflowStep", r.source)
		}
	case "attempt":
		if err = read(value, &r.attempt, "a number from 1"); err == nil && r.attempt < 1 {
			err = errors.New("it is a number from 1")
		}
	case "path":
		if err = read(value, &r.path, "a string"); err == nil && !strings.HasPrefix(r.path, "/") {
			err = errors.New("it begins with /")
		}
	case "answer":
		var text string
		if err = read(value, &text, "a string"); err == nil {
			r.plan.answer, err = parseAnswer(text)
		}
	case "status":
		if err = read(value, &r.plan.status, "a number"); err == nil && (r.plan.status < 200 || r.plan.status > 599) {
			err = errors.New("it is 200 to 599")
		}
	case "document":
		r.plan.answer, err = rawAnswer(value)
	case "delay":
		r.plan.delay, err = readDuration(value)
	case "later":
		r.plan.later, err = readDuration(value)
	default:
		err = errors.New("no rule has such a field; there are source, attempt, path, answer, status, document, delay and later")
	}
	return err
}

func read(value []byte, into any, what string) error {
	if json.Unmarshal(value, into) != nil || string(value) == "null" {
		return fmt.Errorf("it must be %s, not %s", what, visible(short(string(value), 60)))
	}
	return nil
}

func readDuration(value []byte) (time.Duration, error) {
	var text string
	if err := read(value, &text, "a duration such as \"10s\""); err != nil {
		return 0, err
	}
	var s span
	if err := s.Set(text); err != nil {
		return 0, err
	}
	if s <= 0 {
		return 0, errors.New("it must be more than nothing")
	}
	return time.Duration(s), nil
}

// check looks at what goes together.
func (r *rule) check(given map[string]bool) error {
	switch {
	case given["answer"] && (given["status"] || given["document"]):
		return errors.New("answer stands in place of status and document")
	case given["later"] && given["status"]:
		return errors.New("later makes the status 202")
	case given["later"] && (r.plan.answer.word == "later" || r.plan.answer.status != 0):
		return errors.New("later needs an answer that has a document")
	case given["status"] && !given["document"]:
		r.plan.answer = answer{status: r.plan.status}
	}
	return nil
}
