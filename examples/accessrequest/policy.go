package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/riposte-dev/riposte/client"
)

// Request is somebody's wish for access, on its way through its policy.
type Request struct {
	ID     int64
	Who    string
	Wants  string
	Steps  []Step // what is left of the policy, the current one first; none when closed
	Asked  int    // questions so far, the open one included
	Result Result // empty until the policy has come to its end
	Why    string
}

// Result is what a request came to.
type Result string

const (
	Granted        Result = "granted"
	Denied         Result = "denied"
	NotProvisioned Result = "not provisioned"
	Broken         Result = "broken off"
)

// Step is a policy's step in the form that an approver's replacePolicy has, too:
// exactly one member is set.
type Step struct {
	Approval   *Approval `json:"approval,omitempty"`
	Provision  *struct{} `json:"provision,omitempty"`
	PostAction *struct{} `json:"postAction,omitempty"`
}

// Approval names who may approve; any of them will do.
type Approval struct {
	Users []string `json:"users"`
}

func approvalBy(users ...string) Step { return Step{Approval: &Approval{users}} }

var (
	provision  = Step{Provision: &struct{}{}}
	postAction = Step{PostAction: &struct{}{}}
)

// newRequest has the policy that all begin with.
func newRequest(who, wants string) Request {
	return Request{Who: who, Wants: wants, Steps: []Step{approvalBy("grace"), provision}, Asked: 1}
}

// system is the one that a step asks, and so the webhook.
func (s Step) system() string {
	switch {
	case s.Approval != nil:
		return "approver"
	case s.Provision != nil:
		return "provisioner"
	}
	return "notifier"
}

func (s Step) source(ticket string) client.Source {
	switch {
	case s.Approval != nil:
		return client.ApprovalStep(ticket)
	case s.Provision != nil:
		return client.ProvisionStep(ticket)
	}
	return client.PolicyPostAction(ticket)
}

func (s Step) String() string {
	switch {
	case s.Approval != nil:
		return "approval by " + strings.Join(s.Approval.Users, " or ")
	case s.Provision != nil:
		return "provisioning"
	}
	return "post action"
}

func (r Request) ticket() string { return fmt.Sprintf("R-%d", r.ID) }

func (r Request) closed() bool { return len(r.Steps) == 0 }

// after is the request once its current step has come to an outcome, with the next
// question counted where there is one. It changes nothing else, so that a transaction
// can do all of it or nothing.
func (r Request) after(o client.Outcome) Request {
	step, rest := r.Steps[0], r.Steps[1:]
	switch {
	case step.PostAction != nil:
		r.Steps = nil // whatever came of telling it
	case o.Kind == client.Approved || o.Kind == client.Completed:
		if r.Steps = rest; len(rest) == 0 {
			r = r.came(Granted, o.Comment)
		}
	case o.Kind == client.Denied:
		r = r.came(Denied, o.Comment)
	case o.Kind == client.Reassigned:
		r.Steps = append([]Step{approvalBy(o.NewStepUserIDs()...)}, rest...)
	case o.Kind == client.PolicyReplaced:
		steps, err := readPolicy(o.PolicySteps())
		if err != nil {
			r = r.came(Broken, "the new policy can't be run: "+err.Error())
		} else {
			r.Steps = steps
		}
	case o.Kind == client.Errored:
		r = r.came(NotProvisioned, o.Comment)
	case o.Kind == client.Failed:
		r = r.came(Broken, fmt.Sprintf("%s came to no answer: %s", step, o.Failure.Reason))
	default:
		r = r.came(Broken, fmt.Sprintf("%s came to %s, which this program doesn't know", step, o.Kind))
	}
	if !r.closed() {
		r.Asked++
	}
	return r
}

// came ends the policy: what is left is to tell the person.
func (r Request) came(to Result, why string) Request {
	r.Result, r.Why, r.Steps = to, why, []Step{postAction}
	return r
}

// readPolicy takes the steps of a replacePolicy. Riposte knows that they are objects;
// what they mean is between the approver and this program.
func readPolicy(documents []json.RawMessage) ([]Step, error) {
	var steps []Step
	for n, d := range documents {
		var s Step
		if err := json.Unmarshal(d, &s); err != nil {
			return nil, fmt.Errorf("step %d: %w", n+1, err)
		}
		approval := s.Approval != nil && len(s.Approval.Users) > 0
		if approval == (s.Provision != nil) || s.PostAction != nil {
			return nil, fmt.Errorf("step %d is neither an approval by somebody nor a provisioning: %s", n+1, d)
		}
		steps = append(steps, s)
	}
	return steps, nil
}
