package console

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// verifyData is what the page of this name shows: two forms, and what came of one.
type verifyData struct {
	Delivery deliveryForm
	Document documentForm
}

// deliveryForm is a delivery to be checked, as it was typed in.
type deliveryForm struct {
	URL        string
	Delivery   string
	Body       string
	ReceivedAt string
	KeySet     string
	Problems   map[string]string
	Verdict    *deliveryVerdict
}

// More reports whether what is folded away at first has anything in it.
func (f deliveryForm) More() bool { return f.Body+f.ReceivedAt+f.KeySet != "" }

// documentForm is a response document to be checked, as it was typed in.
type documentForm struct {
	Source   string
	Document string
	Problems map[string]string
	Sources  []sourceView
	Verdict  *documentVerdict
}

func (v *visit) verify() error {
	return v.showVerify(http.StatusOK, deliveryForm{}, documentForm{})
}

func (v *visit) showVerify(status int, delivery deliveryForm, document documentForm) error {
	document.Sources = sourceKinds
	return v.show(status, "verify", page{Title: "Verify", Nav: "/verify", Data: verifyData{delivery, document}})
}

// verifyDelivery answers with the page itself: nothing has changed, and what was
// typed is to be changed and checked again.
func (v *visit) verifyDelivery() error {
	get := v.r.PostFormValue
	form := deliveryForm{
		URL: strings.TrimSpace(get("url")), Delivery: get("delivery"), Body: get("body"),
		ReceivedAt: strings.TrimSpace(get("receivedAt")), KeySet: get("keySet"),
	}
	req, read := form.request()
	if len(form.Problems) > 0 {
		return v.showVerify(http.StatusUnprocessableEntity, form, documentForm{})
	}
	res, err := v.api.verify.VerifyDelivery(v.call(), req)
	if form.Problems = violations(err); form.Problems != nil {
		form.Problems["delivery"] = cmp.Or(form.Problems["delivery"], form.Problems["headers"])
		return v.showVerify(http.StatusUnprocessableEntity, form, documentForm{})
	}
	if err != nil {
		return err
	}
	verdict := newDeliveryVerdict(res, form.ReceivedAt == "")
	verdict.Read = read
	form.Verdict = &verdict
	return v.showVerify(http.StatusOK, form, documentForm{})
}

// request is the form as the API takes it, and a sentence about what was read. It
// notes in the form what can't be.
func (f *deliveryForm) request() (req *ripostev1.VerificationServiceVerifyDeliveryRequest, read string) {
	p, problems := parsePasted(f.Delivery, f.Body)
	if problems == nil {
		problems = map[string]string{}
	}
	f.Problems = problems
	req = &ripostev1.VerificationServiceVerifyDeliveryRequest{Method: cmp.Or(p.Method, http.MethodPost), Url: f.URL, Body: p.Body, KeySet: f.KeySet}
	for _, h := range p.Headers {
		req.Headers = append(req.Headers, &ripostev1.Header{Name: h.Name, Value: h.Value})
	}
	if f.ReceivedAt != "" {
		at, err := parseMoment(f.ReceivedAt)
		if err != nil {
			problems["receivedAt"] = "must be a time such as 2026-01-31T08:00:00Z"
		}
		req.ReceivedAt = timestamppb.New(at)
	}
	read = fmt.Sprintf("Read as a %s with %s and a body of %s.", req.Method, plural(len(p.Headers), "header"), plural(len(p.Body), "byte"))
	if p.Cut {
		read += " What the body had in newlines at its end is no part of it, by its headers."
	}
	return req, read
}

func (v *visit) verifyDocument() error {
	form := documentForm{Source: v.r.PostFormValue("source"), Document: v.r.PostFormValue("document")}
	res, err := v.api.verify.VerifyDocument(v.call(), &ripostev1.VerificationServiceVerifyDocumentRequest{Source: form.Source, Document: form.Document})
	if form.Problems = violations(err); form.Problems != nil {
		return v.showVerify(http.StatusUnprocessableEntity, deliveryForm{}, form)
	}
	if err != nil {
		return err
	}
	form.Verdict = newDocumentVerdict(res)
	return v.showVerify(http.StatusOK, deliveryForm{}, form)
}
