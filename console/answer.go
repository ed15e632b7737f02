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

	Choosing  bool   // whether the form had choices
	Choice    string // the response document's member
	Comment   string
	Users     string // one a line, for reassign
	Steps     string // a JSON array, for replacePolicy
	ContextIn string // a JSON object
	Document  string // in place of all others

	Problems map[string]string // by field; "" for what is no field's
	TooLate  string            // why the instance takes no answer any more
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
	if f.ContextIn == "" {
		f.ContextIn = "{}"
	}
	return f
}

func readAnswerForm(r *http.Request) answerForm {
	return answerForm{
		Choosing: r.PostFormValue("choosing") != "",
		Choice:   r.PostFormValue("choice"), Comment: strings.TrimSpace(r.PostFormValue("comment")), Users: r.PostFormValue("users"),
		Steps: r.PostFormValue("steps"), ContextIn: r.PostFormValue("context"), Document: r.PostFormValue("document"),
	}
}

// document is the response document, or what keeps it from being one, by field. The API
// checks it by the rules of the source.
func (f answerForm) document() (document []byte, problems map[string]string) {
	bad := func(field, text string) ([]byte, map[string]string) { return nil, map[string]string{field: text} }
	own, hasContext := strings.TrimSpace(f.Document) != "", strings.TrimSpace(f.ContextIn) != ""
	switch {
	case own && f.Choice != "":
		return bad("document", "must be empty where one of the answers above is chosen: only one of them can count")
	case own && !json.Valid([]byte(f.Document)):
		return bad("document", "must be JSON")
	case own:
		return []byte(f.Document), nil
	case f.Choosing && f.Choice == "":
		return bad("choice", "must be chosen")
	case f.Choice == "replacePolicy" && !json.Valid([]byte(f.Steps)):
		return bad("steps", "must be a JSON array of objects")
	case hasContext && !json.Valid([]byte(f.ContextIn)):
		return bad("context", "must be a JSON object")
	}
	top := map[string]any{"version": "v1"}
	if f.Choice != "" {
		top[f.Choice] = f.choice()
	} else if hasContext {
		top["context"] = json.RawMessage(f.ContextIn)
	}
	document, err := json.Marshal(top)
	if err != nil {
		return bad("", sentence(err.Error()))
	}
	return document, nil
}

// choice is the value of the member that was chosen.
func (f answerForm) choice() map[string]any {
	body := map[string]any{}
	if f.Comment != "" {
		body["comment"] = f.Comment
	}
	switch f.Choice {
	case "reassign":
		body["newStepUserIds"] = strings.Fields(f.Users)
	case "replacePolicy":
		body["policySteps"] = json.RawMessage(f.Steps)
	}
	return body
}

// documentFields are the form's fields for what a response document has, by the end of
// the path that the API names.
var documentFields = []struct{ path, field string }{
	{"newStepUserIds", "users"}, {"policySteps", "steps"}, {"comment", "comment"}, {"context", "context"},
}

// refused takes over what the API says about the document.
func (f *answerForm) refused(why string) {
	f.Problems = map[string]string{}
	if strings.TrimSpace(f.Document) != "" {
		f.Problems["document"] = "is refused: " + why
		return
	}
	for _, each := range documentFields {
		if path, _, _ := strings.Cut(why, " "); strings.Contains(path, each.path) {
			f.Problems[each.field] = "is refused: " + why
			return
		}
	}
	f.Problems[""] = sentence(why)
}

// Entered is what was typed in, for who comes too late to give it.
func (f answerForm) Entered() string {
	return strings.TrimSpace(strings.Join([]string{f.Comment, f.Users, f.Steps, f.Document}, "\n"))
}
