package console

import (
	"fmt"
	"maps"
	"slices"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// attemptView is an attempt and its waterfall.
type attemptView struct {
	*ripostev1.Attempt
	Result  string // in a few words
	Failed  bool
	Hint    string
	Phases  []phaseView
	Headers []headerView
}

type headerView struct{ Name, Value string }

// phaseView is a part of an attempt: a bar from At, Width wide, in thousandths of the
// attempt's duration.
type phaseView struct {
	Name      string
	Class     string
	Took      string
	At, Width int
}

// attemptViews are the last ones, newest first, and how many others there are.
func attemptViews(attempts []*ripostev1.Attempt, limit int) (shown []attemptView, hidden int) {
	hidden = max(0, len(attempts)-limit)
	for _, a := range slices.Backward(attempts[hidden:]) {
		shown = append(shown, newAttemptView(a))
	}
	return shown, hidden
}

func newAttemptView(a *ripostev1.Attempt) attemptView {
	view := attemptView{Attempt: a, Phases: waterfall(a)}
	view.Result, view.Failed = resultOf(a)
	view.Hint = attemptHint(a)
	for _, name := range slices.Sorted(maps.Keys(a.GetResponseHeaders())) {
		view.Headers = append(view.Headers, headerView{name, a.GetResponseHeaders()[name]})
	}
	return view
}

// resultOf says how an attempt ended, and whether the receiver did not take it.
func resultOf(a *ripostev1.Attempt) (text string, failed bool) {
	code, e := a.GetStatusCode(), a.GetError()
	switch {
	case e != nil && code > 0:
		return fmt.Sprintf("%d, then %s %s", code, e.GetPhase(), e.GetReason()), true
	case e != nil:
		return e.GetPhase() + " " + e.GetReason(), true
	case code == 0:
		return "In flight", false
	}
	return fmt.Sprint(code), code/100 != 2
}

// scale is what a waterfall is wide.
const scale = 1000

// waterfall lays out what took place one after the other.
func waterfall(a *ripostev1.Attempt) []phaseView {
	whole := a.GetDuration().AsDuration()
	if whole <= 0 {
		return nil
	}
	p := a.GetPhases()
	var views []phaseView
	var at time.Duration
	add := func(name, class string, d time.Duration) {
		if d <= 0 {
			return
		}
		d = min(d, whole-at)
		views = append(views, phaseView{Name: name, Class: class, Took: took(d),
			At: int(at * scale / whole), Width: max(1, int(d*scale/whole))})
		at += d
	}
	add("DNS", "phase-dns", p.GetDns().AsDuration())
	add("Connect", "phase-connect", p.GetConnect().AsDuration())
	add("TLS", "phase-tls", p.GetTls().AsDuration())
	add("First byte", "phase-first-byte", p.GetFirstByte().AsDuration())
	rest := lastPhase(a)
	add(rest.Name, rest.Class, whole-at)
	return views
}

// errorPhases are what an attempt that broke off was at.
var errorPhases = map[string]phaseView{
	"prepare":  {Name: "Prepare", Class: "phase-body"},
	"dns":      {Name: "DNS", Class: "phase-dns"},
	"connect":  {Name: "Connect", Class: "phase-connect"},
	"tls":      {Name: "TLS", Class: "phase-tls"},
	"request":  {Name: "Request", Class: "phase-first-byte"},
	"response": {Name: "No byte", Class: "phase-first-byte"},
}

// lastPhase is what an attempt's time was spent on that no phase accounts for: its
// response's body, or what it broke off at.
func lastPhase(a *ripostev1.Attempt) phaseView {
	if broke, ok := errorPhases[a.GetError().GetPhase()]; ok && a.GetStatusCode() == 0 {
		return broke
	}
	return phaseView{Name: "Body", Class: "phase-body"}
}
