package browser

import (
	"context"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// Screen is a page of the console as somebody comes to it.
type Screen struct {
	Name      string // fit for a file's
	Path      string
	Before    func(*Tab) // what is done there before it is looked at; nil for nothing
	SignedOut bool       // nobody has signed in
}

// Visit comes to the screen.
func (sc Screen) Visit(t *Tab) {
	t.tb.Helper()
	t.Goto(sc.Path)
	if sc.Before != nil {
		sc.Before(t)
	}
}

// Screens returns every screen of the console, with something of the scene on it.
func (s *Scene) Screens() []Screen {
	s.tb.Helper()
	instance := func(id string) string { return "/instances/" + s.Instances[id] }
	attempts := func(t *Tab) {
		Eval[bool](t, `[...document.querySelectorAll('details.attempt')].every(d => d.open = true)`)
	}
	return []Screen{
		{Name: "sign-in", Path: "/sign-in", SignedOut: true},
		{Name: "overview", Path: "/"},
		{Name: "instances", Path: "/instances"},
		{Name: "instances-filtered", Path: "/instances?state=WAITING_CALLBACK&labels=team%3Dfinance"},
		{Name: "instances-none", Path: "/instances?ticket=NO-SUCH"},
		{Name: "instance-waiting", Path: instance("ACC-4")},
		{Name: "instance-pushing", Path: instance("PRV-4"), Before: attempts},
		{Name: "instance-replaced", Path: instance("ACC-2"), Before: attempts},
		{Name: "instance-bad-response", Path: instance("PRV-2"), Before: attempts},
		{Name: "instance-expired", Path: instance("ACC-17"), Before: attempts},
		{Name: "instance-canceled", Path: instance("ACC-3")},
		{Name: "instance-running", Path: instance("BADGE-1")},
		{Name: "instance-pending", Path: instance("BADGE-5")},
		{Name: "instance-held", Path: instance("PAY-1000"), Before: attempts},
		{Name: "instance-failing", Path: instance("LDAP-1"), Before: attempts},
		{Name: "instance-answered-late", Path: "/instances/" + s.oneOf(`source = provisionStep AND state = SUCCESS AND webhookId = `+s.Webhooks[Directory]), Before: attempts},
		{Name: "instance-cancel", Path: instance("ACC-5"), Before: func(t *Tab) { t.Unfold("Cancel…") }},
		{Name: "instance-delivery", Path: instance("ACC-6") + "/delivery"},
		{Name: "not-there", Path: "/instances/nothing"},
	}
}

// oneOf returns the id of the newest instance that a filter selects.
func (s *Scene) oneOf(filter string) string {
	s.tb.Helper()
	res, err := s.Server.Instances.List(context.Background(), &ripostev1.InstancesServiceListRequest{Filter: filter})
	if err != nil || len(res.GetList()) == 0 {
		s.tb.Fatalf("looking for one of %s: %v, %v", filter, res, err)
	}
	return res.GetList()[0].GetWebhookInstance().GetId()
}
