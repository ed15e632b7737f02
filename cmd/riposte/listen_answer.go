package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/riposte-dev/riposte/receiver"
)

// answerWords is the part of a help that documents what parseAnswer reads.
const answerWords = `  auto                     approve, complete, context {} or ok, as the source takes it
  ok                       200 and the version alone, for a test or a policyPostAction
  approve [COMMENT]        for an approvalStep, like the next three
  deny [COMMENT]
  reassign [ID,…] [COMMENT]
  replace-policy [STEPS]   STEPS is a JSON array of objects
  complete [COMMENT]       for a provisionStep
  errored [COMMENT]        for a provisionStep
  context [JSON]           for a workflowStep; JSON is an object
  later                    202, and no callback
  STATUS                   an HTTP status without a document, such as 500 or 410
  {…}                      a JSON document, sent as it is`

// answer is what to say to a delivery, in the words of --answer, of a script or
// of the person at the terminal. Its zero value is auto.
type answer struct {
	word     string // as above; "" for auto, STATUS and {…}
	rest     string // what stands behind the word
	status   int    // of STATUS
	document receiver.Document
}

// reply is what a receiver sends: a status, and a document unless it is nil.
type reply struct {
	status   int
	document []byte
}

// words have the source that each is an answer to, and make its document.
var words = map[string]struct {
	source receiver.SourceKind
	make   func(rest string) (receiver.Document, error)
}{
	"approve":        {receiver.SourceApprovalStep, commented(receiver.Approve)},
	"deny":           {receiver.SourceApprovalStep, commented(receiver.Deny)},
	"reassign":       {receiver.SourceApprovalStep, reassign},
	"replace-policy": {receiver.SourceApprovalStep, replacePolicy},
	"complete":       {receiver.SourceProvisionStep, commented(receiver.Complete)},
	"errored":        {receiver.SourceProvisionStep, commented(receiver.Errored)},
	"context":        {receiver.SourceWorkflowStep, contextOf},
}

// autoWords are what auto means to each source; ok to the others.
var autoWords = map[receiver.SourceKind]string{
	receiver.SourceApprovalStep:  "approve",
	receiver.SourceProvisionStep: "complete",
	receiver.SourceWorkflowStep:  "context",
}

func commented(document func(string) receiver.Document) func(string) (receiver.Document, error) {
	return func(comment string) (receiver.Document, error) { return document(comment), nil }
}

// reassign takes the ids first, because a comment may have blanks.
func reassign(rest string) (receiver.Document, error) {
	ids, comment, _ := strings.Cut(rest, " ")
	if ids == "" {
		ids = "somebody-else"
	}
	return receiver.Reassign(strings.TrimSpace(comment), strings.Split(ids, ",")...), nil
}

func replacePolicy(rest string) (receiver.Document, error) {
	if rest == "" {
		rest = `[{"approval":{}}]`
	}
	var steps []json.RawMessage
	if err := json.Unmarshal([]byte(rest), &steps); err != nil {
		return receiver.Document{}, fmt.Errorf("the steps of replace-policy are a JSON array: %w", err)
	}
	all := make([]any, len(steps))
	for n, step := range steps {
		all[n] = step
	}
	return receiver.ReplacePolicy("", all...), nil
}

func contextOf(rest string) (receiver.Document, error) {
	if rest == "" {
		rest = "{}"
	}
	if !json.Valid([]byte(rest)) {
		return receiver.Document{}, errors.New("what stands behind context is a JSON object")
	}
	return receiver.Context(json.RawMessage(rest)), nil
}

// parseAnswer reads an answer in the words above.
func parseAnswer(text string) (answer, error) {
	text = strings.TrimSpace(text)
	word, rest, _ := strings.Cut(text, " ")
	a := answer{word: word, rest: strings.TrimSpace(rest)}
	if strings.HasPrefix(text, "{") {
		return rawAnswer([]byte(text))
	}
	if status, err := strconv.Atoi(word); err == nil && a.rest == "" {
		if status < 200 || status > 599 {
			return answer{}, fmt.Errorf("a status is 200 to 599, not %d", status)
		}
		return answer{status: status}, nil
	}
	switch known, ok := words[word]; {
	case ok:
		d, err := known.make(a.rest)
		if err == nil {
			_, err = d.JSON()
		}
		a.document = d
		return a, err
	case word == "auto" && a.rest == "":
		return answer{}, nil
	case (word == "ok" || word == "later") && a.rest == "":
		return a, nil
	}
	return answer{}, fmt.Errorf("%q is no answer; there are auto, ok, approve, deny, reassign, replace-policy, complete, errored, context, later, a status, and a JSON document", short(text, 60))
}

// rawAnswer takes a document as it is, a bad one too: what a sender makes of
// that is worth trying.
func rawAnswer(document []byte) (answer, error) {
	if !json.Valid(document) {
		return answer{}, errors.New("the document is not JSON")
	}
	return answer{word: "{", rest: string(document)}, nil
}

// fits reports whether the answer is one that the source takes, as far as that
// is known here.
func (a answer) fits(source receiver.SourceKind) bool {
	if known, ok := words[a.word]; ok {
		return source == known.source
	}
	return a.word != "ok" || autoWords[source] == ""
}

// to is what the answer comes to for a source. An answer to another source
// gives way to auto, so that one receiver may serve all of them.
func (a answer) to(source receiver.SourceKind) reply {
	switch {
	case a.word == "{":
		return reply{http.StatusOK, []byte(a.rest)}
	case a.word == "later":
		return reply{http.StatusAccepted, nil}
	case a.status != 0:
		return reply{a.status, nil}
	}
	document := a.document
	if a.word == "" || !a.fits(source) {
		document = autoDocument(source)
	} else if a.word == "ok" {
		document = receiver.VersionAlone()
	}
	b, _ := document.JSON() // parseAnswer has looked
	return reply{http.StatusOK, b}
}

func autoDocument(source receiver.SourceKind) receiver.Document {
	word, ok := autoWords[source]
	if !ok {
		return receiver.VersionAlone()
	}
	d, _ := words[word].make("") // nothing to go wrong
	return d
}

// text is how the reply reads.
func (r reply) text() string {
	text := fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
	if r.document != nil {
		text += " " + visible(short(string(r.document), 400))
	}
	return strings.TrimSpace(text)
}
