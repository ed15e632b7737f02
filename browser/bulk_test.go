package browser

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// crowd is how many instances TestBulk changes: two parts and a piece of a third.
const crowd = 450

// gather asks so much that nobody answers yet.
func gather(t *testing.T, s *ripostetest.Server, webhook string) {
	t.Helper()
	var asking sync.WaitGroup
	for n := range 10 {
		asking.Go(func() {
			for m := range crowd / 10 {
				if _, err := s.Instances.Create(t.Context(), &ripostev1.InstancesServiceCreateRequest{
					WebhookId: webhook, Source: sourceOf("approvalStep", fmt.Sprintf("CROWD-%d", n*crowd/10+m)), Labels: map[string]string{"crowd": "yes"},
				}); err != nil {
					t.Errorf("asking: %v", err)
				}
			}
		})
	}
	asking.Wait()
}

func countOf(t *testing.T, s *ripostetest.Server, filter string) int32 {
	t.Helper()
	res, err := s.Instances.Count(t.Context(), &ripostev1.InstancesServiceCountRequest{Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetCount()
}

// looked is how far the page says it is.
const looked = `document.querySelector('[data-part=progress]')?.innerText.trim()`

func (t *Tab) untilLooked(part string) {
	t.tb.Helper()
	t.Until("the progress "+part, looked+`?.includes(`+quote(part)+`)`)
}

func TestBulk(t *testing.T) {
	t.Parallel()
	r := listening(t, answering(http.StatusAccepted, ""))
	s := ripostetest.Start(t)
	gather(t, s, makeWebhook(t, s, "Crowd", r.URL))
	t.Cleanup(s.CloseIdleConnections)
	tab := admin(t, s)
	t.Run("cancels, with a stop on the way", func(t *testing.T) { cancelsCrowd(t, s, tab.in(t)) })
	t.Run("recreates, and loses the server on the way", func(t *testing.T) { recreatesCrowd(t, s, tab.in(t)) })
}

func cancelsCrowd(t *testing.T, s *ripostetest.Server, tab *Tab) {
	const canceled = `state = FATAL_ERROR AND labels.crowd = "yes"`
	tab.Goto("/instances")
	tab.Fill("Labels", "crowd=yes")
	tab.Follow("button", "Filter")
	tab.Follow("link", "Cancel all…")
	tab.UntilText("450 instances match.")
	if text := tab.Text(); !strings.Contains(text, "crowd=yes") || !strings.Contains(text, "for good") {
		t.Errorf("what is about to be done is told by %q", text)
	}
	if n := countOf(t, s, canceled); n != 0 {
		t.Fatalf("%d are canceled before anybody has said so", n)
	}

	tab.Hold("/instances/bulk")
	tab.Follow("button", "Cancel them")
	tab.untilLooked("200 of 450 looked at: 200 canceled")
	tab.UntilHeld()
	if p := Eval[string](tab, `(p => p.value + ' of ' + p.max)(document.querySelector('progress'))`); p != "200 of 450" {
		t.Errorf("the bar is at %s", p)
	}
	if title := tab.Title(); !strings.HasPrefix(title, "44%") {
		t.Errorf("the title is %s", title)
	}
	loaded := tab.Navigations()
	tab.Click("button", "Stop")
	tab.Pass()
	tab.untilLooked("400 of 450 looked at: 400 canceled")
	tab.Until("what goes on", `document.activeElement.innerText === 'Go on'`) // where Stop had the focus
	if n := countOf(t, s, canceled); n != 400 || tab.Navigations() != loaded {
		t.Errorf("after a stop %d are canceled, and %d pages were loaded", n, tab.Navigations()-loaded)
	}
	if tab.Has("button", "Stop") {
		t.Error("there is a button to stop what has stopped")
	}

	tab.Follow("button", "Go on")
	tab.UntilText("Done.")
	tab.untilLooked("450 looked at: 450 canceled.")
	tab.Release()
	if n := countOf(t, s, canceled); n != crowd {
		t.Errorf("in the end %d are canceled", n)
	}
	tab.Follow("link", "To the list")
	if path := tab.Path(); !strings.HasPrefix(path, "/instances?labels=crowd%3Dyes") {
		t.Errorf("the list is %s", path)
	}
}

func recreatesCrowd(t *testing.T, s *ripostetest.Server, tab *Tab) {
	tab.Goto("/instances?labels=crowd%3Dyes&state=" + strings.TrimPrefix(webhooksv1.WebhookState_WEBHOOK_STATE_FATAL_ERROR.String(), "WEBHOOK_STATE_"))
	tab.Follow("link", "Recreate all…")
	tab.UntilText("450 instances match.")
	tab.Hold("/instances/bulk")
	tab.Follow("button", "Ask them again")
	tab.untilLooked("200 of 450 looked at: 200 asked again")
	tab.Lose()
	tab.UntilText("The server can't be reached.")
	tab.Forgive("a request failed")
	tab.Release()
	tab.Follow("button", "Go on")
	tab.untilLooked("450 looked at: 450 asked again.")
	if strings.Contains(tab.Text(), "can't be reached") {
		t.Error("the server is still said to be away")
	}
	if n := countOf(t, s, `labels.crowd = "yes"`); n != 2*crowd {
		t.Errorf("there are %d in the end", n)
	}
}

// TestBulkNeedsAFilter: without one it would be everything.
func TestBulkNeedsAFilter(t *testing.T) {
	t.Parallel()
	_, tab := signedIn(t)
	tab.Goto("/instances")
	if tab.Has("link", "Cancel all…") || tab.Has("link", "Recreate all…") {
		t.Error("a list of everything offers to change it")
	}
	tab.Goto("/instances?ticket=ACC-4")
	if !tab.Has("link", "Cancel all…") {
		t.Error("a list of some does not offer to cancel them")
	}
	tab.Goto("/instances/bulk?action=cancel")
	if tab.Has("button", "Cancel them") {
		t.Error("everything can be canceled at once")
	}
}
