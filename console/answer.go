package console

import (
	"encoding/json"
	"net/http"
	"strings"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// answerForm is an operator's answer in the making: the fields that the source takes,
// or a response document written by hand.
type answerForm struct {
	Offered bool // whether the instance takes an answer
	Choices []answerChoice
	Context bool // whether the source takes a context in place of a choice

	Choice    string // the response document's member
	Comment   string
	Users     string // one a line, for reassign
	Steps     string // a JSON array, for replacePolicy
	ContextIn string // a JSON object
	Document  string // in place of all others
	Problem   string
}

// answerChoice is one of the members that a response document may have.
type answerChoice struct{ Member, Text string }

// answerChoices are those of PROTOCOL.md section 4. The sources that are not here take
// a document without any, but for workflowStep.
var answerChoices = map[string][]answerChoice{
	"approvalStep":  {{"approve", "Approve"}, {"deny", "Deny"}, {"reassign", "Reassign to others"}, {"replacePolicy", "Replace the policy"}},
	"provisionStep": {{"complete", "Complete: it is done"}, {"errored", "Errored: it can't be done"}},
}

// of makes the form that is right for an instance, with what has been typed in.
func (f answerForm) of(i *ripostev1.Instance) answerForm {
	in := i.GetWebhookInstance()
	kind := newSourceView(in.GetSource()).Kind
	f.Offered = i.GetOutcome() == nil && in.GetState() != webhooksv1.WebhookState_WEBHOOK_STATE_PENDING
	f.Choices, f.Context = answerChoices[kind], kind == "workflowStep"
	if f.Choice == "" && len(f.Choices) > 0 {
		f.Choice = f.Choices[0].Member
	}
	if f.ContextIn == "" {
		f.ContextIn = "{}"
	}
	return f
}

func readAnswerForm(r *http.Request) answerForm {
	return answerForm{
		Choice: r.PostFormValue("choice"), Comment: strings.TrimSpace(r.PostFormValue("comment")), Users: r.PostFormValue("users"),
		Steps: r.PostFormValue("steps"), ContextIn: r.PostFormValue("context"), Document: r.PostFormValue("document"),
	}
}

// document is the response document, or why there is none yet. The API checks it by
// the rules of the source.
func (f answerForm) document() (document []byte, problem string) {
	if strings.TrimSpace(f.Document) != "" {
		if !json.Valid([]byte(f.Document)) {
			return nil, "The document is no JSON."
		}
		return []byte(f.Document), ""
	}
	top := map[string]any{"version": "v1"}
	switch {
	case f.Choice != "":
		body, problem := f.choice()
		if problem != "" {
			return nil, problem
		}
		top[f.Choice] = body
	case strings.TrimSpace(f.ContextIn) != "":
		if !json.Valid([]byte(f.ContextIn)) {
			return nil, "The context is no JSON."
		}
		top["context"] = json.RawMessage(f.ContextIn)
	}
	document, err := json.Marshal(top)
	if err != nil {
		return nil, sentence(err.Error())
	}
	return document, ""
}

// choice is the value of the member that was chosen.
func (f answerForm) choice() (body map[string]any, problem string) {
	body = map[string]any{}
	if f.Comment != "" {
		body["comment"] = f.Comment
	}
	switch f.Choice {
	case "reassign":
		body["newStepUserIds"] = strings.Fields(f.Users)
	case "replacePolicy":
		if !json.Valid([]byte(f.Steps)) {
			return nil, "The policy's steps are no JSON: they must be an array of objects."
		}
		body["policySteps"] = json.RawMessage(f.Steps)
	}
	return body, ""
}
