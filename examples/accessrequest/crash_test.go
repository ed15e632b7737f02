package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// times is how often a test does what it does: the normal run must stay short.
func times(normal, long int) int {
	if os.Getenv("RIPOSTE_TEST_LONG") != "" {
		return long
	}
	return normal
}

// steps are the points between two things of which a crash may do only the first.
func steps() []string {
	var points []string
	for _, system := range []string{"approver", "provisioner", "notifier"} {
		points = append(points,
			system+": not yet asked",
			system+": asked, not noted",
			system+": received",
			system+": acted, not answered",
			system+": outcome before its commit",
			system+": outcome committed",
		)
	}
	return append(points, "approver: before the callback", "approver: called back, not noted")
}

// TestSurvivesAKillAtEachStep kills the application at each point, and the server
// while the application stands there.
func TestSurvivesAKillAtEachStep(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	asked := 0
	ask := func(n int) {
		h.add(scenes[n%len(scenes)])
		asked++
	}
	frank := len(scenes) - 1 // whose approver calls back
	for n, point := range steps() {
		for range times(1, 3) {
			scene := n % frank
			if strings.Contains(point, "call") {
				scene = frank
			} else if strings.Contains(point, "provisioner") {
				scene = 0 // who gets as far as that
			}
			halted := func(line string) bool { return line == "halted at "+point }
			ask(scene)
			app := h.run(point)
			app.line(halted)
			app.kill()

			ask(scene)
			app = h.run(point)
			app.line(halted)
			h.restartServer()
			fmt.Fprintln(app.stdin)
			app.end()
		}
	}
	h.wantAllAsItShouldBe(asked)
}

// TestSurvivesAKillOfBothAtEachStep: neither can help the other.
func TestSurvivesAKillOfBothAtEachStep(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	asked := 0
	for _, point := range steps() {
		h.add(scenes[0])
		h.add(scenes[len(scenes)-1])
		asked += 2
		app := h.run(point)
		app.line(func(line string) bool { return line == "halted at "+point })
		h.server.kill()
		app.kill()
		h.startServer()
	}
	h.run("").end()
	h.wantAllAsItShouldBe(asked)
}

func TestRequestIsKeptWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for want, point := range []string{"request: before its commit", "request: committed"} {
		app := h.application(point, "request", "--who", "ada", "--wants", "db-admin")
		app.line(func(line string) bool { return line == "halted at "+point })
		app.kill()
		all, err := h.store.requests(patient(t), 0)
		if err != nil || len(all) != want {
			t.Fatalf("after a kill at %q there are %d requests, %v", point, len(all), err)
		}
	}
	h.run("").end()
	h.wantAllAsItShouldBe(1)
}

// TestWebhooksAreMadeOnce: a create of a webhook has no request id, so it is found by
// its name.
func TestWebhooksAreMadeOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(scenes[0])
	for range 3 {
		app := h.run("webhook: made, not noted")
		app.line(func(line string) bool { return line == "halted at webhook: made, not noted" })
		app.kill()
	}
	h.run("").end()
	h.wantAllAsItShouldBe(1)
	res, err := h.Webhooks.List(patient(t), &webhooksv1.WebhooksServiceListRequest{})
	if err != nil || len(res.GetList()) != 3 {
		t.Errorf("the server has %d webhooks, %v", len(res.GetList()), err)
	}
}

// TestTrailHasTheAttemptThatACallbackOvertook: the approver calls back before its 202
// has left, so the outcome is there before the attempt is recorded.
func TestTrailHasTheAttemptThatACallbackOvertook(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(scenes[len(scenes)-1])
	app := h.run("approver: acted, not answered")
	app.line(func(line string) bool { return strings.HasSuffix(line, "closed: granted") })
	fmt.Fprintln(app.stdin)
	app.end()
	h.wantAllAsItShouldBe(1)
	if got := h.application("", "audit", "R-1").end(); !strings.Contains(got, "3: the instance was closed while this attempt was in flight") {
		t.Errorf("the trail does not say that it was in flight:\n%s", got)
	}
}

// TestSurvivesKillsAtRandom runs the whole story, and kills either or both after any
// line that the application prints.
func TestSurvivesKillsAtRandom(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("SEED=%d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	h := newHouse(t)
	asked := 0
	for range times(25, 300) {
		for _, sc := range scenes[:2+dice.IntN(len(scenes)-1)] {
			h.add(sc)
			asked++
		}
		app := h.run("")
		app.skip(1 + dice.IntN(25))
		switch dice.IntN(3) {
		case 0:
			app.kill()
		case 1:
			h.restartServer()
			app.skip(1 + dice.IntN(25))
			app.kill()
		case 2:
			h.server.kill()
			app.kill()
			h.startServer()
		}
	}
	h.run("").end()
	h.wantAllAsItShouldBe(asked)
}

// wantAllAsItShouldBe checks the store and the server once all requests are closed.
func (h *house) wantAllAsItShouldBe(asked int) {
	h.t.Helper()
	ctx := patient(h.t)
	wrong, err := h.store.review(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, w := range wrong {
		h.t.Error(w)
	}
	all, err := h.store.requests(ctx, 0)
	if err != nil || len(all) != asked {
		h.t.Fatalf("there are %d requests, want %d, %v", len(all), asked, err)
	}
	instances := h.instances()
	for _, r := range all {
		trail, err := h.store.trail(ctx, r.ID)
		if err != nil {
			h.t.Fatal(err)
		}
		var of []*ripostev1.Instance
		for n := range r.Asked {
			key := fmt.Sprintf("%d/%d", r.ID, n+1)
			if len(instances[key]) != 1 {
				h.t.Fatalf("%s's question %d was asked as %d instances", r.ticket(), n+1, len(instances[key]))
			}
			of = append(of, instances[key][0])
			delete(instances, key)
		}
		var got []string
		for _, e := range trail {
			line := fmt.Sprintf("%d %s", e.Number, e.Event)
			if e.Event == Attempted {
				line += " " + strings.SplitN(e.Detail, ":", 2)[0]
			}
			got = append(got, line)
		}
		if want := wantTrail(of); !slices.Equal(got, want) {
			h.t.Errorf("the audit trail of %s (%s) has\n%s\nnot\n%s", r.ticket(), r.Wants, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if len(instances) != 0 {
		h.t.Errorf("instances that no request knows: %v", instances)
	}
	h.t.Logf("%d requests", asked)
}

// instances are all of the server's, by request and number.
func (h *house) instances() map[string][]*ripostev1.Instance {
	h.t.Helper()
	all := map[string][]*ripostev1.Instance{}
	r := &ripostev1.InstancesServiceListRequest{PageSize: 1000}
	for {
		res, err := h.Instances.List(patient(h.t), r)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, i := range res.GetList() {
			key := i.GetLabels()["request"] + "/" + i.GetLabels()["number"]
			all[key] = append(all[key], i)
		}
		if r.PageToken = res.GetNextPageToken(); r.PageToken == "" {
			return all
		}
	}
}

// wantTrail is what a request's trail must have, by what the server knows: its own
// count of attempts, and how each instance ended.
func wantTrail(of []*ripostev1.Instance) []string {
	trail := []string{"0 " + string(Requested)}
	for n, i := range of {
		add := func(e Event) { trail = append(trail, fmt.Sprintf("%d %s", n+1, e)) }
		add(Triggered)
		for a := range i.GetWebhookInstance().GetAttempts() {
			trail = append(trail, fmt.Sprintf("%d %s %d", n+1, Attempted, a+1))
		}
		switch failure := i.GetOutcome().GetFailure(); {
		case failure == nil:
			add(Success)
		case failure.GetReason() == ripostev1.FailureReason_FAILURE_REASON_BAD_RESPONSE:
			add(BadResponse)
			fallthrough
		default:
			add(FatalError)
		}
	}
	return append(trail, "0 "+string(Closed))
}
