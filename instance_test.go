package riposte_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/riposte-dev/riposte"
)

func TestNewInstanceIsPendingAndDueAtOnce(t *testing.T) {
	w := newWebhook(t)
	r := riposte.InstanceRequest{
		Source:        sources[approvalStep],
		Payload:       []byte(`{"a":1}`),
		RequestID:     "r-1",
		Labels:        map[string]string{"team": "iam"},
		RecreatedFrom: "older",
	}
	i, envelope, err := riposte.NewInstance(w, r, callbackURL, start.Add(999*time.Nanosecond).In(time.FixedZone("", 3600)))
	if err != nil {
		t.Fatal(err)
	}
	want := riposte.Instance{
		WebhookID: w.ID, Source: r.Source, Destination: w.URL, State: riposte.StatePending,
		CreatedAt: start, UpdatedAt: start, DueAt: start, ExpiresAt: start.Add(8 * 24 * time.Hour),
		Labels: r.Labels, RequestID: "r-1", RecreatedFrom: "older",
	}
	if diff := cmp.Diff(want, i, cmpopts.IgnoreUnexported(riposte.Instance{}), cmpopts.IgnoreFields(riposte.Instance{}, "ID", "Fingerprint")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !riposte.IsID(i.ID) || i.ID == w.ID {
		t.Errorf("its id is %q", i.ID)
	}
	if got := envelope.CallbackURL(); got != callbackURL(i.ID) {
		t.Errorf("its callback URL is %q", got)
	}
	if !i.NextAttemptAt().Equal(start) || !slices.Equal(i.Steps(), []riposte.State{riposte.StatePending}) {
		t.Errorf("next attempt %s, steps %v", i.NextAttemptAt(), i.Steps())
	}
}

func TestExpiresAtIsOfTheInstancesOwnTimeoutElseTheWebhooks(t *testing.T) {
	w := newWebhook(t)
	w.CallbackTimeout = 3 * 24 * time.Hour
	for own, want := range map[time.Duration]time.Duration{
		0:                                   3 * 24 * time.Hour,
		riposte.MinCallbackTimeout:          24 * time.Hour,
		riposte.MaxCallbackTimeout:          30 * 24 * time.Hour,
		24*time.Hour + 1999*time.Nanosecond: 24*time.Hour + time.Microsecond, // as both stores keep it
	} {
		i, _, err := riposte.NewInstance(w, riposte.InstanceRequest{Source: sources[testSource], CallbackTimeout: own}, callbackURL, start)
		if err != nil {
			t.Fatal(err)
		}
		if got := i.ExpiresAt.Sub(start); got != want {
			t.Errorf("own timeout %s: expires after %s, want %s", own, got, want)
		}
	}
}

func TestInstanceRequestRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *riposte.InstanceRequest)
		field  string
	}{
		{"no source", func(r *riposte.InstanceRequest) { r.Source = riposte.Source{} }, "source"},
		{"unknown source", func(r *riposte.InstanceRequest) { r.Source.Kind = "Test" }, "source"},
		{"approvalStep without ticket", ofKind(approvalStep), "source.approvalStep.ticketId"},
		{"provisionStep without ticket", ofKind(provisionStep), "source.provisionStep.ticketId"},
		{"policyPostAction without ticket", ofKind(policyPostAction), "source.policyPostAction.ticketId"},
		{"ticket of 257 characters", func(r *riposte.InstanceRequest) { r.Source.TicketID = strings.Repeat("ä", 257) }, "source.approvalStep.ticketId"},
		{"workflowStep without execution", func(r *riposte.InstanceRequest) { r.Source = riposte.Source{Kind: workflowStep, WorkflowStepID: "s"} }, "source.workflowStep.workflowExecutionId"},
		{"workflowStep without step", func(r *riposte.InstanceRequest) {
			r.Source = riposte.Source{Kind: workflowStep, WorkflowExecutionID: 1}
		}, "source.workflowStep.workflowStepId"},
		{"payload with a reserved name", func(r *riposte.InstanceRequest) { r.Payload = []byte(`{"@type":1}`) }, "payload"},
		{"ticket with a NUL", func(r *riposte.InstanceRequest) { r.Source.TicketID = "t\x00" }, "source.approvalStep.ticketId"},
		{"requestId with a NUL", func(r *riposte.InstanceRequest) { r.RequestID = "\x00" }, "requestId"},
		{"label key with a NUL", func(r *riposte.InstanceRequest) { r.Labels = map[string]string{"\x00": "v"} }, "labels"},
		{"label value with a NUL", func(r *riposte.InstanceRequest) { r.Labels = map[string]string{"k": "\x00"} }, "labels.k"},
		{"requestId of 256 characters", func(r *riposte.InstanceRequest) { r.RequestID = strings.Repeat("x", 256) }, "requestId"},
		{"callbackTimeout a nanosecond short", func(r *riposte.InstanceRequest) { r.CallbackTimeout = 24*time.Hour - 1 }, "callbackTimeout"},
		{"callbackTimeout a nanosecond long", func(r *riposte.InstanceRequest) { r.CallbackTimeout = 30*24*time.Hour + 1 }, "callbackTimeout"},
		{"callbackTimeout negative", func(r *riposte.InstanceRequest) { r.CallbackTimeout = -1 }, "callbackTimeout"},
		{"33 labels", func(r *riposte.InstanceRequest) { r.Labels = manyLabels(33) }, "labels"},
		{"label without key", func(r *riposte.InstanceRequest) { r.Labels = map[string]string{"": "v"} }, "labels"},
		{"label key of 64 characters", func(r *riposte.InstanceRequest) { r.Labels = map[string]string{strings.Repeat("ä", 64): "v"} }, "labels"},
		{"label value of 256 characters", func(r *riposte.InstanceRequest) { r.Labels = map[string]string{"k": strings.Repeat("ä", 256)} }, "labels.k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := riposte.InstanceRequest{Source: sources[approvalStep]}
			tt.change(&r)
			_, _, err := riposte.NewInstance(newWebhook(t), r, callbackURL, start)
			if got := violatedFields(t, err); !slices.Equal(got, []string{tt.field}) {
				t.Errorf("got %v about %q, want an error about %q", err, got, tt.field)
			}
		})
	}
}

func TestInstanceRequestIsToldEverythingAtOnce(t *testing.T) {
	_, _, err := riposte.NewInstance(newWebhook(t), riposte.InstanceRequest{
		Source: riposte.Source{Kind: workflowStep}, CallbackTimeout: time.Hour, RequestID: strings.Repeat("x", 256),
		Labels: map[string]string{"b": strings.Repeat("x", 256), "a": strings.Repeat("x", 256), "": ""},
	}, callbackURL, start)
	want := []string{
		"source.workflowStep.workflowExecutionId", "source.workflowStep.workflowStepId",
		"requestId", "callbackTimeout", "labels", "labels.a", "labels.b",
	}
	if diff := cmp.Diff(want, violatedFields(t, err)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestInstanceRequestTakenAtItsBounds(t *testing.T) {
	labels := manyLabels(30)
	labels[strings.Repeat("ä", 63)] = strings.Repeat("😀", 255)
	labels["empty"] = ""
	for name, r := range map[string]riposte.InstanceRequest{
		"labels":    {Source: sources[testSource], Labels: labels},
		"requestId": {Source: sources[testSource], RequestID: strings.Repeat("ä", 255)},
		"ticketId":  {Source: riposte.Source{Kind: approvalStep, TicketID: strings.Repeat("ä", 256)}},
		"workflow":  {Source: riposte.Source{Kind: workflowStep, WorkflowExecutionID: -1, WorkflowStepID: "s"}},
	} {
		if _, _, err := riposte.NewInstance(newWebhook(t), r, callbackURL, start); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFingerprintTellsRequestsApart(t *testing.T) {
	request := func() riposte.InstanceRequest {
		return riposte.InstanceRequest{Source: sources[approvalStep], Payload: []byte(`{"a":1}`), RequestID: "r", Labels: map[string]string{"a": "b", "c": "d"}}
	}
	first := fingerprint(t, request())
	seen := map[string]string{string(first): "the first"}
	for name, change := range map[string]func(r *riposte.InstanceRequest){
		"source kind":                func(r *riposte.InstanceRequest) { r.Source.Kind = provisionStep },
		"ticket":                     func(r *riposte.InstanceRequest) { r.Source.TicketID = "ticket-2" },
		"workflow":                   func(r *riposte.InstanceRequest) { r.Source = sources[workflowStep] },
		"workflow execution":         func(r *riposte.InstanceRequest) { r.Source = sources[workflowStep]; r.Source.WorkflowExecutionID = 43 },
		"workflow step":              func(r *riposte.InstanceRequest) { r.Source = sources[workflowStep]; r.Source.WorkflowStepID = "step-2" },
		"payload":                    func(r *riposte.InstanceRequest) { r.Payload = []byte(`{"a":2}`) },
		"payload's white space":      func(r *riposte.InstanceRequest) { r.Payload = []byte(`{"a": 1}`) },
		"no payload":                 func(r *riposte.InstanceRequest) { r.Payload = nil },
		"timeout":                    func(r *riposte.InstanceRequest) { r.CallbackTimeout = riposte.DefaultCallbackTimeout },
		"label value":                func(r *riposte.InstanceRequest) { r.Labels["a"] = "x" },
		"label key":                  func(r *riposte.InstanceRequest) { delete(r.Labels, "a"); r.Labels["x"] = "b" },
		"one label more":             func(r *riposte.InstanceRequest) { r.Labels["x"] = "" },
		"one label less":             func(r *riposte.InstanceRequest) { delete(r.Labels, "a") },
		"no labels":                  func(r *riposte.InstanceRequest) { r.Labels = nil },
		"the same letters elsewhere": func(r *riposte.InstanceRequest) { r.Labels = map[string]string{"ab": "", "cd": ""} },
	} {
		r := request()
		change(&r)
		got := string(fingerprint(t, r))
		if other, same := seen[got]; same {
			t.Errorf("%s: the fingerprint is that of %s", name, other)
		}
		seen[got] = name
	}
	for name, change := range map[string]func(r *riposte.InstanceRequest){
		"nothing":                         func(*riposte.InstanceRequest) {},
		"white space around the payload":  func(r *riposte.InstanceRequest) { r.Payload = []byte(" \n{\"a\":1}\t") },
		"another requestId":               func(r *riposte.InstanceRequest) { r.RequestID = "other" },
		"labels written in another order": func(r *riposte.InstanceRequest) { r.Labels = map[string]string{"c": "d", "a": "b"} },
	} {
		r := request()
		change(&r)
		if !bytes.Equal(fingerprint(t, r), first) {
			t.Errorf("%s changed the fingerprint", name)
		}
	}
}

func TestFingerprintOfNoPayloadIsThatOfAnEmptyOne(t *testing.T) {
	none := riposte.InstanceRequest{Source: sources[testSource], RequestID: "r"}
	empty := none
	empty.Payload = []byte("{}")
	if !bytes.Equal(fingerprint(t, none), fingerprint(t, empty)) {
		t.Error("they differ")
	}
}

func TestWithoutRequestIDThereIsNoFingerprint(t *testing.T) {
	if i := newInstance(t, riposte.InstanceRequest{Source: sources[testSource]}); i.Fingerprint != nil {
		t.Errorf("it is %x", i.Fingerprint)
	}
}

func TestStoredForgetsTheStepsAndTakesTheVersion(t *testing.T) {
	i := newInstance(t, riposte.InstanceRequest{Source: sources[testSource]})
	i, err := i.Apply(riposte.Claimed{}, start)
	if err != nil {
		t.Fatal(err)
	}
	stored := i.Stored(7)
	if stored.Version != 7 || !slices.Equal(stored.Steps(), []riposte.State{riposte.StateRunning}) {
		t.Errorf("version %d, steps %v", stored.Version, stored.Steps())
	}
	if i.Version != 0 || len(i.Steps()) != 2 {
		t.Errorf("Stored changed its receiver: version %d, steps %v", i.Version, i.Steps())
	}
}

func fingerprint(t *testing.T, r riposte.InstanceRequest) []byte {
	t.Helper()
	return newInstance(t, r).Fingerprint
}

func ofKind(kind riposte.SourceKind) func(*riposte.InstanceRequest) {
	return func(r *riposte.InstanceRequest) { r.Source = riposte.Source{Kind: kind} }
}

func manyLabels(n int) map[string]string {
	labels := map[string]string{}
	for k := range n {
		labels[fmt.Sprintf("k%d", k)] = "v"
	}
	return labels
}
